"""event_time where nothing comes: who is waited for, and how far the clock lifts the watermark."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from reactive.execution import Execution
from reactive.plan import JobPlan, make_plan
from reactive.testing import Pause, run, scripted_source
from reactive.testing.plugin import VirtualTime

SECOND = 1_000_000
IDLE = 6.25
"""So that no timer is due when an item comes, at whole seconds and a half."""

Moment = tuple[float, Any]


async def moments(
    stream: rx.Stream[Any], until: float = 100.0, busy: Callable[[Any], float] = lambda signal: 0
) -> list[Moment]:
    """Items, and control signals, with the time of the loop when they came out, if whoever takes
    them is `busy` for so many seconds with each."""
    execution = Execution(make_plan([JobPlan(stream.node)], mode="stream"))
    loop, given = asyncio.get_running_loop(), list[Moment]()
    begun = loop.time()
    await execution.open()
    try:
        async with asyncio.timeout_at(begun + until):
            while (signal := await execution.read()) is not None:
                parts = signal.items if isinstance(signal, rx.Chunk) else [signal]
                given += [(round(loop.time() - begun, 6), part) for part in parts]
                if seconds := busy(signal):
                    await asyncio.sleep(seconds)
    except TimeoutError:
        pass
    await execution.close()
    return given


def arriving(*arrivals: tuple[float, Any], ends: bool = False) -> rx.Stream[Any]:
    """A stream of items at these times of the loop's clock."""
    script: list[Any] = []
    now = 0.0
    for time, item in arrivals:
        if time > now:
            script.append(Pause(time - now))
        script.append(rx.Chunk([item]))
        now = time
    return scripted_source(script, ends=ends)


def marks(given: list[Moment]) -> list[tuple[float, float]]:
    return [(time, one.time / SECOND) for time, one in given if isinstance(one, rx.Watermark)]


def model(arrivals: list[tuple[float, int]], lateness: int, until: float) -> list[Moment]:
    """What comes out and when, with a watermark told past every second of event time, and a tick
    of the clock every second."""
    given: list[Moment] = []
    said: int | None = None
    high: int | None = None
    seen = 0.0
    for place, (time, item) in enumerate([*arrivals, (until, None)]):
        onset, base = seen + IDLE, None if high is None else high - lateness * SECOND
        tick = 0
        while onset + tick < time and (tick == 0 or base is not None):
            if base is not None and (said is None or base + tick * SECOND > said):
                said = base + tick * SECOND
                high = said + lateness * SECOND
                given.append((onset + tick, rx.Watermark(said)))
            given.append((onset + tick, rx.IDLE))
            tick += 1
        if place == len(arrivals):
            break
        given.append((time, item))
        seen, high = time, max(item * SECOND, item * SECOND if high is None else high)
        low = high - lateness * SECOND
        if said is None or low // SECOND > said // SECOND:
            said = low
            given.append((time, rx.Watermark(said)))
    return given


gaps = st.sampled_from([0, 0, 1, 2, 6, 7, 20])
rows = st.lists(st.tuples(gaps, st.integers(0, 40)), max_size=8)


@model_of("event_time")
@given(rows, st.sampled_from([0, 3]))
@examples(100)
async def test_the_clock_lifts_the_watermark_of_an_idle_stream(
    steps: list[tuple[int, int]], lateness: int
) -> None:
    arrivals, now = [], 0.5
    for gap, item in steps:
        now += gap
        arrivals.append((now, item))
    stream = arriving(*arrivals).event_time(lambda x: x, lateness=lateness, every=1, idle=IDLE)
    assert await in_virtual_time(moments(stream, now + 30)) == model(arrivals, lateness, now + 30)


async def in_virtual_time(work: Any) -> Any:
    return await asyncio.to_thread(run, work)


async def test_windows_close_when_nothing_comes_any_more(virtual_time: VirtualTime) -> None:
    stream = (
        arriving((1, 1), (2, 3), (500, 4))
        .event_time(lambda x: x, lateness=5)
        .window(rx.Tumbling(10))
        .aggregate(rx.count())
    )
    given = await moments(stream, 600)
    results = [(time, one) for time, one in given if isinstance(one, rx.Windowed)]
    ((when, windowed),) = results
    assert (windowed.window.end, windowed.value) == (10 * SECOND, 2)
    # The watermark was 3 - 5 s, the last item came at 2 s: idle at 62 s, and 12 s to go.
    assert when == 74


