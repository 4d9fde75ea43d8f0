"""The work of combine_latest, with_latest_from and fork_join: the latest of several streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from operators.holding import Combination, not_before
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.inlets import Inlets, Rising
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


class _Latest(Combination):
    """Keeps the latest item of every input, and its time; `missing` are those that gave none."""

    def begin(self, count: int) -> None:
        self.items: list[Any] = [None] * count
        self.times: list[int | None] = [None] * count
        self.missing = set(range(count))

    def hold(self) -> Any:
        return list(self.items), list(self.times), set(self.missing)

    def go_on(self, state: Any) -> None:
        items, times, missing = state
        self.items, self.times, self.missing = list(items), list(times), set(missing)

    def note(self, index: int, chunk: Chunk[Any]) -> None:
        """Keep the last item of a chunk."""
        self.missing.discard(index)
        self.items[index] = chunk.items[-1]
        self.times[index] = None if chunk.times is None else chunk.times[-1]

    def rows(self, index: int, chunk: Chunk[Any]) -> Chunk[Any]:
        """Each item of one input with the latest of the others."""
        columns: list[Iterable[Any]] = list(map(repeat, self.items))
        columns[index] = chunk.items
        others = [*self.times[:index], *self.times[index + 1 :]]
        low = max((time for time in others if time is not None), default=None)
        # Not strict: the latest of the others are repeated as often as needed.
        rows = list(zip(*columns, strict=False))
        return Chunk(rows, not_before(chunk.times, low, len(rows)))


@dataclass(frozen=True)
class CombineLatest(Staged):
    """`combine_latest`."""

    def stage(self, context: Context) -> Stage[Any]:
        return _CombineLatestStage()


class _CombineLatestStage(_Latest):
    async def read(self) -> Signal[Any] | None:
        while (arrival := await self.inlets.next()) is not None:
            if not isinstance(arrival, tuple):
                return arrival
            index, chunk = arrival
            if chunk is not None:
                self.note(index, chunk)
                if not self.missing:
                    return self.rows(index, chunk)
            elif index in self.missing:
                return None
        return None


@dataclass(frozen=True)
class WithLatestFrom(Staged):
    """`with_latest_from`."""

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return inputs[0]

    def stage(self, context: Context) -> Stage[Any]:
        return _WithLatestFromStage(context)


class _WithLatestFromStage(_Latest):
    """Takes what the others have before the items to go with it. A row is never earlier than its
    own item, so the others' watermarks hold nothing back."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def read_through(self, edges: Sequence[Edge]) -> Inlets:
        return Inlets(edges, priorities=[0] + [1] * (len(edges) - 1), leading=[0])

    async def read(self) -> Signal[Any] | None:
        while (arrival := await self.inlets.next()) is not None:
            if not isinstance(arrival, tuple):
                return arrival
            index, chunk = arrival
            if index == 0 and chunk is None:
                return None
            if chunk is None:
                continue
            if index:
                self.note(index, chunk)
            elif self.missing - {0}:
                self._context.meter.count("dropped", len(chunk.items))
            else:
                return self.rows(0, chunk)
        return None


@dataclass(frozen=True)
class ForkJoin(Staged):
    """`fork_join`."""

    def stage(self, context: Context) -> Stage[Any]:
        return _ForkJoinStage()


class _ForkJoinStage(_Latest):
    """Nothing leaves before the end, so no watermark passes that would make it late."""

    def __init__(self) -> None:
        super().__init__()
        self._rising = Rising()
        self._given = False

    def hold(self) -> Any:
        return super().hold(), self._rising.snapshot(), self._given

    def go_on(self, state: Any) -> None:
        latest, said, self._given = state
        self._rising.restore(said)
        super().go_on(latest)

    async def read(self) -> Signal[Any] | None:
        while not self._given:
            arrival = await self.inlets.next()
            if arrival is None:
                self._given = True
                time = self._time()
                return Chunk([tuple(self.items)], None if time is None else [time])
            if type(arrival) is Watermark:
                arrival = self._lowered(arrival)
                if self._rising.passes(arrival):
                    return arrival
            elif not isinstance(arrival, tuple):
                return arrival
            elif arrival[1] is not None:
                self.note(arrival[0], arrival[1])
            elif arrival[0] in self.missing:
                return None
        return None

    def _time(self) -> int | None:
        return max((time for time in self.times if time is not None), default=None)

    def _lowered(self, watermark: Watermark) -> Watermark:
        low = None if self.missing else self._time()
        return watermark if low is None or watermark.time <= low else Watermark(low)
