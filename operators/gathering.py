"""The work of `operators/batching.py`: lists by count and time, by weight, by what goes together,
and until another stream gives an item."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import length_hint
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import MISSING, refuse_awaitable
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.inlets import Inlets
from reactive.operator import Stage, Staged, Step, Stepwise
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


class _Gathering(Step[Any, list[Any]]):
    """Holds the list begun, whose time is that of its last item.

    With `within` a list leaves before a watermark passes. Without, watermarks wait until no list
    that is earlier can come out behind them.
    """

    def __init__(self, count: int | None = None, within: float | None = None) -> None:
        self._count = count
        self._within = within
        self._held: list[Any] = []
        self._last_time: int | None = None
        self._low: int | None = None
        self._said: int | None = None

    def _begin(self) -> None:
        """Called before the first item of a list is held."""
        if self._within is not None:
            self.deadline = asyncio.get_running_loop().time() + self._within

    def _give(self, out: list[Signal[Any]]) -> None:
        held, self._held, self.deadline = self._held, [], None
        if not held:
            return
        time = self._last_time
        self._put([held], None if time is None else [time], out)
        if self._low != self._said:
            self._rise(out)

    def _put(self, lists: list[Any], times: list[int] | None, out: list[Signal[Any]]) -> None:
        """Lists that are complete together travel together: what is in `out` is nobody else's
        yet."""
        last = out[-1] if out else None
        if type(last) is not Chunk or (last.times is None) is not (times is None):
            out.append(Chunk(lists, times))
        else:
            last.items += lists
            if last.times is not None and times is not None:
                last.times += times

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        if self._within is not None:
            self._give(out)
            out.append(watermark)
        else:
            self._low = watermark.time
            self._rise(out)

    def _rise(self, out: list[Signal[Any]]) -> None:
        """Let the watermark pass as far as what is held allows."""
        low, last = self._low, self._last_time
        if low is not None and last is not None and self._held:
            low = min(low, last)
        if low is not None and (self._said is None or low > self._said):
            self._said = low
            out.append(Watermark(low))

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        self._give(out)

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._give(out)

    def snapshot(self) -> Any:
        return list(self._held), self._last_time, self._low, self._said

    def restore(self, state: Any) -> None:
        held, self._last_time, self._low, self._said = state
        self._held = list(held)
        if self._held:
            self._begin()


@dataclass(frozen=True)
class BatchWithin(Stepwise):
    """`batch` by count and time."""

    timed: ClassVar[bool] = True

    count: int
    within: float

    @property
    def label(self) -> str:
        return "batch"

    def details(self) -> dict[str, object]:
        return {"count": self.count, "within": f"{self.within:g} s"}

    def step(self, context: Context) -> Step[Any, Any]:
        return _CountedStep(self.count, self.within)


class _CountedStep(_Gathering):
    def __init__(self, count: int, within: float | None = None) -> None:
        super().__init__(count, within)
        self._full = count

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        items, times, full = chunk.items, chunk.times, self._full
        start = 0
        while start < len(items):
            whole = (len(items) - start) // full * full
            if whole and not self._held and self._low == self._said:
                end = start + whole
                lists = [items[at : at + full] for at in range(start, end, full)]
                out.append(
                    Chunk(lists, None if times is None else times[start + full - 1 : end : full])
                )
            else:
                if not self._held:
                    self._begin()
                end = min(len(items), start + full - len(self._held))
                self._held += items[start:end]
            self._last_time = None if times is None else times[end - 1]
            if len(self._held) == full:
                self._give(out)
            start = end


@dataclass(frozen=True)
class BatchWeighed(Stepwise):
    """`batch` by weight, and by count if that is bounded too."""

    count: int | None
    weight: Callable[[Any], float]
    max_weight: float

    @property
    def label(self) -> str:
        return "batch"

    def details(self) -> dict[str, object]:
        count = {} if self.count is None else {"count": self.count}
        return {**count, "max_weight": self.max_weight}

    def step(self, context: Context) -> Step[Any, Any]:
        return _WeighedStep(self, context)


@dataclass(frozen=True)
class BatchWeighedWithin(BatchWeighed):
    """The same with a bound on the time."""

    timed: ClassVar[bool] = True

    within: float

    def details(self) -> dict[str, object]:
        return {**super().details(), "within": f"{self.within:g} s"}

    def step(self, context: Context) -> Step[Any, Any]:
        return _WeighedStep(self, context, self.within)


class _DividingStep(_Gathering):
    """A function of the user's says where lists end."""

    _fn: Callable[..., Any]

    def __init__(
        self,
        fn: Callable[..., Any],
        count: int | None,
        context: Context,
        within: float | None = None,
    ) -> None:
        super().__init__(count, within)
        self._context = context

        def first(*items: Any) -> Any:
            result = fn(*items)
            refuse_awaitable(result)
            self._fn = fn
            return result

        self._fn = first

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        try:
            self._divide(chunk.items, chunk.times, out)
        except Exception as error:
            annotate(error, self._context)
            raise

    def _divide(self, items: list[Any], times: list[int] | None, out: list[Signal[Any]]) -> None:
        raise NotImplementedError

    def _cut(
        self,
        items: list[Any],
        times: list[int] | None,
        ends: list[int],
        seen: int,
        out: list[Signal[Any]],
    ) -> None:
        """Give the lists that end before these items, the first of which is the one begun, and
        hold what is left of the items that were seen."""
        if ends:
            lists = [items[start:end] for start, end in pairwise((0, *ends))]
            lists[0] = self._held + lists[0]
            self._give_lists(lists, times, ends, out)
            self._held = items[ends[-1] : seen]
        else:
            self._held += items[:seen]
        self._hold(times, seen)

    def _give_lists(
        self,
        lists: list[Any],
        times: list[int] | None,
        ends: list[int],
        out: list[Signal[Any]],
    ) -> None:
        self._hold(times, ends[0])
        self._held = lists[0]
        self._give(out)
        if len(lists) > 1:
            # None is held, so no watermark waits.
            del lists[0]
            self._put(lists, None if times is None else [times[end - 1] for end in ends[1:]], out)

    def _hold(self, times: list[int] | None, seen: int) -> None:
        if seen:
            self._last_time = None if times is None else times[seen - 1]
        if self._held and self.deadline is None:
            self._begin()


