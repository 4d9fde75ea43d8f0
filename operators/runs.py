"""Sorted runs in memory and on disk, merged into one order however many there are."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

from operators.holding import Pace
from operators.parts import Front, Order, Part, merge_some
from operators.sizes import held_bytes
from operators.spilling import Blocks, Spill
from reactive.chain import let_others_run
from reactive.fuse import annotate

if TYPE_CHECKING:
    from reactive.context import Context

_RUNS_A_LEVEL: Final = 16
_LEAST_IN_A_PART: Final = 1 << 15
_MOST_AT_ONCE: Final = 8192
_BLOCK_BYTES: Final = 1 << 18
_MOST_MERGED: Final = 64


class Work:
    """What the pieces of one operator's work share: whose it is, the memory it has, and how to be
    fair about it."""

    def __init__(self, context: Context, memory: int) -> None:
        self.context = context
        self.memory = memory
        self.block_bytes = max(1, min(_BLOCK_BYTES, memory // 32))
        self.pace = Pace(_MOST_AT_ONCE)
        self.merging_pace = Pace(_MOST_AT_ONCE)
        self.done = 0
        """How many items have gone through what is being done now."""
        self._time = asyncio.get_running_loop().time

    async def breathe(self) -> None:
        """Let others run if it is their turn."""
        if self.context.overdue():
            await let_others_run()

    def sort(self, part: Part, order: Order) -> None:
        """Sort a part that is small enough to be done quickly."""
        before = self._time()
        try:
            part.sort(order.reverse)
        except Exception as error:
            annotate(error, self.context)
            raise
        self.pace.learn(len(part), self._time() - before)

    def merge_some(self, fronts: Sequence[Front], order: Order) -> Part:
        """As much of a merge as is done quickly."""
        before, count = self._time(), self.merging_pace.count
        try:
            part = merge_some(fronts, order, count)
        except Exception as error:
            annotate(error, self.context)
            raise
        self.merging_pace.learn(count, self._time() - before)
        return part


class Run(Front, Protocol):
    """A sorted run that is read from its beginning to its end."""

    async def load(self) -> bool:
        """Have the next items in `part`, if there are any."""
        ...


class HeldRun:
    """A run in memory, as parts that follow one another; each is let go of when it is used up, so
    that never many items have to be at once."""

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self.parts = deque(parts)
        self.part = Part([], None, None)
        self.start = 0

    async def load(self) -> bool:
        if self.start == len(self.part):
            if not self.parts:
                return False
            self.part, self.start = self.parts.popleft(), 0
        return True


class SpilledRun:
    """A run on disk: a block of it is in memory, and the next one is being read."""

    def __init__(self, spill: Spill, blocks: Blocks) -> None:
        self.part = Part([], None, None)
        self.start = 0
        self._spill = spill
        self._places = iter(blocks)
        self._ahead = self._fetch()

    def _fetch(self) -> asyncio.Future[bytes] | None:
        place = next(self._places, None)
        return None if place is None else self._spill.fetch(*place)

    async def load(self) -> bool:
        if self.start < len(self.part):
            return True
        if self._ahead is None:
            return False
        columns = await self._spill.fetched(self._ahead)
        self._ahead = self._fetch()
        self.part, self.start = Part(*columns), 0
        return True


class Merging:
    """Several sorted runs as one, some items at a time."""

    def __init__(self, runs: Sequence[Run], order: Order, work: Work) -> None:
        self._runs = list(runs)
        self._order = order
        self._work = work
        self._begun = False

    async def next(self) -> Part | None:
        """The next items; None at the end."""
        await self._work.breathe()
        if not self._begun or any(run.start == len(run.part) for run in self._runs):
            self._begun = True
            self._runs = [run for run in self._runs if await run.load()]
        runs = self._runs
        if not runs:
            return None
        if len(runs) > 1:
            return self._work.merge_some(runs, self._order)
        only = runs[0]
        start, only.start = only.start, len(only.part)
        return only.part.slice(start, only.start)


class HeldRuns:
    """Sorts items in memory as they come, a piece at a time, so that no call takes long.

    A piece that follows the one before it in order is added to its run. Of the others so many
    are merged into a run of the next level, and so on, so that there are never many.
    """

    def __init__(self, order: Order, work: Work) -> None:
        self._order = order
        self._work = work
        self._levels: list[list[deque[Part]]] = [[]]
        self._unsorted: Part | None = None
        self._last: deque[Part] | None = None
        self.size = 0
        """What all of it takes in memory."""
        self.count = 0

    async def add(self, part: Part, size: int) -> None:
        """Hold some more items, which take `size` bytes."""
        self.size += size
        self.count += len(part)
        start = 0
        while start < len(part):
            if self._unsorted is None:
                self._unsorted = part.emptied()
            room = max(1, self._work.pace.count - len(self._unsorted))
            end = min(start + room, len(part))
            self._unsorted.extend(part.slice(start, end))
            start = end
            if len(self._unsorted) >= self._work.pace.count:
                await self._sort()
                await self._work.breathe()

    async def _sort(self) -> None:
        """Sort what came last, and let it find its place."""
        part, self._unsorted = self._unsorted, None
        if part is None:
            return
        self._work.sort(part, self._order)
        last = self._last
        if last is not None and self._follows(last[-1], part):
            _append(last, part)
            return
        self._last = run = deque([part])
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            runs = self._levels[level]
            runs.append(run)
            if len(runs) < _RUNS_A_LEVEL:
                return
            merging = self._merging(runs)
            runs.clear()
            self._last = run = deque()
            while (some := await merging.next()) is not None:
                _append(run, some)
            level += 1

    def _follows(self, last: Part, part: Part) -> bool:
        try:
            return not self._order.before(part.keys[0], last.keys[-1])
        except Exception as error:
            annotate(error, self._work.context)
            raise

    def _merging(self, runs: Iterable[Iterable[Part]]) -> Merging:
        return Merging([HeldRun(run) for run in runs], self._order, self._work)

    def _runs(self) -> list[deque[Part]]:
        """All runs in the order of what came."""
        return [run for level in reversed(self._levels) for run in level]

    async def take(self) -> Merging:
        """All that is held, in order; nothing is held from then on."""
        await self._sort()
        merging = self._merging(self._runs())
        self._levels, self._last = [[]], None
        self.size = self.count = 0
        return merging

    def snapshot(self) -> Any:
        """A copy of what is held, which going on does not change."""
        runs = [[part.copied() for part in run] for run in self._runs()]
        unsorted = None if self._unsorted is None else self._unsorted.copied()
        return self.size, self.count, runs, unsorted

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self.size, self.count, runs, unsorted = state
        self._levels = [[deque(Part(*columns) for columns in run) for run in runs]]
        self._last = self._levels[0][-1] if runs else None
        self._unsorted = None if unsorted is None else Part(*unsorted)


def _append(run: deque[Part], part: Part) -> None:
    """Add items to a run. Lists are long, since the garbage collector looks through young ones and
    comes the more often the more there are, and not so long that to let go of one takes long."""
    if not run or len(run[-1]) >= _LEAST_IN_A_PART:
        run.append(part.emptied())
    run[-1].extend(part)


class SpilledRuns:
    """Sorted runs on disk, in the order in which equals leave."""

    def __init__(self, spill: Spill, order: Order, work: Work) -> None:
        self._spill = spill
        self._order = order
        self._work = work
        self._runs: list[Blocks] = []
        self._largest = 1

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def at_once(self) -> int:
        """How many can be merged at once: each has a block in memory and one on its way."""
        return max(2, min(_MOST_MERGED, self._work.memory // (2 * self._largest)))

    async def add(self, merging: Merging) -> None:
        """Write one more run."""
        self.append(await self._write(merging), self._largest)

    def append(self, run: Blocks, largest: int) -> None:
        """One more run, which has been written, and the size of its largest block in memory."""
        self._runs.append(run)
        self._largest = max(self._largest, largest)

    async def _write(self, merging: Merging) -> Blocks:
        blocks = Blocks()
        gathered: Part | None = None
        size = 0
        while (part := await merging.next()) is not None:
            if gathered is None:
                gathered = part.emptied()
            gathered.extend(part)
            size += held_bytes(part.items)
            self._work.done += len(part)
            if size >= self._work.block_bytes:
                await self._put(blocks, gathered, size)
                gathered, size = None, 0
        if gathered is not None:
            await self._put(blocks, gathered, size)
        return blocks

    async def _put(self, blocks: Blocks, part: Part, size: int) -> None:
        count = max(1, -(-len(part) * self._work.block_bytes // max(size, 1)))
        for start in range(0, len(part), count):
            piece = part.slice(start, min(start + count, len(part)))
            columns = piece.columns()
            held = held_bytes(piece.items)
            self._largest = max(self._largest, held)
            await self._spill.write(blocks, columns, chain(piece.items, columns[1] or ()), held)
            await self._work.breathe()

    async def merge(self) -> Merging:
        """All runs as one; where there are too many, some are merged on disk before."""
        await self._spill.flush()
        while len(self._runs) > self.at_once:
            count = min(self.at_once, len(self._runs) - self.at_once + 1)
            sizes = [run.size for run in self._runs]
            totals = [sum(sizes[at : at + count]) for at in range(len(sizes) - count + 1)]
            at = totals.index(min(totals))
            merged = await self._write(self._merging(self._runs[at : at + count]))
            self._runs[at : at + count] = [merged]
            await self._spill.flush()
        runs, self._runs = self._runs, []
        return self._merging(runs)

    def _merging(self, runs: Sequence[Blocks]) -> Merging:
        return Merging([SpilledRun(self._spill, run) for run in runs], self._order, self._work)

    async def saved(self) -> list[tuple[list[bytes], int]]:
        """The contents of all runs, to be kept elsewhere."""
        return [(await self._spill.values(run), run.size) for run in self._runs]

    async def put_back(self, saved: list[tuple[list[bytes], int]]) -> None:
        """The same again."""
        for contents, size in saved:
            run = Blocks()
            for data in contents:
                await self._spill.put(run, data, size // len(contents))
            self.append(run, size // len(contents))
