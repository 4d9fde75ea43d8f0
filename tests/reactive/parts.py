"""Sources and sinks that remember what was done with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import reactive as rx


class Probe(rx.Source[Any]):
    """Gives items one a read, after `delay` seconds each, and records its life."""

    def __init__(
        self,
        items: Sequence[Any] = (),
        *,
        delay: float = 0.0,
        endless: bool = False,
        fail_at: int | None = None,
        fail_close: bool = False,
        slow_close: float = 0.0,
        stubborn: int = 0,
    ) -> None:
        self.items = list(items)
        self.delay = delay
        self.endless = endless
        self.fail_at = fail_at
        self.fail_close = fail_close
        self.slow_close = slow_close
        self.stubborn = stubborn
        self.opened = 0
        self.reads = 0
        self.closed = 0
        self.closed_at: float | None = None
        self.given = 0

    @property
    def bounded(self) -> bool:
        return not self.endless

    def reader(self, context: rx.Context) -> rx.Reader[Any]:
        return _ProbeReader(self)

    @property
    def stream(self) -> rx.Stream[Any]:
        return rx.from_source(self)


class _ProbeReader(rx.Reader[Any]):
    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.reading = False
        self.next = 0
        self.swallowed = 0

    async def open(self) -> None:
        self.probe.opened += 1

    async def read(self, limit: int) -> rx.Signal[Any] | None:
        probe = self.probe
        assert not self.reading, "re-entered"
        self.reading = True
        try:
            probe.reads += 1
            while True:
                try:
                    await asyncio.sleep(probe.delay)
                    break
                except asyncio.CancelledError:
                    if self.swallowed >= probe.stubborn:
                        raise
                    self.swallowed += 1
            if probe.fail_at is not None and self.next == probe.fail_at:
                raise OSError(f"probe failed at {self.next}")
            if not probe.endless and self.next >= len(probe.items):
                return None
            item = self.next if probe.endless else probe.items[self.next]
            self.next += 1
            probe.given += 1
            return rx.Chunk([item])
        finally:
            self.reading = False

    async def close(self) -> None:
        probe = self.probe
        assert not self.reading, "closed while reading"
        if probe.slow_close:
            await asyncio.sleep(probe.slow_close)
        probe.closed += 1
        probe.closed_at = asyncio.get_running_loop().time()
        if probe.fail_close:
            raise OSError("probe failed in close")


class Kept(rx.Sink[Any]):
    """Keeps what is written, and how the writing ended."""

    def __init__(
        self, *, delay: float = 0.0, on_write: Callable[[Any], None] | None = None
    ) -> None:
        self.items: list[Any] = []
        self.chunks: list[int] = []
        self.delay = delay
        self.on_write = on_write
        self.finished = 0
        self.closed = 0

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _KeptWriter(self)


class _KeptWriter(rx.Writer[Any]):
    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        if self.kept.delay:
            await asyncio.sleep(self.kept.delay)
        if self.kept.on_write is not None:
            self.kept.on_write(chunk)
        self.kept.chunks.append(len(chunk))
        self.kept.items += chunk.items

    async def finish(self) -> None:
        self.kept.finished += 1

    async def close(self) -> None:
        self.kept.closed += 1
