"""batch by count, batch by count and time, sliding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Pause, scripted_source
from reactive.testing.plugin import VirtualTime


def batches(given: list[Pair], count: int) -> list[Pair]:
    groups = [given[start : start + count] for start in range(0, len(given), count)]
    return [([item for item, _ in group], group[-1][1]) for group in groups]


@model_of("batch")
@given(feeds(), st.integers(1, 7))
@examples()
async def test_batch(feed: Feed, count: int) -> None:
    def model(pairs: list[Pair]) -> list[Pair]:
        given = batches(pairs, count)
        if len(pairs) % count:
            given[-1] = given[-1][0], feed.at_end(given[-1][1])
        return given

    await check(lambda stream: stream.batch(count), feed, model)


@model_of("batch")
@given(feeds(signals=False), st.integers(1, 7))
@examples()
async def test_batch_within_a_long_time(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.batch(count, within=3600),
        feed,
        lambda pairs: batches(pairs, count),
    )


@given(feeds(timed=True), st.integers(1, 7))
@examples()
async def test_no_batch_within_is_late_behind_a_watermark(feed: Feed, count: int) -> None:
    low = -1
    for signal in await signals(feed.stream.batch(count, within=3600)):
        if isinstance(signal, rx.Watermark):
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            assert signal.times is not None
            assert min(signal.times) >= low


@model_of("sliding")
@given(feeds(), st.integers(1, 5), st.integers(1, 7))
@examples(100)
async def test_sliding(feed: Feed, count: int, step: int) -> None:
    def model(given: list[Pair]) -> list[Pair]:
        ends = range(count, len(given) + 1, step)
        windows = [given[end - count : end] for end in ends]
        return [([item for item, _ in window], window[-1][1]) for window in windows]

    await check(lambda stream: stream.sliding(count, step), feed, model)


async def test_a_batch_leaves_when_its_first_item_has_waited_long_enough(
    virtual_time: VirtualTime,
) -> None:
    script = [Pause(1), rx.Chunk([1]), Pause(2), rx.Chunk([2]), Pause(2), rx.Chunk([3]), Pause(9)]
    given = []
    async for batch in scripted_source(script).batch(10, within=3):
        given.append((batch, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [([1, 2], 4.0), ([3], 8.0)]


async def test_a_full_batch_leaves_at_once_and_the_next_waits_its_own_time(
    virtual_time: VirtualTime,
) -> None:
    script = [rx.Chunk([1, 2, 3]), Pause(4), rx.Chunk([4, 5]), Pause(4)]
    given = []
    async for batch in scripted_source(script).batch(2, within=5):
        given.append((batch, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [([1, 2], 0.0), ([3, 4], 4.0), ([5], 8.0)]


async def test_the_rest_leaves_at_the_end_without_waiting(virtual_time: VirtualTime) -> None:
    assert await rx.range(5).batch(3, within=60).collect() == [[0, 1, 2], [3, 4]]
    assert virtual_time.now == 0


async def test_silence_gives_no_empty_batches(virtual_time: VirtualTime) -> None:
    stream = scripted_source([Pause(100), rx.Chunk([1]), Pause(100)]).batch(5, within=1)
    assert await stream.collect() == [[1]]
    assert virtual_time.now == 200


async def test_a_slow_consumer_does_not_lengthen_the_batches_wait(
    virtual_time: VirtualTime,
) -> None:
    script = [signal for n in range(6) for signal in (Pause(1), rx.Chunk([n]))]
    given = []
    async for batch in scripted_source(script).batch(10, within=2):
        given.append((batch, virtual_time.now))
        await asyncio.sleep(4)
    assert given == [([0, 1, 2], 3.0), ([3, 4, 5], 7.0)]


async def test_batch_within_behind_steps_and_before_them(virtual_time: VirtualTime) -> None:
    script = [signal for n in range(4) for signal in (Pause(1), rx.Chunk([n, n]))]
    stream = scripted_source(script).map(lambda x: x + 1).batch(3, within=1.5).map(sum).batch(2)
    assert await stream.collect() == [[4, 8], [8]]


async def test_sliding_windows_are_lists_of_their_own() -> None:
    windows = await rx.range(4).sliding(2).tap(lambda window: window.append(9)).collect()
    assert windows == [[0, 1, 9], [1, 2, 9], [2, 3, 9]]


async def test_batches_of_a_failing_stream_leave_before_the_failure() -> None:
    for within in (None, 60.0):
        given = []
        with pytest.raises(OSError, match="gone"):
            async for batch in rx.range(5).concat(rx.fail(OSError("gone"))).batch(2, within=within):
                given.append(batch)  # noqa: PERF401
        assert given == [[0, 1], [2, 3]]


BUILDS: list[Callable[[rx.Stream[Any]], rx.Stream[Any]]] = [
    lambda s: s.batch(2),
    lambda s: s.batch(2, within=1),
    lambda s: s.sliding(2),
]


@pytest.mark.parametrize("build", BUILDS)
async def test_of_nothing_comes_nothing(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
) -> None:
    assert await build(rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await build(rx.fail(error)).collect()
    assert caught.value is error


def test_wrong_counts_and_times_are_refused_at_once() -> None:
    stream = rx.of(1)
    for build in (stream.batch, stream.sliding):
        with pytest.raises(ValueError, match="needs a count of at least 1, not 0"):
            build(0)
        with pytest.raises(TypeError, match=r"needs a whole number of items, not 1\.5"):
            build(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sliding \(step\) needs a count of at least 1, not 0"):
        stream.sliding(2, 0)
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"batch needs `within` above 0 seconds, not"):
            stream.batch(2, within=wrong)
    with pytest.raises(TypeError, match=r"batch needs `within` in seconds, not 'soon'"):
        stream.batch(2, within="soon")  # type: ignore[arg-type]


async def test_a_batch_has_the_time_of_its_last_item() -> None:
    feed = Feed((rx.Chunk([1, 2, 3], [30, 10, 20]),))
    for within in (None, 60.0):
        assert pairs(await signals(feed.stream.batch(2, within=within))) == [
            ([1, 2], 10),
            ([3], 20),
        ]


async def test_what_a_timer_gives_from_an_idle_input_leaves_it_idle(
    virtual_time: VirtualTime,
) -> None:
    steps = [rx.Chunk([1], [0]), rx.IDLE, Pause(60), rx.Chunk([2], [1])]
    given = await signals(scripted_source(steps).batch(5, within=10))
    assert given == [rx.IDLE, rx.Chunk([[1]], [0]), rx.IDLE, rx.Chunk([[2]], [1])]
