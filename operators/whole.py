"""Stages that take in all of their input before they give anything."""

from __future__ import annotations

import asyncio
import pickle
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from operators.checking import refuse_awaitable
from operators.holding import Pace, alike
from operators.runs import Work
from operators.sizes import held_bytes
from operators.spilling import Spill
from reactive.fuse import annotate
from reactive.levels import VALUES, Changes, Kept, Pieces, dumps, pieces
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


class _Since:
    """What has come since the last barrier, for checkpoints: pickled a block at a time, so that
    what is on disk for lack of memory is not held here."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._chunks: list[Chunk[Any]] = []
        self._size = 0
        self._blocks: list[Any] = []
        self._count = 0

    def add(self, chunk: Chunk[Any]) -> None:
        """One more chunk."""
        self._chunks.append(chunk)
        self._size += held_bytes(chunk.items)
        if self._size >= self._block_bytes:
            self._end_block()

    def _end_block(self) -> None:
        chunks, self._chunks, self._size = self._chunks, [], 0
        try:
            self._blocks.append(dumps(chunks))
        except Exception:
            # It fails again where it is told to be a matter of checkpoints.
            self._blocks.append(chunks)

    def take(self) -> Pieces:
        """All of it, to begin with nothing again: blocks by their numbers."""
        if self._chunks:
            self._end_block()
        blocks, self._blocks = self._blocks, []
        numbered = list(enumerate(blocks, self._count))
        self._count += len(blocks)
        return (pieces(VALUES, [block]) for block in numbered)

    def go_on(self, blocks: dict[int, bytes]) -> Iterator[Chunk[Any]]:
        """What came up to the barrier, in order, of which later checkpoints need no more."""
        for number in sorted(blocks):
            self._count = number + 1
            yield from pickle.loads(blocks.pop(number))


class WholeInput(Stage[Any]):
    """Gathers its input, and gives when that has ended. Checkpoints keep what came.

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
        keeps = context.region is not None and context.region.keeps_changes
        self._since = _Since(self.work.block_bytes) if keeps else None
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
            restored, self._restored = self._restored, None
            await self._go_on(restored)
        upstream = self.inputs[0]
        if not self._opened:
            self._opened = True
            await upstream.open()
        while (signal := await upstream.read()) is not None:
            if type(signal) is Chunk:
                self.context.meter.items_in += len(signal.items)
                if self._since is not None:
                    self._since.add(signal)
                await self.take(signal)
                await self.work.breathe()
            elif isinstance(signal, Watermark):
                self._watermark = signal
            elif isinstance(signal, Barrier):
                region = self.context.region
                if region is not None and region.keeps and self._since is None:
                    self._saved = self._watermark, await self.save()
                return signal
        self._gathering = False
        await self.finish()
        return None

    async def _go_on(self, restored: Any) -> None:
        """Hold again what came to a run before this one."""
        if not isinstance(restored, Kept):
            self._watermark, state = restored
            await self.put_back(state)
            return
        self._watermark = restored.shared
        since = self._since or _Since(0)
        for chunk in since.go_on(dict(restored.sections["input"])):
            await self.take(chunk)
            await self.work.breathe()

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

    def changes(self) -> Any:
        if self._since is None:
            return self.snapshot()
        return Changes(self._watermark, {"input": self._since.take()})

    def restore(self, state: Any) -> None:
        self._restored = state

    async def close(self) -> None:
        await self.spill.close()


def _times(items: list[Any], times: list[int | None] | None) -> list[int | None]:
    return [None] * len(items) if times is None else times.copy()
