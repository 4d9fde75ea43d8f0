"""Stages that take in all of their input before they give anything."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from operators.checking import refuse_awaitable
from operators.holding import Pace, alike
from operators.runs import Work
from operators.spilling import Spill
from reactive.fuse import annotate
from reactive.metrics import Progress
from reactive.operator import Stage
from reactive.signals import Barrier, Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context

INSTEAD = "cut the stream into windows and process({}) each of them"
"""What to do where the input never ends."""


def check_memory(operator: str, memory: int | None) -> None:
    """Refuse a budget that is none, where the pipeline is described."""
    if memory is None:
        return
    if not isinstance(memory, int) or isinstance(memory, bool):
        raise TypeError(f"{operator} needs memory= as a whole number of bytes, not {memory!r}")
    if memory < 1:
        raise ValueError(f"{operator} needs memory= of at least 1 byte, not {memory}")


def held_limit(memory: int | None) -> str:
    """How much of the input is in memory, for `explain()`."""
    budget = "the run's `memory`" if memory is None else f"{memory:,} bytes"
    return f"{budget} of them, the others on disk"


class WholeInput(Stage[Any]):
    """Gathers its input, and gives when that has ended.

    A watermark would make what is held late, and idleness would let others go on without it: the
    last watermark leaves behind everything else, and idleness not at all.
    """

    def __init__(self, context: Context, memory: int | None) -> None:
        budget = context.settings.memory if memory is None else memory
        self.context = context
        self.work = Work(context, budget)
        self.spill = Spill(context)
        self._opened = False
        self._gathering = True
        self._ready: deque[Signal[Any]] = deque()
        self._watermark: Watermark | None = None
        self._pace = Pace(context.settings.chunk)
        self._checked = False
        self._time = asyncio.get_running_loop().time
        self._saved: Any = None
        self._restored: Any = None
        self._phase: tuple[str, int | None, float] | None = None
        context.meter.progress = self._progress
        context.meter.totals["spilled_bytes"] = lambda: self.spill.written

    @abstractmethod
    async def take(self, chunk: Chunk[Any]) -> None:
        """Hold some items."""

    @abstractmethod
    async def finish(self) -> None:
        """The input has ended: prepare to give."""

    @abstractmethod
    async def more(self) -> tuple[list[Any], list[int | None] | None] | None:
        """The next items and their times, in any number but 0; None at the end."""

    @abstractmethod
    async def save(self) -> Any:
        """A picklable copy of what is held, that on disk included."""

    @abstractmethod
    async def put_back(self, state: Any) -> None:
        """Hold what was saved."""

    def begin_phase(self, name: str, total: int | None = None) -> None:
        """Say what comes now, and how many items `work.done` will come to with it."""
        self._phase = name, total, self._time()
        self.work.done = 0

    def end_phase(self) -> None:
        """Say that it waits for its input."""
        self._phase = None

    def _progress(self) -> Progress | None:
        if self._phase is None:
            return None
        name, total, since = self._phase
        seconds = self._time() - since
        return Progress(self.context.name, name, self.work.done, total, "items", seconds)

    def keys(self, fn: Callable[[Any], Any], items: list[Any]) -> Iterator[tuple[slice, list[Any]]]:
        """What `fn` gives for the items, so many at a time that it does not take long."""
        start = 0
        while start < len(items):
            some = slice(start, min(start + self._pace.count, len(items)))
            before = self._time()
            try:
                keys = list(map(fn, items[some]))
                if not self._checked:
                    refuse_awaitable(keys[0])
                    self._checked = True
            except Exception as error:
                annotate(error, self.context)
                raise
            self._pace.learn(len(keys), self._time() - before)
            yield some, keys
            start = some.stop

    async def read(self) -> Signal[Any] | None:
        while not self._ready:
            if self._gathering:
                signal = await self._gather()
                if signal is not None:
                    return signal
                continue
            given = await self._enough()
            if given is None:
                self.end_phase()
                watermark, self._watermark = self._watermark, None
                return watermark
            self._cut(*given)
        return self._ready.popleft()

    async def _gather(self) -> Signal[Any] | None:
        """Take in what comes, up to a barrier, which is given, or the end."""
        if self._restored is not None:
            (self._watermark, state), self._restored = self._restored, None
            await self.put_back(state)
        upstream = self.inputs[0]
        if not self._opened:
            self._opened = True
            await upstream.open()
        while (signal := await upstream.read()) is not None:
            if type(signal) is Chunk:
                self.context.meter.items_in += len(signal.items)
                await self.take(signal)
                await self.work.breathe()
            elif isinstance(signal, Watermark):
                self._watermark = signal
            elif isinstance(signal, Barrier):
                if self.context.region is not None and self.context.region.keeps:
                    self._saved = self._watermark, await self.save()
                return signal
        self._gathering = False
        await self.finish()
        return None

    async def _enough(self) -> tuple[list[Any], list[int | None] | None] | None:
        """The next items, enough for a chunk if there are so many: all are here already."""
        limit = self.context.settings.chunk
        given = await self.more()
        if given is None or len(given[0]) >= limit:
            return given
        items, times = given[0].copy(), _times(*given)
        while len(items) < limit and (given := await self.more()) is not None:
            items += given[0]
            times += _times(*given)
        return items, None if times.count(None) == len(times) else times

    def _cut(self, items: list[Any], times: list[int | None] | None) -> None:
        limit = self.context.settings.chunk
        chunks = [Chunk(items)] if times is None else alike(items, times)
        for chunk in chunks:
            while len(chunk.items) > limit:
                head, chunk = chunk.split(limit)
                self._ready.append(head)
            self._ready.append(chunk)

    def snapshot(self) -> Any:
        saved, self._saved = self._saved, None
        return saved

    def restore(self, state: Any) -> None:
        self._restored = state

    async def close(self) -> None:
        await self.spill.close()


def _times(items: list[Any], times: list[int | None] | None) -> list[int | None]:
    return [None] * len(items) if times is None else times.copy()
