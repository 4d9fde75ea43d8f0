"""The sink of `reactive run` for a stream: its items as lines on standard output."""

from __future__ import annotations

import os
import select
import stat
from typing import Any

import anyio
import anyio.to_thread
import orjson

from reactive.context import Context
from reactive.endpoint import Sink, Writer
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE


class ReaderGone(BrokenPipeError):
    """Nobody reads standard output any more, as after `| head`."""


def line(item: Any) -> bytes:
    """An item as a line: text and bytes as they are, everything else as JSON."""
    if isinstance(item, str):
        return item.encode("utf-8", "surrogateescape") + b"\n"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item) + b"\n"
    return orjson.dumps(item, default=_plain, option=_OPTIONS)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        as_dict = getattr(value, "_asdict", None)
        return list(value) if as_dict is None else as_dict()
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


@dataclass(frozen=True)
class Printed(Sink[Any]):
    """Writes items as lines to an open file descriptor, which it leaves open.

    Backpressures while the reader is slow. Raises `ReaderGone` when the reader has gone.
    """

    descriptor: int = 1

    @property
    def label(self) -> str:
        return "print"

    def writer(self, context: Context) -> Writer[Any]:
        return _Printing(self.descriptor)


class _Printing(Writer[Any]):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._polled = not stat.S_ISREG(os.fstat(descriptor).st_mode)

    async def write(self, chunk: Chunk[Any]) -> None:
        data = memoryview(b"".join(map(line, chunk.items)))
        try:
            while data:
                data = data[await self._some(data) :]
        except BrokenPipeError as error:
            raise ReaderGone(error.errno, "nobody reads standard output any more") from None

    async def _some(self, data: memoryview) -> int:
        """Write without ever blocking, so that a reader that stands still can be left: a pipe
        that polls as writable has room for PIPE_BUF bytes."""
        if self._polled:
            try:
                await anyio.wait_writable(self._descriptor)
            except PermissionError:
                self._polled = False
            else:
                return os.write(self._descriptor, data[: select.PIPE_BUF])
        return await anyio.to_thread.run_sync(os.write, self._descriptor, data)
