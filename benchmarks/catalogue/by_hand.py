"""The loops one would write by hand, where the bar is one of them or what an operator does takes
long: they say how much of that is the work itself."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any


async def same_later(item: int) -> int:
    await asyncio.sleep(0)
    return item


async def semaphore(count: int) -> int:
    """Two calls at a time, results in order, no more tasks than twice that."""
    room = asyncio.Semaphore(2)
    tasks: list[asyncio.Task[int]] = []
    given = 0

    async def call(item: int) -> int:
        try:
            return await same_later(item)
        finally:
            room.release()

    for item in range(count):
        await room.acquire()
        tasks.append(asyncio.create_task(call(item)))
        if len(tasks) == 4:
            await tasks.pop(0)
            given += 1
    for task in tasks:
        await task
        given += 1
    return given


async def one_by_one(count: int) -> int:
    given = 0
    for item in range(count):
        await same_later(item)
        given += 1
    return given


def flat_mapped(count: int) -> Iterator[int]:
    fn = lambda x: (x,)  # noqa: E731
    for item in range(count):
        yield from fn(item)


def expanded(count: int) -> Iterator[int]:
    fn = lambda x: (x + 1,) if x < count - 1 else ()  # noqa: E731
    yield 0
    due = deque([0])
    while due:
        for child in fn(due.popleft()):
            due.append(child)
            yield child


def variance(count: int) -> Iterator[float]:
    """Welford's method."""
    number, mean, squares = 0, 0.0, 0.0
    for item in range(count):
        number += 1
        delta = item - mean
        mean += delta / number
        squares += delta * (item - mean)
    yield squares / (number - 1)


def top(count: int) -> Iterator[list[int]]:
    heap: list[Any] = []
    for number, item in enumerate(range(count)):
        if len(heap) < 10:
            heapq.heappush(heap, (item, -number))
        elif heap[0][0] < item:
            heapq.heapreplace(heap, (item, -number))
    yield [item for item, _ in sorted(heap, reverse=True)]


def batched_by(count: int) -> Iterator[list[int]]:
    fn = lambda x: x // 10  # noqa: E731
    held: list[int] = []
    before = None
    for item in range(count):
        key = fn(item)
        if key != before and held:
            yield held
            held = []
        before = key
        held.append(item)
    yield held


def batched_by_weight(count: int) -> Iterator[list[int]]:
    fn = lambda x: 1  # noqa: E731
    held: list[int] = []
    total = 0
    for item in range(count):
        one = fn(item)
        if held and total + one > 10:
            yield held
            held, total = [], 0
        held.append(item)
        total += one
    yield held


def batched_while(count: int) -> Iterator[list[int]]:
    fn = lambda batch, x: x % 10  # noqa: E731
    held: list[int] = []
    for item in range(count):
        if held and not fn(held, item):
            yield held
            held = []
        held.append(item)
    yield held


def sliding(count: int) -> Iterator[list[int]]:
    held: deque[int] = deque(maxlen=10)
    for item in range(count):
        held.append(item)
        if len(held) == 10:
            yield list(held)


def stamped(count: int) -> Iterator[tuple[datetime, int]]:
    for item in range(count):
        yield datetime.now(UTC), item


def timed(count: int) -> Iterator[tuple[str, int, int | None]]:
    """Items with their times in microseconds, and a watermark in every minute."""
    fn = lambda x: x  # noqa: E731
    high = threshold = 0
    for item in range(count):
        moment = fn(item) * 1_000_000
        yield "item", moment, item
        if moment > high:
            high = moment
            if moment >= threshold:
                threshold = (moment // 60_000_000 + 1) * 60_000_000
                yield "watermark", moment, None


def counted(loop: Callable[[int], Iterator[Any]]) -> Callable[[int], Awaitable[int]]:
    async def count(items: int) -> int:
        given = 0
        for _ in loop(items):
            given += 1
        return given

    return count


PIPELINES: dict[str, Callable[[int], Awaitable[int]]] = {
    "map, awaited": one_by_one,
    "map, two at a time": semaphore,
    "flat_map": counted(flat_mapped),
    "expand": counted(expanded),
    "variance": counted(variance),
    "top, of rising items": counted(top),
    "batch, by weight": counted(batched_by_weight),
    "batch_while": counted(batched_while),
    "batch_by": counted(batched_by),
    "sliding": counted(sliding),
    "with_timestamp": counted(stamped),
    "event_time": counted(timed),
}


def run(name: str, count: int) -> int:
    """How many items came out."""

    async def main() -> int:
        return await PIPELINES[name](count)

    return asyncio.run(main())
