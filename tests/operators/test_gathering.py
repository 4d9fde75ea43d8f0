"""batch by weight, batch_while, batch_by, buffer_until: lists by more than their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, Pause, record, run, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime

counts = st.none() | st.integers(1, 4)


def lists(given: list[Pair], ends: Callable[[list[Any], Any], bool]) -> list[Pair]:
    """What a batching operator gives whose lists end before an item for which `ends` holds."""
    result: list[Pair] = []
    held: list[Any] = []
    last: int | None = None
    for item, time in given:
        if held and ends(held, item):
            result.append((held, last))
            held = []
        held.append(item)
        last = time
    return [*result, (held, last)] if held else result


def full(held: list[Any], count: int | None) -> bool:
    return count is not None and len(held) == count


@model_of("batch")
@given(feeds(st.integers(0, 6), signals=False), counts, st.integers(1, 9))
@examples(100)
async def test_batch_by_weight(feed: Feed, count: int | None, most: int) -> None:
    def ends(held: list[int], item: int) -> bool:
        return full(held, count) or sum(held) >= most or sum(held) + item > most

    for within in (None, 3600):
        await check(
            lambda stream, within=within: stream.batch(  # type: ignore[misc]
                count, within, weight=lambda x: x, max_weight=most
            ),
            feed,
            lambda pairs: lists(pairs, ends),
        )


async def test_a_list_that_weight_ends_leaves_the_next_its_count() -> None:
    batches = rx.of(0, 0, 2, 3, 0).batch(2, weight=lambda x: x, max_weight=4)
    assert await batches.collect() == [[0, 0], [2], [3, 0]]


def batches_in_time(
    count: int | None, within: float, most: float, weight: Callable[[int], int]
) -> Callable[[Timeline], list[Event[Any]]]:
    def model(events: Timeline) -> list[Event[Any]]:
        out: list[Event[Any]] = []
        held: list[int] = []
        due = 0.0
        for event in events:
            if held and due < event.time:
                out.append(Item(due, held))
                held = []
            if isinstance(event, Item):
                if held and sum(map(weight, held)) + weight(event.value) > most:
                    out.append(Item(event.time, held))
                    held = []
                if not held:
                    due = event.time + within
                held = [*held, event.value]
                if full(held, count) or sum(map(weight, held)) >= most:
                    out.append(Item(event.time, held))
                    held = []
                continue
            if isinstance(event, End) and held:
                out.append(Item(event.time, held))
            return [*out, event]
        return [*out, Item(due, held)] if held else out

    return model


@model_of("batch")
@given(timelines(endless=True), counts, st.integers(0, 9), st.none() | st.integers(1, 9))
@examples(150)
def test_batch_times(timeline: Timeline, count: int | None, seconds: int, most: int | None) -> None:
    within = seconds + 0.5
    if most is not None:
        check_times(
            lambda s: s.batch(count, within, weight=abs, max_weight=most),
            [timeline],
            batches_in_time(count, within, most, abs),
        )
    elif count is not None:
        check_times(
            lambda s: s.batch(count, within),
            [timeline],
            batches_in_time(count, within, 1, lambda x: 0),
        )


@model_of("batch_while")
@given(feeds(signals=False), counts)
@examples()
async def test_batch_while(feed: Feed, count: int | None) -> None:
    await check(
        lambda stream: stream.batch_while(lambda batch, x: x + batch[0] > len(batch), count=count),
        feed,
        lambda pairs: lists(pairs, lambda held, x: full(held, count) or x + held[0] <= len(held)),
    )


@model_of("batch_by")
@given(feeds(signals=False), counts)
@examples()
async def test_batch_by(feed: Feed, count: int | None) -> None:
    await check(
        lambda stream: stream.batch_by(lambda x: x // 3, count=count),
        feed,
        lambda pairs: lists(pairs, lambda held, x: full(held, count) or held[-1] // 3 != x // 3),
    )


@given(feeds(signals=False))
@examples()
async def test_batch_by_is_groupby(feed: Feed) -> None:
    given = await feed.stream.batch_by(abs).collect()
    assert given == [list(group) for _, group in groupby(feed.items, abs)]


BUILDS: dict[str, Callable[[rx.Stream[int]], rx.Stream[list[int]]]] = {
    "weight": lambda s: s.batch(weight=abs, max_weight=6),
    "weight within": lambda s: s.batch(3, 60, weight=abs, max_weight=6),
    "while": lambda s: s.batch_while(lambda batch, x: x >= batch[-1]),
    "by": lambda s: s.batch_by(lambda x: x > 0, count=3),
    "until": lambda s: s.buffer_until(rx.empty(), limit=3),
}


@pytest.mark.parametrize("name", BUILDS)
@given(feed=feeds(timed=True))
@examples(40)
async def test_watermarks_wait_for_lists_and_no_longer(name: str, feed: Feed) -> None:
    low, said = -1, [one.time for one in feed.controls if isinstance(one, rx.Watermark)]
    given = await signals(BUILDS[name](feed.stream))
    for signal in given:
        if isinstance(signal, rx.Watermark):
            assert signal.time > low
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            assert signal.times is not None
            assert min(signal.times) >= low
    assert low == max(said, default=-1)
    assert [one for one in given if isinstance(one, rx.Barrier)] == [
        one for one in feed.controls if isinstance(one, rx.Barrier)
    ]


async def test_a_watermark_passes_as_far_as_the_list_begun_allows() -> None:
    feed = Feed(
        (rx.Chunk([1, 1], [10, 20]), rx.Watermark(15), rx.Watermark(30), rx.Chunk([5], [40]))
    )
    assert await signals(feed.stream.batch_by(lambda x: x)) == [
        rx.Watermark(15),
        rx.Watermark(20),
        rx.Chunk([[1, 1]], [20]),
        rx.Watermark(30),
        rx.Chunk([[5]], [40]),
    ]


async def test_a_list_by_weight_leaves_when_it_is_full_or_has_waited(
    virtual_time: VirtualTime,
) -> None:
    script = [rx.Chunk(["aa", "b"]), Pause(1), rx.Chunk(["cc", "dddd", "e"]), Pause(9)]
    given = []
    stream = scripted_source(script).batch(within=3, weight=len, max_weight=3)
    async for batch in stream:
        given.append((batch, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [(["aa", "b"], 0.0), (["cc"], 1.0), (["dddd"], 1.0), (["e"], 4.0)]


async def test_a_failing_function_fails_after_what_came_before() -> None:
    def weight(x: int) -> float:
        return [1, 1, 1, -1][x]

    given = []
    with pytest.raises(ValueError, match="a weight is 0 or more, and that of 3 is -1") as caught:
        async for batch in rx.range(5).batch(weight=weight, max_weight=2):
            given.append(batch)  # noqa: PERF401
    assert given == [[0, 1]]
    assert f"in operator batch ({__file__}:" in caught.value.__notes__[0]
    given = []
    with pytest.raises(ZeroDivisionError) as failed:
        async for batch in rx.of(2, 2, 1, 0).batch_by(lambda x: 2 // x):
            given.append(batch)
    assert given == [[2, 2]]
    assert f"in operator batch_by ({__file__}:" in failed.value.__notes__[0]


@pytest.mark.parametrize(
    "build",
    [
        lambda s, f: s.batch(weight=f, max_weight=2),
        lambda s, f: s.batch_while(f),
        lambda s, f: s.batch_by(f),
    ],
)
async def test_wrong_functions_are_refused(build: Any) -> None:
    async def fetch(*args: int) -> int:
        return 1

    with pytest.raises(TypeError, match="needs a function, not int 5"):
        build(rx.of(1), 5)
    with pytest.raises(TypeError, match="takes a plain function"):
        build(rx.of(1), fetch)
    with pytest.raises(TypeError, match="gave coroutine, which nobody would await"):
        await build(rx.of(1, 2), lambda *args: fetch(*args)).collect()


def test_wrong_bounds_are_refused_at_once() -> None:
    stream = rx.of(1)
    with pytest.raises(TypeError, match="batch needs a count, or a weight and max_weight"):
        stream.batch(within=1)  # type: ignore[call-overload]
    for wrong in ({"weight": abs}, {"max_weight": 3}):
        with pytest.raises(TypeError, match=r"takes `weight`, .*, and `max_weight` together"):
            stream.batch(2, **wrong)  # type: ignore[call-overload]
    for bound in (0, -1.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="batch needs a max_weight above 0, not"):
            stream.batch(weight=abs, max_weight=bound)
    with pytest.raises(TypeError, match="batch needs a number as max_weight, not '3'"):
        stream.batch(weight=abs, max_weight="3")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="batch needs a count of at least 1"):
        stream.batch(0, weight=abs, max_weight=3)
    for build in (
        lambda: stream.batch_by(abs, count=0),
        lambda: stream.batch_while(max, count=0),
        lambda: stream.buffer_until(stream, limit=0),
    ):
        with pytest.raises(ValueError, match="needs a count of at least 1, not 0"):
            build()
    with pytest.raises(TypeError, match="expected a Stream, got int"):
        stream.buffer_until(3)  # type: ignore[arg-type]


def buffered(limit: int) -> Callable[[Timeline, Timeline], Sequence[Event[Any]]]:
    def model(source: Timeline, boundary: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        held: list[Any] = []
        here = sorted(
            [*((one.time, 0, one) for one in source)]
            + [(one.time, 1, one) for one in boundary if not isinstance(one, End)]
        )
        for time, number, one in here:
            if isinstance(one, Failure):
                return [*given, Failure(time, one.error)]
            if isinstance(one, End):
                return [*given, *([Item(time, held)] if held else []), one]
            if number == 0:
                held = [*held, one.value]
            if number == 1 or len(held) == limit:
                given.append(Item(time, held))
                held = []
        return given

    return model


@model_of("buffer_until")
@given(timelines(0), timelines(1, endless=True), st.integers(1, 4))
@examples(100)
def test_buffer_until_times(source: Timeline, boundary: Timeline, limit: int) -> None:
    check_times(lambda s, b: s.buffer_until(b, limit=limit), [source, boundary], buffered(limit))


def test_an_empty_list_is_not_late() -> None:
    async def main() -> None:
        feed = Feed((rx.Chunk([1], [10]), rx.Watermark(30)))
        boundary = scripted_source([Pause(1), rx.Chunk(["a", "b"])])
        source = feed.stream.concat(scripted_source([Pause(5)]))
        given = await signals(source.buffer_until(boundary))
        assert pairs(given) == [([1], 10), ([], 30)]

    run(main())
    assert run(record(rx.never().buffer_until(rx.timer(3)), until=9)).events == (Item(3.0, []),)
