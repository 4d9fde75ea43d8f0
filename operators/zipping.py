"""The work of zip, zip_longest and sequence_equal: items of several streams by position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from operators.holding import Gathering, Pace, latest_times
from reactive.chain import let_others_run
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.inlets import Rising
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Zip(Staged):
    """`zip`."""

    strict: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return any(inputs)

    def details(self) -> dict[str, object]:
        return {"strict": True} if self.strict else {}

    def stage(self, context: Context) -> Stage[Any]:
        return _ZipStage(self.strict, context)


class _ZipStage(Gathering):
    def __init__(self, strict: bool, context: Context) -> None:
        super().__init__()
        self._strict = strict
        self._context = context

    async def read(self) -> Signal[Any] | None:
        while True:
            if self.spent:
                if self._over():
                    return None
            elif not self.lacking:
                return self._rows()
            arrival = await self.inlets.next()
            if not isinstance(arrival, tuple):
                return arrival
            self.receive(*arrival)

    def _over(self) -> bool:
        """Whether to end, an input being used up; with `strict`, all have to be."""
        if self._strict and any(held.ready for held in self.held):
            raise ValueError(
                f"{self._context.where()}: input {min(self.spent)} of zip is shorter than the "
                "others"
            )
        return not self._strict or len(self.spent) == len(self.held)

    def _rows(self) -> Chunk[Any]:
        count = min(held.ready for held in self.held)
        columns = [self.take(index, count) for index in range(len(self.held))]
        rows = list(zip(*(column.items for column in columns), strict=True))
        return Chunk(rows, latest_times([column.times for column in columns]))


@dataclass(frozen=True)
class ZipLongest(Staged):
    """`zip_longest`."""

    fill: Any

    def details(self) -> dict[str, object]:
        return {"fill": self.fill}

    def stage(self, context: Context) -> Stage[Any]:
        return _ZipLongestStage(self.fill)


class _ZipLongestStage(Gathering):
    def __init__(self, fill: Any) -> None:
        super().__init__()
        self._fill = fill

    async def read(self) -> Signal[Any] | None:
        while True:
            if not self.lacking:
                return self._rows()
            arrival = await self.inlets.next()
            if not isinstance(arrival, tuple):
                return arrival
            self.receive(*arrival)

    def _rows(self) -> Chunk[Any] | None:
        live = [index for index in range(len(self.held)) if index not in self.spent]
        if not live:
            return None
        count = min(self.held[index].ready for index in live)
        columns: list[Iterable[Any]] = [repeat(self._fill, count) for _ in self.held]
        times = []
        for index in live:
            chunk = self.take(index, count)
            columns[index] = chunk.items
            times.append(chunk.times)
        return Chunk(list(zip(*columns, strict=True)), latest_times(times))


@dataclass(frozen=True)
class SequenceEqual(Staged):
    """`sequence_equal`."""

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return any(inputs)

    def stage(self, context: Context) -> Stage[Any]:
        return _SequenceEqualStage(context)


class _SequenceEqualStage(Gathering):
    """Compares so few items at once that slow comparisons do not hold the loop.

    The answer has the latest time of what was compared, so no watermark beyond that passes.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._pace = Pace(context.settings.chunk)
        self._rising = Rising()
        self._latest: int | None = None
        self._told = False

    def hold(self) -> Any:
        return super().hold(), self._rising.snapshot(), self._latest, self._told

    def go_on(self, state: Any) -> None:
        held, said, self._latest, self._told = state
        self._rising.restore(said)
        super().go_on(held)

    async def read(self) -> Signal[Any] | None:
        while not self._told:
            if not self.lacking:
                if self.spent:
                    return self._tell(self._both_over())
                if not self._compare():
                    return self._tell(False)
                if self._context.overdue():
                    await let_others_run()
                continue
            arrival = await self.inlets.next()
            if isinstance(arrival, tuple):
                self.receive(*arrival)
            elif type(arrival) is not Watermark:
                return arrival
            elif self._rising.passes(passing := self._lowered(arrival)):
                return passing
        return None

    def _compare(self) -> bool:
        """Whether the next items are equal."""
        count = min(self._pace.count, *(held.ready for held in self.held))
        pair = [self.take(index, count) for index in range(2)]
        a, b = (chunk.items for chunk in pair)
        time = asyncio.get_running_loop().time
        before = time()
        try:
            same = a == b
            compared = count
            if not same:
                differing = (n for n in range(count) if a[n : n + 1] != b[n : n + 1])
                compared = 1 + next(differing, count - 1)
        except Exception as error:
            annotate(error, self._context)
            raise
        self._pace.learn(count, time() - before)
        for chunk in pair:
            self._note(chunk.times, compared)
        return same

    def _note(self, times: list[int] | None, count: int) -> None:
        """Items with these times were looked at."""
        if times is not None:
            latest = max(times[:count])
            self._latest = latest if self._latest is None else max(self._latest, latest)

    def _both_over(self) -> bool:
        """Whether nothing is left of either; what one has more makes the difference."""
        longer = [index for index, held in enumerate(self.held) if held.ready]
        for index in longer:
            self._note(self.take(index, 1).times, 1)
        return not longer

    def _lowered(self, watermark: Watermark) -> Watermark:
        if self._latest is None or watermark.time <= self._latest:
            return watermark
        return Watermark(self._latest)

    def _tell(self, answer: bool) -> Chunk[Any]:
        self._told = True
        return Chunk([answer], None if self._latest is None else [self._latest])
