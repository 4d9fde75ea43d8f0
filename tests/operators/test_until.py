"""take_until, skip_until, take_for."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest
from catalogue import model_of
from feeds import Feed, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, timelines

import reactive as rx
from reactive.testing import Failure, Item, Probe, run, slow_source
from reactive.testing.marbles import End, Event
from reactive.testing.observing import Stepping
from reactive.testing.plugin import VirtualTime

NOW = datetime(2025, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def until(events: Sequence[Event[Any]], moment: float) -> list[Event[Any]]:
    """What a stream gives that completes at a moment."""
    before = [event for event in events if event.time < moment]
    if before and not isinstance(before[-1], Item):
        return before
    return [*before, End(moment)]


def since(events: Sequence[Event[Any]], moment: float) -> list[Event[Any]]:
    """What a stream gives that starts to give at a moment."""
    return [one for one in events if one.time > moment or not isinstance(one, Item)]


def cut(events: Sequence[Event[Any]], failure: Failure) -> list[Event[Any]]:
    """What a stream gives that fails at a moment."""
    return [*until(events, failure.time)[:-1], failure]


@model_of("take_until")
@given(timelines(), timelines(1, endless=True))
@examples()
def test_take_until_a_stream(main: Timeline, other: Timeline) -> None:
    def model(main: Timeline, other: Timeline) -> list[Event[Any]]:
        for event in other:
            if event.time > main[-1].time or isinstance(event, End):
                break
            return until(main, event.time) if isinstance(event, Item) else cut(main, event)
        return list(main)

    check_times(lambda s, o: s.take_until(o), [main, other], model)


@model_of("skip_until")
@given(timelines(), timelines(1, endless=True))
@examples()
def test_skip_until_a_stream(main: Timeline, other: Timeline) -> None:
    def model(main: Timeline, other: Timeline) -> list[Event[Any]]:
        if other and other[0].time < main[-1].time and isinstance(other[0], Item | Failure):
            first = other[0]
            return since(main, first.time) if isinstance(first, Item) else [first]
        return [main[-1]]

    check_times(lambda s, o: s.skip_until(o), [main, other], model)


def set_after(seconds: float, *, only: bool) -> Callable[[], asyncio.Event]:
    """An event that is set later, with `only` for an instant."""

    def make() -> asyncio.Event:
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, event.set)
        if only:
            loop.call_later(seconds, event.clear)
        return event

    return make


@model_of("take_until", "skip_until")
@given(timelines(), st.integers(0, 30), st.booleans(), st.booleans())
@examples()
def test_until_an_event(main: Timeline, seconds: int, take: bool, only: bool) -> None:
    make = set_after(seconds + 0.5, only=only)

    def build(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        return rx.defer(lambda: (stream.take_until if take else stream.skip_until)(make()))

    check_times(build, [main], lambda events: (until if take else since)(events, seconds + 0.5))


@model_of("take_until", "skip_until")
@given(timelines(), st.integers(-3, 30), st.booleans())
@examples()
def test_until_a_time_of_day(main: Timeline, seconds: int, take: bool) -> None:
    moment = (NOW + timedelta(seconds=seconds + 0.5)).astimezone(UTC)

    def build(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        return stream.take_until(moment) if take else stream.skip_until(moment)

    def model(events: Timeline) -> list[Event[Any]]:
        return until(events, max(0, seconds + 0.5)) if take else since(events, seconds + 0.5)

    with patch("operators.until.wall_clock", lambda: NOW):
        check_times(build, [main], model)


@model_of("take_for")
@given(timelines(endless=True), st.integers(0, 30))
@examples()
def test_take_for(main: Timeline, seconds: int) -> None:
    check_times(
        lambda s: s.take_for(seconds + 0.5), [main], lambda events: until(events, seconds + 0.5)
    )


async def test_take_for_counts_from_its_own_opening(virtual_time: VirtualTime) -> None:
    stream = rx.timer(10).concat(rx.interval(1).take_for(3.5))
    assert await stream.collect() == [0, 0, 1, 2]
    assert virtual_time.now == 13.5


async def test_take_for_takes_nothing_more_while_its_consumer_waits(
    virtual_time: VirtualTime,
) -> None:
    given = []
    stream = slow_source(range(100), 1).take_for(5.5)
    async with stream.open(rx.Settings(chunk=1)) as items:
        async for item in items:
            given.append(item)
            await asyncio.sleep(4)
    assert (given, virtual_time.now) == ([0, 1], 9)


NEVER: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "take_until a stream": lambda s: s.take_until(rx.empty()),
    "take_until an event": lambda s: s.take_until(asyncio.Event()),
    "take_until a time of day": lambda s: s.take_until(datetime.now(UTC) + timedelta(days=1)),
    "take_for": lambda s: s.take_for(1000),
    "skip_until a past time of day": lambda s: s.skip_until(NOW),
}


@pytest.mark.parametrize("name", NEVER)
@given(feed=feeds())
@examples(20)
async def test_what_does_nothing(name: str, feed: Feed) -> None:
    await check(NEVER[name], feed, lambda pairs: pairs)


@given(feeds(timed=True), st.booleans())
@examples(30)
async def test_the_watermarks_of_the_other_stream_do_not_count(feed: Feed, take: bool) -> None:
    other = Feed((rx.Watermark(-5),)).stream.concat(rx.never())

    def build(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        return stream.take_until(other) if take else stream.skip_until(other)

    # A barrier waits for that of the other stream, which never comes.
    script = tuple(signal for signal in feed.script if not isinstance(signal, rx.Barrier))
    await check(build, Feed(script), lambda pairs: pairs if take else [])


@pytest.mark.parametrize("name", [*NEVER, "skip_until a stream", "skip_until an event"])
async def test_of_nothing_comes_nothing(name: str) -> None:
    builds = NEVER | {
        "skip_until a stream": lambda s: s.skip_until(rx.never()),
        "skip_until an event": lambda s: s.skip_until(asyncio.Event()),
    }
    assert await builds[name](rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await builds[name](rx.fail(error)).collect()
    assert caught.value is error


async def test_both_streams_are_closed_at_the_moment(virtual_time: VirtualTime) -> None:
    main, other = Probe(slow_source(range(100), 1)), Probe(slow_source([0, 0], 3.5))
    assert await main.stream.take_until(other.stream).collect() == [0, 1, 2]
    assert virtual_time.now == 3.5
    for probe in (main, other):
        assert (probe.opens, probe.closes) == (1, 1)
        probe.check()


async def test_skip_until_closes_the_other_stream_when_it_has_given(
    virtual_time: VirtualTime,
) -> None:
    other = Probe(rx.interval(2.5))
    async with slow_source(range(100), 1).skip_until(other.stream).open() as items:
        assert await anext(items) == 2
        assert (virtual_time.now, other.closes) == (3, 1)
        assert [await anext(items) for _ in range(3)] == [3, 4, 5]
    assert other.items == 1


async def test_take_until_ends_with_upstream_and_closes_the_other(
    virtual_time: VirtualTime,
) -> None:
    other = Probe(rx.interval(100))
    assert await slow_source(range(3), 1).take_until(other.stream).collect() == [0, 1, 2]
    assert virtual_time.now == 3
    other.check()


async def test_a_moment_that_has_come_opens_nothing() -> None:
    event = asyncio.Event()
    event.set()
    probe = Probe(rx.range(5))
    for moment in (event, NOW):
        assert await probe.stream.take_until(moment).collect() == []
    assert probe.opens == 0


def barriers_after(items: list[int], place: int) -> tuple[Feed, Feed]:
    """The items with a barrier among them, and what comes after it."""
    after = (rx.Chunk(items[place:]),) if items[place:] else ()
    before = (rx.Chunk(items[:place]),) if items[:place] else ()
    return Feed((*before, rx.Barrier(1), *after)), Feed(after)


@pytest.mark.parametrize("take", [True, False])
@pytest.mark.parametrize("other", [([], 0), ([1], 0), ([1], 1)])
@given(place=st.integers(0, 4))
@examples(10)
async def test_barriers_are_aligned_and_the_moment_is_kept(
    take: bool, other: tuple[list[int], int], place: int
) -> None:
    def build(main: rx.Stream[Any], other: rx.Stream[Any]) -> rx.Stream[Any]:
        return main.take_until(other) if take else main.skip_until(other)

    (main, main_rest), (notes, notes_rest) = (
        barriers_after([1, 2, 3, 4], place),
        barriers_after(*other),
    )
    silent = rx.never()
    async with Stepping(build(main.stream.concat(silent), notes.stream.concat(silent))) as running:
        _, came = await running.read_until(rx.Barrier(1))
        if not came:
            assert take and other == ([1], 1)
            return
        kept = pickle.loads(pickle.dumps(running.kept))
    rests = build(main_rest.stream, notes_rest.stream)
    async with Stepping(rests, kept) as restored:
        again, _ = await restored.read_until(None)
    reached = bool(other[0])
    expected = [] if take == reached else [1, 2, 3, 4][place:]
    assert [entry.value for entry in again] == expected  # type: ignore[union-attr]


async def test_a_barrier_that_came_before_the_moment_is_given_before_the_end(
    virtual_time: VirtualTime,
) -> None:
    main = Feed((rx.Chunk([1]), rx.Barrier(1), rx.Chunk([2]))).stream
    async with Stepping(main.take_until(rx.timer(5))) as running:
        before, came = await running.read_until(rx.Barrier(1))
        assert (len(before), came, virtual_time.now) == (1, True, 5)
        assert await running.read_until(None) == ([], False)
    async with Stepping(rx.never().take_until(rx.never()), running.kept) as restored:
        assert await restored.read_until(None) == ([], False)


def test_take_for_goes_on_with_the_seconds_that_were_left() -> None:
    async def main() -> list[Any]:
        async with Stepping(ticks_with_a_barrier().take_for(5.5)) as running:
            await running.read_until(rx.Barrier(1))
            kept = pickle.loads(pickle.dumps(running.kept))
        await asyncio.sleep(1000)
        async with Stepping(slow_source(range(100), 1).take_for(5.5), kept) as restored:
            again, _ = await restored.read_until(None)
        return again

    assert [entry.value for entry in run(main())] == [0, 1]


def ticks_with_a_barrier() -> rx.Stream[int]:
    return slow_source([0, 1, 2], 1).concat(Feed((rx.Barrier(1),)).stream, rx.never())


@pytest.mark.parametrize("name", ["take_until", "skip_until"])
def test_what_tells_no_moment_is_refused_at_once(name: str) -> None:
    method = getattr(rx.of(1), name)
    with pytest.raises(
        ValueError, match=rf"{name} needs a datetime with a time zone, such as.*UTC"
    ):
        method(datetime(2025, 6, 1))
    for wrong in (5, timedelta(seconds=5), None, [1]):
        with pytest.raises(TypeError, match=f"{name} needs a stream, an asyncio.Event or a datet"):
            method(wrong)


def test_take_for_refuses_times_that_make_no_sense() -> None:
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="take_for needs a time above 0 seconds"):
            rx.of(1).take_for(wrong)
    with pytest.raises(TypeError, match="take_for needs a time in seconds, not '5'"):
        rx.of(1).take_for("5")  # type: ignore[arg-type]


def test_what_ends_by_itself() -> None:
    ticks = rx.interval(1)
    for stream, ends in [
        (ticks.take_for(5), True),
        (ticks.take_until(NOW), True),
        (ticks.take_until(rx.timer(1)), True),
        (ticks.take_until(asyncio.Event()), False),
        (ticks.skip_until(rx.timer(1)), False),
        (rx.range(3).skip_until(ticks), True),
    ]:
        assert (", bounded" in str(stream.explain()).splitlines()[0]) is ends


@pytest.mark.parametrize("name", ["take_until", "skip_until"])
def test_an_event_of_another_loop_is_refused(name: str) -> None:
    event = asyncio.Event()

    async def collect() -> list[int]:
        return await getattr(rx.range(2).concat(rx.never()), name)(event).collect()

    async def bind() -> None:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(bind())
    with pytest.raises(RuntimeError, match="different event loop"):
        asyncio.run(asyncio.wait_for(collect(), 1))
