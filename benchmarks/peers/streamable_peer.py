"""streamable: a chain of synchronous iterators, or of asynchronous ones in `async` code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from streamable import stream

from benchmarks.peers import Operators


def total(operators: Operators, count: int) -> int:
    items: Any = stream(range(count))
    for kind, function in operators:
        items = items.map(function) if kind == "map" else items.filter(function)
    return sum(items)


async def map_concurrently(
    function: Callable[[int], Coroutine[Any, Any, int]], count: int, concurrency: int
) -> int:
    result = 0
    async for item in stream(range(count)).map(function, concurrency=concurrency):
        result += item
    return result