async def test_what_comes_after_the_clock_has_lifted_the_watermark_is_late(
    virtual_time: VirtualTime,
) -> None:
    stream = arriving((1, 1), (100, 5), (101, 200), ends=True).event_time(
        lambda x: x, idle=60, every=1
    )
    report = await rx.run(stream.to(memory.append([])), mode="stream")
    assert report["event_time"].counters == {"out_of_order": 1, "late": 1}


async def test_an_input_that_is_idle_does_not_hold_back_the_others(
    virtual_time: VirtualTime,
) -> None:
    busy = arriving(*((time, time) for time in range(1, 30))).event_time(lambda x: x, idle=10)
    quiet = arriving((1.5, 1), (25, 26)).event_time(lambda x: x, idle=10)
    never = arriving().event_time(lambda x: x, idle=5)
    given = await moments(busy.merge(quiet, never), 29.5)
    assert marks([one for one in given if one[0] < 5]) == []
    assert marks([one for one in given if 5 <= one[0] < 11]) == [(5, 1)]
    # The watermark of the quiet one, which the clock lifts, is behind: it does not count either.
    assert marks([one for one in given if 11 <= one[0] < 25]) == [(11.5, 11)] + [
        (time, time) for time in range(12, 25)
    ]


async def test_streams_that_are_all_idle_go_on_with_the_clock(virtual_time: VirtualTime) -> None:
    one = arriving((1, 100)).event_time(lambda x: x, idle=10, every=1)
    other = arriving((1, 50)).event_time(lambda x: x, idle=10, every=1)
    given = await moments(one.merge(other), 15)
    assert marks(given) == [(1, 50), (12, 101), (13, 102), (14, 103)]


async def test_a_partition_that_is_idle_does_not_hold_back_the_others(
    virtual_time: VirtualTime,
) -> None:
    rows = [*((float(time), (time, "a")) for time in range(1, 20)), (3.5, (3, "b"))]
    rows += [(15.5, (12, "b"))]
    stream = arriving(*sorted(rows)).event_time(
        lambda row: row[0], partition=lambda row: row[1], idle=6, every=1
    )
    given = await moments(stream, 19.5)
    watermarks = marks(given)
    assert watermarks[:3] == [(1, 1), (2, 2), (3, 3)]
    # Held at 3 from 3.5 on, when b came, for 6 seconds; then at what a said.
    assert watermarks[3:] == [(9.5, 9), *((time, time) for time in range(10, 16))]
    # At 15.5 b is back, behind: it holds the watermark where it is.
    assert watermarks[-1] == (15, 15)


async def test_idle_partitions_make_room_for_new_ones(virtual_time: VirtualTime) -> None:
    rows = [(float(20 * number), (number, number)) for number in range(6)]
    stream = arriving(*rows).event_time(
        lambda row: row[0], partition=lambda row: row[1], partition_limit=2, idle=5
    )
    given = await moments(stream, 200)
    assert [one for _, one in given if isinstance(one, tuple)] == [(n, n) for n in range(6)]


async def test_time_that_downstream_takes_is_not_idle(virtual_time: VirtualTime) -> None:
    stream = arriving(*((time, time) for time in range(10))).event_time(
        lambda x: x, idle=5, every=1
    )
    given = await moments(stream, 900, lambda signal: 50 if isinstance(signal, rx.Chunk) else 0)
    ends = next(time for time, one in given if one == 9) + 50
    assert ends > 100
    assert not [one for time, one in given if isinstance(one, rx.Idle) and time < ends]
    assert [mark for _, mark in marks(given)][:10] == list(range(10))
    assert next(time for time, one in given if isinstance(one, rx.Idle)) <= ends + 5


@pytest.mark.parametrize("partition", [None, lambda x: 0])
async def test_the_clock_goes_on_from_where_it_had_lifted_the_watermark_to(
    virtual_time: VirtualTime, partition: Any
) -> None:
    # The second item is late, and leaves the watermark at 10 + 39.
    stream = arriving((0.5, 10), (50, 12)).event_time(
        lambda x: x, idle=10, every=1, partition=partition
    )
    given = marks(await moments(stream, 63))
    assert given[0] == (0.5, 10)
    assert given[-3:] == [(49.5, 49), (61, 50), (62, 51)]


