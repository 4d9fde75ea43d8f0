"""A pipeline shares the loop: whatever the source and the functions, others get their turn."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from parts import Kept

import reactive as rx


async def _endless() -> AsyncIterator[int]:
    for number in itertools.count():
        yield number


def _burn(microseconds: float) -> Callable[[int], int]:
    def burn(item: int) -> int:
        until = time.perf_counter() + microseconds / 1e6
        while time.perf_counter() < until:
            pass
        return item

    return burn


def _blocks() -> Iterator[int]:
    for number in itertools.count():
        time.sleep(0.0002)
        yield number


CRUNCHING: dict[str, Callable[[], rx.Stream[object]]] = {
    "quick functions": lambda: rx.from_iterable(itertools.count()).map(lambda x: x + 1),
    "slow functions": lambda: rx.from_iterable(itertools.count()).map(_burn(300)),
    "slow after quick": lambda: (
        rx.range(10**9).map(lambda x: x).batch(2).flat_map(tuple).map(_burn(300))
    ),
    "everything dropped": lambda: rx.from_iterable(itertools.count()).filter(lambda _: False),
    "an endless inner iterable": lambda: rx.of(1).flat_map(lambda _: itertools.count()),
    "an inner iterable, dropped": lambda: (
        rx.of(1).flat_map(lambda _: itertools.count()).filter(lambda _: False)
    ),
    "an async generator that never waits": lambda: rx.from_async_iterable(_endless()),
    "an iterable that blocks a little": lambda: rx.from_iterable(_blocks()),
    "an async function that never waits": lambda: rx.range(10**9).map(_instantly),
    "many at once that never wait": lambda: rx.range(10**9).map(_instantly, concurrency=8),
    "two regions": lambda: rx.range(10**9).map(_burn(50)).buffer(100).map(_burn(50)),
    "a fold": lambda: rx.from_iterable(itertools.count()).count(),
    "a sort": lambda: rx.range(10**9).map(_shuffled).sort(),
    "a sort on disk": lambda: rx.range(10**9).map(_shuffled).sort(memory=1_000_000),
    "a sort by a slow key": lambda: rx.range(10**9).sort(_burn(100)),
    "a sort of what compares slowly": lambda: rx.range(10**9).map(_Slow).sort(),
    "groups": lambda: rx.range(10**9).group(lambda x: x // 2),
    "keyed state on disk": lambda: (
        rx.range(10**9)
        .key_by(lambda x: x * 7919 % 50_000)
        .scan(lambda total, x: (*total[-20:], x), (0,))
    ),
    "sessions on disk": lambda: (
        rx.range(10**9)
        .event_time(lambda x: x / 10_000)
        .key_by(lambda x: x * 7919 % 50_000)
        .window(rx.Session(4))
        .aggregate(n=rx.count(), total=rx.sum())
    ),
    "overlapping windows on disk": lambda: (
        rx.range(10**9)
        .event_time(lambda x: x / 20_000)
        .key_by(lambda x: x * 7919 % 50_000)
        .window(rx.Sliding(2, every=1))
        .aggregate(n=rx.count(), total=rx.sum())
    ),
    "groups on disk": lambda: rx.range(10**9).group(lambda x: x // 2, memory=1_000_000),
}


def _shuffled(number: int) -> str:
    return str(number * 7919 % 1_000_003)


class _Slow:
    def __init__(self, number: int) -> None:
        self.number = number * 7919 % 1_000_003

    def __lt__(self, other: _Slow) -> bool:
        _burn(30)(0)
        return self.number < other.number


async def _instantly(item: int) -> int:
    return item


async def _fails(item: int) -> int:
    _burn(300)(item)
    raise ValueError(item)


async def test_items_that_fail_and_are_skipped_let_others_have_their_turn() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    assert await rx.range(500).map(_fails, on_error="skip").collect() == []
    counting.cancel()
    assert turns > 15


@pytest.mark.parametrize("name", CRUNCHING)
async def test_others_get_their_turn(name: str) -> None:
    turns: list[float] = []
    async with rx.start(
        CRUNCHING[name]().to(Kept()), settings=rx.Settings(state_memory=1_000_000)
    ) as run:
        begin = time.perf_counter()
        while time.perf_counter() - begin < 0.3 or len(turns) < 20:
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)
        await run.stop(drain=False)
    turns.sort()
    # The promise is about 5 ms. Processor time is asked for, since on a loaded machine the clock
    # also counts what others take; and of it the median, since collecting garbage takes its own.
    assert turns[len(turns) // 2] < 0.01


async def test_a_consumer_loop_that_never_waits_is_fair() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    burn = _burn(20)
    async with rx.range(10**9).open() as items:
        begin = time.perf_counter()
        async for item in items:
            burn(item)
            if time.perf_counter() - begin > 0.3:
                break
    counting.cancel()
    await asyncio.wait([counting])
    assert turns >= 5