class _WeighedStep(_DividingStep):
    def __init__(
        self, operator: BatchWeighed, context: Context, within: float | None = None
    ) -> None:
        super().__init__(operator.weight, operator.count, context, within)
        self._max_weight = operator.max_weight
        self._total: float = 0

    def _divide(self, items: list[Any], times: list[int] | None, out: list[Signal[Any]]) -> None:
        weight, most, count = self._fn, self._max_weight, self._count
        total = self._total if self._held else 0
        index, start = 0, -len(self._held)
        last = -1 if count is None else start + count - 1
        ends: list[int] = []
        try:
            for index, item in enumerate(items):
                one = weight(item)
                if not one >= 0:
                    raise ValueError(f"a weight is 0 or more, and that of {item!r} is {one!r}")
                total += one
                if total < most and index != last:
                    continue
                if total > most and index > start:
                    ends.append(index)
                    start, total = index, one
                    if count is not None:
                        last = start + count - 1
                if total >= most or index == last:
                    start, total = index + 1, 0
                    ends.append(start)
                if count is not None:
                    last = start + count - 1
            index = len(items)
        finally:
            self._total = total
            self._cut(items, times, ends, index, out)

    def snapshot(self) -> Any:
        return super().snapshot(), self._total

    def restore(self, state: Any) -> None:
        gathered, self._total = state
        super().restore(gathered)


@dataclass(frozen=True)
class BatchWhile(Stepwise):
    """`batch_while`."""

    predicate: Callable[[list[Any], Any], object]
    count: int | None

    def details(self) -> dict[str, object]:
        return {} if self.count is None else {"count": self.count}

    def step(self, context: Context) -> Step[Any, Any]:
        return _WhileStep(self.predicate, self.count, context)


@dataclass(frozen=True)
class BatchBy(Stepwise):
    """`batch_by`."""

    key: Callable[[Any], object]
    count: int | None

    def details(self) -> dict[str, object]:
        return {} if self.count is None else {"count": self.count}

    def step(self, context: Context) -> Step[Any, Any]:
        return _ByKeyStep(self.key, self.count, context)


