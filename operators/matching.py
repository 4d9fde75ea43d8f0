"""The handler behind `match` of keyed streams."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from operators.handling import KeyedProcess, ProcessContext
from operators.patterns import Match, Part, Pattern
from reactive.state import MapState, ValueState
from reactive.windows import MICROSECONDS

_ITEMS_AT_ONCE = 64


class Attempt(NamedTuple):
    """The beginning of a match: its items so far, when it began, and the numbers of its first and
    last item among those of the key."""

    items: tuple[Any, ...]
    begins: int
    ends: int
    first: int
    last: int


class Matcher(KeyedProcess[Any, Any, Match[Any, Any]]):
    """Items wait until the watermark has passed them, and are then looked at in the order of
    time, so that those that came in disorder make no difference.

    The timer after an item's time says that all items of its time are there; the one at the end
    of an attempt's time, that no item can be part of it any more. One timer is for both.

    Attempts that wait for the same part stand together in the order in which they began: most
    items concern all of them or none.
    """

    takes_late = False

    waiting = MapState[int, list[Any]]()
    attempts = ValueState[tuple[list[Attempt], ...]](())
    seen = ValueState(0)

    def __init__(self, pattern: Pattern[Any], overlapping: bool) -> None:
        assert pattern.seconds is not None
        self._span = round(pattern.seconds * MICROSECONDS)
        self._phases, self._forbidden = pattern.phases()
        self._names = [phase.part.name for phase in self._phases]
        self._predicates = [part.predicate for part in pattern.parts]
        self._strict = any(phase.strict for phase in self._phases)
        self._overlapping = overlapping

    def on_item(self, item: Any, context: ProcessContext[Any]) -> None:
        if not self._strict and not any(predicate(item) for predicate in self._predicates):
            return
        time = context.time
        together = self.waiting.get(time, [])
        together.append(item)
        self.waiting[time] = together
        context.set_timer(time + 1)

    def on_timer(self, time: int, context: ProcessContext[Any]) -> Iterator[Match[Any, Any]]:
        items = self.waiting.pop(time - 1, [])
        if len(items) > _ITEMS_AT_ONCE:
            self.waiting[time - 1] = items[_ITEMS_AT_ONCE:]
            context.set_timer(time)
        context.result_time = time - 1
        for item in items[:_ITEMS_AT_ONCE]:
            yield from self._see(item, time - 1, context)
        if len(items) <= _ITEMS_AT_ONCE and self.attempts:
            context.result_time = time
            yield from self._end(time, context.key)
        if not self.waiting and not any(self.attempts):
            del self.attempts
            del self.seen

    def _see(self, item: Any, time: int, context: ProcessContext[Any]) -> list[Match[Any, Any]]:
        """Go on with every attempt, and begin another if the item fits the first part."""
        self.seen = number = self.seen + 1
        attempts = self.attempts or tuple([] for _ in range(len(self._phases) + 1))
        complete: list[Attempt] = []
        for count in range(len(self._phases), -1, -1):
            # Those farthest on come first: none is to see the item twice.
            waiting = attempts[count] if count else [Attempt((), time, time, number, number)]
            if not waiting:
                continue
            left, longer = self._part(waiting, count, item)
            moved = [
                Attempt((*each.items, item), each.begins, time, each.first, number)
                for each in longer
            ]
            if count:
                attempts[count][:] = left
            if moved and count + 1 == len(self._phases) and not self._forbidden:
                complete += moved
            elif moved:
                _add(attempts[count + 1], moved)
                if not count:
                    context.set_timer(time + self._span)
        if complete and not self._overlapping:
            complete = [min(complete, key=_began)]
            for waiting in attempts:
                waiting.clear()
        self.attempts = attempts
        complete.sort(key=_began)
        return [self._match(each, context.key) for each in complete]

    def _part(
        self, waiting: list[Attempt], count: int, item: Any
    ) -> tuple[list[Attempt], list[Attempt]]:
        """The attempts, of so many items, that are left as they are, and those that go on."""
        if count == len(self._phases):
            return self._without(waiting, self._forbidden, item), []
        phase = self._phases[count]
        waiting = self._without(waiting, phase.forbidden, item)
        if not phase.part.predicate(item):
            return ([] if phase.strict else waiting), []
        if phase.part.where is None:
            return [], waiting
        left: list[Attempt] = []
        longer: list[Attempt] = []
        for each in waiting:
            if phase.part.where(item, self._earlier(each)):
                longer.append(each)
            elif not phase.strict:
                left.append(each)
        return left, longer

    def _without(
        self, waiting: list[Attempt], forbidden: tuple[Part, ...], item: Any
    ) -> list[Attempt]:
        """The attempts for which the item is not forbidden."""
        for part in forbidden:
            if not part.predicate(item):
                continue
            if part.where is None:
                return []
            where = part.where
            waiting = [each for each in waiting if not where(item, self._earlier(each))]
        return waiting

    def _earlier(self, attempt: Attempt) -> Mapping[str, Any]:
        return dict(zip(self._names, attempt.items, strict=False))

    def _end(self, time: int, key: Any) -> Iterator[Match[Any, Any]]:
        """End the attempts whose time is over: those that only had to stay alone are matches."""
        attempts = self.attempts
        over: list[Attempt] = []
        for waiting in attempts:
            ended = bisect_right(waiting, time - self._span, key=_time)
            over = waiting[:ended]
            del waiting[:ended]
        # The last ones have all their items.
        past = 0
        matches: list[Match[Any, Any]] = []
        for each in over:
            if each.first > past:
                matches.append(self._match(each, key))
                past = past if self._overlapping else each.last
        if past:
            for waiting in attempts:
                waiting[:] = [each for each in waiting if each.first > past]
        self.attempts = attempts
        return iter(matches)

    def _match(self, attempt: Attempt, key: Any) -> Match[Any, Any]:
        items = dict(zip(self._names, attempt.items, strict=True))
        return Match(key, items, attempt.begins, attempt.ends)


def _began(attempt: Attempt) -> int:
    return attempt.first


def _time(attempt: Attempt) -> int:
    return attempt.begins


def _add(waiting: list[Attempt], more: list[Attempt]) -> None:
    in_order = not waiting or waiting[-1].first < more[0].first
    waiting += more
    if not in_order:
        waiting.sort(key=_began)
