"""The work of interval_join: pairs of items whose times are near each other."""

from __future__ import annotations

import pickle
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from operators.assigners import microseconds
from operators.sides import AT_ONCE, LEFT, ONLY_IN_STREAM, RIGHT, Given, Key, Sides, kept
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.inlets import Rising
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

    __slots__ = ("item", "matched")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.matched = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self.item, self.matched)


def _row(item: Any, matched: bool) -> _Row:
    row = _Row(item)
    row.matched = matched
    return row


class _Shelf:
    """The items of one side and key by their times; as rows, where they may be given alone."""

    __slots__ = ("items", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.items: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _shelf, (self.times, self.items)

    def add(self, time: int, item: Any) -> None:
        """One more, behind those of its time."""
        times = self.times
        if not times or time >= times[-1]:
            times.append(time)
            self.items.append(item)
            return
        place = bisect_right(times, time)
        times.insert(place, time)
        self.items.insert(place, item)

    def drop(self, before: int) -> int:
        """Forget what is earlier; how many that were."""
        count = bisect_left(self.times, before)
        del self.times[:count], self.items[:count]
        return count


def _shelf(times: list[int], items: list[Any]) -> _Shelf:
    shelf = _Shelf()
    shelf.times, shelf.items = times, items
    return shelf


class _Side:
    """What is held of one side. `ahead` and `back` say how much later and earlier than an item
    the partner of it can be."""

    def __init__(self, back: int, ahead: int, keeps: bool) -> None:
        self.back = back
        self.ahead = ahead
        self.keeps = keeps
        self.shelves: dict[Any, _Shelf] = {}
        self.count = 0
        self._span = max(1, (back + ahead) // _PARTS)
        self._keys: dict[int, set[Any]] = {}
        self._numbers: list[int] = []
        self._order = 0
        self._alone: list[tuple[int, int, _Row]] = []

    def add(self, key: Any, time: int, item: Any, matched: bool) -> None:
        """Hold an item."""
        shelf = self.shelves.get(key)
        if shelf is None:
            shelf = self.shelves[key] = _Shelf()
        if self.keeps:
            row = _Row(item)
            row.matched = matched
            if not matched:
                self._order += 1
                heappush(self._alone, (time, self._order, row))
            item = row
        shelf.add(time, item)
        self.count += 1
        number = time // self._span
        keys = self._keys.get(number)
        if keys is None:
            keys = self._keys[number] = set()
            heappush(self._numbers, number)
        keys.add(key)

    def alone(self, passed: int) -> Iterator[tuple[Any, int]]:
        """What finds no partner any more, the other side having passed so much."""
        waiting, ahead = self._alone, self.ahead
        while waiting and waiting[0][0] + ahead < passed:
            time, _, row = heappop(waiting)
            if not row.matched:
                yield row.item, time

    def earliest(self) -> int:
        """The time of the earliest item that may yet be given alone."""
        waiting = self._alone
        while waiting and waiting[0][2].matched:
            heappop(waiting)
        return waiting[0][0] if waiting else LATEST

    def forget(self, passed: int) -> Iterator[None]:
        """Drop what can meet nothing any more, span by span."""
        low = passed - self.ahead
        looked = 0
        while self._numbers and (self._numbers[0] + 1) * self._span <= low:
            keys = self._keys.pop(heappop(self._numbers))
            while keys:
                self._trim(keys.pop(), low)
                looked += 1
                if not looked % AT_ONCE:
                    yield

    def _trim(self, key: Any, low: int) -> None:
        shelf = self.shelves.get(key)
        if shelf is not None:
            self.count -= shelf.drop(low)
            if not shelf.times:
                del self.shelves[key]

    def snapshot(self) -> Any:
        """A picklable copy."""
        # Together: a row is the same in both.
        held = pickle.dumps((self.shelves, self._alone))
        keys = {number: set(keys) for number, keys in self._keys.items()}
        return self.count, self._order, keys, held

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self.count, self._order, keys, held = state
        self._keys = {number: set(those) for number, those in keys.items()}
        self._numbers = sorted(self._keys)
        self.shelves, self._alone = pickle.loads(held)
        heapify(self._alone)


class _IntervalJoinStage(Sides):
    """An item meets those of the other side that came before it. What waits to be given alone
    holds the watermark back, since it is given with its own time."""

    def __init__(self, operator: IntervalJoin, context: Context) -> None:
        super().__init__(context, operator.left, operator.right, operator.late)
        before, after = microseconds(operator.before), microseconds(operator.after)
        keeps = kept(operator.how)
        self._sides = _Side(before, after, keeps[LEFT]), _Side(after, before, keeps[RIGHT])
        self._keeps = any(keeps)
        self._rising = Rising()
        context.meter.gauges["held"] = lambda: sum(side.count for side in self._sides)

    def hold(self) -> Any:
        return super().hold(), self._rising.snapshot(), [one.snapshot() for one in self._sides]

    def go_on(self, state: Any) -> None:
        sides, said, held = state
        super().go_on(sides)
        self._rising.restore(said)
        for one, each in zip(self._sides, held, strict=True):
            one.restore(each)

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
                    start = bisect_left(shelf.times, time - ours.back)
                    end = bisect_right(shelf.times, time + ours.ahead)
                    for first in range(start, end, AT_ONCE):
                        matched = True
                        out.add(item, time, others, shelf, slice(first, min(end, first + AT_ONCE)))
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
            yield from self._forward()

    def pass_on(self, signal: Control) -> Given:
        yield from self._settle()
        if type(signal) is Watermark:
            yield from self._forward()
        else:
            yield signal

    def end(self, side: int) -> Given:
        yield from self._settle()
        yield from self._forward()

    def finish(self) -> Given:
        return self._settle()

    def _settle(self) -> Given:
        """Give what finds no partner any more, and drop what can meet nothing."""
        for side, held in enumerate(self._sides):
            passed = self.passed(RIGHT - side)
            out = _Out(side)
            for item, time in held.alone(passed):
                out.alone(item, time)
                if len(out.items) >= AT_ONCE:
                    yield from out.rest()
            yield from out.rest()
            yield from held.forget(passed)

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

    def add(self, item: Any, time: int, others: _Side, shelf: _Shelf, met: slice) -> None:
        """An item with each of its partners."""
        partners, times = shelf.items[met], shelf.times[met]
        if others.keeps:
            for row in partners:
                row.matched = True
            partners = [row.item for row in partners]
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