class _WhileStep(_DividingStep):
    def _divide(self, items: list[Any], times: list[int] | None, out: list[Signal[Any]]) -> None:
        predicate, count, held = self._fn, self._count, self._held
        lists: list[list[Any]] = []
        ends: list[int] = []
        left, failed = iter(items), True
        try:
            for item in left:
                if not held or predicate(held, item):
                    held.append(item)
                else:
                    lists.append(held)
                    # Cheaper than to count along, as this is less often.
                    ends.append(len(items) - length_hint(left) - 1)
                    held = [item]
                if count is not None and len(held) == count:
                    lists.append(held)
                    ends.append(len(items) - length_hint(left))
                    held = []
            failed = False
        finally:
            if lists:
                self._give_lists(lists, times, ends, out)
            self._held = held
            self._hold(times, len(items) - length_hint(left) - failed)


class _ByKeyStep(_DividingStep):
    _before: Any = MISSING

    def _divide(self, items: list[Any], times: list[int] | None, out: list[Signal[Any]]) -> None:
        fn, before = self._fn, self._before
        ends: list[int] = []
        left, failed = iter(items), True
        try:
            for item in left:
                key = fn(item)
                if not key == before:  # noqa: SIM201
                    before = key
                    ends.append(len(items) - length_hint(left) - 1)
            failed = False
        finally:
            self._before = before
            seen = len(items) - length_hint(left) - failed
            self._cut(items, times, self._by_count(ends, seen), seen, out)

    def _by_count(self, ends: list[int], seen: int) -> list[int]:
        """The same ends, and those of lists that have so many items before."""
        count, start = self._count, -len(self._held)
        if count is None:
            return ends
        found: list[int] = []
        for end in ends:
            found += range(start + count, end, count)
            found.append(end)
            start = end
        found += range(start + count, seen + 1, count)
        return found

    def snapshot(self) -> Any:
        return super().snapshot(), self._before

    def restore(self, state: Any) -> None:
        gathered, self._before = state
        super().restore(gathered)


@dataclass(frozen=True)
class BufferUntil(Staged):
    """`buffer_until`."""

    limit: int

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return inputs[0]

    def details(self) -> dict[str, object]:
        return {"limit": self.limit}

    def stage(self, context: Context) -> Stage[Any]:
        return _BufferUntilStage(self.limit)


class _BufferUntilStage(Stage[Any]):
    def __init__(self, limit: int) -> None:
        self._lists = _ClosedStep(limit)
        self._out: deque[Signal[Any]] = deque()
        self._ended = False
        self._inlets_state: Any = None

    async def open(self) -> None:
        edges = [edge for edge in self.inputs if isinstance(edge, Edge)]
        self._inlets = Inlets(edges, leading=[0])
        if self._inlets_state is not None:
            self._inlets.restore(self._inlets_state)

    async def read(self) -> Signal[Any] | None:
        while not self._out:
            if self._ended:
                return None
            self._take(await self._inlets.next())
        return self._out.popleft()

    def _take(self, arrival: Any) -> None:
        out: list[Signal[Any]] = []
        if isinstance(arrival, Watermark):
            self._lists.on_watermark(arrival, out)
        elif not isinstance(arrival, tuple):
            out.append(arrival)
        elif arrival == (0, None):
            self._lists.on_end(out)
            self._ended = True
        elif arrival[1] is not None:
            index, chunk = arrival
            if index == 0:
                self._lists.on_chunk(chunk, out)
            else:
                for _ in chunk.items:
                    self._lists.close_list(out)
        self._out += out

    def snapshot(self) -> Any:
        return self._lists.snapshot(), self._inlets.snapshot()

    def restore(self, state: Any) -> None:
        lists, self._inlets_state = state
        self._lists.restore(lists)


class _ClosedStep(_CountedStep):
    """A list leaves when it is full, or closed from outside."""

    def close_list(self, out: list[Signal[Any]]) -> None:
        """Give the list begun. An empty one has the time of the last item, if that is not late."""
        if self._held:
            self._give(out)
            return
        time = self._last_time
        if time is not None and self._said is not None:
            time = max(time, self._said)
        out.append(Chunk([[]], None if time is None else [time]))
