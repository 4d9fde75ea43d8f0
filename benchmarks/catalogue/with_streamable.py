"""The pipelines in streamable, which are synchronous iterators unless they are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from streamable import stream

Build = Callable[[int], Any]


async def same_later(item: int) -> int:
    await asyncio.sleep(0)
    return item


PIPELINES: dict[str, Build] = {
    "": lambda n: stream(range(n)),
    "map": lambda n: stream(range(n)).map(lambda x: x + 1),
    "map, awaited": lambda n: stream(range(n)).map(same_later),
    "map, two at a time": lambda n: stream(range(n)).map(same_later, concurrency=2),
    "flat_map": lambda n: stream(range(n)).map(lambda x: (x,)).flatten(),
    "tap": lambda n: stream(range(n)).do(lambda x: None),
    "filter": lambda n: stream(range(n)).filter(lambda x: x % 2 == 0),
    "take": lambda n: stream(range(2 * n)).take(n),
    "skip": lambda n: stream(range(n)).skip(10),
    "batch": lambda n: stream(range(n)).group(10),
    "recover": lambda n: stream(range(n)).catch(ValueError),
}
_AWAITED = {"map, awaited", "map, two at a time"}


def run(name: str, count: int) -> int:
    """How many items came out."""
    items = PIPELINES[name](count)
    if name not in _AWAITED:
        return sum(1 for _ in items)

    async def main(items: AsyncIterator[Any]) -> int:
        given = 0
        async for _ in items:
            given += 1
        return given

    return asyncio.run(main(items))
