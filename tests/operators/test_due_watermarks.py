"""Watermarks that matter where they are told, and those that may come behind more items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import pytest
from feeds import Feed, examples
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.metrics import Meter
from reactive.operator import Step, Stepwise
from reactive.testing.observing import Entry, observe
from reactive.windows import MICROSECONDS

STREAM = rx.Settings(mode="stream")

Item = tuple[int, int]
"""A time in seconds, and a number that says by itself, and in every sum, which item it is."""


def weight(item: Any) -> int:
    """Of an item, or of a list of them."""
    return sum(map(weight, item)) if isinstance(item, list) else int(item[1])


BETWEEN: dict[str, Callable[[rx.Stream[Item]], rx.Stream[Any]]] = {
    "nothing": lambda stream: stream,
    "filter": lambda stream: stream.filter(lambda item: item[0] % 3 != 1),
    "flat_map": lambda stream: stream.flat_map(lambda item: [item] * 2),
    "take": lambda stream: stream.take(7),
    "take, then lists": lambda stream: stream.take(7).batch(3),
    "two groups": lambda stream: stream.distinct_until_changed().named("a").rebatch(2),
}


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    """Items out of order, some of them too late, in random chunks with barriers between."""
    times = draw(st.lists(st.integers(0, 40), max_size=40))
    items = [(time, 1 << number) for number, time in enumerate(sorted(times, key=lambda t: t // 9))]
    script: list[Any] = []
    while items:
        size = draw(st.integers(1, 15))
        script.append(rx.Chunk(items[:size]))
        items = items[size:]
        if draw(st.booleans()):
            script.append(rx.Barrier(len(script)))
    return Feed(tuple(script))


def placed(entries: Sequence[Entry]) -> list[Entry]:
    """Without the watermarks right before another."""
    return [
        entry
        for entry, after in zip_longest(entries, entries[1:])
        if not (isinstance(entry, rx.Watermark) and isinstance(after, rx.Watermark))
    ]


@pytest.mark.parametrize("between", BETWEEN)
@given(
    feed=feeds(),
    windows=st.sampled_from(
        [rx.Tumbling(5, 2), rx.Sliding(6, 2), rx.Sliding(5, 3), rx.Session(3), rx.Global()]
    ),
    lateness=st.integers(0, 6),
    every=st.sampled_from([0, 1, 4]),
)
@examples(40)
async def test_windows_give_the_same_as_where_every_watermark_is_told_in_its_place(
    between: str, feed: Feed, windows: rx.WindowAssigner, lateness: int, every: int
) -> None:
    def results(timed: rx.Stream[Item]) -> rx.Stream[Any]:
        windowed = BETWEEN[between](timed).window(windows)
        return windowed.aggregate(n=rx.count(), total=rx.sum(weight))

    timed = feed.stream.event_time(lambda item: item[0], lateness=lateness, every=every)
    together = await observe(results(timed), STREAM)
    apart = await observe(results(timed.buffer(100)), STREAM)
    if between == "take":
        # It may end the stream within a chunk, behind which a watermark would have come.
        assert together.values == apart.values
    else:
        assert placed(together.entries) == placed(apart.entries)


def step_of(stream: rx.Stream[Any]) -> Step[Any, Any]:
    operator = stream.node.operator
    assert isinstance(operator, Stepwise)
    return operator.step(rx.Context(operator.label, None, STREAM, Meter(operator.label)))


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        (rx.Tumbling(40), [1, 0, 40, 39, 40, 40, 79, 80, 19, 99]),
        (rx.Sliding(40, every=20), [1, 0, 20, 19, 20, 20, 39, 40, 20, 59, 60, 20, 79, 80, 19, 99]),
        (rx.Global(), [1, 0, 99, 99]),
        (rx.Session(40), [said for second in range(100) for said in (1, second)]),
    ],
)
async def test_a_chunk_is_cut_where_windows_end(
    windows: rx.WindowAssigner, told: list[int]
) -> None:
    """The sizes of chunks, each with the watermarks behind it: the one due and one before."""
    timed = rx.of(0).event_time(lambda second: second, every=1)
    first, following = step_of(timed), step_of(timed.window(windows).aggregate(rx.count()))
    first.leads_to(following)
    out: list[Any] = []
    first.on_chunk(rx.Chunk(list(range(100))), out)
    assert told == [
        len(signal) if isinstance(signal, rx.Chunk) else signal.time // MICROSECONDS
        for signal in out
    ]
