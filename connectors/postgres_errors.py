"""What PostgreSQL says, in words that name the database, the table and the fix."""

from __future__ import annotations

from connectors.sql_tables import Target
from reactive.errors import ConnectorError

_ADVICE = {
    "42P01": "; create it first, or give create=True",
    "42703": "; map the items to the columns that the table has, or name them with columns=",
    "42601": "; map the items to the columns that the table has, or name them with columns=",
    "3D000": "; create the database first",
    "28P01": "; check the user and the password in the address",
    "28000": "; check the user in the address, and the server's pg_hba.conf",
}


def postgres_error(error: Exception, shown: str, target: Target, timeout: float) -> ConnectorError:
    """A `ConnectorError` for what came of a call."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, TimeoutError):
        reason = f"the server did not answer within {timeout:g} seconds"
    elif type(error).__name__ == "InternalClientError":
        reason = f"the server has ended the connection ({error})"
    else:
        reason = " ".join(str(error).splitlines()) or type(error).__name__
    told = ConnectorError(f"{shown}, {target.what}: {reason}{notes}{_advice(error, target)}")
    told.__cause__ = error
    return told


def _advice(error: Exception, target: Target) -> str:
    code = getattr(error, "sqlstate", None)
    if code == "42P10":
        return f"; the table must have a primary key or a unique index on {', '.join(target.key)}"
    if isinstance(error, OSError) and code is None:
        return "; check the address, and whether the server runs"
    if "invalid input for query argument" in str(error):
        return "; map the values to the types of the columns first"
    return _ADVICE.get(code or "", "")
