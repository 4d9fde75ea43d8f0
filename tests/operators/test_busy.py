"""conflate and aggregate_while_busy: what comes while downstream is busy becomes one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, Pause, Probe, scripted_source
from reactive.testing.diagrams import busy
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime

SECONDS = 2.3


def waited_for(
    most: int | None, of: Callable[[list[Any]], Any]
) -> Callable[[Timeline], Sequence[Event[Any]]]:
    """What comes out behind work of `SECONDS`: an item alone where it finds nobody working, and
    else up to `most` that wait, at once, when the work before is done."""

    def model(source: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        waiting: list[Any] = []
        free = 0.0

        def work(start: float, items: list[Any]) -> None:
            nonlocal free
            free = start + SECONDS
            given.append(Item(free, of(items)))

        def work_until(time: float) -> None:
            while waiting and free <= time:
                work(free, waiting[:most])
                del waiting[:most]

        for one in items_of(source):
            work_until(one.time)
            if free <= one.time:
                work(one.time, [one.value])
            else:
                waiting.append(one.value)
        work_until(1000)
        for last in ending_of(source):
            end = max(last.time, free)
            given.append(End(end) if isinstance(last, End) else Failure(end, last.error))
        return given

    return model


@model_of("conflate")
@given(timelines(last=12))
@examples()
def test_conflate_times(source: Timeline) -> None:
    check_times(
        lambda s: s.conflate(lambda waiting, x: waiting - 2 * x).map(busy(SECONDS)),
        [source],
        waited_for(None, lambda items: items[0] - 2 * sum(items[1:])),
    )


@model_of("aggregate_while_busy")
@given(timelines(last=12), st.integers(1, 4))
@examples()
def test_aggregate_while_busy_times(source: Timeline, limit: int) -> None:
    check_times(
        lambda s: s.aggregate_while_busy(limit=limit).map(busy(SECONDS)),
        [source],
        waited_for(limit, list),
    )


@model_of("aggregate_while_busy")
@given(timelines(last=12), st.integers(1, 4))
@examples()
def test_aggregate_by_a_function_times(source: Timeline, limit: int) -> None:
    check_times(
        lambda s: s.aggregate_while_busy(lambda a, b: a + b, limit=limit).map(busy(SECONDS)),
        [source],
        waited_for(limit, sum),
    )


async def behind(stream: rx.Stream[Any]) -> list[Any]:
    """What a reader gets who is busy for a second with every item."""
    given = []
    async with stream.open() as items:
        async for item in items:
            given.append(item)
            await asyncio.sleep(1)
    return given


async def test_an_item_that_is_waited_for_leaves_alone_whatever_the_chunks(
    virtual_time: VirtualTime,
) -> None:
    for script in ([rx.Chunk([1, 2, 3])], [rx.Chunk([1]), rx.Chunk([2, 3])]):
        stream = scripted_source(script)
        assert await behind(stream.conflate(lambda a, b: a + b)) == [1, 5]
        assert await behind(stream.aggregate_while_busy()) == [[1], [2, 3]]


async def test_conflate_never_backpressures_and_holds_one_item(virtual_time: VirtualTime) -> None:
    probe = Probe([*range(5000)])
    async with probe.stream.conflate(lambda waiting, x: x).open() as items:
        assert await anext(items) == 0
        await asyncio.sleep(1)
        assert probe.items == 5000
        assert await anext(items) == 4999
    probe.check()


async def test_aggregate_while_busy_backpressures_at_its_limit(virtual_time: VirtualTime) -> None:
    for limit in (1, 3, 10):
        probe = Probe([*range(5000)])
        stream = probe.stream.aggregate_while_busy(limit=limit)
        async with stream.open(rx.Settings(chunk=2)) as items:
            assert await anext(items) == [0]
            await asyncio.sleep(1)
            # One item was given; a chunk is in the hands of who sends, another of who takes.
            assert probe.items <= 1 + 2 * limit + 2 * 2
            assert await anext(items) == [*range(1, 1 + limit)]
        probe.check()


async def test_a_result_has_the_latest_time_and_watermarks_go_behind_it(
    virtual_time: VirtualTime,
) -> None:
    script = [
        rx.Chunk([1], [10]),
        rx.Chunk([2, 3], [30, 20]),
        rx.Watermark(15),
        rx.Watermark(18),
        rx.Chunk([4], [25]),
        rx.Barrier(1),
        rx.Chunk([5], [40]),
        rx.IDLE,
    ]

    async def work(item: int) -> int:
        await asyncio.sleep(1)
        return item

    stream = scripted_source(script).conflate(lambda a, b: a + b).map(work)
    assert await signals(stream) == [
        rx.Chunk([1], [10]),
        rx.Chunk([9], [30]),
        rx.Watermark(18),
        rx.Barrier(1),
        rx.Chunk([5], [40]),
        rx.IDLE,
    ]


async def test_watermarks_pass_though_something_waits_whenever_downstream_asks(
    virtual_time: VirtualTime,
) -> None:
    script = [
        step
        for n in range(20)
        for step in (rx.Chunk([n], [10 * n]), rx.Watermark(10 * n), Pause(1))
    ]

    async def work(item: int) -> int:
        await asyncio.sleep(4.5)
        return item

    given = await signals(scripted_source(script).conflate(lambda a, b: b).map(work))
    latest = -1
    for signal in given:
        if isinstance(signal, rx.Watermark):
            assert signal.time == latest
        elif isinstance(signal, rx.Chunk):
            assert signal.times is not None
            latest = signal.times[-1]
    assert [type(signal) for signal in given[1:7]] == [rx.Chunk, rx.Watermark] * 3


async def test_what_waits_leaves_before_a_failure_of_either_side(
    virtual_time: VirtualTime,
) -> None:
    def add(waiting: int, item: int) -> int:
        return 1 // item + waiting

    for script, error in (([1, 1, 1, 0, 7], ZeroDivisionError), ([1, 1, 1], OSError)):
        given = []
        source = Feed((rx.Chunk(script), OSError("gone"))).stream
        with pytest.raises(error) as caught:
            async with source.conflate(add).open() as items:
                async for item in items:
                    given.append(item)
                    await asyncio.sleep(1)
        assert given == [1, 2]
        if error is ZeroDivisionError:
            assert f"in operator conflate ({__file__}:" in caught.value.__notes__[0]


async def test_a_fast_reader_gets_every_item_alone(virtual_time: VirtualTime) -> None:
    script = [step for n in range(4) for step in (Pause(1), rx.Chunk([n]))]
    assert await scripted_source(script).aggregate_while_busy().collect() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("name", ["conflate", "aggregate_while_busy"])
async def test_wrong_arguments_are_refused(name: str) -> None:
    async def fetch(*args: int) -> int:
        return 1

    build = getattr(rx.of(1, 2, 3), name)
    with pytest.raises(TypeError, match=f"{name} needs a function, not int 5"):
        build(5)
    with pytest.raises(TypeError, match=f"{name} takes a plain function"):
        build(fetch)
    with pytest.raises(TypeError, match="gave coroutine, which nobody would await"):
        await build(lambda *args: fetch(*args)).collect()
    with pytest.raises(ValueError, match="aggregate_while_busy needs a count of at least 1, not 0"):
        rx.of(1).aggregate_while_busy(limit=0)


async def test_times_come_only_with_items_that_have_them() -> None:
    feed = Feed((rx.Chunk([1, 2]),))
    assert pairs(await signals(feed.stream.aggregate_while_busy())) == [([1], None), ([2], None)]
