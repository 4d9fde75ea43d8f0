"""Resident memory while a fast source runs into a slow sink.

The sink takes 400,000 items a second, less than the source gives, by waiting after each chunk until
its time has come: 10 M items take 25 seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psutil

from benchmarks import loops
from benchmarks.model import Bar, Column, Contestant, Outcome, Row, Samples, Settings

OURS, QUEUE = "reactive, buffer(10_000)", "asyncio.Queue(10_000) by hand"
ALLOWED = 1.0
MEBIBYTE = 1024 * 1024


def lines(count: int) -> Iterator[bytes]:
    """Fresh objects of about a hundred bytes, so that what is held shows."""
    return (b"%064d" % number for number in range(count))


class SlowEnd:
    """Counts, waits, and watches the memory of the process."""

    def __init__(self, settings: Settings) -> None:
        self.count = 0
        self._rate = settings["rate"]
        self._first = settings["first"]
        self._next_sample = self._first
        self._process = psutil.Process()
        self._started = time.perf_counter()
        self._resident: list[int] = []

    def waiting_time(self, items: int) -> float:
        """How long to wait after taking so many."""
        self.count += items
        if self.count >= self._next_sample:
            self._next_sample += self._first
            self._resident.append(self._process.memory_info().rss)
        return self._started + self.count / self._rate - time.perf_counter()

    def outcome(self) -> Outcome:
        resident = self._resident
        growth = max(resident) - resident[0]
        figures = {
            "growth": growth / MEBIBYTE,
            "peak": max(resident) / MEBIBYTE,
            "items/s": self.count / (time.perf_counter() - self._started),
        }
        return Outcome(self.count, figures)


def ours(settings: Settings) -> Outcome:
    import reactive as rx
    from reactive.context import Context
    from reactive.endpoint import Sink, Writer
    from reactive.signals import Chunk

    class SlowWriter(Writer[bytes]):
        def __init__(self, end: SlowEnd) -> None:
            self._end = end

        async def write(self, chunk: Chunk[bytes]) -> None:
            await asyncio.sleep(max(0.0, self._end.waiting_time(len(chunk.items))))

    class SlowSink(Sink[bytes]):
        def __init__(self, end: SlowEnd) -> None:
            self._end = end

        def writer(self, context: Context) -> Writer[Any]:
            return SlowWriter(self._end)

    async def main() -> Outcome:
        end = SlowEnd(settings)
        items = rx.from_iterable(lines(settings["count"])).map(bytes.strip).buffer(10_000)
        await rx.run(items.to(SlowSink(end)))
        return end.outcome()

    return loops.run(main())


def queue(settings: Settings) -> Outcome:
    async def main() -> Outcome:
        end = SlowEnd(settings)
        inbox: asyncio.Queue[bytes | None] = asyncio.Queue(10_000)

        async def feed() -> None:
            for line in lines(settings["count"]):
                await inbox.put(line.strip())
            await inbox.put(None)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed())
            taken = 0
            while await inbox.get() is not None:
                taken += 1
                if taken == 1000:
                    taken = 0
                    await asyncio.sleep(max(0.0, end.waiting_time(1000)))
            end.waiting_time(taken)
        return end.outcome()

    return loops.run(main())


def show(figure: str, unit: str) -> Column:
    def column(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.median(name, figure)
        return "" if value is None else f"{value:,.4g} {unit}"

    return Column(figure, column)


ROW = Row(
    name="memory",
    title="memory, 10 M items through a slow sink (400,000 items/s)",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(QUEUE, queue, "by hand"),
    ),
    bars=(
        Bar(
            "no growth after the first 100,000 items (less than 1 MiB)",
            lambda samples: samples.median(OURS, "growth"),
            ALLOWED,
            unit=" MiB",
        ),
    ),
    columns=(show("growth", "MiB"), show("peak", "MiB"), show("items/s", "items/s")),
    full={"count": 10_000_000, "first": 100_000, "rate": 400_000},
    quick={"count": 1_000_000, "first": 100_000, "rate": 400_000},
    warm=None,
    rounds=1,
    generation=1,
    quick_rounds=1,
    computes=False,
)
