"""What SQLite says, in words that name the database, the table and the fix."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from connectors.sql_tables import Target
from reactive.errors import ConnectorError


def sqlite_error(
    error: sqlite3.Error, path: str, target: Target | None, timeout: float
) -> ConnectorError:
    """A `ConnectorError` for what came of a call."""
    what = path if target is None else f"{path}, {target.what}"
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    told = ConnectorError(f"{what}: {error}{notes}{_advice(error, path, target, timeout)}")
    told.__cause__ = error
    return told


def _advice(error: sqlite3.Error, path: str, target: Target | None, timeout: float) -> str:
    text = str(error)
    if "locked" in text:
        return (
            f"; another connection has kept the database for {timeout:g} seconds: let it end its "
            "transaction, or give a longer timeout="
        )
    if "unable to open database file" in text:
        if target is None:
            return "; check the path, and who may read it"
        return f"; there must be a directory {Path(path).parent}, and leave to write in it"
    if "no such table" in text and target is not None and target.table is not None:
        return "; create it first, or give create=True"
    if "ON CONFLICT clause does not match" in text and target is not None:
        return f"; the table must have a primary key or a UNIQUE index on {', '.join(target.key)}"
    if "no column" in text or "values for" in text or "number of bindings" in text:
        return "; map the items to the columns that the table has, or name them with columns="
    if "binding parameter" in text or "Error binding" in text:
        return "; map the values to numbers, text, bytes or None first"
    if "not a database" in text:
        return "; give the path of a SQLite database, or of a file that is not there yet"
    return ""
