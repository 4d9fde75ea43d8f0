"""Handlers behind `deduplicate` and `scan` of keyed streams."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from operators.checking import MISSING, refuse_awaitable
from operators.handling import KeyedProcess, ProcessContext
from reactive.state import MapState, ValueState
from reactive.windows import MICROSECONDS


class Deduplicate(KeyedProcess[Any, Any, Any]):
    """`deduplicate`: remembers the times of the items it gave, which are `within` apart."""

    takes_late = False

    given = MapState[Hashable, list[int]](ttl=attrgetter("within"), expires="watermark")

    def __init__(self, within: float, by: Callable[[Any], Hashable] | None) -> None:
        self.within = within
        self._span = round(within * MICROSECONDS)
        self._by = by

    def on_item(self, item: Any, context: ProcessContext[Any]) -> tuple[Any, ...]:
        time, span = context.time, self._span
        value = None if self._by is None else self._by(item)
        times = self.given.get(value)
        if times is None:
            self.given[value] = [time]
            return (item,)
        place = bisect_left(times, time)
        if place and time - times[place - 1] < span:
            return ()
        if place < len(times) and times[place] - time < span:
            return ()
        times.insert(place, time)
        # Nothing that is still to come is near to these.
        del times[: bisect_right(times, context.watermark - span)]
        self.given[value] = times
        return (item,)


class Scan(KeyedProcess[Any, Any, Any]):
    """`scan`."""

    total = ValueState[Any](MISSING, ttl=attrgetter("ttl"))

    def __init__(
        self,
        fn: Callable[[Any, Any], Any],
        initial: Any,
        factory: Callable[[], Any] | None,
        ttl: float | None,
    ) -> None:
        self.ttl = ttl
        self._fn = fn
        self._initial = initial
        self._factory = factory
        self._checked = False

    def on_item(self, item: Any, context: ProcessContext[Any]) -> tuple[tuple[Any, Any]]:
        before = self.total
        if before is MISSING:
            before = self._initial if self._factory is None else self._factory()
        total = item if before is MISSING else self._fn(before, item)
        if not self._checked:
            refuse_awaitable(total)
            self._checked = before is not MISSING
        self.total = total
        return ((context.key, total),)
