"""A sink that shows what is committed, and a client that hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import reactive as rx
from reactive.context import Context
from reactive.signals import Chunk

PATIENCE = 60


class Table:
    """A sink that shows what is committed, and can be told to wait with it."""

    def __init__(self) -> None:
        self.epochs: dict[int, list[Any]] = {}
        self.open = asyncio.Event()
        self.open.set()

    @property
    def items(self) -> list[Any]:
        return [item for items in self.epochs.values() for item in items]


class _TableWriter(rx.Writer[Any]):
    def __init__(self, table: Table) -> None:
        self._table = table
        self._waiting: list[Any] = []

    async def write(self, chunk: Chunk[Any]) -> None:
        self._waiting += chunk.items

    async def prepare(self, epoch: int) -> Any:
        await self._table.open.wait()
        waiting, self._waiting = self._waiting, []
        return waiting

    async def commit(self, epoch: int, token: Any) -> None:
        assert self._table.epochs.setdefault(epoch, token) == token


class TableSink(rx.Sink[Any]):
    def __init__(self, table: Table) -> None:
        self._table = table

    def writer(self, context: Context) -> rx.Writer[Any]:
        return _TableWriter(self._table)


class Client:
    """Sends numbered lines, and hears how many are committed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *frames: int) -> None:
        self.writer.write(b"".join(b"%d\n" % frame for frame in frames))

    async def hears(self) -> int | None:
        """The next count; None when the server has hung up."""
        async with asyncio.timeout(PATIENCE):
            line = await self.reader.readline()
        return int(line) if line else None

    async def hears_of(self, count: int) -> None:
        while (heard := await self.hears()) != count:
            assert heard is not None and heard < count


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until something has happened that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
