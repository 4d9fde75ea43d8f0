"""The handler behind `match` of keyed streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from operators.handling import KeyedProcess, ProcessContext
from operators.patterns import Match, Part, Pattern
from reactive.state import MapState, ValueState
from reactive.windows import MICROSECONDS


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
    """

    takes_late = False

    waiting = MapState[int, list[Any]]()
    attempts = ValueState[tuple[Attempt, ...]](())
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
        context.result_time = time - 1
        for item in self.waiting.pop(time - 1, ()):
            yield from self._see(item, time - 1, context)
        if self.attempts:
            context.result_time = time
            yield from self._end(time, context.key)
        if not self.attempts and not self.waiting:
            del self.seen

    def _see(self, item: Any, time: int, context: ProcessContext[Any]) -> list[Match[Any, Any]]:
        """Go on with every attempt, and begin another if the item fits the first part."""
        self.seen = number = self.seen + 1
        attempts: list[Attempt] = []
        matches: list[Match[Any, Any]] = []
        for attempt in (*self.attempts, Attempt((), time, time, number, number)):
            if matches and not self._overlapping:
                break
            longer = self._go_on(attempt, item, time, number)
            if longer is None:
                continue
            if len(longer.items) == len(self._phases) and not self._forbidden:
                matches.append(self._match(longer, context.key))
                continue
            attempts.append(longer)
            if len(longer.items) == 1 and longer.last == number:
                context.set_timer(time + self._span)
        self.attempts = () if matches and not self._overlapping else tuple(attempts)
        return matches

    def _go_on(self, attempt: Attempt, item: Any, time: int, number: int) -> Attempt | None:
        """The attempt after an item; None if it has failed."""
        items = attempt.items

        def earlier() -> Mapping[str, Any]:
            return dict(zip(self._names, items, strict=False))

        def forbids(parts: tuple[Part, ...]) -> bool:
            return any(part.fits(item, earlier) for part in parts)

        if len(items) == len(self._phases):
            return None if forbids(self._forbidden) else attempt
        phase = self._phases[len(items)]
        if forbids(phase.forbidden):
            return None
        if phase.part.fits(item, earlier):
            return Attempt((*items, item), attempt.begins, time, attempt.first, number)
        return None if phase.strict or not items else attempt

    def _end(self, time: int, key: Any) -> Iterator[Match[Any, Any]]:
        """End the attempts whose time is over: those that only had to stay alone are matches."""
        left = list(self.attempts)
        while left and left[0].begins + self._span <= time:
            attempt = left.pop(0)
            if len(attempt.items) == len(self._phases):
                if not self._overlapping:
                    left = [each for each in left if each.first > attempt.last]
                yield self._match(attempt, key)
        self.attempts = tuple(left)

    def _match(self, attempt: Attempt, key: Any) -> Match[Any, Any]:
        items = dict(zip(self._names, attempt.items, strict=True))
        return Match(key, items, attempt.begins, attempt.ends)
