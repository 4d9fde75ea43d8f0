"""One source, several sinks, each at its own speed; what an edge drops is counted and kept.

The sensor runs once, however many branches use it. A branch without a buffer makes the sensor wait
for it; a buffer with an overflow policy decides what is lost instead, and where that goes.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from pathlib import Path

import reactive as rx
from connectors import files, memory

SKIPPED = rx.SideOutput[float]("skipped")


async def measure(number: int) -> float:
    await asyncio.sleep(0.002)
    return round(20 + 5 * math.sin(number / 20), 2)


async def main() -> None:
    sensor = rx.range(300).map(measure).named("sensor")
    shown: list[float] = []
    checked: list[float] = []

    async def show(celsius: float) -> None:
        await asyncio.sleep(0.1)  # a display that is slow to refresh
        shown.append(celsius)

    async def check(celsius: float) -> None:
        await asyncio.sleep(0.01)  # a check that is slower than the sensor
        checked.append(celsius)

    with tempfile.TemporaryDirectory() as folder:
        everything, rest = Path(folder, "all.jsonl.gz"), Path(folder, "skipped.jsonl")
        newest = sensor.buffer(1, overflow="latest").named("newest")
        queue = sensor.buffer(20, overflow="drop_oldest", discarded=SKIPPED).named("queue")
        alarms = sensor.map(lambda c: c > 24.9).distinct_until_changed().filter(bool).count()

        report = await rx.run(
            sensor.to(files.write_jsonl(everything)),
            newest.to(memory.call(show)),
            queue.to(memory.call(check)),
            SKIPPED.to(files.write_jsonl(rest)),
            alarms.map(lambda n: f"alarms: {n}").to(memory.call(print)),
        )
        kept = await files.read_jsonl(everything).collect()
        skipped = await files.read_jsonl(rest).count()

    print(f"the sensor ran once: {report['sensor'].items_out == len(kept) == 300}")
    print(f"the display refreshed {len(shown)} times and shows the newest: {shown[-1] == kept[-1]}")
    print(f"checked or kept for later: {len(checked)} + {skipped} = {len(checked) + skipped}")
    print(f"the queue dropped as many: {report['queue'].counters['dropped'] == skipped}")


if __name__ == "__main__":
    asyncio.run(main())
