"""A first pipeline: described once, run in four ways.

Describing does nothing. Each run starts anew, and everything it opened is closed when it ends.
"""

from __future__ import annotations

import asyncio

import reactive as rx
from connectors import memory

LINES = ["the quick brown fox", "jumps over", "the lazy dog"]


async def main() -> None:
    words = rx.from_iterable(LINES).flat_map(str.split).filter(lambda word: len(word) > 3)
    shouted = words.map(str.upper)

    # Item by item, in this very task.
    async for word in shouted:
        print(word)

    # As a whole.
    print(await shouted.collect())
    print("letters:", await words.map(len).sum())

    # Into a sink, as a job; several jobs can run together.
    kept: list[str] = []
    report = await rx.run(shouted.to(memory.append(kept)))
    print(f"{len(kept)} words kept, {report['append'].items_in} counted by the sink")

    # Only as far as one likes: leaving the block closes the clock behind the ticks.
    async with rx.interval(0.05).map(lambda n: f"tick {n}").open() as ticks:
        async for tick in ticks:
            print(tick)
            if tick == "tick 2":
                break

    # What would run, and where.
    print(shouted.explain())


if __name__ == "__main__":
    asyncio.run(main())
