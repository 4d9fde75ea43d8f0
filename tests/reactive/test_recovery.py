"""What comes out of runs that are cut off and go on is what one run would have given."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recovery import Ledger, LedgerSink, Ticks, run_to_the_end

import reactive as rx
from reactive.testing import VirtualTimeLoop

SECONDS = 40


async def _slowly(n: int) -> int:
    await asyncio.sleep(0.3)
    return n


def numbers(count: int = SECONDS, every: float = 1.0) -> rx.Stream[int]:
    """A source that can be read again, an item every so many seconds."""
    return rx.from_source(Ticks(count, every))


def timed(count: int = SECONDS) -> rx.Stream[int]:
    return numbers(count).event_time(lambda n: n, lateness=2)


class Running(rx.KeyedProcess[int, int, tuple[int, int]]):
    total = rx.ValueState(0)

    def on_item(self, item: int, context: Any) -> Iterator[tuple[int, int]]:
        self.total += item
        context.set_timer(context.time + 5_000_000)
        yield context.key, self.total

    def on_timer(self, time: int, context: Any) -> Iterator[tuple[int, int]]:
        yield context.key, -self.total


def total(before: int, n: int) -> int:
    return before + n


def windows(early: bool) -> rx.Stream[Any]:
    trigger = rx.AfterWatermark(early=rx.AfterCount(2)) if early else None
    keyed = timed().key_by(lambda n: n % 3)
    windowed = (
        keyed.window(rx.Tumbling(10), trigger=trigger) if trigger else keyed.window(rx.Tumbling(10))
    )
    return windowed.aggregate(count=rx.count(), total=rx.sum())


FAILING: list[int] = []


def fails_once(n: int) -> int:
    if n == 13 and not FAILING:
        FAILING.append(n)
        raise OSError("once")
    return n


BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")


def refuse_sevens(n: int) -> int:
    if n % 7 == 0:
        raise ValueError(n)
    return n


Pipelines = dict[str, Callable[[], list[rx.Stream[Any]]]]

PIPELINES: Pipelines = {
    "scan": lambda: [numbers().scan(total, 0)],
    "batch": lambda: [numbers(100, 0.1).batch(7)],
    "async map": lambda: [numbers(200, 0.05).map(_slowly, concurrency=5)],
    "concat": lambda: [numbers(10).concat(rx.of(-1, -2), numbers(20, 0.5).map(lambda n: 100 + n))],
    "merge": lambda: [numbers(10).map(lambda n: -n - 1).merge(numbers(30)).distinct()],
    "tumbling": lambda: [windows(early=False)],
    "early panes": lambda: [windows(early=True)],
    "sessions": lambda: [
        timed()
        .filter(lambda n: n % 9 < 5)
        .key_by(lambda n: n % 2)
        .window(rx.Session(4))
        .aggregate(rx.count())
    ],
    "process": lambda: [timed().key_by(lambda n: n % 3).process(Running)],
    "distinct": lambda: [numbers().map(lambda n: n % 11).distinct()],
    "fan-out": lambda: _fan_out(numbers().scan(total, 0)),
    "retry": lambda: [numbers().map(fails_once).retry(rx.Backoff(1, jitter=0)).scan(total, 0)],
    "dead letters": lambda: [
        numbers().map(refuse_sevens, on_error=BAD),
        BAD.map(lambda bad: bad.item),
    ],
    "take": lambda: [numbers().take(17), numbers().take_while(lambda n: n < 9).scan(total, 0)],
    "fold": lambda: [numbers().sum(), numbers(10).to_list()],
}

UNORDERED = {"merge", "fan-out", "tumbling", "early panes", "sessions", "process"}
"""Which of two items that come at the same moment is first is not said, nor which of the keys."""


def _fan_out(stream: rx.Stream[int]) -> list[rx.Stream[Any]]:
    return [stream.filter(lambda n: n % 2 == 0), stream.batch(5), stream.merge(numbers(5))]


def _run(pipeline: str, cuts: list[tuple[float, bool]], every: float) -> list[list[Any]]:
    ledgers: list[Ledger] = []

    def jobs() -> list[rx.Job]:
        streams = PIPELINES[pipeline]()
        ledgers.extend(Ledger() for _ in streams[len(ledgers) :])
        return [
            stream.to(LedgerSink(ledger)) for stream, ledger in zip(streams, ledgers, strict=True)
        ]

    FAILING.clear()
    loop = asyncio.Runner(loop_factory=VirtualTimeLoop)
    with tempfile.TemporaryDirectory() as folder, loop as runner:
        runner.run(run_to_the_end(Path(folder, "state.db"), jobs, cuts, every))
    assert all(ledger.finished for ledger in ledgers)
    return [ledger.items for ledger in ledgers]


_EXPECTED: dict[str, list[list[Any]]] = {}
_cuts = st.lists(st.tuples(st.floats(0.01, SECONDS), st.booleans()), max_size=4)


@pytest.mark.parametrize("pipeline", PIPELINES)
@settings(max_examples=6, deadline=None)
@given(cuts=_cuts, every=st.floats(0.1, 10))
def test_cut_off_anywhere(pipeline: str, cuts: list[tuple[float, bool]], every: float) -> None:
    if pipeline not in _EXPECTED:
        _EXPECTED[pipeline] = _run(pipeline, [], 1000.0)
    given = _run(pipeline, cuts, every)
    if pipeline in UNORDERED:
        assert [Counter(map(str, items)) for items in given] == [
            Counter(map(str, items)) for items in _EXPECTED[pipeline]
        ]
    else:
        assert given == _EXPECTED[pipeline]
