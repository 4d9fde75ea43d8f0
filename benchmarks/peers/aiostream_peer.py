"""aiostream: operators piped with `|`, awaited for the last item."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable

from aiostream import pipe, stream

from benchmarks.loops import run
from benchmarks.peers import Operators


def total(operators: Operators, count: int) -> int:
    async def main() -> int:
        items = stream.range(count)
        for kind, function in operators:
            items |= pipe.map(function) if kind == "map" else pipe.filter(function)
        return await (items | pipe.reduce(operator.add, initializer=0))

    return run(main())


async def map_concurrently(
    function: Callable[[int], Awaitable[int]], count: int, concurrency: int
) -> int:
    mapped = stream.range(count) | pipe.map(function, ordered=True, task_limit=concurrency)
    return await (mapped | pipe.reduce(operator.add, initializer=0))
