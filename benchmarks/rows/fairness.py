"""How late a 1 ms ticker is beside a crunching pipeline on the same event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    duration,
)
from benchmarks.rows.three_lambdas import double, filtered, increment, mapped, numbers_below, uneven

FAST, SLOW = "reactive, fast functions", "reactive, a function of 20 µs"
IDLE, GENERATORS = "an idle loop", "async generators by hand"
PERIOD = 0.001
SLOW_CALL = 20e-6


def slow(number: int) -> int:
    """Computes for about 20 µs."""
    until = time.perf_counter() + SLOW_CALL
    while time.perf_counter() < until:
        pass
    return number


async def beside_a_ticker(work: Coroutine[Any, Any, int]) -> Outcome:
    """Run the work in a task of its own; the ticker notes how late it wakes, until that is done."""
    loop = asyncio.get_running_loop()
    late = []
    task = asyncio.create_task(work)
    started = time.perf_counter()
    while not task.done():
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        late.append(max(0.0, loop.time() - due))
    late.sort()
    figures = {
        "p50": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
        "worst": late[-1],
        "ticks/s": len(late) / (time.perf_counter() - started),
    }
    await task
    return Outcome(None, figures)


def fast_pipeline(settings: Settings) -> Outcome:
    import reactive as rx

    async def crunch() -> int:
        numbers = rx.from_iterable(range(settings["count"]))
        return await numbers.map(increment).filter(uneven).map(double).sum()

    return loops.run(beside_a_ticker(crunch()))


def slow_pipeline(settings: Settings) -> Outcome:
    import reactive as rx

    async def crunch() -> int:
        numbers = rx.from_iterable(range(settings["slow_count"]))
        return await numbers.map(increment).map(slow).map(double).sum()

    return loops.run(beside_a_ticker(crunch()))


def idle(settings: Settings) -> Outcome:
    async def rest() -> int:
        await asyncio.sleep(2)
        return 0

    return loops.run(beside_a_ticker(rest()))


def generators(settings: Settings) -> Outcome:
    async def crunch() -> int:
        total = 0
        numbers = numbers_below(settings["count"] // 5)
        async for item in mapped(double, filtered(uneven, mapped(increment, numbers))):
            total += item
        return total

    return loops.run(beside_a_ticker(crunch()))


def show(figure: str) -> Column:
    def column(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.median(name, figure)
        if value is None:
            return ""
        return f"{value:.0f}" if figure == "ticks/s" else duration(value)

    return Column(figure, column)


def lateness(name: str) -> Bar:
    def measure(samples: Samples) -> float | None:
        value = samples.median(name, "p99")
        return None if value is None else value * 1e3

    return Bar(f"p99 lateness under 10 ms: {name}", measure, 10, unit=" ms")


ROW = Row(
    name="fairness",
    title="a 1 ms ticker beside a crunching pipeline on the same loop: how late it is",
    contestants=(
        Contestant(FAST, fast_pipeline, "ours", "reactive"),
        Contestant(SLOW, slow_pipeline, "ours", "reactive"),
        Contestant(IDLE, idle, "by hand"),
        Contestant(GENERATORS, generators, "by hand"),
    ),
    bars=(lateness(FAST), lateness(SLOW)),
    columns=(show("p50"), show("p99"), show("worst"), show("ticks/s")),
    full={"count": 10_000_000, "slow_count": 150_000},
    quick={"count": 3_000_000, "slow_count": 50_000},
    warm=None,
    rounds=3,
    generation=1,
    computes=False,
)
