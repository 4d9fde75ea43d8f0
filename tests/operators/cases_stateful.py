"""Cases of `operators/stateful.py` for the tests of every operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from cases import Build, Case, fail

import reactive as rx
from reactive.testing.laws import Law

SECOND = 1_000_000


class Count(rx.KeyedProcess[Any, Any, tuple[Any, int]]):
    seen = rx.ValueState(0)

    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> Iterator[tuple[Any, int]]:
        self.seen += 1
        yield context.key, self.seen


class Everything(rx.KeyedProcess[int, int, tuple[Any, ...]]):
    """Uses every kind of state, with and without event time."""

    value = rx.ValueState(0)
    young = rx.ValueState(0, ttl=2)
    items = rx.ListState[int]()
    young_items = rx.ListState[int](ttl=2)
    entries = rx.MapState[int, int]()
    young_entries = rx.MapState[int, int](ttl=2)
    total = rx.ReducingState(rx.sum())
    young_total = rx.ReducingState(rx.sum(), ttl=2)

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> Iterator[tuple[Any, ...]]:
        self.value += item
        self.young += item
        self.items.append(item)
        self.young_items.append(item)
        self.entries[item] = self.value
        self.young_entries[item] = self.value
        self.total.add(item)
        self.young_total.add(item)
        yield self.everything(context)
        if item == 1:
            self.items.clear()
            del self.entries[item]
        if item == 4:
            del self.value

    def everything(self, context: rx.ProcessContext[int]) -> tuple[Any, ...]:
        return (
            context.key,
            context.late if context.timed else None,
            self.value,
            self.young,
            *self.items,
            *self.young_items,
            *self.entries.items(),
            *self.young_entries.items(),
            self.total.result(),
            self.young_total.result(),
        )


class Flush(rx.KeyedProcess[int, int, Any]):
    """Gives what it gathered when nothing came for two seconds, and at once what is timed now."""

    items = rx.ListState[int]()

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> None:
        self.items.append(item)
        if context.timed:
            context.set_timer(context.after(2), "quiet")
            context.set_timer(context.after(-item))
            context.set_timer(context.after(item))
            context.delete_timer(context.after(3))

    def on_timer(self, time: int, context: rx.ProcessContext[int]) -> Iterator[Any]:
        yield context.timer, context.watermark // SECOND, *self.items
        if context.timer == "quiet":
            self.items.clear()


class Ring(rx.KeyedProcess[int, int, Any]):
    items = rx.ListState[int]()

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> None:
        self.items.append(item)
        context.set_clock_timer(3)

    def on_clock_timer(self, context: rx.ProcessContext[int]) -> Iterator[Any]:
        yield context.key, *self.items
        self.items.clear()


class Failing(rx.KeyedProcess[Any, Any, Any]):
    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> Any:
        fail()


class FailingTimer(rx.KeyedProcess[Any, Any, Any]):
    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
        context.set_timer(context.after(1))

    def on_timer(self, time: int, context: rx.ProcessContext[Any]) -> Any:
        yield fail()


class FailingClock(rx.KeyedProcess[Any, Any, Any]):
    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
        context.set_clock_timer(1)

    def on_clock_timer(self, context: rx.ProcessContext[Any]) -> Any:
        yield fail()


RISES = rx.Pattern[int]("low", lambda x: x < 4).followed_by(
    "high", lambda x: x > 1, lambda x, got: x > got["low"]
)
STRICT = rx.Pattern[int]("one", lambda x: x == 1).then("next", lambda x: x > 1)
ALONE = (
    rx.Pattern[int]("first", lambda x: x != 1).not_followed_by("nine", lambda x: x == 9).within(2)
)


def by_three(item: int) -> int:
    return item % 3


def everywhere(item: Any) -> str:
    return "all"


def found(match: rx.Match[Any, Any]) -> tuple[Any, ...]:
    return match.key, *match.items.items(), match.begins, match.ends


def timed(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    """Event times of their own for each run, whether the source has some or not."""
    return stream.enumerate().event_time(lambda pair: pair[0]).map(lambda pair: pair[1])


LATE = rx.SideOutput[int]("late")

LAWS: dict[str, Build | Case] = {
    "process": lambda s: s.key_by(by_three).process(Count),
    "process, every state": lambda s: s.key_by(by_three).process(Everything),
    "process, timers": lambda s: s.key_by(by_three).process(Flush),
    "process, timers of the clock": Case(lambda s: s.key_by(by_three).process(Ring), examples=8),
    "scan by key": lambda s: s.key_by(by_three).scan(lambda total, x: total + x, ttl=2),
    "process, without what is late": lambda s: s.key_by(by_three).process(Count, late=LATE),
    "scan by key from a start": lambda s: s.key_by(by_three).scan(lambda a, b: 2 * a - b, 7),
    "scan by key from a start made anew": lambda s: s.key_by(by_three).scan(
        lambda total, x: [*total, x], factory=list
    ),
}

NEEDS_TIME: dict[str, Build] = {
    "deduplicate": lambda s: s.key_by(by_three).deduplicate(within=3),
    "deduplicate by": lambda s: s.key_by(everywhere).deduplicate(
        within=2.5, by=by_three, late=LATE
    ),
    "match": lambda s: s.key_by(everywhere).match(RISES.within(3)).map(found),
    "match of what is next": lambda s: (
        s.key_by(everywhere).match(STRICT.within(3), overlapping=False).map(found)
    ),
    "match of what does not come": lambda s: (
        s.key_by(everywhere).match(ALONE, late=LATE).map(found)
    ),
}
OF_SIGNALS = ("signals", "lateness")

for name, build in NEEDS_TIME.items():
    # Event times of their own where the laws give none; the signals of the input where they do.
    LAWS[name] = Case(lambda s, build=build: build(timed(s)), skip=("signals",))
    LAWS[f"{name}, of event times"] = Case(
        build, skip=tuple(law for law in get_args(Law) if law not in OF_SIGNALS)
    )

RULES: dict[str, Build] = {
    "key_by, process": lambda s: s.key_by(type).process(Count).map(str),
    "key_by, scan": lambda s: s.key_by(type).scan(lambda n, x: n + 1, 0).map(str),
    "key_by, deduplicate": lambda s: timed(s).key_by(type).deduplicate(within=1).map(str),
    "key_by, match": lambda s: (
        timed(s)
        .key_by(type)
        .match(rx.Pattern[Any]("a", lambda x: True).then("b", lambda x: True).within(9))
        .map(str)
    ),
}

CALLBACKS: dict[str, Build] = {
    "process of a key that fails": lambda s: s.key_by(fail).process(Count),
    "process": lambda s: s.key_by(type).process(Failing),
    "process, timer": lambda s: timed(s).key_by(type).process(FailingTimer),
    "process, timer of the clock": lambda s: s.key_by(type).process(FailingClock),
    "scan by key": lambda s: s.key_by(type).scan(fail, 0),
    "deduplicate": lambda s: timed(s).key_by(type).deduplicate(within=1, by=fail),
    "match": lambda s: timed(s).key_by(type).match(rx.Pattern[Any]("a", fail).within(1)),
}
