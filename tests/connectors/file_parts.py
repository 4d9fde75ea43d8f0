"""What the tests of the file connector share: readers without a run, files of every compression."""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import gzip
import lzma
from collections.abc import AsyncIterator, Callable
from typing import Any

import reactive as rx
from connectors.compression import zstd_module
from reactive.metrics import Meter
from reactive.operator import SourceOperator

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstd_module().compress(data),
}


def context(meter: Meter | None = None) -> rx.Context:
    """What a reader or writer gets that no run made."""
    return rx.Context("files", None, rx.Settings(), meter or Meter("files"))


def source_of(stream: rx.Stream[Any]) -> rx.Source[Any]:
    """The source that a stream is nothing but."""
    operator = stream.node.operator
    assert isinstance(operator, SourceOperator)
    return operator.source


@contextlib.asynccontextmanager
async def reading(
    stream: rx.Stream[Any], position: object = None, meter: Meter | None = None
) -> AsyncIterator[rx.Reader[Any]]:
    """A reader of the stream's source, open and, if given, at a position."""
    reader = source_of(stream).reader(context(meter))
    try:
        await reader.open()
        if position is not None:
            await reader.seek(position)
        yield reader
    finally:
        await reader.close()


async def take(reader: rx.Reader[Any], limit: int = 1024) -> list[Any] | None:
    """The items of the next chunk; None at the end."""
    signal = await reader.read(limit)
    if signal is None:
        return None
    assert isinstance(signal, rx.Chunk)
    assert 0 < len(signal.items) <= limit
    return signal.items


async def take_all(reader: rx.Reader[Any], limit: int = 1024) -> list[Any]:
    """All items that are left."""
    items: list[Any] = []
    while (more := await take(reader, limit)) is not None:
        items += more
    return items


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other tasks or threads bring about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  nothing tells when it does
            await asyncio.sleep(0.001)


async def collect_into(items: list[Any], stream: rx.Stream[Any]) -> None:
    """Add what a stream gives to `items`, which also keep what came before a failure."""
    async for item in stream:
        items.append(item)  # noqa: PERF401  a comprehension would lose them