async def test_partitions_are_not_idle_while_downstream_is_slow(virtual_time: VirtualTime) -> None:
    rows = [(time, part) for time in range(10) for part in "ab"]
    items = scripted_source([rx.Chunk([row]) for row in rows], ends=False)
    stream = items.event_time(lambda row: row[0], partition=lambda row: row[1], idle=5, every=1)
    given = await moments(stream, 2000, lambda signal: 50 if isinstance(signal, rx.Chunk) else 0)
    ends = next(time for time, one in given if one == (9, "b")) + 50
    assert [mark for time, mark in marks(given) if time <= ends][:10] == list(range(10))


async def test_a_stream_begun_late_was_not_idle_before(virtual_time: VirtualTime) -> None:
    first = arriving((1, 1), (100, 2), ends=True)
    second = arriving((1, 3), (2, 4)).event_time(lambda x: x, idle=10, every=1)
    given = await moments(first.concat(second), 105)
    assert marks(given) == [(101, 3), (102, 4)]


@pytest.mark.parametrize("idle", [None, "auto"])
async def test_who_asks_for_it_is_never_idle(virtual_time: VirtualTime, idle: Any) -> None:
    unbounded = arriving((1, 1), (10, 2))
    bounded = arriving((1, 1), (200, 2), ends=True)
    stream = (unbounded if idle is None else bounded).event_time(lambda x: x, idle=idle, every=1)
    assert not stream.node.operator.timed  # type: ignore[attr-defined]
    given = await moments(stream, 1000)
    assert [one for _, one in given] == [1, rx.Watermark(SECOND), 2, rx.Watermark(2 * SECOND)]


async def test_by_default_what_may_never_end_is_idle_after_a_minute(
    virtual_time: VirtualTime,
) -> None:
    async def forever() -> AsyncIterator[int]:
        yield 5
        await asyncio.Event().wait()

    given = await moments(rx.from_async_iterable(forever()).event_time(lambda x: x), 62.5)
    assert given == [
        (0, 5),
        (0, rx.Watermark(5 * SECOND)),
        (60, rx.IDLE),
        (61, rx.Watermark(6 * SECOND)),
        (61, rx.IDLE),
        (62, rx.Watermark(7 * SECOND)),
        (62, rx.IDLE),
    ]


async def test_without_a_watermark_there_is_nothing_for_the_clock_to_lift(
    virtual_time: VirtualTime,
) -> None:
    never = rx.never().event_time(lambda x: x, idle=10)
    assert await moments(never, 1000) == [(10, rx.IDLE)]
    silent = arriving((1, 5), (50, 6)).event_time(
        lambda x: x, watermarks=rx.Punctuated(lambda x: None), idle=10
    )
    assert await moments(silent, 1000) == [(1, 5), (11, rx.IDLE), (50, 6), (60, rx.IDLE)]


async def test_a_checkpoint_keeps_what_the_clock_has_lifted(virtual_time: VirtualTime) -> None:
    states: dict[str, Any] = {}

    async def run(script: list[Any], partition: Any) -> list[Any]:
        stream = scripted_source(script, ends=False).event_time(
            lambda x: x, lateness=2, every=1, idle=10, partition=partition
        )
        execution = Execution(
            make_plan([JobPlan(stream.node)], mode="stream"),
            keeper=lambda _, kept: states.update(kept),
            restored=dict(states),
        )
        await execution.open()
        given: list[Any] = []
        while not given or given[-1] != rx.Barrier(2):
            signal = await execution.read()
            given.append(signal)
            if signal == rx.Barrier(1):
                break
        await execution.close()
        return given

    for partition in (None, lambda x: x % 1):
        states.clear()
        first = await run([rx.Chunk([5]), Pause(14.5), rx.Barrier(1)], partition)
        assert [one.time // SECOND for one in first if isinstance(one, rx.Watermark)] == [
            3,
            4,
            5,
            6,
            7,
        ]
        second = await run([rx.Chunk([6, 9, 10]), rx.Barrier(2)], partition)
        items = [one for one in second if not isinstance(one, rx.Chunk)]
        assert items == [rx.Watermark(8 * SECOND), rx.Barrier(2)]
