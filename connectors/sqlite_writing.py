"""The writer behind `sqlite.write`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from connectors.sql_epochs import EPOCHS, Batch, Row, SqlWriter
from connectors.sql_tables import Target, quoted_name
from connectors.sqlite_errors import sqlite_error
from reactive.blocking import BlockingWorker
from reactive.errors import ConnectorError

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")

_POLL_SECONDS = 0.01


def connect(path: str, timeout: float) -> sqlite3.Connection:
    """A connection that may be used by one thread at a time, and begins no transactions itself."""
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


class SqliteWriter(SqlWriter):
    """Its calls are made in a thread of its own; no lock is held between two of them."""

    def __init__(self, path: str, timeout: float, target: Target, context: Context) -> None:
        super().__init__(target, context)
        self._path = path
        self._timeout = timeout
        self._worker = BlockingWorker(context.name)
        self._connection: sqlite3.Connection | None = None
        self._statement = ""

    @property
    def where(self) -> str:
        return self._path

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._worker.run(function, *arguments)
        except sqlite3.Error as error:
            raise sqlite_error(error, self._path, self.target, self._timeout) from error

    async def open(self) -> None:
        await self._call(self._open)

    def _open(self) -> None:
        self._connection = connection = connect(self._path, self._timeout)
        self._begin_log(connection)
        connection.execute("PRAGMA synchronous = FULL")

    def _begin_log(self, connection: sqlite3.Connection) -> None:
        """Let readers of a new database not be held up by the pipeline; one that is there stays as
        it is. SQLite does not wait by itself for others who make the database, too."""
        deadline = time.monotonic() + self._timeout
        while not connection.execute("PRAGMA page_count").fetchone()[0]:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    @property
    def _database(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    @contextmanager
    def _transaction(self, *, keep: bool = True) -> Iterator[sqlite3.Connection]:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            if keep:
                database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")

    async def begin(self, columns: tuple[str, ...] | None, width: int) -> None:
        self._statement = self.target.writing(columns, width, lambda number: "?")
        if self.target.create:
            await self._call(self._database.execute, self.target.creating(columns))

    async def insert(self, rows: Sequence[Row]) -> None:
        await self._call(self._insert, rows)

    def _insert(self, rows: Sequence[Row]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            self._write(rows)
        finally:
            # A statement that fails changes nothing; the rows before it are good.
            if database.in_transaction:
                database.execute("COMMIT")

    def _write(self, rows: Iterable[Row]) -> None:
        """Run the statement for every row. The error names the row."""
        row: Row | None = None

        def seen() -> Iterator[Row]:
            nonlocal row
            for given in rows:
                row = given
                yield given

        try:
            self._database.executemany(self._statement, seen())
        except sqlite3.Error as error:
            if row is not None:
                error.add_note(f"row {row!r:.200}")
            raise

    def _staging(self, sink: str) -> str:
        return quoted_name(f"reactive_staged_{sink}")

    def _has(self, table: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._database.execute(query, (table,)).fetchone() is not None

    async def recorded(self, sink: str) -> int:
        return await self._call(self._recorded, sink)

    def _recorded(self, sink: str) -> int:
        if not self._has(EPOCHS):
            return 0
        query = f"SELECT epoch FROM {EPOCHS} WHERE sink = ?"
        found = self._database.execute(query, (sink,)).fetchone()
        return 0 if found is None else int(found[0])

    def _record(self, sink: str, epoch: int) -> None:
        self._database.execute(
            f"CREATE TABLE IF NOT EXISTS {EPOCHS} "
            "(sink TEXT PRIMARY KEY, operator TEXT NOT NULL, epoch INTEGER NOT NULL)"
        )
        self._database.execute(
            f"INSERT INTO {EPOCHS} VALUES (?, ?, ?) "
            "ON CONFLICT (sink) DO UPDATE SET epoch = excluded.epoch",
            (sink, self._context.name, epoch),
        )

    async def stage(self, sink: str, part: int, rows: Sequence[Row], durable: bool) -> None:
        await self._call(self._stage, sink, part, rows, durable)

    def _stage(self, sink: str, part: int, rows: Sequence[Row], durable: bool) -> None:
        # What the last transaction of an epoch waits for has the others on the disk, too.
        if not durable:
            self._database.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction() as database:
                self._make_staging(sink)
                marks = ", ?" * self._width
                database.executemany(
                    f"INSERT INTO {self._staging(sink)} VALUES (?{marks})",
                    ((part, *row) for row in rows),
                )
        finally:
            self._database.execute("PRAGMA synchronous = FULL")

    def _make_staging(self, sink: str) -> None:
        if self._has(f"reactive_staged_{sink}"):
            return
        columns = "".join(f", value_{number}" for number in range(self._width))
        self._database.execute(f"CREATE TABLE {self._staging(sink)} (part INTEGER{columns})")
        if not self._recorded(sink):
            self._record(sink, 0)

    def _rows(self, sink: str, batch: Batch) -> Iterator[Row]:
        if batch.staged:
            names = ", ".join(f"value_{number}" for number in range(self._width))
            query = f"SELECT {names} FROM {self._staging(sink)} WHERE part = ? ORDER BY rowid"
            count = 0
            for row in self._database.execute(query, (batch.part,)):
                count += 1
                yield row
            if count != batch.staged:
                raise ConnectorError(
                    f"{self._path}: has {count} of the {batch.staged} rows that were put into "
                    f"{self._staging(sink)} until the last checkpoint; put back the database "
                    "as it was, or begin without the checkpoint"
                )
        yield from batch.rows

    async def attempt(self, sink: str, batch: Batch) -> None:
        await self._call(self._attempt, sink, batch)

    def _attempt(self, sink: str, batch: Batch) -> None:
        with self._transaction(keep=False):
            self._write(self._rows(sink, batch))

    async def apply(self, sink: str, epoch: int, batch: Batch | None) -> None:
        await self._call(self._apply, sink, epoch, batch)

    def _apply(self, sink: str, epoch: int, batch: Batch | None) -> None:
        with self._transaction() as database:
            if batch is not None:
                self._write(self._rows(sink, batch))
                if batch.staged:
                    staging = self._staging(sink)
                    database.execute(f"DELETE FROM {staging} WHERE part = ?", (batch.part,))
            self._record(sink, epoch)

    async def unstage(self, sink: str) -> None:
        await self._call(self._unstage, sink)

    def _unstage(self, sink: str) -> None:
        self._database.execute(f"DROP TABLE IF EXISTS {self._staging(sink)}")

    async def forget(self) -> None:
        await self._call(self._forget)

    def _forget(self) -> None:
        if not self._has(EPOCHS):
            return
        query = f"SELECT sink FROM {EPOCHS} WHERE operator = ? AND epoch = 0"
        sinks = self._database.execute(query, (self._context.name,)).fetchall()
        for (sink,) in sinks:
            with self._transaction() as database:
                self._unstage(sink)
                database.execute(f"DELETE FROM {EPOCHS} WHERE sink = ?", (sink,))

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await self._worker.run(connection.close)
        finally:
            await self._worker.close()
