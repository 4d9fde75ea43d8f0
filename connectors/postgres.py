"""postgres: rows into tables of PostgreSQL databases, once each. Needs the extra `postgres`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectors.postgres_writing import PostgresWriter
from connectors.sql_tables import Columns, Target, target
from reactive.endpoint import Replayed, Sink, Writer
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class _PostgresSink(Sink[Any]):
    address: str
    target: Target
    timeout: float

    @property
    def replayed(self) -> Replayed:
        return "transactional"

    @property
    def label(self) -> str:
        return "postgres.write"

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {
            "address": shown_address(self.address),
            "into": self.target.what,
        }
        if self.target.key:
            details["key"] = ", ".join(self.target.key)
        return details

    def writer(self, context: Context) -> Writer[Any]:
        shown = shown_address(self.address)
        return PostgresWriter(self.address, shown, self.timeout, self.target, context)


def shown_address(address: str) -> str:
    """The address without its password and options."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def write(
    address: str,
    table: str | None = None,
    *,
    columns: Columns = None,
    key: str | Iterable[str] = (),
    create: bool = False,
    statement: str | None = None,
    timeout: float = 30.0,
) -> Sink[Any]:
    """Write each item as a row of a table in a PostgreSQL database.

    `address` is `postgresql://user:password@host:port/database`, or
    `postgresql:///database?host=/folder/of/the/socket`; what it leaves out comes from the variables
    `PGHOST`, `PGUSER`, `PGPASSWORD` and so on.

    Items are mappings, dataclass objects or named tuples, whose names are those of columns, or
    other tuples and lists, whose values go into `columns`, or into all columns of the table. Every
    item must have the same ones, with the Python types that asyncpg takes for those of the columns.
    With `key`, a row takes the place of the one with the same values in these columns, which need a
    primary key or a unique index. `create=True` makes the table where it is not there, with `key`
    as its primary key and the types that `columns` gives, as in `{"id": "bigint", "note": "text"}`.
    Instead of a table, `statement` may be SQL of your own, with `$1`, `$2` and so on for the values
    of a row in order.

    A chunk is a transaction: rows are seen when it is committed. In a run with checkpoints an epoch
    is one: its rows are seen when it is committed, in the same transaction as its number, so each
    is there once, whatever was interrupted. Until then, up to 1,024 rows wait in the checkpoint,
    more in a table `reactive_staged_...`; the table `reactive_epochs` has the numbers. The user
    needs leave to create both. What the table refuses is known before the epoch is: its rows are
    written and rolled back, which is the price. Beginning again at an older checkpoint, or
    savepoint, repeats the rows since then, with a warning; `key` makes that harmless.

    No transaction is open between two calls. Backpressure: the next items are taken when these
    are written. Loses nothing.

    Raises `ConnectorError`, which names the table and the row: for a constraint that a row breaks,
    no such table or column, a value of the wrong type, a server that is not there within `timeout`
    seconds or goes away; the rows before it are written, in a run with checkpoints up to the last
    epoch. `ValueError` or `TypeError` for an item that is no row.

    ```python
    notes = postgres.write("postgresql://writer@db.example.com/notes", "notes", key="id")
    await rx.run(rx.of({"id": 1, "note": "a"}).to(notes))
    ```
    """
    if urlsplit(address).scheme not in ("postgresql", "postgres"):
        raise ValueError("postgres.write: the address must begin with postgresql://")
    if not timeout > 0:
        raise ValueError(f"postgres.write: timeout must be above 0 seconds, not {timeout}")
    rows = target("postgres.write", table, statement, columns, key, create)
    if create and rows.types is None:
        raise ValueError(
            "postgres.write: create=True needs the types of the columns, as in "
            'columns={"id": "bigint", "note": "text"}'
        )
    return _PostgresSink(address, rows, timeout)
