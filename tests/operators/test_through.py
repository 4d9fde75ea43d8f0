"""pipe and through: the user's own operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, check, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def twice(items: AsyncIterator[Any], times: int = 2, *, plus: int = 0) -> AsyncIterator[Any]:
    async for item in items:
        for _ in range(times):
            yield item + plus


async def every_other(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item
        await anext(items, None)


@given(feeds())
@examples()
async def test_a_generator_that_passes_everything_changes_nothing_but_times(feed: Feed) -> None:
    given = await signals(feed.stream.through(passing))
    assert pairs(given) == [(item, None) for item in feed.items]
    assert controls(given) == feed.controls


@model_of("pipe")
@given(feeds(), st.integers())
@examples(20)
async def test_pipe_calls_the_function(feed: Feed, step: int) -> None:
    def more(stream: rx.Stream[int], by: int, *, plus: int) -> rx.Stream[int]:
        return stream.map(lambda x: x + by + plus)

    await check(
        lambda stream: stream.pipe(more, step, plus=1),
        feed,
        lambda pairs: [(item + step + 1, time) for item, time in pairs],
    )


@model_of("through")
@given(feeds(signals=False))
@examples()
async def test_through_gives_what_the_generator_yields(feed: Feed) -> None:
    items = feed.items
    assert await feed.stream.through(twice, 3, plus=1).collect() == [
        item + 1 for item in items for _ in range(3)
    ]
    assert await feed.stream.through(every_other).collect() == items[::2]


@given(feeds())
@examples()
async def test_control_signals_pass_after_what_was_given_before_them(feed: Feed) -> None:
    given = await signals(feed.stream.through(passing))
    for number, control in enumerate(feed.controls):
        before = feed.script[: position(feed.script, number)]
        assert pairs(given[: position(given, number)]) == [
            (item, None) for item, _ in pairs(before)
        ], control


def position(script: Any, number: int) -> int:
    """Where the control signal of this number stands."""
    places = [
        place for place, one in enumerate(script) if not isinstance(one, (rx.Chunk, Exception))
    ]
    return places[number]


async def test_further_arguments_are_given_to_the_generator() -> None:
    assert await rx.of(1, 2).through(twice, 1, plus=10).collect() == [11, 12]
    assert await rx.of(1).through(twice, times=3).collect() == [1, 1, 1]


async def test_the_generator_is_asked_only_when_an_item_is_wanted() -> None:
    asked: list[int] = []

    async def watched(items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            asked.append(item)
            yield item

    async with rx.range(100).through(watched).open() as items:
        for number in range(5):
            assert await anext(items) == number
            assert asked == list(range(number + 1))


async def test_the_generator_runs_and_closes_in_one_task(virtual_time: VirtualTime) -> None:
    tasks: list[Any] = []
    probe = Probe(rx.interval(1))

    async def watched(items: AsyncIterator[int]) -> AsyncIterator[int]:
        tasks.append(asyncio.current_task())
        try:
            async with asyncio.timeout(100):
                async for item in items:
                    yield item
        finally:
            await asyncio.sleep(1)
            tasks.append(asyncio.current_task())
            assert probe.closes == 0

    assert await probe.stream.through(watched).buffer(1).take(2).collect() == [0, 1]
    first, last = tasks
    assert first is last
    probe.check()


async def test_a_generator_that_returns_completes_and_closes_upstream(
    virtual_time: VirtualTime,
) -> None:
    probe = Probe(rx.interval(1))

    async def first_two(items: AsyncIterator[int]) -> AsyncIterator[int]:
        yield await anext(items)
        yield await anext(items)

    assert await probe.stream.through(first_two).collect() == [0, 1]
    assert virtual_time.now == 2
    probe.check()


async def test_items_given_before_a_failure_come_first() -> None:
    async def failing(items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield 10 // item

    given = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in rx.of(5, 2, 0, 1).through(failing).map(int):
            given.append(item)  # noqa: PERF401
    assert given == [2, 5]
    assert f"in operator through ({__file__}:" in caught.value.__notes__[0]


async def test_a_generator_may_handle_what_upstream_raises() -> None:
    async def rescuing(items: AsyncIterator[int]) -> AsyncIterator[Any]:
        try:
            async for item in items:
                yield item
        except OSError as error:
            yield str(error)

    failing = rx.of(1, 2).concat(rx.fail(OSError("gone")))
    assert await failing.through(rescuing).collect() == [1, 2, "gone"]


async def test_after_a_failure_upstream_gives_the_end() -> None:
    async def stubborn(items: AsyncIterator[int]) -> AsyncIterator[Any]:
        while True:
            try:
                yield await anext(items)
            except OSError:
                yield "failed"
            except StopAsyncIteration:
                return

    failing = Probe(rx.fail(OSError("gone")))
    assert await failing.stream.through(stubborn).collect() == ["failed"]
    assert await failing.stream.map(str).through(stubborn).collect() == ["failed"]
    failing.check()


async def test_an_upstream_failure_passes_as_it_is() -> None:
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await rx.fail(error).through(passing).collect()
    assert caught.value is error


async def test_of_nothing_comes_what_the_generator_gives() -> None:
    async def at_least_one(items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield item
        yield -1

    assert await rx.empty().through(passing).collect() == []
    assert await rx.empty().through(at_least_one).collect() == [-1]


async def test_a_cancellation_that_the_generator_swallows_counts_all_the_same(
    virtual_time: VirtualTime,
) -> None:
    async def deaf(items: AsyncIterator[int]) -> AsyncIterator[int]:
        while True:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                pass
            yield 1

    probe = Probe(rx.interval(1))
    task = asyncio.ensure_future(probe.stream.through(deaf).collect())
    await asyncio.sleep(12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert virtual_time.now == 12
    probe.check()


async def test_the_cancellation_of_a_task_that_read_before_is_nobodys_affair(
    virtual_time: VirtualTime,
) -> None:
    async with rx.interval(1).through(passing).open() as items:

        async def first() -> int:
            number = await anext(items)
            await asyncio.sleep(100)
            return number

        before = asyncio.ensure_future(first())
        await asyncio.sleep(1.5)
        reading = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        before.cancel()
        assert await reading == 1
        assert await anext(items) == 2
        assert before.cancelled()


async def test_a_time_limit_inside_the_generator_is_its_own_affair(
    virtual_time: VirtualTime,
) -> None:
    async def impatient(items: AsyncIterator[int]) -> AsyncIterator[int]:
        for _ in range(3):
            try:
                async with asyncio.timeout(0.5):
                    await asyncio.sleep(5)
            except TimeoutError:
                yield -1

    assert await rx.interval(1).through(impatient).collect() == [-1, -1, -1]


async def test_pipe_applies_a_function_to_the_stream() -> None:
    def only(items: rx.Stream[int], *wanted: int, shift: int = 0) -> rx.Stream[int]:
        return items.filter(lambda x: x in wanted).map(lambda x: x + shift)

    assert await rx.range(10).pipe(only, 3, 5, shift=1).collect() == [4, 6]
    assert rx.range(3).pipe(lambda stream: 5) == 5


def test_what_is_no_async_generator_is_refused() -> None:
    async def coroutine(items: AsyncIterator[int]) -> int:
        return 1

    with pytest.raises(TypeError, match="through needs a function, not int 5"):
        rx.of(1).through(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"through needs an async generator.*`yield`"):
        rx.of(1).through(coroutine)  # type: ignore[arg-type]


async def test_what_gives_no_async_iterator_is_noted() -> None:
    with pytest.raises(TypeError, match="is not an async iterable") as caught:
        await rx.of(1).through(lambda items: [1]).collect()  # type: ignore[arg-type,return-value]
    assert f"in operator through ({__file__}:" in caught.value.__notes__[0]
