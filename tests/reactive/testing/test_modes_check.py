"""check_modes: sees pipelines whose modes differ, and is content with all others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

import reactive as rx
from reactive.fuse import Code
from reactive.operator import Inline
from reactive.testing import LawBroken, check_modes

ITEMS = [n * 7919 % 101 for n in range(40)]


def second(x: int) -> float:
    return float(x)


def timed(stream: rx.Stream[int], lateness: float = 5) -> rx.Stream[int]:
    return stream.event_time(second, lateness=lateness)


def by_parity(stream: rx.Stream[int]) -> Any:
    return timed(stream).key_by(lambda x: x % 2)


EARLY = rx.AfterWatermark(early=rx.AfterCount(2), late=rx.AfterCount(1))

WINDOWS: dict[str, Callable[[rx.Stream[int]], rx.Stream[Any]]] = {
    "tumbling": lambda s: timed(s).window(rx.Tumbling(10)).aggregate(rx.sum()),
    "tumbling by key": lambda s: by_parity(s).window(rx.Tumbling(10)).aggregate(rx.count()),
    "sliding": lambda s: by_parity(s).window(rx.Sliding(20, 5)).aggregate(rx.count()),
    "sessions": lambda s: by_parity(s).window(rx.Session(4)).aggregate(rx.sum()),
    "all time": lambda s: by_parity(s).window(rx.Global()).aggregate(rx.sum()),
    "early panes": lambda s: (
        by_parity(s)
        .window(rx.Tumbling(20), trigger=EARLY, accumulation="accumulating", allowed_lateness=30)
        .aggregate(rx.sum())
    ),
    "early panes of sessions": lambda s: (
        by_parity(s)
        .window(rx.Session(6), trigger=EARLY, accumulation="accumulating")
        .aggregate(rx.sum())
    ),
    "retracting": lambda s: (
        by_parity(s)
        .window(rx.Tumbling(20), trigger=EARLY, accumulation="retracting")
        .aggregate(rx.sum())
    ),
    "by the clock": lambda s: (
        by_parity(s)
        .window(
            rx.Tumbling(50),
            trigger=rx.Repeatedly(rx.AfterProcessingTime(3)),
            accumulation="accumulating",
        )
        .aggregate(rx.count())
    ),
    "all items": lambda s: (
        by_parity(s).window(rx.Tumbling(10)).process(lambda items: [sorted(items)])
    ),
    "days": lambda s: (
        s.event_time(lambda x: 10_000 * x, lateness=50_000)
        .window(rx.Calendar("day", "Europe/Berlin"))
        .aggregate(n=rx.count(), total=rx.sum())
    ),
    "in the order of arrival": lambda s: (
        by_parity(s).window(rx.Tumbling(10)).reduce(lambda a, b: 2 * a + b)
    ),
    "no windows": lambda s: s.map(str).sort(),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_modes_of_windows_agree(name: str) -> None:
    check_modes(WINDOWS[name], ITEMS, time=second, lateness=5, examples=12)


def test_modes_agree_on_nothing() -> None:
    check_modes(WINDOWS["tumbling"], [], time=second)


def test_modes_agree_on_several_inputs() -> None:
    def both(one: rx.Stream[int], other: rx.Stream[int]) -> rx.Stream[Any]:
        return timed(one).merge(timed(other)).window(rx.Tumbling(10)).aggregate(rx.count())

    check_modes(both, ITEMS, ITEMS[:10], time=second, lateness=5, examples=12)


JOINS: dict[str, Callable[[Any, Any], rx.Stream[Any]]] = {
    "inner": lambda a, b: a.join(b, window=rx.Tumbling(20)),
    "full": lambda a, b: a.join(b, window=rx.Tumbling(10), how="full"),
    "sliding": lambda a, b: a.join(b, window=rx.Sliding(20, 5), how="left"),
    "sessions": lambda a, b: a.join(b, window=rx.Session(3), how="right"),
    "cogroup": lambda a, b: a.cogroup(b, window=rx.Tumbling(10)).map(
        lambda w: w._replace(value=tuple(map(sorted, w.value)))
    ),
    "interval": lambda a, b: a.interval_join(b, before=2, after=5, how="full"),
}


@pytest.mark.parametrize("name", JOINS)
def test_modes_of_joins_agree(name: str) -> None:
    def joined(one: rx.Stream[int], other: rx.Stream[int]) -> rx.Stream[Any]:
        return JOINS[name](by_parity(one), by_parity(other))

    check_modes(joined, ITEMS, ITEMS[5:25], time=second, lateness=5, examples=12)


def test_times_are_those_of_event_time() -> None:
    items = [datetime(2026, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(0, 60, 7)]

    def counted(stream: rx.Stream[datetime]) -> rx.Stream[Any]:
        timed = stream.event_time(lambda at: at, lateness=20)
        return timed.window(rx.Tumbling(30)).aggregate(rx.count())

    check_modes(counted, items, time=lambda at: at, lateness=20, examples=12)
    scaled = [at.timestamp() * 1000 for at in items]

    def scaled_counted(stream: rx.Stream[float]) -> rx.Stream[Any]:
        timed = stream.event_time(lambda at: at, unit="ms", lateness=20)
        return timed.window(rx.Tumbling(30)).aggregate(rx.count())

    check_modes(scaled_counted, scaled, time=lambda at: at, unit="ms", lateness=20, examples=12)


def test_values_can_be_compared_loosely() -> None:
    items = [0.1, 0.2, 0.3, 1e9]

    def total(stream: rx.Stream[float]) -> rx.Stream[Any]:
        timed = stream.event_time(lambda x: x % 5, lateness=10)
        return timed.window(rx.Global()).aggregate(rx.sum()).filter(lambda w: True)

    check_modes(total, items, time=lambda x: x % 5, lateness=10, same=math.isclose)


class TestDifferences:
    def test_items_that_are_late_after_all(self) -> None:
        def hasty(stream: rx.Stream[int]) -> rx.Stream[Any]:
            return timed(stream, lateness=0).window(rx.Tumbling(10)).aggregate(rx.count())

        with pytest.raises(LawBroken, match=r"batch gives \d+, and the stream at last \d+") as told:
            check_modes(hasty, range(50), time=second, lateness=20)
        assert "\n    input     " in str(told.value)

    def test_a_last_pane_that_is_only_the_rest(self) -> None:
        with pytest.raises(LawBroken, match="and the stream at last"):
            check_modes(
                lambda s: by_parity(s).window(rx.Tumbling(20), trigger=EARLY).aggregate(rx.sum()),
                ITEMS,
                time=second,
            )

    def test_a_trigger_that_finishes(self) -> None:
        first = rx.AfterCount(1)
        with pytest.raises(LawBroken, match="and the stream at last"):
            check_modes(
                lambda s: timed(s).window(rx.Global(), trigger=first).aggregate(rx.count()), ITEMS
            )

    def test_windows_that_only_one_mode_gives(self) -> None:
        def only(batch: bool) -> Callable[[rx.Stream[int]], rx.Stream[Any]]:
            windows = WINDOWS["tumbling"]
            return lambda s: windows(s._then(Only(batch)))

        with pytest.raises(LawBroken, match="the stream gives nothing for 1970-01-01T00:00:00"):
            check_modes(only(True), ITEMS, time=second, lateness=5)
        with pytest.raises(LawBroken, match="batch gives nothing for 1970-01-01T00:00:00"):
            check_modes(only(False), ITEMS, time=second, lateness=5)

    def test_values_that_one_pane_lacks(self) -> None:
        def some(batch: bool) -> Callable[[rx.Stream[int]], rx.Stream[Any]]:
            def all_of(items: list[int]) -> list[int]:
                return items

            lacking = Lacking(batch)
            return lambda s: timed(s).window(rx.Global()).process(all_of)._then(lacking)

        for batch in (True, False):
            with pytest.raises(LawBroken, match="and the stream at last"):
                check_modes(some(batch), ITEMS)

    def test_the_seed_makes_it_happen_again(self) -> None:
        def hasty(stream: rx.Stream[int]) -> rx.Stream[Any]:
            return timed(stream, lateness=0).window(rx.Tumbling(10)).aggregate(rx.count())

        told = []
        for _ in range(2):
            with pytest.raises(LawBroken, match=r"\(example \d+, seed=7\)") as caught:
                check_modes(hasty, range(50), time=second, lateness=20, seed=7)
            told.append(str(caught.value))
        assert told[0] == told[1]

    def test_other_items(self) -> None:
        with pytest.raises(LawBroken, match="batch and stream give different items"):
            check_modes(lambda s: s._then(Only(True)), ITEMS)


@dataclass(frozen=True)
class Only(Inline):
    """Lets items through in one mode."""

    batch: bool

    def emit(self, code: Code) -> None:
        code.skip_unless(str(code.context.batch is self.batch))


@dataclass(frozen=True)
class Lacking(Inline):
    """Leaves out the results of one value in one mode."""

    batch: bool

    def emit(self, code: Code) -> None:
        leaves_out = code.context.batch is self.batch
        code.skip_unless(f"{code.item}.value != 41" if leaves_out else "True")


async def test_called_from_a_loop_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="call it from a test that is not async"):
        check_modes(WINDOWS["tumbling"], ITEMS)


def test_no_input_is_refused() -> None:
    with pytest.raises(TypeError, match="at least one input"):
        check_modes(WINDOWS["tumbling"])
