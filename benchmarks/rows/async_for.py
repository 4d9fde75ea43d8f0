"""Item by item with `async for`, beside one bare async generator over the same chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice

from benchmarks import loops
from benchmarks.model import (
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    median_column,
    per_item_column,
    within,
)
from benchmarks.rows.three_lambdas import double, increment, uneven

OURS, HOP = "reactive, async for", "hand-written chunks, one async generator"


def chunks(count: int) -> Iterator[list[int]]:
    numbers = iter(range(count))
    while chunk := list(islice(numbers, 1024)):
        yield chunk


def worked(chunk: list[int]) -> list[int]:
    """The three functions over a chunk, in a plain loop."""
    out = []
    for item in chunk:
        item = increment(item)
        if uneven(item):
            out.append(double(item))
    return out


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    async def main() -> int:
        numbers = rx.from_iterable(range(settings["count"]))
        total = 0
        async for item in numbers.map(increment).filter(uneven).map(double):
            total += item
        return total

    return Outcome(loops.run(main()))


def hop(settings: Settings) -> Outcome:
    async def items() -> AsyncIterator[int]:
        for chunk in chunks(settings["count"]):
            for item in worked(chunk):
                yield item

    async def main() -> int:
        total = 0
        async for item in items():
            total += item
        return total

    return Outcome(loops.run(main()))


ROW = Row(
    name="async-for",
    title="`async for` item by item over the result of the three operators, 1 M ints",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(HOP, hop, "by hand"),
    ),
    bars=(within("within 1.2x of one bare async-generator hop over chunks", OURS, HOP, 1.2),),
    columns=(median_column(), per_item_column(), beside_column(OURS)),
    full={"count": 1_000_000},
    quick={"count": 200_000},
    warm={"count": 5_000},
)
