"""The writer behind `postgres.write`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from connectors.extras import load_extra
from connectors.postgres_errors import postgres_error
from connectors.sql_epochs import EPOCHS, Batch, Row, SqlWriter
from connectors.sql_tables import Target, quoted_name
from reactive.errors import ConnectorError

if TYPE_CHECKING:
    from reactive.context import Context

_AT_ONCE = 1000
_CLOSE_SECONDS = 5.0
_LOCK = 0x72656163
"""Of those who make tables at the same time, one does; the number means nothing else."""


class PostgresWriter(SqlWriter):
    """Over a connection of its own, on which no transaction is open between two calls."""

    def __init__(self, dsn: str, shown: str, timeout: float, target: Target, context: Context):
        super().__init__(target, context)
        self._dsn = dsn
        self._shown = shown
        self._timeout = timeout
        self._failures: tuple[type[Exception], ...] = ()
        self._connection: Any = None
        self._statement = ""

    @property
    def where(self) -> str:
        return self._shown

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[Any]:
        """The connection; what goes wrong with it is told in the connector's words."""
        try:
            yield self._connection
        except self._failures as error:
            raise postgres_error(error, self._shown, self.target, self._timeout) from error

    @asynccontextmanager
    async def _transaction(self, *, keep: bool = True) -> AsyncIterator[Any]:
        async with self._told() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except BaseException:
                if not connection.is_closed():
                    await transaction.rollback()
                raise
            if keep:
                await transaction.commit()
            else:
                await transaction.rollback()

    async def open(self) -> None:
        asyncpg = await load_extra("asyncpg", "postgres", self.target.user)
        # The last one comes of what is sent just when the server ends the connection.
        internal = asyncpg.InternalClientError
        self._failures = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, internal)
        async with self._told():
            self._connection = await asyncpg.connect(self._dsn, timeout=self._timeout)

    async def begin(self, columns: tuple[str, ...] | None, width: int) -> None:
        self._statement = self.target.writing(columns, width, lambda number: f"${number}")
        if self.target.create:
            await self._make(self.target.creating(columns))

    async def _make(self, *statements: str) -> None:
        async with self._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for statement in statements:
                await connection.execute(statement)

    async def insert(self, rows: Sequence[Row]) -> None:
        try:
            async with self._told() as connection:
                await connection.executemany(self._statement, rows)
        except ConnectorError as error:
            if self._connection.is_closed():
                raise
            await self._insert_singly(rows)
            raise error from error.__cause__

    async def _insert_singly(self, rows: Iterable[Row]) -> None:
        """All rows failed together; write those before the one that is to blame, and name it."""
        for row in rows:
            async with self._told() as connection:
                await self._execute(connection, row)

    async def _execute(self, connection: Any, row: Row) -> None:
        try:
            await connection.execute(self._statement, *row)
        except Exception as error:
            error.add_note(f"row {row!r:.200}")
            raise

    async def recorded(self, sink: str) -> int:
        async with self._told() as connection:
            if await connection.fetchval("SELECT to_regclass($1)", EPOCHS) is None:
                return 0
            found = await connection.fetchval(f"SELECT epoch FROM {EPOCHS} WHERE sink = $1", sink)
            return found or 0

    async def recover(self, epoch: int, token: Any) -> None:
        await self._make(
            f"CREATE TABLE IF NOT EXISTS {EPOCHS} "
            "(sink text PRIMARY KEY, operator text NOT NULL, epoch bigint NOT NULL)"
        )
        await super().recover(epoch, token)

    async def _record(self, connection: Any, sink: str, epoch: int) -> None:
        await connection.execute(
            f"INSERT INTO {EPOCHS} VALUES ($1, $2, $3) "
            "ON CONFLICT (sink) DO UPDATE SET epoch = excluded.epoch",
            sink,
            self._context.name,
            epoch,
        )

    def _staging(self, sink: str) -> str:
        return f"reactive_staged_{sink}"

    async def stage(self, sink: str, part: int, rows: Sequence[Row], durable: bool) -> None:
        async with self._transaction() as connection:
            if not durable:
                # What the last transaction of an epoch waits for has the others on the disk, too.
                await connection.execute("SET LOCAL synchronous_commit = off")
            staging = self._staging(sink)
            if await connection.fetchval("SELECT to_regclass($1)", staging) is None:
                await self._make_staging(connection, sink)
            await connection.copy_records_to_table(
                staging,
                records=((part, *row) for row in rows),
                columns=["part", *(f"value_{number}" for number in range(self._width))],
            )

    async def _make_staging(self, connection: Any, sink: str) -> None:
        """A table with a column for each parameter of the statement, of its type."""
        statement = await connection.prepare(self._statement)
        kinds = [
            await connection.fetchval("SELECT format_type($1, NULL)", parameter.oid)
            for parameter in statement.get_parameters()
        ]
        columns = "".join(f", value_{number} {kind}" for number, kind in enumerate(kinds))
        await connection.execute(
            f"CREATE TABLE {self._staging(sink)} (number bigserial, part bigint{columns})"
        )
        if not await self.recorded(sink):
            await self._record(connection, sink, 0)

    async def _write(self, connection: Any, sink: str, batch: Batch) -> None:
        async for rows in self._rows(connection, sink, batch):
            await connection.executemany(self._statement, rows)

    async def _rows(
        self, connection: Any, sink: str, batch: Batch
    ) -> AsyncGenerator[Sequence[Row], None]:
        if batch.staged:
            names = ", ".join(f"value_{number}" for number in range(self._width))
            cursor = await connection.cursor(
                f"SELECT {names} FROM {self._staging(sink)} WHERE part = $1 ORDER BY number",
                batch.part,
            )
            count = 0
            while rows := await cursor.fetch(_AT_ONCE):
                count += len(rows)
                yield list(map(tuple, rows))
            if count != batch.staged:
                raise ConnectorError(
                    f"{self._shown}: has {count} of the {batch.staged} rows that were put into "
                    f"{self._staging(sink)} until the last checkpoint; put back the database "
                    "as it was, or begin without the checkpoint"
                )
        if batch.rows:
            yield batch.rows

    async def attempt(self, sink: str, batch: Batch) -> None:
        try:
            async with self._transaction(keep=False) as connection:
                await self._write(connection, sink, batch)
        except ConnectorError:
            if not self._connection.is_closed():
                await self._blame(sink, batch)
            raise

    async def _blame(self, sink: str, batch: Batch) -> None:
        """Fail at the row that cannot be written, with its name."""
        async with (
            self._transaction(keep=False) as connection,
            aclosing(self._rows(connection, sink, batch)) as parts,
        ):
            async for rows in parts:
                for row in rows:
                    await self._execute(connection, row)

    async def apply(self, sink: str, epoch: int, batch: Batch | None) -> None:
        async with self._transaction() as connection:
            if batch is not None:
                await self._write(connection, sink, batch)
                if batch.staged:
                    staging = self._staging(sink)
                    await connection.execute(f"DELETE FROM {staging} WHERE part = $1", batch.part)
            await self._record(connection, sink, epoch)

    async def unstage(self, sink: str) -> None:
        async with self._told() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {quoted_name(self._staging(sink))}")

    async def forget(self) -> None:
        query = f"SELECT sink FROM {EPOCHS} WHERE operator = $1 AND epoch = 0"
        async with self._told() as connection:
            sinks = await connection.fetch(query, self._context.name)
        for (sink,) in sinks:
            async with self._transaction() as connection:
                await connection.execute(f"DROP TABLE IF EXISTS {self._staging(sink)}")
                await connection.execute(f"DELETE FROM {EPOCHS} WHERE sink = $1", sink)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except self._failures:
            connection.terminate()
