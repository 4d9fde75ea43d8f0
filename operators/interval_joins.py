"""The work of interval_join: pairs of items whose times are near each other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.assigners import microseconds
from operators.sides import AT_ONCE, LEFT, ONLY_IN_STREAM, RIGHT, Given, Key, Sides, kept
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.inlets import Rising
from reactive.levels import Tracked
from reactive.operator import Holding, Stage, Staged
from reactive.signals import Chunk, Control, Watermark
from reactive.windows import EARLIEST, LATEST

if TYPE_CHECKING:
    from reactive.context import Context

_PARTS = 16
"""Into so many spans of time an interval is divided, for forgetting what is in each at once."""


@dataclass(frozen=True)
class IntervalJoin(Staged):
    """`interval_join`."""

    left: Key
    right: Key
    before: float
    after: float
    how: str
    late: Node | None

    def details(self) -> dict[str, object]:
        return {
            "how": self.how,
            "right": f"from {self.before:g} s before to {self.after:g} s after the left",
        }

    def holds(self, batch: bool) -> Sequence[Holding]:
        limit = "until the watermark of the other side has passed what they can meet"
        return [Holding("for each key, items of both sides", limit)]

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def without_end(self, batch: bool) -> str | None:
        return ONLY_IN_STREAM if batch else None

    def stage(self, context: Context) -> Stage[Any]:
        return _IntervalJoinStage(self, context)


class _Row:
    """An item that is given without a partner if it finds none."""

    __slots__ = ("item", "matched", "order")

    def __init__(self, item: Any, order: int, matched: bool) -> None:
        self.item = item
        self.order = order
        self.matched = matched

    def __reduce__(self) -> tuple[Any, ...]:
        return _Row, (self.item, self.order, self.matched)


_Shelf: TypeAlias = tuple[list[int], list[Any]]
"""The times of the items of one side and key, in order, and the items; as rows, where they may be
given alone. It is no class, of which a million would take long to pickle."""


def _add(shelf: _Shelf, time: int, item: Any) -> None:
    """One more, behind those of its time."""
    times, items = shelf
    place = bisect_right(times, time) if times and time < times[-1] else len(times)
    times.insert(place, time)
    items.insert(place, item)


def _drop(shelf: _Shelf, before: int) -> int:
    """Forget what is earlier; how many that were."""
    times, items = shelf
    count = bisect_left(times, before)
    del times[:count], items[:count]
    return count


class _Side:
    """What is held of one side. `ahead` and `back` say how much later and earlier than an item
    the partner of it can be."""

    def __init__(self, back: int, ahead: int, keeps: bool, tracks: bool) -> None:
        self.back = back
        self.ahead = ahead
        self.keeps = keeps
        self.shelves: Tracked[Any] = Tracked(tracks)
        self.count = 0
        self.low = EARLIEST
        """What is earlier has met all it can meet, and was given alone if that was nothing."""
        self._span = max(1, (back + ahead) // _PARTS)
        self._keys: dict[int, set[Any]] = {}
        self._numbers: list[int] = []
        self._order = 0
        self._alone: list[tuple[int, int, _Row]] = []

    def add(self, key: Any, time: int, item: Any, matched: bool) -> None:
        """Hold an item."""
        self.shelves.touch(key)
        shelf: _Shelf | None = self.shelves.get(key)
        if shelf is None:
            shelf = self.shelves[key] = [], []
        if self.keeps:
            self._order += 1
            item = _Row(item, self._order, matched)
            if not matched:
                heappush(self._alone, (time, self._order, item))
        _add(shelf, time, item)
        self.count += 1
        self._note(key, time // self._span)

    def _note(self, key: Any, number: int) -> None:
        """Something of a key is over when this span of time is."""
        keys = self._keys.get(number)
        if keys is None:
            keys = self._keys[number] = set()
            heappush(self._numbers, number)
        keys.add(key)

    def match(self, key: Any, rows: list[_Row]) -> None:
        """These of a key have found a partner."""
        lone = [row for row in rows if not row.matched]
        if lone:
            self.shelves.touch(key)
        for row in lone:
            row.matched = True

    def pass_by(self, passed: int) -> None:
        """The other side has passed so much."""
        self.low = max(self.low, passed - self.ahead)

    def alone(self) -> Iterator[tuple[Any, int]]:
        """What finds no partner any more."""
        waiting, low = self._alone, self.low
        while waiting and waiting[0][0] < low:
            time, _, row = heappop(waiting)
            if not row.matched:
                yield row.item, time

    def stays_alone(self, passed: int) -> bool:
        """Whether `alone` has something to give."""
        return bool(self._alone) and self.earliest() + self.ahead < passed

    def earliest(self) -> int:
        """The time of the earliest item that may yet be given alone."""
        waiting = self._alone
        while waiting and waiting[0][2].matched:
            heappop(waiting)
        return waiting[0][0] if waiting else LATEST

    def forget(self) -> Iterator[None]:
        """Drop what can meet nothing any more, span by span."""
        looked = 0
        while self._numbers and (self._numbers[0] + 1) * self._span <= self.low:
            keys = self._keys.pop(heappop(self._numbers))
            while keys:
                self._trim(keys.pop())
                looked += 1
                if not looked % AT_ONCE:
                    yield

    def _trim(self, key: Any) -> None:
        shelf = self.shelves.get(key)
        if shelf is None:
            return
        times, _ = shelf
        if times[-1] < self.low:
            self.count -= len(times)
            self.shelves.take(key)
        else:
            self.shelves.save(key)
            self.count -= _drop(shelf, self.low)

    def go_on(self, low: int) -> None:
        """Go on with what the shelves have, of which what is earlier is over."""
        self.low = low
        over: list[Any] = []
        for key, shelf in self.shelves.items():
            times, items = shelf
            if times[0] < low:
                _drop(shelf, low)
            if not times:
                over.append(key)
                continue
            self.count += len(times)
            for number in {time // self._span for time in times}:
                self._note(key, number)
            if self.keeps:
                rows = zip(times, items, strict=True)
                self._alone += [(time, row.order, row) for time, row in rows if not row.matched]
        for key in over:
            self.shelves.take(key)
        heapify(self._alone)
        self._order = max((order for _, order, _ in self._alone), default=0)


class _IntervalJoinStage(Sides):
    """An item meets those of the other side that came before it. What waits to be given alone
    holds the watermark back, since it is given with its own time."""

    def __init__(self, operator: IntervalJoin, context: Context) -> None:
        super().__init__(context, operator.left, operator.right, operator.late)
        before, after = microseconds(operator.before), microseconds(operator.after)
        keeps, tracks = kept(operator.how), context.keeps_changes
        self._sides = (
            _Side(before, after, keeps[LEFT], tracks),
            _Side(after, before, keeps[RIGHT], tracks),
        )
        self._keeps = any(keeps)
        self._rising = Rising()
        context.meter.gauges["held"] = lambda: sum(side.count for side in self._sides)

    def hold(self) -> Any:
        return super().hold(), self._rising.snapshot(), [side.low for side in self._sides]

    def by_key(self) -> Mapping[str, Tracked[Any]]:
        return {"left": self._sides[LEFT].shelves, "right": self._sides[RIGHT].shelves}

    def go_on(self, state: Any) -> None:
        sides, said, lows = state
        super().go_on(sides)
        self._rising.restore(said)
        for side, low in zip(self._sides, lows, strict=True):
            side.go_on(low)

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        times = self.times_of(side, chunk)
        passed, other_passed = self.passed(side), self.passed(RIGHT - side)
        ours, others = self._sides[side], self._sides[RIGHT - side]
        key, shelves = self.keys[side], others.shelves
        out = _Out(side)
        try:
            for item, time in zip(chunk.items, times, strict=True):
                if time < passed:
                    self.refuse(item)
                    continue
                of = key(item)
                shelf = shelves.get(of)
                matched = False
                if shelf is not None:
                    stamps, held = shelf
                    start = bisect_left(stamps, time - ours.back)
                    end = bisect_right(stamps, time + ours.ahead)
                    for first in range(start, end, AT_ONCE):
                        matched = True
                        met = slice(first, min(end, first + AT_ONCE))
                        partners = held[met]
                        if others.keeps:
                            others.match(of, partners)
                            partners = [row.item for row in partners]
                        out.add(item, time, partners, stamps[met])
                        if len(out.items) >= AT_ONCE:
                            yield from out.rest()
                if time + ours.ahead >= other_passed:
                    ours.add(of, time, item, matched)
                elif ours.keeps and not matched:
                    out.alone(item, time)
        except Exception:
            yield from out.rest()
            raise
        yield from out.rest()
        if self._keeps:
            yield from self._told()

    async def more(self) -> Given:
        """As ever; what stays alone is told by the watermark of the other side, also when that of
        both, which its own side may hold back, does not move."""
        if not self._keeps:
            return await super().more()
        inlets = self.inlets
        while (arrival := inlets.poll()) is None and not inlets.over:
            if any(one.stays_alone(self.passed(RIGHT - side)) for side, one in self._both()):
                return self._told()
            await inlets.waker.wait()
        return self.handle(arrival)

    def _told(self) -> Given:
        yield from self._settle()
        yield from self._forward()

    def _both(self) -> Iterator[tuple[int, _Side]]:
        return enumerate(self._sides)

    def pass_on(self, signal: Control) -> Given:
        yield from self._settle()
        if type(signal) is Watermark:
            yield from self._forward()
        else:
            yield signal

    def end(self, side: int) -> Given:
        return self._told()

    def finish(self) -> Given:
        return self._settle()

    def _settle(self) -> Given:
        """Give what finds no partner any more, and drop what can meet nothing."""
        for side, held in self._both():
            held.pass_by(self.passed(RIGHT - side))
            out = _Out(side)
            for item, time in held.alone():
                out.alone(item, time)
                if len(out.items) >= AT_ONCE:
                    yield from out.rest()
            yield from out.rest()
            yield from held.forget()

    def _forward(self) -> Given:
        """Give the watermark as far as nothing that waits is earlier."""
        low = min(self.watermark, *(side.earliest() for side in self._sides))
        watermark = Watermark(low)
        if self.watermark > EARLIEST and self._rising.passes(watermark):
            yield watermark


class _Out:
    """Pairs with their times, for items of one side."""

    def __init__(self, side: int) -> None:
        self.items: list[tuple[Any, Any]] = []
        self.times: list[int] = []
        self._left = side == LEFT

    def add(self, item: Any, time: int, partners: list[Any], times: list[int]) -> None:
        """An item with each of its partners."""
        if self._left:
            self.items += [(item, other) for other in partners]
        else:
            self.items += [(other, item) for other in partners]
        self.times += [time if time > other else other for other in times]

    def alone(self, item: Any, time: int) -> None:
        """An item that has no partner."""
        self.items.append((item, None) if self._left else (None, item))
        self.times.append(time)

    def rest(self) -> Given:
        """What was not given yet."""
        if self.items:
            items, times, self.items, self.times = self.items, self.times, [], []
            yield Chunk(items, times)
