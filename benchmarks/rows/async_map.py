"""An async function that sleeps 10 ms, a hundred at a time."""

from __future__ import annotations

import asyncio

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    beside_column,
    median_column,
)

OURS, BY_HAND = "reactive", "a hundred worker tasks by hand"
SLEEP = 0.01


async def work(item: int) -> int:
    await asyncio.sleep(SLEEP)
    return item


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    async def main() -> int:
        numbers = rx.from_iterable(range(settings["count"]))
        return await numbers.map(work, concurrency=settings["concurrency"]).sum()

    return outcome(loops.run(main()), settings)


def ours_unordered(settings: Settings) -> Outcome:
    import reactive as rx

    async def main() -> int:
        numbers = rx.from_iterable(range(settings["count"]))
        concurrency = settings["concurrency"]
        return await numbers.map(work, concurrency=concurrency, ordered=False).sum()

    return outcome(loops.run(main()), settings)


def by_hand(settings: Settings) -> Outcome:
    async def main() -> int:
        numbers = iter(range(settings["count"]))
        total = 0

        async def worker() -> None:
            nonlocal total
            for number in numbers:
                result = await work(number)
                total += result

        async with asyncio.TaskGroup() as tasks:
            for _ in range(settings["concurrency"]):
                tasks.create_task(worker())
        return total

    return outcome(loops.run(main()), settings)


def semaphore(settings: Settings) -> Outcome:
    """A task for every item, as is often written."""

    async def main() -> int:
        limit = asyncio.Semaphore(settings["concurrency"])

        async def limited(number: int) -> int:
            async with limit:
                return await work(number)

        return sum(await asyncio.gather(*map(limited, range(settings["count"]))))

    return outcome(loops.run(main()), settings)


def aiostream(settings: Settings) -> Outcome:
    from benchmarks.peers.aiostream_peer import map_concurrently

    total = loops.run(map_concurrently(work, settings["count"], settings["concurrency"]))
    return outcome(total, settings)


def streamable(settings: Settings) -> Outcome:
    from benchmarks.peers.streamable_peer import map_concurrently

    total = loops.run(map_concurrently(work, settings["count"], settings["concurrency"]))
    return outcome(total, settings)


def outcome(total: int, settings: Settings) -> Outcome:
    return Outcome(total, {"ideal": settings["count"] / settings["concurrency"] * SLEEP})


def over_ideal(samples: Samples) -> float | None:
    seconds, ideal = samples.median(OURS), samples.median(OURS, "ideal")
    return seconds / ideal if seconds and ideal else None


ROW = Row(
    name="async-map",
    title="async map, concurrency 100, 10 ms sleeps, 20,000 items (ideal: 2 s)",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(BY_HAND, by_hand, "by hand"),
        Contestant("reactive, ordered=False", ours_unordered, "ours", "reactive"),
        Contestant("a semaphore and gather by hand", semaphore, "by hand"),
        Contestant("streamable", streamable, module="streamable"),
        Contestant("aiostream", aiostream, module="aiostream"),
    ),
    bars=(Bar("within 1.15x of the ideal", over_ideal, 1.15),),
    columns=(median_column(), beside_column(OURS)),
    full={"count": 20_000, "concurrency": 100},
    quick={"count": 5_000, "concurrency": 100},
    warm={"count": 300},
    rounds=6,
    generation=2,
    computes=False,
)
