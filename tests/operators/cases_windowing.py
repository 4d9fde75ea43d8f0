"""Cases of `operators/windowing.py` and `keyed.py` for the tests of every operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cases import Build, Case, fail

import reactive as rx

WAITS: tuple[Any, ...] = ("signals",)
"""The watermark is held back while results earlier than it can come; see test_windowing.py."""


@dataclass(frozen=True)
class ByItem(rx.WindowAssigner):
    """Windows that depend on the item, and merge."""

    merging = True

    def assign(self, item: Any, time: int) -> Sequence[rx.Window]:
        return (rx.Window(time, time + 1_000_000 * (1 + item % 3)),)


def by_key(s: rx.Stream[Any]) -> rx.KeyedStream[int, Any]:
    """The source of the laws gives an item a second."""
    return s.event_time(lambda x: x, lateness=3).key_by(lambda x: x % 2)


EARLY_AND_LATE = rx.AfterWatermark(early=rx.AfterCount(2), late=rx.AfterCount(1))

LATE = rx.SideOutput[int]("late")

LAWS: dict[str, Build | Case] = {
    "window over all time": lambda s: s.window(rx.Global()).aggregate(rx.sum()),
    "window over all time, by key": lambda s: (
        s.key_by(lambda x: x % 3).window(rx.Global()).aggregate(rx.count())
    ),
    "window, a pane every so many items": lambda s: s.window(
        rx.Global(), trigger=rx.Repeatedly(rx.AfterCount(3))
    ).aggregate(rx.sum()),
    "window of so many items": lambda s: s.window(rx.Count(3)).aggregate(n=rx.count(), t=rx.sum()),
    "window of so many items, by key": lambda s: (
        s.key_by(lambda x: x % 2).window(rx.Count(3, every=2)).to_list()
    ),
    "window of so many items, reduced": lambda s: s.window(rx.Count(2)).reduce(max),
    "window, processed": lambda s: (
        s.window(rx.Count(3)).process(lambda items: sorted(items)).map(lambda w: w.value)
    ),
    "window, tumbling": Case(
        lambda s: by_key(s).window(rx.Tumbling(2, offset=1)).aggregate(n=rx.count(), t=rx.sum()),
        skip=WAITS,
    ),
    "window, sliding": Case(
        lambda s: by_key(s).window(rx.Sliding(3, every=1)).aggregate(rx.sum()), skip=WAITS
    ),
    "window, sliding, of lists": Case(
        lambda s: by_key(s).window(rx.Sliding(3, every=2)).to_list(), skip=WAITS
    ),
    "window, sessions": Case(
        lambda s: by_key(s).window(rx.Session(2)).aggregate(rx.sum()), skip=WAITS
    ),
    "window of the calendar": Case(
        lambda s: by_key(s).window(rx.Calendar("hour")).aggregate(rx.sum()), skip=WAITS
    ),
    "window of one's own": Case(
        lambda s: by_key(s).window(ByItem()).aggregate(rx.sum()), skip=WAITS
    ),
    "window, early and late": Case(
        lambda s: (
            by_key(s)
            .window(
                rx.Session(2),
                trigger=EARLY_AND_LATE,
                accumulation="retracting",
                allowed_lateness=2,
            )
            .aggregate(rx.sum())
        ),
        skip=(*WAITS, "lateness"),  # Late results are late.
    ),
    "window, earliest time": Case(
        lambda s: by_key(s).window(rx.Tumbling(4), timestamp="earliest").aggregate(rx.sum()),
        skip=WAITS,
    ),
    "window, latest time": Case(
        lambda s: by_key(s).window(rx.Session(1), timestamp="latest").to_list(), skip=WAITS
    ),
    "window, what is late": Case(
        lambda s: (
            s.event_time(lambda x: x)
            .window(
                rx.Tumbling(2),
                trigger=EARLY_AND_LATE,
                accumulation="accumulating",
                allowed_lateness=1,
                late=LATE,
                timestamp="earliest",
            )
            .to_list()
        ),
        skip=(*WAITS, "lateness"),
    ),
    "window by key, what is late": Case(
        lambda s: by_key(s).window(rx.Tumbling(2), late=LATE).aggregate(rx.sum()), skip=WAITS
    ),
    "window, a pane after some time": Case(
        lambda s: s.window(rx.Global(), trigger=rx.Repeatedly(rx.AfterProcessingTime(1))).aggregate(
            rx.sum()
        ),
        readahead=20,
    ),
}

RULES: dict[str, Build] = {
    "window": lambda s: s.window(rx.Global()).aggregate(rx.count()),
    "window of so many": lambda s: s.window(rx.Count(2)).aggregate(rx.count()),
    "window, sessions": lambda s: (
        s.event_time(lambda _: 0).window(rx.Session(2)).aggregate(rx.count())
    ),
    "key_by": lambda s: s.key_by(type).window(rx.Global()).aggregate(rx.count()).map(len),
    "window, reduced": lambda s: s.window(rx.Count(2)).reduce(lambda a, b: b),
    "window, processed": lambda s: s.window(rx.Count(2)).process(lambda items: items),
    "window, lists": lambda s: s.window(rx.Count(2)).to_list(),
}

CALLBACKS: dict[str, Build] = {
    "key_by": lambda s: s.key_by(fail).window(rx.Global()).aggregate(rx.count()),
    "aggregate of windows": lambda s: s.window(rx.Global()).aggregate(rx.sum(fail)),
    "reduce of windows": lambda s: s.window(rx.Count(2)).reduce(fail),
    "process of windows": lambda s: s.window(rx.Global()).process(fail),
}
