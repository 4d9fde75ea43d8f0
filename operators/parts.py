"""Items with what they are ordered by, sorted and merged a little at a time.

A part is columns: keys (the items themselves where there is no key), items, and event times if
any item has one. Sorting and merging are stable, in both directions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol, TypeAlias

Columns: TypeAlias = tuple[list[Any], list[Any] | None, list[int | None] | None]


class Part:
    """Some items. Its lists are its own: nobody else changes them."""

    __slots__ = ("items", "keys", "times")

    def __init__(
        self, items: list[Any], keys: list[Any] | None, times: list[int | None] | None
    ) -> None:
        self.items = items
        self.keys = items if keys is None else keys
        self.times = times

    def __len__(self) -> int:
        return len(self.items)

    def emptied(self) -> Part:
        """No items, but with keys if these have some."""
        return Part([], None if self.keys is self.items else [], None)

    def slice(self, start: int, end: int) -> Part:
        """The items from `start` up to `end`."""
        if start == 0 and end == len(self.items):
            return self
        keys = None if self.keys is self.items else self.keys[start:end]
        times = None if self.times is None else self.times[start:end]
        return Part(self.items[start:end], keys, times)

    def extend(self, other: Part) -> None:
        """Add items at the end."""
        if self.times is not None or other.times is not None:
            times: list[int | None] = [None] * len(self) if self.times is None else self.times
            times += other.times or [None] * len(other)
            self.times = times
        if self.keys is not self.items:
            self.keys += other.keys
        self.items += other.items

    def columns(self) -> Columns:
        """What it is made of, to be put away."""
        return self.items, None if self.keys is self.items else self.keys, self.times

    def copied(self) -> Columns:
        """The same as lists that stay as they are."""
        items, keys, times = self.columns()
        return (
            items.copy(),
            None if keys is None else keys.copy(),
            None if times is None else times.copy(),
        )

    def sort(self, reverse: bool) -> None:
        """Put the items in order."""
        if self.keys is self.items and self.times is None:
            self.items.sort(reverse=reverse)
            return
        order = sorted(range(len(self.items)), key=self.keys.__getitem__, reverse=reverse)
        keys = None if self.keys is self.items else [self.keys[place] for place in order]
        self.items = [self.items[place] for place in order]
        self.keys = self.items if keys is None else keys
        if self.times is not None:
            self.times = [self.times[place] for place in order]


def joined(parts: Sequence[Part]) -> Part:
    """The items of several parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    items = list(chain.from_iterable(part.items for part in parts))
    keys = None
    if parts[0].keys is not parts[0].items:
        keys = list(chain.from_iterable(part.keys for part in parts))
    times: list[int | None] | None = None
    if any(part.times is not None for part in parts):
        times = []
        for part in parts:
            times += part.times or [None] * len(part)
    return Part(items, keys, times)


Bisect = Callable[[list[Any], Any, int, int], int]


class Order:
    """A direction: what comes before what, and where a key belongs in sorted keys."""

    __slots__ = ("after_equals", "before_equals", "reverse")

    def __init__(self, reverse: bool) -> None:
        self.reverse = reverse
        self.before_equals: Bisect = _descending_left if reverse else bisect_left
        self.after_equals: Bisect = _descending_right if reverse else bisect_right

    def before(self, one: Any, other: Any) -> bool:
        """Whether a key comes before another one."""
        return bool(other < one) if self.reverse else bool(one < other)


def _descending_left(keys: list[Any], key: Any, low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if key < keys[middle]:
            low = middle + 1
        else:
            high = middle
    return low


def _descending_right(keys: list[Any], key: Any, low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            high = middle
        else:
            low = middle + 1
    return low


class Front(Protocol):
    """The items of one sorted run that come next: `part` from `start` on, at least one unless the
    run has ended."""

    part: Part
    start: int


def merge_some(fronts: Sequence[Front], order: Order, count: int) -> Part:
    """Take the next items, about `count`, off runs that all have some. Equals leave in the order
    of the runs.

    Each run puts up its next few; what is not beyond the last of any of these can leave. Python's
    sort then finds the runs as they are, and merges them.
    """
    width = max(1, count // len(fronts))
    ends = [min(front.start + width, len(front.part)) for front in fronts]
    first, bound = 0, fronts[0].part.keys[ends[0] - 1]
    for index in range(1, len(fronts)):
        last = fronts[index].part.keys[ends[index] - 1]
        if order.before(last, bound):
            first, bound = index, last
    taken = []
    for index, (front, end) in enumerate(zip(fronts, ends, strict=True)):
        if index != first:
            # Later runs wait with what equals the bound, of which the first may have more.
            place = order.after_equals if index < first else order.before_equals
            end = place(front.part.keys, bound, front.start, end)
        if end > front.start:
            taken.append(front.part.slice(front.start, end))
            front.start = end
    part = joined(taken)
    if len(taken) > 1:
        part.sort(order.reverse)
    return part
