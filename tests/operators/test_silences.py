"""timeout and heartbeat: how long a silence lasts, whose it is, and what comes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, examples, feeds
from feeds import check as check_feed
from flurries import UNTIL, bounds, check, check_model, flurries, signals_at
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, ending_of, items_of, stream_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, Pause, Probe, record, run, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.observing import Stepping
from reactive.testing.plugin import VirtualTime

limits = st.sampled_from([None, 0.5, 1.5, 2.5, 4.5])
"""Never a whole second, at which things come."""


def in_time(
    timeline: Timeline, each: float | None, first: float | None, total: float | None
) -> tuple[list[Event[Any]], float | None]:
    """What comes in time, and when time is up if anything does not."""
    given: list[Event[Any]] = []
    before = 0.0
    ending = ending_of(timeline) or [End(UNTIL)]
    for event in [*items_of(timeline), *ending]:
        wait = first if first is not None and not given else each
        due = min(math.inf if wait is None else before + wait, total or math.inf)
        if due < event.time:
            return given, due
        given.append(event)
        before = event.time
    return given[: len(items_of(timeline))] + ending_of(timeline), None


@model_of("timeout")
@given(flurries(), limits, limits, st.sampled_from([None, 6.5, 15.5]), timelines(), bounds)
@examples(80)
def test_timeout(
    timeline: Timeline,
    each: float | None,
    first: float | None,
    total: float | None,
    fallback: Timeline,
    settings: rx.Settings,
) -> None:
    if each is first is total is None:
        return
    given, late = in_time(timeline, each, first, total)
    stream = stream_of(timeline)
    shifted = [] if late is None else [_shift(event, late) for event in fallback]
    check(
        stream.timeout(each, first=first, total=total, fallback=stream_of(fallback)),
        settings,
        given + shifted,
    )
    failing = stream.timeout(each, first=first, total=total)
    events = run(record(failing, until=UNTIL, settings=settings)).events
    if late is not None:
        assert isinstance(events[-1], Failure)
        assert isinstance(events[-1].error, TimeoutError)
        assert events[-1].time == pytest.approx(late)
        events = events[:-1]
    assert [event.time for event in events] == [event.time for event in given]


def _shift(event: Event[Any], seconds: float) -> Event[Any]:
    if isinstance(event, Item):
        return Item(event.time + seconds, event.value)
    if isinstance(event, End):
        return End(event.time + seconds)
    return Failure(event.time + seconds, event.error)


@given(feeds())
@examples(30)
async def test_a_timeout_that_does_not_come_changes_nothing(feed: Feed) -> None:
    await check_feed(lambda s: s.timeout(60), feed, lambda pairs: pairs)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"each": 3}, "no item for 3 s (each)"),
        ({"each": 3, "first": 2}, "no item in the first 2 s (first)"),
        ({"total": 4}, "not complete after 4 s of waiting (total)"),
        ({"each": 5, "total": 4.5}, "not complete after 4.5 s of waiting (total)"),
    ],
)
async def test_a_timeout_says_who_and_which(
    virtual_time: VirtualTime, options: dict[str, float], says: str
) -> None:
    with pytest.raises(TimeoutError) as caught:
        await rx.never().timeout(**options).named("feed").collect()
    assert str(caught.value).startswith("feed (")
    assert "test_silences.py" in str(caught.value)
    assert str(caught.value).endswith(says)


async def test_time_that_downstream_takes_is_not_upstreams(virtual_time: VirtualTime) -> None:
    script = [signal for n in range(5) for signal in (Pause(1), rx.Chunk([n]))]
    given = []
    async for item in scripted_source(script).timeout(1.5, first=1.5, total=5.5):
        given.append(item)
        await asyncio.sleep(100)
    assert given == [0, 1, 2, 3, 4]


async def test_a_signal_is_no_item_to_a_timeout(virtual_time: VirtualTime) -> None:
    script = [signal for n in range(9) for signal in (Pause(1), rx.Barrier(n + 1))]
    with pytest.raises(TimeoutError, match="each"):
        await scripted_source(script).timeout(4.5).collect()
    assert virtual_time.now == 4.5


async def test_upstream_is_closed_before_the_fallback_is_opened(
    virtual_time: VirtualTime,
) -> None:
    seen = []

    @asynccontextmanager
    async def connection(name: str) -> AsyncIterator[None]:
        seen.append((f"{name} opened", virtual_time.now))
        try:
            yield
        finally:
            await asyncio.sleep(2)
            seen.append((f"{name} closed", virtual_time.now))

    upstream = rx.using(lambda: connection("one"), lambda _: rx.of(1).concat(rx.never()))
    fallback = rx.using(lambda: connection("other"), lambda _: rx.of(2))
    assert await upstream.map(str).timeout(5, fallback=fallback).collect() == ["1", 2]
    assert seen == [
        ("one opened", 0),
        ("one closed", 7),
        ("other opened", 7),
        ("other closed", 9),
    ]


async def test_upstream_in_a_region_of_its_own_is_closed_too(virtual_time: VirtualTime) -> None:
    probe = Probe(scripted_source([rx.Chunk([1])], ends=False))
    stream = probe.stream.buffer(2).debounce(1).timeout(5, fallback=rx.of(2))
    assert await stream.collect() == [1, 2]
    probe.check()
    assert virtual_time.now == 6


async def test_an_opening_that_hangs_is_timed_out(virtual_time: VirtualTime) -> None:
    async def hang() -> rx.Stream[int]:
        await asyncio.sleep(1000)
        return rx.of(1)

    assert await rx.defer(hang).timeout(first=5, fallback=rx.of(2)).collect() == [2]
    assert virtual_time.now == 5


async def test_a_fallback_may_be_a_function_of_the_error(virtual_time: VirtualTime) -> None:
    stream: rx.Stream[Any] = rx.never().timeout(5, fallback=lambda error: rx.of(error))
    (error,) = await stream.collect()
    assert isinstance(error, TimeoutError)
    assert str(error).endswith("no item for 5 s (each)")
    with pytest.raises(TypeError, match="expected a Stream, got int"):
        await rx.never().timeout(5, fallback=lambda error: 3).collect()  # type: ignore[arg-type, return-value]


async def test_a_timeout_of_upstreams_own_passes(virtual_time: VirtualTime) -> None:
    error = TimeoutError("the peer")
    with pytest.raises(TimeoutError, match="the peer") as caught:
        await rx.fail(error).timeout(5, fallback=rx.of(2)).collect()
    assert caught.value is error


async def test_a_cancellation_from_outside_is_no_timeout(virtual_time: VirtualTime) -> None:
    probe = Probe(scripted_source([], ends=False))
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(3):
            await probe.stream.timeout(5, fallback=rx.of(2)).collect()
    assert str(caught.value) == ""
    probe.check()


async def test_a_run_that_goes_on_with_the_fallback_does_so_after_a_restore(
    virtual_time: VirtualTime,
) -> None:
    def build(upstream: rx.Stream[int], fallback: rx.Stream[int]) -> rx.Stream[int]:
        return upstream.timeout(5, fallback=fallback)

    barrier = rx.Barrier(1)
    first = build(rx.never(), scripted_source([rx.Chunk([1]), barrier, rx.Chunk([2])]))
    async with Stepping(first) as running:
        await running.read_until(barrier)
    probe = Probe([7])
    second = build(probe.stream, scripted_source([rx.Chunk([2])]))
    assert await signals_at(second, running.kept) == [(rx.Chunk([2]), 0)]
    assert probe.opens == 0


def test_wrong_limits_are_refused_at_once() -> None:
    stream = rx.of(1)
    with pytest.raises(ValueError, match="timeout needs at least one of `each`"):
        stream.timeout()
    for name in ("each", "first", "total"):
        for wrong in (0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"timeout needs `{name}` above 0 seconds"):
                stream.timeout(**{name: wrong})
    with pytest.raises(TypeError, match="timeout needs a stream or a function as fallback, not 3"):
        stream.timeout(1, fallback=3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="heartbeat needs `every` above 0 seconds, not 0"):
        stream.heartbeat(0, "h")
    with pytest.raises(TypeError, match="heartbeat takes a plain function"):
        stream.heartbeat(1, asyncio.sleep)


@model_of("heartbeat")
@given(flurries(), st.sampled_from([0.5, 1.5, 2.5, 7.5]), bounds)
@examples(60)
def test_heartbeat(timeline: Timeline, every: float, settings: rx.Settings) -> None:
    def model(timeline: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        before = 0.0
        for event in [*items_of(timeline), *(ending_of(timeline) or [End(UNTIL)])]:
            while before + every < event.time:
                before += every
                given.append(Item(before, "h"))
            given.append(event)
            before = event.time
        return given if ending_of(timeline) else given[:-1]

    check_model(lambda s: s.heartbeat(every, "h"), timeline, settings, model)


@given(feeds())
@examples(30)
async def test_without_silences_a_heartbeat_changes_nothing(feed: Feed) -> None:
    await check_feed(lambda s: s.heartbeat(60, 0), feed, lambda pairs: pairs)


async def test_a_function_is_called_for_each_heartbeat(virtual_time: VirtualTime) -> None:
    beats = iter("abc")
    stream = scripted_source([Pause(5)]).heartbeat(2, lambda: next(beats))
    assert await stream.collect() == ["a", "b"]


async def test_what_is_there_already_comes_before_a_heartbeat(virtual_time: VirtualTime) -> None:
    script = [signal for n in range(4) for signal in (Pause(4), rx.Chunk([n]))]
    given = []
    async for item in scripted_source([*script, Pause(20)]).heartbeat(3, "h"):
        given.append((item, virtual_time.now))
        await asyncio.sleep(9 if item == 0 else 0)
    # Busy from 4 to 13, in which 1 and 2 came; then silent for 3 before 3 comes.
    assert given[:6] == [("h", 3), (0, 4), (1, 13), (2, 13), (3, 16), ("h", 19)]


async def test_a_silence_that_downstream_slept_through_has_one_heartbeat(
    virtual_time: VirtualTime,
) -> None:
    given = []
    async for item in scripted_source([rx.Chunk([0]), Pause(30)]).heartbeat(4, "h"):
        given.append((item, virtual_time.now))
        await asyncio.sleep(17 if item == 0 else 0)
    assert given == [(0, 0), ("h", 17), ("h", 21), ("h", 25), ("h", 29)]


async def test_a_heartbeat_is_never_late_and_ends_no_idleness(virtual_time: VirtualTime) -> None:
    script = [
        *(Pause(3), rx.Chunk([1, 2], [30, 10]), rx.Watermark(20), Pause(3)),
        *(rx.Watermark(40), rx.IDLE, Pause(3), rx.Chunk([3], [50])),
    ]
    assert await signals_at(scripted_source(script).heartbeat(2, "h")) == [
        (rx.Chunk(["h"]), 2),
        (rx.Chunk([1, 2], [30, 10]), 3),
        (rx.Watermark(20), 3),
        (rx.Chunk(["h"], [30]), 5),
        (rx.Watermark(40), 6),
        (rx.IDLE, 6),
        (rx.Chunk(["h"], [40]), 7),
        (rx.IDLE, 7),
        (rx.Chunk([3], [50]), 9),
    ]
