"""debounce, throttle, sample: which items, when, and what becomes of control signals."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import examples
from flurries import UNTIL, bounds, check, check_model, end_of, fails, flurries, signals_at
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, ending_of, items_of, stream_of, timelines

import reactive as rx
from reactive.testing import Item, Pause, record, run, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.observing import Stepping
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[Any]], rx.Stream[Any]]

times = st.sampled_from([0.5, 1, 2, 3, 5, 7.5])


def debounced(timeline: Timeline, seconds: Callable[[Any], float]) -> list[Event[Any]]:
    """An item is given unless another comes before its time is over."""
    items, end = items_of(timeline), end_of(timeline)
    given: list[Event[Any]] = []
    for place, item in enumerate(items):
        wait = seconds(item.value)
        following = items[place + 1].time if place + 1 < len(items) else math.inf
        due = item.time + wait
        if wait and following < due:
            continue
        if due <= end:
            given.append(Item(due, item.value))
        elif not fails(timeline):
            given.append(Item(end, item.value))
    return given + ending_of(timeline)


@model_of("debounce")
@given(flurries(), times, bounds)
@examples(60)
def test_debounce(timeline: Timeline, seconds: float, settings: rx.Settings) -> None:
    check_model(
        lambda s: s.debounce(seconds), timeline, settings, lambda t: debounced(t, lambda x: seconds)
    )


@model_of("debounce")
@given(flurries(), bounds)
@examples(60)
def test_debounce_by_item(timeline: Timeline, settings: rx.Settings) -> None:
    def half(x: int) -> float:
        return x / 2

    check_model(lambda s: s.debounce(half), timeline, settings, lambda t: debounced(t, half))


def throttled(
    timeline: Timeline, seconds: float, leading: bool, trailing: bool
) -> list[Event[Any]]:
    """A window is opened by an item, and by what is given at the end of the one before."""
    given: list[Event[Any]] = []
    closes, held = -math.inf, None

    def pass_time(now: float) -> None:
        nonlocal closes, held
        while held is not None and closes <= now:
            given.append(Item(closes, held))
            held, closes = None, closes + seconds

    for item in items_of(timeline):
        pass_time(item.time)
        opens = item.time >= closes
        if opens:
            closes = item.time + seconds
        if opens and leading:
            given.append(item)
        elif trailing:
            held = item.value
    pass_time(end_of(timeline))
    if held is not None and not fails(timeline):
        given.append(Item(end_of(timeline), held))
    return given + ending_of(timeline)


ENDS = [(True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("leading", "trailing"), ENDS)
@model_of("throttle")
@given(timeline=flurries(), seconds=times, settings=bounds)
@examples(40)
def test_throttle(
    leading: bool, trailing: bool, timeline: Timeline, seconds: float, settings: rx.Settings
) -> None:
    check_model(
        lambda s: s.throttle(seconds, leading=leading, trailing=trailing),
        timeline,
        settings,
        lambda t: throttled(t, seconds, leading, trailing),
    )


@pytest.mark.parametrize(("leading", "trailing"), ENDS)
@given(timeline=flurries(last=60, max_size=40), seconds=times)
@examples(20)
def test_throttle_never_gives_two_items_in_a_window(
    leading: bool, trailing: bool, timeline: Timeline, seconds: float
) -> None:
    stream = stream_of(timeline).throttle(seconds, leading=leading, trailing=trailing)
    recorded = run(record(stream, until=200)).events
    # What is held when the input ends does not wait.
    moments = [
        one.time for one in recorded if isinstance(one, Item) and one.time < end_of(timeline)
    ]
    assert all(later - before >= seconds for before, later in itertools.pairwise(moments))


def sampled(timeline: Timeline, ticks: list[float], end: float) -> list[Event[Any]]:
    """At each tick the latest item since the tick before; at the end the rest."""
    given: list[Event[Any]] = []
    before = 0.0
    for tick in (*(tick for tick in ticks if tick <= end), math.inf):
        found = [one for one in items_of(timeline) if before <= one.time < min(tick, end)]
        if found and tick <= end:
            given.append(Item(tick, found[-1].value))
        elif found and end < UNTIL and not fails(timeline):
            given.append(Item(end, found[-1].value))
        before = tick
    return given


@model_of("sample")
@given(flurries(), times, bounds)
@examples(60)
def test_sample(timeline: Timeline, every: float, settings: rx.Settings) -> None:
    ticks = [count * every for count in range(1, int(200 / every))]
    check_model(
        lambda s: s.sample(every),
        timeline,
        settings,
        lambda t: sampled(t, ticks, end_of(t)) + ending_of(t),
    )


@model_of("sample")
@given(flurries(), timelines(1, fails=False, endless=True), bounds)
@examples(60)
def test_sample_by_a_stream(timeline: Timeline, sampler: Timeline, settings: rx.Settings) -> None:
    ticks = [tick.time for tick in items_of(sampler)]
    end = min(end_of(timeline), end_of(sampler))
    ending = ending_of(timeline if end_of(timeline) <= end_of(sampler) else sampler)
    if end < end_of(timeline):
        timeline = tuple(items_of(timeline))
    expected = sampled(timeline, ticks, end) + ending
    check(stream_of(timeline).sample(stream_of(sampler)), settings, expected)


async def test_the_ticks_of_a_sample_are_counted_from_its_opening(
    virtual_time: VirtualTime,
) -> None:
    second = scripted_source([Pause(1), rx.Chunk([1]), Pause(9)]).sample(5)
    first = scripted_source([rx.Chunk([0]), Pause(3)])
    recorded = await record(first.concat(second))
    assert [(one.time, one.value) for one in recorded.events if isinstance(one, Item)] == [
        (0, 0),
        (8, 1),
    ]


async def test_a_failing_sampler_fails_the_sample() -> None:
    with pytest.raises(OSError, match="gone"):
        await rx.never().sample(rx.fail(OSError("gone"))).collect()


HOLDING: dict[str, Build] = {
    "debounce": lambda s: s.debounce(5),
    "debounce by item": lambda s: s.debounce(lambda x: 5),
    "throttle": lambda s: s.throttle(5, leading=False, trailing=True),
    "sample": lambda s: s.sample(5),
    "sample by a stream": lambda s: s.sample(rx.timer(5).concat(rx.never())),
}

each = pytest.mark.parametrize("name", HOLDING)


@each
async def test_a_watermark_and_an_idleness_wait_for_the_item_before_them(
    name: str, virtual_time: VirtualTime
) -> None:
    script = [rx.Chunk([1], [10]), rx.Watermark(20), rx.IDLE, Pause(9), rx.Watermark(30)]
    assert await signals_at(HOLDING[name](scripted_source(script))) == [
        (rx.Chunk([1], [10]), 5),
        (rx.Watermark(20), 5),
        (rx.IDLE, 5),
        (rx.Watermark(30), 9),
    ]


@each
async def test_a_watermark_goes_on_when_the_item_before_it_is_dropped(
    name: str, virtual_time: VirtualTime
) -> None:
    script = [
        *(rx.Chunk([1], [10]), rx.Watermark(20), rx.Watermark(25), rx.IDLE, Pause(2)),
        *(rx.Chunk([2], [40]), rx.Watermark(30), Pause(9)),
    ]
    due = 7 if "debounce" in name else 5
    assert await signals_at(HOLDING[name](scripted_source(script))) == [
        (rx.Watermark(25), 2),
        (rx.Chunk([2], [40]), due),
        (rx.Watermark(30), due),
    ]


@each
async def test_a_barrier_passes_and_what_is_held_is_in_the_snapshot(
    name: str, virtual_time: VirtualTime
) -> None:
    build, barrier = HOLDING[name], rx.Barrier(1)
    script = [rx.Chunk([1], [10]), rx.Watermark(20), Pause(3), barrier, Pause(9)]
    async with Stepping(build(scripted_source(script))) as running:
        assert await running.read_until(barrier) == ([], True)
        assert virtual_time.now == 3
    rest = build(scripted_source([Pause(8)]))
    assert await signals_at(rest, running.kept) == [
        (rx.Chunk([1], [10]), 5),
        (rx.Watermark(20), 5),
    ]


@pytest.mark.parametrize("trailing", [False, True])
async def test_a_window_that_is_open_at_a_barrier_is_open_after_it(
    trailing: bool, virtual_time: VirtualTime
) -> None:
    def build(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        return stream.throttle(5, trailing=trailing)

    barrier = rx.Barrier(1)
    async with Stepping(build(scripted_source([rx.Chunk([1]), Pause(2), barrier]))) as running:
        await running.read_until(barrier)
    rest = build(scripted_source([Pause(4), rx.Chunk([2]), Pause(2), rx.Chunk([3]), Pause(9)]))
    due = [(rx.Chunk([2]), 5), (rx.Chunk([3]), 10)] if trailing else [(rx.Chunk([3]), 6)]
    assert await signals_at(rest, running.kept) == due


async def test_items_that_wait_while_downstream_is_busy_come_when_it_asks_again(
    virtual_time: VirtualTime,
) -> None:
    script = [signal for n in range(8) for signal in (Pause(1), rx.Chunk([n]))]
    given: dict[str, list[Any]] = {}
    for name, build in {
        "debounce": lambda s: s.debounce(1.5),
        "throttle": lambda s: s.throttle(2, trailing=True),
        "sample": lambda s: s.sample(3),
    }.items():
        start = virtual_time.now
        given[name] = []
        async for item in build(scripted_source([*script, Pause(20)])):
            given[name].append((item, virtual_time.now - start))
            await asyncio.sleep(5.25)
    assert given == {
        "debounce": [(7, 9.5)],
        "throttle": [(0, 1), (1, 6.25), (5, 11.5), (7, 16.75)],
        "sample": [(1, 3), (2, 8.25), (7, 13.5)],
    }


async def test_a_buffer_behind_it_makes_a_throttle_independent_of_downstream(
    virtual_time: VirtualTime,
) -> None:
    script = [signal for n in range(8) for signal in (Pause(1), rx.Chunk([n]))]
    stream = scripted_source(script).throttle(2, trailing=True).buffer(9)
    given = []
    async for item in stream:
        given.append(item)
        await asyncio.sleep(5)
    assert given == [0, 1, 3, 5, 7]


async def test_what_a_function_of_debounce_gave_before_it_failed_leaves_first() -> None:
    def seconds(x: int) -> float:
        return [0, 0, -1][x]

    given = []
    with pytest.raises(ValueError, match="debounce needs what its function gives") as caught:
        async for item in rx.of(0, 1, 2).debounce(seconds):
            given.append(item)  # noqa: PERF401
    assert given == [0, 1]
    assert "in operator debounce" in caught.value.__notes__[0]


async def test_a_function_of_debounce_that_gives_no_seconds_is_refused() -> None:
    async def later(x: int) -> float:
        return 1.0

    with pytest.raises(TypeError, match=r"nobody would await; use map\(...\) for the part"):
        await rx.of(1).debounce(lambda x: later(x)).collect()  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"what its function gives in seconds, not 'soon'"):
        await rx.of(1).debounce(lambda x: "soon").collect()  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="debounce takes a plain function"):
        rx.of(1).debounce(later)  # type: ignore[arg-type]


def test_wrong_times_are_refused_at_once() -> None:
    stream = rx.of(1)
    for name in ("debounce", "throttle", "sample"):
        for wrong in (0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=rf"{name} needs its \w+ above 0 seconds, not"):
                getattr(stream, name)(wrong)
        with pytest.raises(TypeError, match=rf"{name} needs its \w+ in seconds, not 'soon'"):
            getattr(stream, name)("soon")
    with pytest.raises(ValueError, match="throttle gives nothing without"):
        stream.throttle(1, leading=False)
