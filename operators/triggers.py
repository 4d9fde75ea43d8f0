"""When a window gives a result: triggers, as in the Dataflow model.

A trigger is a blueprint without state; what it has seen of one window of one key is a value made
by `begin`, which `on_item`, `merge` and `on_fire` replace. It is asked after every item and
whenever time has come on. The semantics are those of Apache Beam's triggers
(sdks/python/apache_beam/transforms/trigger.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from operators.checking import check_count, check_seconds
from reactive.fast_dataclasses import dataclass


class Moment(NamedTuple):
    """What a trigger may look at: the watermark, the end of the window (microseconds since
    1970), and the clock (seconds of the loop)."""

    watermark: int
    end: int
    now: float


class Trigger(ABC):
    """Says when a window gives a result. Subclass it, as a frozen dataclass, for your own."""

    def begin(self) -> Any:
        """What it knows of a window without items."""
        return None

    def on_item(self, state: Any, moment: Moment) -> Any:
        """An item came into the window."""
        return state

    def merge(self, states: Sequence[Any]) -> Any:
        """Several windows became one: what it knows of that."""
        return states[0]

    @abstractmethod
    def ready(self, state: Any, moment: Moment) -> bool:
        """Whether the window is to give a result now."""

    def on_fire(self, state: Any, moment: Moment) -> tuple[Any, bool]:
        """The window gives a result: what it knows from here on, and whether it has finished,
        after which the window takes no more items."""
        return state, True

    def deadline(self, state: Any) -> float | None:
        """The time of the clock, in seconds, at which to ask again though nothing comes."""
        return None

    @property
    def uses_clock(self) -> bool:
        """Whether it ever has a deadline."""
        return False

    @property
    def at_end(self) -> bool:
        """Whether it gives a result when the watermark passes the end, be there new items or
        not."""
        return False

    def moved(self, state: Any, seconds: float) -> Any:
        """What it knows, where the clock has been put on by so many seconds: a restored state
        comes from another clock."""
        return state

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        """Whether it may finish while items for the window still come, which are then dropped."""
        return True


def check_trigger(operator: str, trigger: object) -> None:
    """Refuse what is no trigger, where the pipeline is described."""
    if not isinstance(trigger, Trigger):
        raise TypeError(f"{operator} needs a trigger such as rx.AfterWatermark(), not {trigger!r}")


@dataclass(frozen=True)
class Default(Trigger):
    """Once the watermark has passed the end, and again for every late item."""

    def ready(self, state: Any, moment: Moment) -> bool:
        return moment.watermark >= moment.end

    def on_fire(self, state: Any, moment: Moment) -> tuple[Any, bool]:
        return state, False

    @property
    def at_end(self) -> bool:
        return True

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return False


@dataclass(frozen=True)
class Never(Trigger):
    """Not at all: the window gives what it has when it expires.

    ```python
    rx.Never()
    ```
    """

    def ready(self, state: Any, moment: Moment) -> bool:
        return False

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return False


@dataclass(frozen=True)
class AfterCount(Trigger):
    """Once `count` items have come.

    ```python
    rx.AfterCount(100)
    ```
    """

    count: int

    def __post_init__(self) -> None:
        check_count("AfterCount", self.count, 1)

    def begin(self) -> int:
        return 0

    def on_item(self, state: int, moment: Moment) -> int:
        return state + 1

    def merge(self, states: Sequence[int]) -> int:
        return sum(states)

    def ready(self, state: int, moment: Moment) -> bool:
        return state >= self.count


@dataclass(frozen=True)
class AfterProcessingTime(Trigger):
    """Once `seconds` of the loop's clock have gone by since the first item.

    ```python
    rx.AfterProcessingTime(5)
    ```
    """

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("AfterProcessingTime", "a time", self.seconds, zero=True)

    def on_item(self, state: float | None, moment: Moment) -> float:
        return moment.now + self.seconds if state is None else state

    def merge(self, states: Sequence[float | None]) -> float | None:
        return min((state for state in states if state is not None), default=None)

    def ready(self, state: float | None, moment: Moment) -> bool:
        return state is not None and moment.now >= state

    def deadline(self, state: float | None) -> float | None:
        return state

    @property
    def uses_clock(self) -> bool:
        return True

    def moved(self, state: float | None, seconds: float) -> float | None:
        return None if state is None else state + seconds


@dataclass(frozen=True)
class Repeatedly(Trigger):
    """Whenever `trigger` is ready, beginning anew when it has finished.

    ```python
    rx.Repeatedly(rx.AfterCount(100))
    ```
    """

    trigger: Trigger

    def __post_init__(self) -> None:
        check_trigger("Repeatedly", self.trigger)

    def begin(self) -> Any:
        return self.trigger.begin()

    def on_item(self, state: Any, moment: Moment) -> Any:
        return self.trigger.on_item(state, moment)

    def merge(self, states: Sequence[Any]) -> Any:
        return self.trigger.merge(states)

    def ready(self, state: Any, moment: Moment) -> bool:
        return self.trigger.ready(state, moment)

    def on_fire(self, state: Any, moment: Moment) -> tuple[Any, bool]:
        state, finished = self.trigger.on_fire(state, moment)
        return self.trigger.begin() if finished else state, False

    def deadline(self, state: Any) -> float | None:
        return self.trigger.deadline(state)

    @property
    def uses_clock(self) -> bool:
        return self.trigger.uses_clock

    def moved(self, state: Any, seconds: float) -> Any:
        return self.trigger.moved(state, seconds)

    @property
    def at_end(self) -> bool:
        return self.trigger.at_end

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return False


@dataclass(frozen=True)
class AfterWatermark(Trigger):
    """Once the watermark has passed the end of the window; before that whenever `early` is ready,
    and after it whenever `late` is. Without `late`, that was all, and late items are dropped.

    ```python
    rx.AfterWatermark(early=rx.AfterProcessingTime(10), late=rx.AfterCount(1))
    ```
    """

    early: Trigger | None = None
    late: Trigger | None = None

    def __post_init__(self) -> None:
        for trigger in (self.early, self.late):
            if trigger is not None:
                check_trigger("AfterWatermark", trigger)

    def begin(self) -> tuple[bool, Any, Any]:
        return (False, self._early.begin(), self._late.begin())

    @property
    def _early(self) -> Trigger:
        return Never() if self.early is None else Repeatedly(self.early)

    @property
    def _late(self) -> Trigger:
        return Never() if self.late is None else Repeatedly(self.late)

    def on_item(self, state: tuple[bool, Any, Any], moment: Moment) -> tuple[bool, Any, Any]:
        passed, early, late = state
        if passed:
            return passed, early, self._late.on_item(late, moment)
        return passed, self._early.on_item(early, moment), late

    def merge(self, states: Sequence[tuple[bool, Any, Any]]) -> tuple[bool, Any, Any]:
        return (
            any(passed for passed, _, _ in states),
            self._early.merge([early for _, early, _ in states]),
            self._late.merge([late for _, _, late in states]),
        )

    def ready(self, state: tuple[bool, Any, Any], moment: Moment) -> bool:
        passed, early, late = state
        if passed:
            return self._late.ready(late, moment)
        return moment.watermark >= moment.end or self._early.ready(early, moment)

    def on_fire(self, state: Any, moment: Moment) -> tuple[Any, bool]:
        passed, early, late = state
        if passed:
            return (passed, early, self._late.on_fire(late, moment)[0]), False
        if moment.watermark >= moment.end:
            if self.late is None:
                # Where others that it stands with go on, it stays ready.
                return state, True
            return (True, early, late), False
        return (passed, self._early.on_fire(early, moment)[0], late), False

    def deadline(self, state: tuple[bool, Any, Any]) -> float | None:
        passed, early, late = state
        return self._late.deadline(late) if passed else self._early.deadline(early)

    @property
    def uses_clock(self) -> bool:
        return self._early.uses_clock or self._late.uses_clock

    def moved(self, state: tuple[bool, Any, Any], seconds: float) -> tuple[bool, Any, Any]:
        passed, early, late = state
        return passed, self._early.moved(early, seconds), self._late.moved(late, seconds)

    @property
    def at_end(self) -> bool:
        return True

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return self.late is None and allowed_lateness > 0


@dataclass(frozen=True, init=False)
class _Several(Trigger):
    triggers: tuple[Trigger, ...]

    def __init__(self, *triggers: Trigger) -> None:
        name = type(self).__name__
        if len(triggers) < 2:
            raise ValueError(f"{name} needs at least two triggers")
        for trigger in triggers:
            check_trigger(name, trigger)
        object.__setattr__(self, "triggers", triggers)

    @property
    def uses_clock(self) -> bool:
        return any(trigger.uses_clock for trigger in self.triggers)

    @property
    def at_end(self) -> bool:
        return any(trigger.at_end for trigger in self.triggers)


class _Parallel(_Several):
    """Triggers that all see every item."""

    def begin(self) -> tuple[Any, ...]:
        return tuple(trigger.begin() for trigger in self.triggers)

    def on_item(self, state: tuple[Any, ...], moment: Moment) -> tuple[Any, ...]:
        pairs = zip(self.triggers, state, strict=True)
        return tuple(trigger.on_item(held, moment) for trigger, held in pairs)

    def merge(self, states: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        columns = zip(self.triggers, zip(*states, strict=True), strict=True)
        return tuple(trigger.merge(list(column)) for trigger, column in columns)

    def deadline(self, state: tuple[Any, ...]) -> float | None:
        pairs = zip(self.triggers, state, strict=True)
        times = (trigger.deadline(held) for trigger, held in pairs)
        return min((time for time in times if time is not None), default=None)

    def moved(self, state: tuple[Any, ...], seconds: float) -> tuple[Any, ...]:
        pairs = zip(self.triggers, state, strict=True)
        return tuple(trigger.moved(held, seconds) for trigger, held in pairs)

    def _fired(self, state: tuple[Any, ...], moment: Moment) -> tuple[tuple[Any, ...], list[bool]]:
        after, finished = list(state), []
        for index, trigger in enumerate(self.triggers):
            if trigger.ready(state[index], moment):
                after[index], done = trigger.on_fire(state[index], moment)
                finished.append(done)
        return tuple(after), finished


class AfterAny(_Parallel):
    """Whenever one of them is ready; finished when one of those has.

    ```python
    rx.Repeatedly(rx.AfterAny(rx.AfterCount(100), rx.AfterProcessingTime(5)))
    ```
    """

    def ready(self, state: tuple[Any, ...], moment: Moment) -> bool:
        pairs = zip(self.triggers, state, strict=True)
        return any(trigger.ready(held, moment) for trigger, held in pairs)

    def on_fire(self, state: tuple[Any, ...], moment: Moment) -> tuple[Any, bool]:
        after, finished = self._fired(state, moment)
        return after, any(finished)

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return any(trigger.may_lose_data(allowed_lateness) for trigger in self.triggers)


class AfterAll(_Parallel):
    """Once all of them are ready; finished when all have.

    ```python
    rx.AfterAll(rx.AfterWatermark(), rx.AfterCount(10))
    ```
    """

    def ready(self, state: tuple[Any, ...], moment: Moment) -> bool:
        pairs = zip(self.triggers, state, strict=True)
        return all(trigger.ready(held, moment) for trigger, held in pairs)

    def on_fire(self, state: tuple[Any, ...], moment: Moment) -> tuple[Any, bool]:
        after, finished = self._fired(state, moment)
        return after, all(finished)

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return all(trigger.may_lose_data(allowed_lateness) for trigger in self.triggers)


class AfterEach(_Several):
    """One after the other: each until it has finished, and finished with the last.

    ```python
    rx.AfterEach(rx.AfterCount(10), rx.Repeatedly(rx.AfterCount(100)))
    ```
    """

    def begin(self) -> tuple[int, tuple[Any, ...]]:
        return 0, tuple(trigger.begin() for trigger in self.triggers)

    def on_item(self, state: tuple[int, tuple[Any, ...]], moment: Moment) -> Any:
        index, held = state
        if index == len(self.triggers):
            return state
        return index, _put(held, index, self.triggers[index].on_item(held[index], moment))

    def merge(self, states: Sequence[tuple[int, tuple[Any, ...]]]) -> Any:
        columns = zip(self.triggers, zip(*(held for _, held in states), strict=True), strict=True)
        merged = tuple(trigger.merge(list(column)) for trigger, column in columns)
        return max(index for index, _ in states), merged

    def ready(self, state: tuple[int, tuple[Any, ...]], moment: Moment) -> bool:
        index, held = state
        return index < len(self.triggers) and self.triggers[index].ready(held[index], moment)

    def on_fire(self, state: tuple[int, tuple[Any, ...]], moment: Moment) -> tuple[Any, bool]:
        index, held = state
        after, finished = self.triggers[index].on_fire(held[index], moment)
        index += finished
        return (index, _put(held, index - finished, after)), index == len(self.triggers)

    def deadline(self, state: tuple[int, tuple[Any, ...]]) -> float | None:
        index, held = state
        return None if index == len(self.triggers) else self.triggers[index].deadline(held[index])

    def moved(self, state: tuple[int, tuple[Any, ...]], seconds: float) -> Any:
        index, held = state
        pairs = zip(self.triggers, held, strict=True)
        return index, tuple(trigger.moved(each, seconds) for trigger, each in pairs)

    def may_lose_data(self, allowed_lateness: float = 0.0) -> bool:
        return all(trigger.may_lose_data(allowed_lateness) for trigger in self.triggers)


def _put(held: tuple[Any, ...], index: int, state: Any) -> tuple[Any, ...]:
    return (*held[:index], state, *held[index + 1 :])
