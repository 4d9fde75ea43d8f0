"""delay, delay_each, rate_limit: every item, when it is due, and what backpressures."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, examples, feeds
from feeds import check as check_feed
from flurries import bounds, check_model, end_of, fails, flurries, signals_at
from hypothesis import given
from hypothesis import strategies as st
from timelines import ERROR, Timeline, ending_of, items_of

import reactive as rx
from reactive.testing import (
    End,
    Failure,
    Item,
    Pause,
    Probe,
    VirtualTimeLoop,
    record,
    scripted_source,
)
from reactive.testing.marbles import Event
from reactive.testing.observing import Stepping
from reactive.testing.plugin import VirtualTime

times = st.sampled_from([0, 0.5, 1, 2, 3, 7.5])


@model_of("delay")
@given(flurries(), times, bounds)
@examples(60)
def test_delay(timeline: Timeline, seconds: float, settings: rx.Settings) -> None:
    def model(timeline: Timeline) -> list[Event[Any]]:
        end = end_of(timeline)
        shifted = [Item(item.time + seconds, item.value) for item in items_of(timeline)]
        if fails(timeline):
            return [item for item in shifted if item.time <= end] + ending_of(timeline)
        last = shifted[-1].time if shifted else 0
        return [*shifted, *(End(max(end, last)) for _ in ending_of(timeline))]

    check_model(lambda s: s.delay(seconds), timeline, settings, model)


@model_of("delay")
@given(flurries(fails=False), times, st.integers(1, 4), bounds)
@examples(60)
def test_delay_with_a_limit(
    timeline: Timeline, seconds: float, limit: int, settings: rx.Settings
) -> None:
    def model(timeline: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        for place, item in enumerate(items_of(timeline)):
            freed = given[place - limit].time if place >= limit else 0
            given.append(Item(max(item.time, freed) + seconds, item.value))
        last = given[-1].time if given else 0
        return given + [End(max(end_of(timeline), last)) for _ in ending_of(timeline)]

    check_model(lambda s: s.delay(seconds, limit=limit), timeline, settings, model)


@given(feeds(signals=False))
@examples(30)
async def test_delay_changes_nothing_but_the_moment(feed: Feed) -> None:
    await check_feed(lambda s: s.delay(0.001), feed, lambda pairs: pairs)


@model_of("delay_each")
@given(flurries(), st.sampled_from([0, 0.5, 3, None]), bounds)
@examples(60)
def test_delay_each(timeline: Timeline, seconds: float | None, settings: rx.Settings) -> None:
    def pause(x: int) -> float:
        return x / 2

    def model(timeline: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        free = 0.0
        for item in items_of(timeline):
            free = max(free, item.time) + (pause(item.value) if seconds is None else seconds)
            given.append(Item(free, item.value))
        return given + later(ending_of(timeline), free)

    wait = pause if seconds is None else seconds
    check_model(lambda s: s.delay_each(wait), timeline, settings, model)


def later(ending: list[Event[Any]], free: float) -> list[Event[Any]]:
    """The end or failure, not before the last item."""
    return [
        End(max(free, one.time)) if isinstance(one, End) else Failure(max(free, one.time), ERROR)
        for one in ending
    ]


def limited(
    timeline: Timeline, rate: Fraction, burst: Fraction, weight: Callable[[Any], int]
) -> list[Event[Any]]:
    """A bucket that is looked at for every item."""
    given: list[Event[Any]] = []
    tokens, now = burst, Fraction(0)
    for item in items_of(timeline):
        came = max(now, Fraction(item.time))
        tokens = min(burst, tokens + (came - now) * rate)
        wait = max(Fraction(0), (min(Fraction(weight(item.value)), burst) - tokens) / rate)
        tokens += wait * rate - weight(item.value)
        now = came + wait
        given.append(Item(float(now), item.value))
    return given + later(ending_of(timeline), float(now) if given else 0.0)


rates = st.sampled_from([Fraction(1, 3), Fraction(1), Fraction(3, 2), Fraction(7)])
bursts = st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5)])


@model_of("rate_limit")
@given(flurries(), rates, bursts, bounds)
@examples(60)
def test_rate_limit(
    timeline: Timeline, rate: Fraction, burst: Fraction, settings: rx.Settings
) -> None:
    check_model(
        lambda s: s.rate_limit(float(rate), float(burst)),
        timeline,
        settings,
        lambda t: limited(t, rate, burst, lambda x: 1),
    )


@model_of("rate_limit")
@given(flurries(), rates, bursts, bounds)
@examples(60)
def test_rate_limit_by_weight(
    timeline: Timeline, rate: Fraction, burst: Fraction, settings: rx.Settings
) -> None:
    check_model(
        lambda s: s.rate_limit(float(rate), float(burst), weight=lambda x: x),
        timeline,
        settings,
        lambda t: limited(t, rate, burst, lambda x: x),
    )


@given(feeds())
@examples(30)
async def test_pacing_changes_nothing_but_the_moment(feed: Feed) -> None:
    for build in (lambda s: s.delay_each(1e-6), lambda s: s.rate_limit(1e6)):
        await check_feed(build, feed, lambda pairs: pairs)


async def test_a_rate_does_not_drift(virtual_time: VirtualTime) -> None:
    last = await rx.range(3_001).rate_limit(3).last()
    assert last == 3_000
    assert virtual_time.now == 1_000


class LateTimers(VirtualTimeLoop):
    """Every timer fires a millisecond late."""

    def call_at(self, when: float, *args: Any, **options: Any) -> Any:
        return super().call_at(when + 0.001, *args, **options)


@pytest.mark.parametrize("chunk", [1, 64])
@pytest.mark.parametrize("rate", [100, 5000])
def test_late_timers_do_not_slow_a_rate(rate: int, chunk: int) -> None:
    async def main() -> float:
        await rx.range(1001).rate_limit(rate).collect(rx.Settings(chunk=chunk))
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=LateTimers) as runner:
        assert runner.run(main()) == pytest.approx(1000 / rate, abs=0.0011)


async def test_a_loop_that_was_held_up_does_not_let_a_flood_through() -> None:
    class Held(VirtualTimeLoop):
        def call_at(self, when: float, *args: Any, **options: Any) -> Any:
            return super().call_at(when + 10 * (when == 1), *args, **options)

    def main() -> list[float]:
        async def read() -> list[float]:
            clock = asyncio.get_running_loop().time
            return [clock() async for _ in rx.range(30).rate_limit(1)]

        with asyncio.Runner(loop_factory=Held) as runner:
            return runner.run(read())

    moments = await asyncio.to_thread(main)
    assert moments[:3] == [0, 11, pytest.approx(11.95)]
    assert moments[-1] == pytest.approx(38.95)


async def test_a_consumer_that_is_slower_than_the_rate_gathers_no_more_than_a_burst(
    virtual_time: VirtualTime,
) -> None:
    given = []
    async for item in rx.range(10).rate_limit(1, burst=2):
        given.append((item, virtual_time.now))
        await asyncio.sleep(10 if item == 3 else 0)
    assert [moment for _, moment in given] == [0, 0, 1, 2, 12, 12, 13, 14, 15, 16]


async def test_what_was_given_before_a_weight_failed_leaves_first(
    virtual_time: VirtualTime,
) -> None:
    asked = []

    def weight(x: int) -> float:
        asked.append(x)
        return [1, 0, 1, -1][x]

    given = []
    with pytest.raises(
        ValueError, match="rate_limit needs a `weight` of 0 or more, not -1"
    ) as caught:
        async for item in rx.range(9).rate_limit(1, weight=weight):
            given.append(item)  # noqa: PERF401
    assert given == [0, 1, 2]
    assert asked == [0, 1, 2, 3]
    assert "in operator rate_limit" in caught.value.__notes__[0]


async def test_delay_holds_no_more_than_its_limit(virtual_time: VirtualTime) -> None:
    probe = Probe(scripted_source([rx.Chunk([n]) for n in range(500)]))
    async with probe.stream.delay(5, limit=20).open(rx.Settings(chunk=3, edge=2)) as items:
        assert await anext(items) == 0
        assert 20 <= probe.items <= 20 + 3 * 3 + 2
        await asyncio.sleep(100)
        assert 20 <= probe.items <= 20 + 3 * 4 + 2


@pytest.mark.parametrize("name", ["delay_each", "rate_limit"])
async def test_a_paced_stream_asks_only_for_what_is_taken(
    name: str, virtual_time: VirtualTime
) -> None:
    probe = Probe(scripted_source([rx.Chunk([n]) for n in range(500)]))
    async with getattr(probe.stream, name)(2).open() as items:
        for _ in range(10):
            await anext(items)
        await asyncio.sleep(100)
    assert probe.items == 10


async def test_delay_shifts_watermarks_with_the_items_and_lets_barriers_pass(
    virtual_time: VirtualTime,
) -> None:
    script = [
        *(rx.Chunk([1], [10]), Pause(1), rx.Watermark(10), rx.Barrier(1), rx.IDLE, Pause(1)),
        *(rx.Chunk([2], [20]), rx.Barrier(2)),
    ]
    assert await signals_at(scripted_source(script).delay(3)) == [
        (rx.Barrier(1), 1),
        (rx.Barrier(2), 2),
        (rx.Chunk([1], [10]), 3),
        (rx.Watermark(10), 4),
        (rx.IDLE, 4),
        (rx.Chunk([2], [20]), 5),
    ]


async def test_delay_goes_on_with_the_time_that_was_left(virtual_time: VirtualTime) -> None:
    barrier = rx.Barrier(1)
    script = [rx.Chunk([1, 2]), Pause(1), rx.Chunk([3]), Pause(1), barrier, Pause(99)]
    async with Stepping(scripted_source(script).delay(5, limit=4)) as running:
        assert await running.read_until(barrier) == ([], True)
    rest = scripted_source([Pause(1), rx.Chunk([4, 5])]).delay(5, limit=4)
    assert await signals_at(rest, running.kept) == [
        (rx.Chunk([1, 2]), 3),
        (rx.Chunk([3]), 4),
        (rx.Chunk([4]), 6),
        (rx.Chunk([5]), 8),
    ]


async def test_a_rate_goes_on_with_the_tokens_it_had(virtual_time: VirtualTime) -> None:
    barrier = rx.Barrier(1)
    script = [rx.Chunk([1, 2, 3]), barrier]
    async with Stepping(scripted_source(script).rate_limit(1, burst=2)) as running:
        await running.read_until(barrier)
    rest = scripted_source([rx.Chunk([4])]).rate_limit(1, burst=2)
    assert await signals_at(rest, running.kept) == [(rx.Chunk([4]), 1)]


async def test_what_comes_while_downstream_is_busy_is_delayed_from_when_it_asks_again(
    virtual_time: VirtualTime,
) -> None:
    script = [signal for n in range(4) for signal in (Pause(1), rx.Chunk([n]))]
    given = []
    async for item in scripted_source(script).delay(2.5):
        given.append((item, virtual_time.now))
        await asyncio.sleep(10 if item == 0 else 0)
    assert given == [(0, 3.5), (1, 13.5), (2, 13.5), (3, 16)]


async def test_cancelled_in_a_pause_everything_is_closed(virtual_time: VirtualTime) -> None:
    builds: list[Callable[[rx.Stream[Any]], rx.Stream[Any]]] = [
        lambda s: s.delay(50),
        lambda s: s.delay_each(50),
        lambda s: s.rate_limit(0.01),
    ]
    for build in builds:
        probe = Probe([1, 2])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await build(probe.stream).collect()
        probe.check()
        assert probe.closes == 1
        assert len(asyncio.all_tasks()) == 1


def test_wrong_times_and_rates_are_refused_at_once() -> None:
    stream = rx.of(1)
    for name in ("delay", "delay_each"):
        for wrong in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=rf"{name} needs its time of 0 seconds or more"):
                getattr(stream, name)(wrong)
        with pytest.raises(TypeError, match=rf"{name} needs its time in seconds, not 'soon'"):
            getattr(stream, name)("soon")
    with pytest.raises(ValueError, match="delay needs a count of at least 1, not 0"):
        stream.delay(1, limit=0)
    for wrong in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="rate_limit needs a `rate` above 0, not"):
            stream.rate_limit(wrong)
        with pytest.raises(ValueError, match="rate_limit needs a `burst` above 0, not"):
            stream.rate_limit(1, wrong)
    with pytest.raises(TypeError, match="rate_limit needs a number as `rate`, not True"):
        stream.rate_limit(True)
    with pytest.raises(TypeError, match="rate_limit needs a function"):
        stream.rate_limit(1, weight=3)  # type: ignore[arg-type]


async def test_a_paced_failure_comes_after_the_items_before_it(virtual_time: VirtualTime) -> None:
    stream = scripted_source([rx.Chunk([1, 2, 3]), OSError("gone")])
    for build in (lambda s: s.delay_each(2), lambda s: s.rate_limit(0.5)):
        recorded = await record(build(stream))
        assert recorded.items == [1, 2, 3]
        assert isinstance(recorded.events[-1], Failure)
    assert (await record(stream.delay(2))).items == []
