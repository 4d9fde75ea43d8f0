"""concat_map, merge_map, switch_map, exhaust_map: what comes of inner streams, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import aiostream.stream
import pytest
from catalogue import model_of
from feeds import Feed, check, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, stream_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import End, Failure, Item, Pause, Probe, failing_source, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime

Inners = Sequence[Timeline]


@st.composite
def nestings(draw: st.DrawFn) -> tuple[Timeline, Inners]:
    """An outer timeline of the numbers 0, 1, ..., and the inner one that is made of each."""
    outer = draw(timelines(max_size=5, last=12))
    numbers = iter(range(5))
    numbered = tuple(
        replace(event, value=next(numbers)) if isinstance(event, Item) else event for event in outer
    )
    # With powers of two no sum of inner times is that of another.
    inners = [draw(timelines(2**index, max_size=3, last=6)) for index in range(5)]
    return numbered, inners


def shifted(events: Timeline, start: float) -> list[Event[Any]]:
    return [replace(event, time=start + event.time) for event in events]


def until_failure(events: Sequence[Event[Any]]) -> list[Event[Any]]:
    """Up to the first failure, without the ends of inner streams."""
    kept: list[Event[Any]] = []
    for event in sorted(events, key=lambda event: event.time):
        if not isinstance(event, End):
            kept.append(event)
        if isinstance(event, Failure):
            break
    return kept


def completed(events: Sequence[Event[Any]], outer: Timeline, last: float) -> list[Event[Any]]:
    """With the end of the outer stream, or its failure, when the inner streams let it through."""
    kept = until_failure(events)
    if kept and isinstance(kept[-1], Failure):
        return kept
    return [*kept, replace(ending_of(outer)[0], time=max(ending_of(outer)[0].time, last))]


def concat_model(outer: Timeline, inners: Inners) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    free = 0.0
    for item in items_of(outer):
        events = shifted(inners[item.value], max(item.time, free))
        given += events
        free = events[-1].time
        if isinstance(events[-1], Failure):
            break
    return completed(given, outer, free)


def merge_model(outer: Timeline, inners: Inners, concurrency: int) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    slots = [0.0] * concurrency
    began = 0.0
    for item in items_of(outer):
        began = max(item.time, began, min(slots))
        events = shifted(inners[item.value], began)
        slots[slots.index(min(slots))] = events[-1].time
        given += events
    ending = ending_of(outer)[0]
    if isinstance(ending, Failure):
        return until_failure([*given, replace(ending, time=max(ending.time, began))])
    return completed(given, outer, max(slots))


def switch_model(outer: Timeline, inners: Inners) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    items, ending = items_of(outer), ending_of(outer)[0]
    last = 0.0
    for item, following in zip(items, [*items, ending][1:], strict=True):
        events = shifted(inners[item.value], item.time)
        if isinstance(following, End):
            last = events[-1].time
        else:
            events = [event for event in events if event.time < following.time]
        given += events
    return completed(given, outer, last)


def exhaust_model(outer: Timeline, inners: Inners) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    free = 0.0
    for item in items_of(outer):
        if item.time >= free:
            events = shifted(inners[item.value], item.time)
            given += events
            free = events[-1].time
    ending = ending_of(outer)[0]
    if isinstance(ending, Failure):
        return until_failure([*given, ending])
    return completed(given, outer, free)


@pytest.mark.parametrize(
    ("build", "model"),
    [
        (lambda s, fn: s.concat_map(fn), concat_model),
        (lambda s, fn: s.map(fn).concat_all(), concat_model),
        (lambda s, fn: s.merge_map(fn), lambda outer, inners: merge_model(outer, inners, 16)),
        (lambda s, fn: s.merge_map(fn, 2), lambda outer, inners: merge_model(outer, inners, 2)),
        (lambda s, fn: s.map(fn).merge_all(1), lambda outer, inners: merge_model(outer, inners, 1)),
        (lambda s, fn: s.switch_map(fn), switch_model),
        (lambda s, fn: s.map(fn).switch(), switch_model),
        (lambda s, fn: s.exhaust_map(fn), exhaust_model),
    ],
)
@model_of("concat_all", "merge_all", "switch_map", "switch", "exhaust_map")
@given(nesting=nestings())
@examples(40)
def test_what_comes_when(
    nesting: tuple[Timeline, Inners],
    build: Callable[..., rx.Stream[Any]],
    model: Callable[[Timeline, Inners], list[Event[Any]]],
) -> None:
    outer, inners = nesting
    check_times(
        lambda stream: build(stream, lambda number: stream_of(inners[number])),
        [outer],
        lambda outer: model(outer, inners),
    )


def test_the_models_differ() -> None:
    outer = (Item(0.0, 0), Item(1.0, 1), End(9.0))
    inners = [(Item(0.5, "a"), Item(3.0, "b"), End(4.0)), (Item(0.25, "c"), End(1.5))]

    def values(events: Sequence[Event[Any]]) -> str:
        return "".join(event.value for event in events if isinstance(event, Item))

    assert values(concat_model(outer, inners)) == "abc"
    assert values(merge_model(outer, inners, 2)) == "acb"
    assert values(merge_model(outer, inners, 1)) == "abc"
    assert values(switch_model(outer, inners)) == "ac"
    assert values(exhaust_model(outer, inners)) == "ab"


async def repeated(number: int) -> AsyncIterator[int]:
    for _ in range(abs(number)):
        yield number


MADE: list[Callable[[int], Any]] = [
    lambda x: rx.from_iterable([x] * abs(x)),
    lambda x: rx.of(*[x] * abs(x)).map(lambda item: item).rebatch(2),
    repeated,
]


@model_of("concat_map")
@given(feeds(), st.sampled_from(MADE))
@examples(40)
async def test_concat_map_is_a_nested_loop(feed: Feed, fn: Callable[[int], Any]) -> None:
    await check(
        lambda s: s.concat_map(fn),
        feed,
        lambda pairs: [pair for pair in pairs for _ in range(abs(pair[0]))],
    )


@model_of("merge_map")
@given(feeds(), st.sampled_from(MADE), st.sampled_from([1, 2, 16]))
@examples(40)
async def test_merge_map_loses_nothing_and_keeps_barriers_and_watermarks(
    feed: Feed, fn: Callable[[int], Any], concurrency: int
) -> None:
    given = await signals(feed.stream.merge_map(fn, concurrency))
    said = [one for one in controls(given) if one != rx.IDLE]
    assert said == [one for one in feed.controls if one != rx.IDLE]

    def parts(given: Sequence[Any], times: Callable[[int], int]) -> list[list[Any]]:
        """The items before, between and after the barriers, in no order."""
        result: list[list[Any]] = [[]]
        for signal in given:
            if isinstance(signal, rx.Barrier):
                result.append([])
            result[-1] += [pair for pair in pairs([signal]) for _ in range(times(pair[0]))]
        return [sorted(part, key=repr) for part in result]

    assert parts(given, lambda _: 1) == parts(feed.script, abs)  # type: ignore[arg-type]
    low = -1
    for signal in given:
        if isinstance(signal, rx.Watermark):
            low = signal.time
        elif isinstance(signal, rx.Chunk) and signal.times is not None:
            assert min(signal.times) >= low


BUILDS: dict[str, Callable[..., rx.Stream[Any]]] = {
    "concat_map": lambda s, fn: s.concat_map(fn),
    "merge_map": lambda s, fn: s.merge_map(fn),
    "switch_map": lambda s, fn: s.switch_map(fn),
    "exhaust_map": lambda s, fn: s.exhaust_map(fn),
}
all_of_them = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)


@all_of_them
def test_async_functions_are_refused_at_once(build: Callable[..., rx.Stream[Any]]) -> None:
    async def later(x: int) -> rx.Stream[int]:
        return rx.of(x)

    with pytest.raises(TypeError, match=r"_map takes a plain function, and .* is async"):
        build(rx.of(1), later)
    with pytest.raises(TypeError, match="needs a function, not int 3"):
        build(rx.of(1), 3)


@all_of_them
async def test_what_is_no_stream_is_refused_with_the_fix(
    build: Callable[..., rx.Stream[Any]],
) -> None:
    with pytest.raises(TypeError, match=r"its function gave list; .* use flat_map") as caught:
        await build(rx.of(1), lambda x: [x]).collect()
    assert any(f"{__file__}:" in note for note in caught.value.__notes__)
    with pytest.raises(TypeError, match=r"switch needs streams .* got int"):
        await rx.of(1).switch().collect()  # type: ignore[misc]


def test_a_concurrency_has_to_make_sense() -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        rx.of(1).merge_map(rx.of, 0)
    with pytest.raises(TypeError, match="concurrency must be a whole number"):
        rx.of(rx.of(1)).merge_all(1.5)  # type: ignore[arg-type]


@all_of_them
async def test_every_inner_stream_is_closed_when_one_fails(
    virtual_time: VirtualTime, build: Callable[..., rx.Stream[Any]]
) -> None:
    error = OSError("gone")
    outer, inner = Probe(rx.interval(1)), Probe(rx.interval(0.4))
    failing = scripted_source([rx.Chunk(["before"]), Pause(2.5), error])
    stream = build(outer.stream.take(3), lambda tick: inner.stream if tick == 1 else failing)
    given = []
    with pytest.raises(OSError, match="gone") as caught:
        async for item in stream:
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert caught.value is error
    assert given[0] == "before"
    outer.check()
    inner.check()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@all_of_them
@pytest.mark.parametrize("inner_of", [lambda s: s, lambda s: s.map(str)])
async def test_leaving_closes_everything(
    virtual_time: VirtualTime,
    build: Callable[..., rx.Stream[Any]],
    inner_of: Callable[..., rx.Stream[Any]],
) -> None:
    outer, inner = Probe(rx.interval(1)), Probe(rx.interval(0.3))
    async with build(outer.stream, lambda _: inner_of(inner.stream)).open() as items:
        for _ in range(5):
            await anext(items)
        assert inner.active
    outer.check()
    inner.check()


async def test_no_more_than_concurrency_run_at_once(virtual_time: VirtualTime) -> None:
    running = peak = 0

    async def inner(x: int) -> AsyncIterator[int]:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        yield x
        running -= 1

    outer = Probe(range(100))
    given = await outer.stream.merge_map(inner, 3).take(9).collect(rx.Settings(chunk=3))
    assert sorted(given) == [*range(9)]
    assert peak == 3
    assert virtual_time.now == 3
    assert outer.items < 30


async def test_slow_downstream_holds_back_the_inner_streams() -> None:
    inner = Probe(range(100_000))
    stream = rx.range(4).merge_map(lambda _: inner.stream)
    async with stream.open(rx.Settings(chunk=16, edge=16)) as items:
        for _ in range(10):
            await anext(items)
        for _ in range(200):
            await asyncio.sleep(0)
        assert inner.items <= 10 + 16 + 16 + 4 * 16
    inner.check()


async def test_concat_map_opens_a_stream_when_its_turn_comes(virtual_time: VirtualTime) -> None:
    probes = [Probe(rx.timer(1)) for _ in range(3)]
    async with rx.range(3).concat_map(lambda x: probes[x].stream).open() as items:
        await anext(items)
        assert [probe.opens for probe in probes] == [1, 0, 0]
        await anext(items)
        assert [probe.opens for probe in probes] == [1, 1, 0]
        assert [probe.closes for probe in probes] == [1, 0, 0]
    assert probes[2].opens == 0


async def test_nothing_comes_of_the_stream_that_was_left(virtual_time: VirtualTime) -> None:
    happened: list[str] = []

    async def inner(x: int) -> AsyncIterator[str]:
        happened.append(f"{x} begins")
        try:
            while True:
                await asyncio.sleep(0.4)
                yield f"{x} lives"
        except asyncio.CancelledError:
            yield f"{x} is stubborn"
        finally:
            await asyncio.sleep(0.3)
            happened.append(f"{x} closed at {virtual_time.now:g}")

    outer = rx.interval(1).take(2)
    given = await outer.switch_map(inner).take_until(rx.timer(3.1)).collect()
    assert given == ["0 lives", "0 lives", "1 lives", "1 lives"]
    assert happened[:3] == ["0 begins", "0 closed at 2.3", "1 begins"]


async def test_what_was_left_untaken_is_dropped_and_counted(virtual_time: VirtualTime) -> None:
    gate: rx.Subject[str] = rx.Subject()
    kept: list[int] = []

    async def slow(x: int) -> int:
        await asyncio.sleep(1)
        return x

    stream = gate.switch_map(lambda x: rx.of(*[x] * 10)).named("switch").rebatch(1).map(slow)
    async with rx.start(stream.to(memory.append(kept)), settings=rx.Settings(edge=4)) as run:
        await gate.send("a")
        await asyncio.sleep(2.5)
        await gate.send("b")
        gate.close()
        report = await run.wait()
    assert "".join(map(str, kept)).count("b") == 10
    assert len(kept) < 20
    assert 0 < report["switch"].counters["dropped"] <= 20 - len(kept)


async def test_outer_items_that_nobody_waits_for_are_counted(virtual_time: VirtualTime) -> None:
    outer = scripted_source([rx.Chunk([1, 2]), Pause(1), rx.Chunk([3, 4])])
    kept: list[int] = []
    exhaust = outer.exhaust_map(lambda x: rx.timer(5).map(lambda _: x)).named("exhaust")
    report = await rx.run(exhaust.to(memory.append(kept)))
    assert (kept, report["exhaust"].counters) == ([1], {"dropped": 3})
    kept.clear()
    switch = outer.switch_map(lambda x: rx.timer(5).map(lambda _: x)).named("switch")
    report = await rx.run(switch.to(memory.append(kept)))
    assert (kept, report["switch"].counters["skipped"]) == ([4], 2)


@pytest.mark.parametrize("name", ["concat_map", "merge_map"])
async def test_a_drain_ends_what_is_endless_and_lets_the_rest_finish(
    virtual_time: VirtualTime, name: str
) -> None:
    kept: list[Any] = []
    outer: rx.Subject[int] = rx.Subject()
    made = {
        1: rx.of("a", "b").map(str.upper).concat(rx.timer(5).map(str)),
        2: rx.interval(1).map(lambda n: f"tick {n}"),
        3: rx.from_async_iterable(ticking()),
    }
    stream = BUILDS[name](outer, lambda x: made[x])
    async with rx.start(stream.to(memory.append(kept))) as run:
        for number in made:
            await outer.send(number)
        await asyncio.sleep(2.5)
        await run.stop(drain=True)
    assert virtual_time.now == 5
    assert {"A", "B", "0"} <= set(kept)
    assert ("tick 1" in kept) is (name == "merge_map")


async def ticking() -> AsyncIterator[int]:
    while True:
        await asyncio.sleep(1)
        yield 1


@pytest.mark.parametrize("name", ["merge_map", "exhaust_map", "concat_map"])
async def test_a_barrier_waits_for_the_inner_streams(virtual_time: VirtualTime, name: str) -> None:
    outer = scripted_source([rx.Chunk([1]), rx.Barrier(1), Pause(1), rx.Chunk([2])])
    stream = BUILDS[name](outer, lambda x: rx.interval(2).map(lambda n: (x, n)).take(2))
    given = await signals(stream)
    assert [*pairs(given[:2]), given[2], *pairs(given[3:])] == [
        ((1, 0), None),
        ((1, 1), None),
        rx.Barrier(1),
        ((2, 0), None),
        ((2, 1), None),
    ]


async def test_a_barrier_passes_the_inner_stream_of_switch_map(virtual_time: VirtualTime) -> None:
    outer = scripted_source([rx.Chunk([1]), Pause(3), rx.Barrier(1)])
    given = await signals(outer.switch_map(lambda x: rx.interval(2).take(2)))
    assert given == [rx.Chunk([0]), rx.Barrier(1), rx.Chunk([1])]


async def test_a_watermark_waits_for_the_inner_streams_before_it(
    virtual_time: VirtualTime,
) -> None:
    script = [rx.Chunk([3, 1], [10, 20]), rx.Watermark(30), rx.Chunk([5], [40]), rx.Watermark(50)]
    stream = scripted_source(script).merge_map(lambda x: rx.timer(x).map(lambda _: x))
    assert await signals(stream) == [
        rx.Chunk([1], [20]),
        rx.Chunk([3], [10]),
        rx.Watermark(30),
        rx.Chunk([5], [40]),
        rx.Watermark(50),
    ]


@pytest.mark.parametrize("name", BUILDS)
async def test_inner_streams_keep_their_own_times_and_watermarks(name: str) -> None:
    script = (rx.Chunk(["a"], [5]), rx.Watermark(7), rx.Chunk(["b"], [9]), rx.Watermark(10))
    given = await signals(BUILDS[name](rx.of(1), lambda _: Feed(script).stream))
    assert tuple(given) == script


async def test_the_watermark_is_the_least_of_the_inner_ones(virtual_time: VirtualTime) -> None:
    made = {
        1: scripted_source([rx.Watermark(10), Pause(2), rx.Watermark(30), Pause(2)]),
        2: scripted_source([Pause(1), rx.Watermark(20), Pause(2), rx.Watermark(40), Pause(9)]),
        3: scripted_source([Pause(0.5), rx.IDLE, Pause(9)]),
    }
    given = await signals(rx.of(1, 2, 3).merge_map(lambda x: made[x]))
    assert given[:4] == [rx.Watermark(10), rx.Watermark(20), rx.Watermark(30), rx.Watermark(40)]


@pytest.mark.virtual_time
async def test_watermarks_that_wait_are_bounded() -> None:
    outer = Feed((rx.Chunk([1], [0]), *(rx.Watermark(time) for time in range(1, 500))))
    gate: rx.Subject[int] = rx.Subject()
    execution_given = asyncio.ensure_future(signals(outer.stream.merge_map(lambda _: gate)))
    await asyncio.sleep(1)
    gate.close()
    given = await execution_given
    assert given[-1] == rx.Watermark(499)
    assert len(given) < 100


async def test_an_idle_outer_stream_is_idle_once_the_inner_ones_are(
    virtual_time: VirtualTime,
) -> None:
    outer = scripted_source([rx.Chunk([1]), rx.IDLE, Pause(5), rx.Chunk([1])])
    inner = scripted_source([rx.Chunk(["a"]), Pause(1), rx.IDLE, Pause(1), rx.Chunk(["b"])])
    for build in (lambda s: s.merge_map(lambda _: inner), lambda s: s.concat_map(lambda _: inner)):
        given = await signals(build(outer))
        assert given[:3] == [rx.Chunk(["a"]), rx.IDLE, rx.Chunk(["b"])]


@all_of_them
async def test_a_failing_cleanup_is_not_swallowed(build: Callable[..., rx.Stream[Any]]) -> None:
    class Stuck(AsyncIterator[int]):
        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            raise OSError("stuck")

    with pytest.raises(OSError, match="stuck"):
        async with build(rx.of(1), lambda _: Stuck()).open() as items:
            assert await anext(items) == 1


async def test_streams_of_aiostream_serve() -> None:
    def made(x: int) -> Any:
        return aiostream.stream.range(x)

    assert await rx.of(2, 3).concat_map(made).collect() == [0, 1, 0, 1, 2]
    assert sorted(await rx.of(2, 3).merge_map(made).collect()) == [0, 0, 1, 1, 2]


async def test_inner_pipelines_nest_deep() -> None:
    def nest(depth: int) -> rx.Stream[int]:
        return rx.of(depth) if depth == 0 else rx.of(depth).merge_map(lambda _: nest(depth - 1))

    assert await nest(20).collect() == [0]


async def test_a_failing_inner_stream_can_be_recovered_inside() -> None:
    def made(x: int) -> rx.Stream[int]:
        return failing_source([x], OSError("gone")).recover(rx.of(-x))

    assert await rx.of(1, 2).concat_map(made).collect() == [1, -1, 2, -2]


async def test_a_failure_of_an_inner_stream_can_be_recovered_outside() -> None:
    stream = rx.of(1, 2, 3).merge_map(lambda x: rx.fail(OSError(str(x))))
    assert await stream.recover(rx.of("safe")).collect() == ["safe"]
