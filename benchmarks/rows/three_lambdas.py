"""map, filter, map with Python lambdas over integers, summed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from benchmarks import loops
from benchmarks.model import (
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    faster,
    median_column,
    per_item_column,
    within,
)
from benchmarks.peers import Operators, summing_peers

OURS, BY_HAND, GENERATORS = "reactive", "hand-written loop", "async generators by hand"

increment = lambda x: x + 1  # noqa: E731
uneven = lambda x: x % 3 != 0  # noqa: E731
double = lambda x: x * 2  # noqa: E731

OPERATORS: Operators = (("map", increment), ("filter", uneven), ("map", double))


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    async def main() -> int:
        numbers = rx.from_iterable(range(settings["count"]))
        return await numbers.map(increment).filter(uneven).map(double).sum()

    return Outcome(loops.run(main()))


def by_hand(settings: Settings) -> Outcome:
    total = 0
    for number in range(settings["count"]):
        number = increment(number)
        if uneven(number):
            total += double(number)
    return Outcome(total)


async def numbers_below(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def mapped(function: Callable[[int], int], items: AsyncIterable[int]) -> AsyncIterator[int]:
    async for item in items:
        yield function(item)


async def filtered(
    predicate: Callable[[int], Any], items: AsyncIterable[int]
) -> AsyncIterator[int]:
    async for item in items:
        if predicate(item):
            yield item


def chained_generators(operators: Operators, count: int) -> int:
    """The idiom that a pipeline replaces: an async generator for every step."""

    async def main() -> int:
        items = numbers_below(count)
        for kind, function in operators:
            items = mapped(function, items) if kind == "map" else filtered(function, items)
        total = 0
        async for item in items:
            total += item
        return total

    return loops.run(main())


def generators(settings: Settings) -> Outcome:
    return Outcome(chained_generators(OPERATORS, settings["count"]))


def queues(settings: Settings) -> Outcome:
    """A task for every step, with a bounded asyncio.Queue between them, None at the end."""

    async def step(
        kind: str,
        function: Callable[[int], Any],
        inbox: asyncio.Queue[int | None],
        outbox: asyncio.Queue[int | None],
    ) -> None:
        while (item := await inbox.get()) is not None:
            if kind == "map":
                await outbox.put(function(item))
            elif function(item):
                await outbox.put(item)
        await outbox.put(None)

    async def feed(outbox: asyncio.Queue[int | None]) -> None:
        for number in range(settings["count"]):
            await outbox.put(number)
        await outbox.put(None)

    async def main() -> int:
        inbox: asyncio.Queue[int | None] = asyncio.Queue(1024)
        total = 0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(inbox))
            for kind, function in OPERATORS:
                outbox: asyncio.Queue[int | None] = asyncio.Queue(1024)
                tasks.create_task(step(kind, function, inbox, outbox))
                inbox = outbox
            while (item := await inbox.get()) is not None:
                total += item
        return total

    return Outcome(loops.run(main()))


ROW = Row(
    name="three-lambdas",
    title="map, filter, map with three Python lambdas over 1 M ints, summed",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(BY_HAND, by_hand, "by hand"),
        Contestant(GENERATORS, generators, "by hand"),
        Contestant("asyncio.Queue, a task a step", queues, "by hand", share=0.1),
        *summing_peers(lambda total, settings: Outcome(total(OPERATORS, settings["count"]))),
    ),
    bars=(
        within("within 1.15x of the hand-written loop", OURS, BY_HAND, 1.15),
        faster("at least 4x faster than async generators by hand", OURS, GENERATORS, 4),
        faster("at least 40x faster than aiostream", OURS, "aiostream", 40),
        faster("at least 30x faster than streamz", OURS, "streamz", 30),
        faster("at least 30x faster than csp's Python nodes", OURS, "csp (Python nodes)", 30),
        faster(
            "at least 30x faster than those, fed from NumPy",
            OURS,
            "csp (Python nodes), fed from NumPy",
            30,
        ),
        faster("at least 5x faster than bytewax", OURS, "bytewax", 5),
        faster(
            "at least 5x faster than bytewax, its fastest way", OURS, "bytewax, its fastest way", 5
        ),
    ),
    columns=(median_column(), per_item_column(), beside_column(OURS)),
    full={"count": 1_000_000},
    quick={"count": 200_000},
    warm={"count": 5_000},
)
