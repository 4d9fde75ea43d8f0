"""The source behind `sqlite.read`."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sql_tables import quoted_name
from connectors.sqlite_errors import sqlite_error
from reactive.blocking import BlockingWorker, finished
from reactive.endpoint import Reader, Source
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

Item = dict[str, Any]


@dataclass(frozen=True)
class SqliteRows(Source[Item]):
    """See `sqlite.read`."""

    path: str
    query: str
    parameters: tuple[Any, ...]
    key: str | None
    timeout: float

    @property
    def bounded(self) -> bool:
        return True

    @property
    def replayable(self) -> bool:
        return self.key is not None

    @property
    def label(self) -> str:
        return "sqlite.read"

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {"path": self.path, "query": self.query}
        if self.key is not None:
            details["key"] = self.key
        return details

    def reader(self, context: Context) -> Reader[Item]:
        return SqliteReader(self, context)


class SqliteReader(Reader[Item]):
    """Reads in a thread, with the database opened for reading only. With a key, each call is a
    query of its own and the database is free between two of them."""

    def __init__(self, source: SqliteRows, context: Context) -> None:
        self._source = source
        self._worker = BlockingWorker(context.name)
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._names: tuple[str, ...] = ()
        self._after: tuple[Any, ...] = ()
        self._under_way: asyncio.Future[list[Item]] | None = None

    async def open(self) -> None:
        await self._told(self._worker.submit(self._open))

    async def _told(self, call: asyncio.Future[Any]) -> Any:
        source = self._source
        try:
            return await finished(call)
        except sqlite3.Error as error:
            raise sqlite_error(error, source.path, None, source.timeout) from error

    def _open(self) -> None:
        source = self._source
        address = f"{Path(source.path).absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(
            address,
            timeout=source.timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )

    def _query(self, limit: int) -> sqlite3.Cursor:
        source = self._source
        connection = self._connection
        assert connection is not None
        if source.key is None:
            cursor = connection.execute(source.query, source.parameters)
        else:
            key = quoted_name(source.key)
            after = f"WHERE {key} > ? " if self._after else ""
            query = f"SELECT * FROM ({source.query}\n) {after}ORDER BY {key} LIMIT {limit}"
            cursor = connection.execute(query, (*source.parameters, *self._after))
        if cursor.description is None:
            raise ConnectorError(f"{source.path}: {source.query!r:.200} gives no rows; SELECT some")
        self._names = tuple(column[0] for column in cursor.description)
        if source.key is not None and source.key not in self._names:
            raise ConnectorError(
                f"{source.path}: the key {source.key!r} is not among the columns "
                f"{', '.join(self._names)} of the query"
            )
        return cursor

    async def read(self, limit: int) -> Signal[Item] | None:
        if self._under_way is None:
            self._under_way = self._worker.submit(self._fetch, limit)
        items = await self._told(self._under_way)
        # Until here a cancellation leaves the rows to the next call.
        self._under_way = None
        if not items:
            return None
        if self._source.key is not None:
            self._after = (items[-1][self._source.key],)
        return Chunk(items)

    def _fetch(self, limit: int) -> list[Item]:
        if self._cursor is None or self._source.key is not None:
            self._cursor = self._query(limit)
        names = self._names
        return [dict(zip(names, row, strict=True)) for row in self._cursor.fetchmany(limit)]

    def position(self) -> tuple[Any, ...] | None:
        return None if self._source.key is None else self._after

    async def seek(self, position: Any) -> None:
        self._after = position

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await self._worker.run(connection.close)
        finally:
            await self._worker.close()
