"""The loops one would write by hand, where the bar is one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


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


PIPELINES: dict[str, Callable[[int], Awaitable[int]]] = {
    "map, awaited": one_by_one,
    "map, two at a time": semaphore,
}


def run(name: str, count: int) -> int:
    """How many items came out."""

    async def main() -> int:
        return await PIPELINES[name](count)

    return asyncio.run(main())
