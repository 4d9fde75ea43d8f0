"""Cancelled, timed out or failed at any await: everything closed, the right exception out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from parts import Kept, Probe

import reactive as rx
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[Any]], rx.Stream[Any]]


async def _slowly(item: Any) -> Any:
    await asyncio.sleep(0.3)
    return item


async def _passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        await asyncio.sleep(0.1)
        yield item


SHAPES: dict[str, Build] = {
    "plain": lambda s: s.map(lambda x: x),
    "awaited": lambda s: s.map(_slowly),
    "concurrent": lambda s: s.map(_slowly, concurrency=3),
    "as completed": lambda s: s.map(_slowly, concurrency=3, ordered=False),
    "buffer": lambda s: s.buffer(2),
    "batch within": lambda s: s.batch(3, within=0.5),
    "merge": lambda s: s.merge(rx.interval(0.4)),
    "concat": lambda s: rx.empty().concat(s),
    "zip": lambda s: s.zip(rx.interval(0.7)),
    "fan-out": lambda s: s.zip(s.map(lambda x: -x)),
    "through": lambda s: s.through(_passing),
    "retry": lambda s: s.retry(),
    "recover": lambda s: s.recover(rx.never()),
    "defer": lambda s: rx.defer(lambda: s),
    "take_until": lambda s: s.take_until(rx.timer(50)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("at", [0.0, 0.1, 0.25, 0.5, 0.95, 1.5, 2.2])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_cancelling_closes_once_and_surfaces(
    virtual_time: VirtualTime, shape: str, at: float, stubborn: bool
) -> None:
    probe = Probe(
        endless=True, delay=0.25, slow_close=0.4 if stubborn else 0.0, stubborn=2 * stubborn
    )
    kept = Kept(delay=0.05)
    task = asyncio.create_task(rx.run(SHAPES[shape](probe.stream).to(kept)))
    await asyncio.sleep(at)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert probe.closed == probe.opened <= 1
    assert kept.finished == 0
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seconds", [0.1, 0.6, 1.4])
async def test_a_timeout_around_the_consumer(
    virtual_time: VirtualTime, shape: str, seconds: float
) -> None:
    probe = Probe(endless=True, delay=0.25, slow_close=0.4)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            async with SHAPES[shape](probe.stream).open() as items:
                async for _ in items:
                    pass
    assert probe.closed == probe.opened <= 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("shape", SHAPES)
async def test_cancelling_again_during_cleanup_still_cleans_up(
    virtual_time: VirtualTime, shape: str
) -> None:
    probe = Probe(endless=True, delay=0.25, slow_close=2.5)
    task = asyncio.create_task(SHAPES[shape](probe.stream).collect())
    await asyncio.sleep(1.1)
    for _ in range(4):
        task.cancel()
        await asyncio.sleep(0.5)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert probe.closed == probe.opened == 1


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_failing_consumer_closes_everything(virtual_time: VirtualTime, shape: str) -> None:
    probe = Probe(endless=True, delay=0.25)
    with pytest.raises(ValueError, match="mine"):
        async with SHAPES[shape](probe.stream).open() as items:
            async for _ in items:
                raise ValueError("mine")
    assert probe.closed == probe.opened == 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"retry", "recover"}))
async def test_a_failing_source_surfaces_as_it_is(virtual_time: VirtualTime, shape: str) -> None:
    probe = Probe(endless=True, delay=0.25, fail_at=3)
    with pytest.raises(OSError, match="probe failed at 3"):
        await SHAPES[shape](probe.stream).collect()
    assert probe.closed == 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_failing_cleanup_surfaces(virtual_time: VirtualTime, shape: str) -> None:
    probe = Probe(endless=True, delay=0.25, fail_close=True)
    with pytest.raises(OSError, match="failed in close"):
        async with SHAPES[shape](probe.stream).open() as items:
            async for _ in items:
                break
    assert probe.closed == 1


async def test_a_failure_and_a_failing_cleanup_surface_together() -> None:
    probe = Probe(endless=True, fail_at=2, fail_close=True)
    with pytest.raises(ExceptionGroup) as caught:
        await probe.stream.collect()
    assert sorted(str(error) for error in caught.value.exceptions) == [
        "probe failed at 2",
        "probe failed in close",
    ]


async def test_the_body_of_the_block_and_a_failing_cleanup_surface_together() -> None:
    probe = Probe(endless=True, fail_close=True)
    with pytest.raises(ExceptionGroup) as caught:
        async with probe.stream.open() as items:
            async for _ in items:
                raise ValueError("mine")
    assert {type(error) for error in caught.value.exceptions} == {ValueError, OSError}


async def test_cancellation_wins_over_a_failing_cleanup(virtual_time: VirtualTime) -> None:
    probe = Probe(endless=True, delay=1, fail_close=True)
    task = asyncio.create_task(probe.stream.collect())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert any("failed in close" in note for note in caught.value.__notes__)


async def test_cleanup_in_an_async_generator_may_wait(virtual_time: VirtualTime) -> None:
    cleaned = []

    async def ticking() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                await asyncio.sleep(0.1)
                yield number
        finally:
            await asyncio.sleep(3)
            cleaned.append(asyncio.current_task())

    task = asyncio.create_task(
        rx.run(rx.from_async_iterable(ticking()).buffer(3).map(_slowly, concurrency=2).to(Kept()))
    )
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(cleaned) == 1


async def test_an_async_generator_is_used_and_closed_in_one_task(
    virtual_time: VirtualTime,
) -> None:
    tasks = set()

    async def scoped() -> AsyncIterator[int]:
        async with asyncio.timeout(1000), asyncio.TaskGroup():
            try:
                while True:
                    tasks.add(asyncio.current_task())
                    await asyncio.sleep(0.1)
                    yield 1
            finally:
                tasks.add(asyncio.current_task())

    async with rx.from_async_iterable(scoped()).buffer(4).open() as items:
        async for _ in items:
            break
    assert len(tasks) == 1


async def test_a_user_function_that_raises_cancelled_is_not_lost(virtual_time: VirtualTime) -> None:
    async def quits(item: int) -> int:
        if item == 3:
            raise asyncio.CancelledError
        return item

    for concurrency in (1, 4):
        with pytest.raises(asyncio.CancelledError):
            await rx.range(10).map(quits, concurrency=concurrency).collect()
        assert len(asyncio.all_tasks()) == 1


@pytest.mark.any_loop
async def test_real_loops_close_everything_too() -> None:
    for shape in SHAPES.values():
        probe = Probe(endless=True, delay=0.001, slow_close=0.002)
        task = asyncio.create_task(rx.run(shape(probe.stream).to(Kept())))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert probe.closed == probe.opened <= 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("in_a_job", [False, True])
@pytest.mark.parametrize("limit", ["asyncio", "anyio"])
async def test_a_time_limit_inside_cleanup_works(
    virtual_time: VirtualTime, in_a_job: bool, limit: str
) -> None:
    outcome: list[str] = []

    class Limited(rx.Source[int]):
        def reader(self, context: rx.Context) -> rx.Reader[int]:
            return LimitedReader()

    class LimitedReader(rx.Reader[int]):
        async def read(self, chunk: int) -> rx.Signal[int] | None:
            await asyncio.sleep(0.1)
            return rx.Chunk([1])

        async def close(self) -> None:
            if limit == "anyio":
                with anyio.move_on_after(0.2) as scope:
                    await asyncio.sleep(3600)
                assert scope.cancelled_caught
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.sleep(3600)
            outcome.append("closed")

    stream = rx.from_source(Limited()).take(1)
    if in_a_job:
        await rx.run(stream.to(Kept()))
        assert virtual_time.now < 1
    else:
        assert await stream.collect() == [1]
    assert outcome == ["closed"]


async def test_leaving_a_cancelled_anyio_scope_cleans_up(virtual_time: VirtualTime) -> None:
    probe = Probe(endless=True, delay=0.25, slow_close=2)
    with anyio.move_on_after(1):
        async for _ in probe.stream.buffer(2).map(_slowly):
            pass
    single = Probe(endless=True, delay=0.25, slow_close=2)
    with anyio.move_on_after(1):
        async with single.stream.open() as items:
            async for _ in items:
                pass
    assert probe.closed == single.closed == 1


async def _cancelled(item: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("other", [lambda s: s, lambda s: s.merge(rx.of(7)), lambda s: s.buffer(1)])
async def test_a_function_that_was_cancelled_by_itself_fails_the_run(
    concurrency: int, other: Build
) -> None:
    kept: Kept = Kept()
    stream = other(rx.range(3).map(_cancelled, concurrency=concurrency))
    with pytest.raises(rx.StreamClosedError, match="cancelled"):
        await rx.run(stream.to(kept))
