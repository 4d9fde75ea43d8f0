"""sqlite: rows into tables of SQLite databases, once each, and out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import reactive as rx
from connectors.file_paths import PathArgument, path_text
from connectors.sql_tables import Columns, Target, target
from connectors.sqlite_reading import SqliteRows
from connectors.sqlite_writing import SqliteWriter
from reactive.endpoint import Replayed, Sink, Writer
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class _SqliteSink(Sink[Any]):
    path: str
    target: Target
    timeout: float

    @property
    def replayed(self) -> Replayed:
        return "transactional"

    @property
    def label(self) -> str:
        return "sqlite.write"

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {"path": self.path, "into": self.target.what}
        if self.target.key:
            details["key"] = ", ".join(self.target.key)
        return details

    def writer(self, context: Context) -> Writer[Any]:
        return SqliteWriter(self.path, self.timeout, self.target, context)


def read(
    path: PathArgument,
    query: str,
    parameters: Sequence[Any] = (),
    *,
    key: str | None = None,
    timeout: float = 30.0,
) -> rx.Stream[dict[str, Any]]:
    """The rows that a query of a SQLite database gives, as dicts.

    `parameters` are the values for each `?` of the query. Emits rows as they are read, and
    completes after the last. Backpressures: reads no faster than rows are taken. The database is
    opened for reading only, and calls run in a thread of their own.

    With `key`, a column of the query that is unique, not NULL and best indexed, rows come in its
    order, some in each transaction, and a run that goes on from a checkpoint goes on after the last
    one it has; rows that change meanwhile are given as they are by then. Without, all rows are
    given as they were when the first was read, and the source cannot be read again: at most once.
    Until the last one was taken, a database that is not in WAL mode lets nobody write.

    Raises `ConnectorError` for a database that is not there or is none, or a query that fails.

    ```python
    await rx.run(rx.of({"id": 1}).to(sqlite.write("notes.db", "notes", create=True)))
    query = "SELECT * FROM notes WHERE id < ?"
    notes = await sqlite.read("notes.db", query, [9], key="id").collect()
    ```
    """
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f"sqlite.read: parameters must be a list of values, not {parameters!r}")
    if not timeout >= 0:
        raise ValueError(f"sqlite.read: timeout must be 0 seconds or more, not {timeout}")
    source = SqliteRows(
        path_text(path), query.rstrip().rstrip(";"), tuple(parameters), key, timeout
    )
    return rx.from_source(source)


def write(
    path: PathArgument,
    table: str | None = None,
    *,
    columns: Columns = None,
    key: str | Iterable[str] = (),
    create: bool = False,
    statement: str | None = None,
    timeout: float = 30.0,
) -> Sink[Any]:
    """Write each item as a row of a table in a SQLite database.

    Items are mappings, dataclass objects or named tuples, whose names are those of columns, or
    other tuples and lists, whose values go into `columns`, or into all columns of the table. Every
    item must have the same ones. With `key`, a row takes the place of the one with the same values
    in these columns, which need a primary key or a UNIQUE index. `create=True` makes the table
    where it is not there, with `key` as its primary key and the types that `columns` gives, as in
    `{"id": "INTEGER", "note": "TEXT"}`, or none. Instead of a table, `statement` may be SQL of your
    own, with a `?` for each value of a row in order.

    A chunk is a transaction: rows are seen when it is committed. In a run with checkpoints an epoch
    is one: its rows are seen when it is committed, in the same transaction as its number, so each
    is there once, whatever was interrupted. Until then, up to 1,024 rows wait in the checkpoint,
    more in a table `reactive_staged_...`; the table `reactive_epochs` has the numbers. What the
    table refuses is known before the epoch is: its rows are written and rolled back, which is the
    price. Beginning again at an older checkpoint, or savepoint, repeats the rows since then, with a
    warning; `key` makes that harmless.

    The database is made where there is none, and then lets others read meanwhile (WAL); one that is
    there keeps its journal mode. Calls run in a thread of their own and hold no lock between two
    of them. Backpressure: the next items are taken when these are written. Loses nothing.

    Raises `ConnectorError`, which names the table and the row: for a constraint that a row breaks,
    no such table or column, a value that is no SQL value, a database that others have locked for
    `timeout` seconds; the rows before it are written, in a run with checkpoints up to the last
    epoch. `ValueError` or `TypeError` for an item that is no row.

    ```python
    await rx.run(rx.of({"id": 1, "note": "a"}).to(sqlite.write("notes.db", "notes", create=True)))
    ```
    """
    if not timeout >= 0:
        raise ValueError(f"sqlite.write: timeout must be 0 seconds or more, not {timeout}")
    rows = target("sqlite.write", table, statement, columns, key, create)
    return _SqliteSink(path_text(path), rows, timeout)
