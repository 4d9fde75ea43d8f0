"""Cases of `operators/through.py` for the tests of every operator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cases import Build, Case, Failure, fail, slower_for_less

import reactive as rx


async def slower_for_less_pair(pair: tuple[int, int]) -> int:
    return await slower_for_less(pair[1])


async def every_other(items: AsyncIterator[int]) -> AsyncIterator[int]:
    async for item in items:
        yield item
        await anext(items, None)


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def fail_after_one(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    await anext(items)
    raise Failure
    yield


async def times(items: AsyncIterator[int], factor: int, *, plus: int) -> AsyncIterator[int]:
    async for item in items:
        yield item * factor + plus


def scaled(stream: rx.Stream[int], factor: int, *, plus: int) -> rx.Stream[int]:
    return stream.map(lambda x: x * factor + plus)


LAWS: dict[str, Build | Case] = {
    # What a user's generator holds cannot be seen.
    "through": Case(lambda s: s.through(every_other), skip=("snapshot",)),
    "a long chain": lambda s: (
        s.filter(lambda x: x != 4)
        .enumerate()
        .batch(2)
        .flat_map(lambda pairs: pairs)
        .map(slower_for_less_pair, concurrency=2)
        .buffer(3)
        .pairwise()
        .take(4)
    ),
    "through, with arguments": Case(lambda s: s.through(times, 2, plus=1), skip=("snapshot",)),
    "pipe": lambda s: s.pipe(scaled, 3, plus=1),
}

RULES: dict[str, Build] = {
    "through": lambda s: s.through(passing),
    "pipe": lambda s: s.pipe(lambda stream: stream.map(lambda x: x)),
    "named": lambda s: s.named("source"),
}

CALLBACKS: dict[str, Build] = {
    "through": lambda s: s.through(fail_after_one),
    "the making in through": lambda s: s.through(fail),
}
