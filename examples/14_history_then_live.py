"""History, then live: alerts as it happens and a nightly report, from one pipeline function.

A service in another thread goes on writing a log that was rotated before. The alerts read the
rotated files and then the log as it grows, with neither a gap nor a duplicate, and come as soon as
a minute has three errors. The report reads the same lines at night, in batch.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import reactive as rx
from connectors import files

MINUTES, LINES = 9, 20
EACH = rx.AfterWatermark(early=rx.AfterCount(1))


def line(number: int) -> str:
    """When, how bad, and which service; minutes 3, 5 and 8 go badly."""
    minute, place = divmod(number, LINES)
    bad = place % (4 if minute in (3, 5, 8) else 11) == 1
    return f"{minute * 60 + place * 3} {'ERROR' if bad else 'INFO'} {'pay' if bad else 'find'}\n"


def write(path: Path, first: int) -> None:
    for number in range(first, MINUTES * LINES):
        if number == 5 * LINES + 7:
            path.rename(path.with_name(f"{path.name}.1"))
        with path.open("a") as log:
            log.write(line(number))
        time.sleep(0.002)


def errors(lines: rx.Stream[str]) -> rx.Stream[rx.Windowed[str, int]]:
    return (
        lines.map(str.split)
        .event_time(lambda words: float(words[0]), lateness=10)
        .filter(lambda words: words[1] == "ERROR")
        .key_by(lambda words: words[2])
        .window(rx.Tumbling(60), trigger=EACH, accumulation="accumulating")
        .aggregate(rx.count())
    )


def say(minute: rx.Windowed[str, int]) -> str:
    return f"minute {minute.window.begins.minute}: {minute.key} has {minute.value} errors"


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "service.log")
        log.with_name("service.log.2").write_text("".join(map(line, range(85))))
        service = asyncio.create_task(asyncio.to_thread(write, log, 85))
        lines = files.read_lines(f"{log}*").then(files.follow(log, poll=0.05))
        alerts = errors(lines).filter(lambda m: m.value == 3 and m.pane.timing == "early")
        async with asyncio.timeout(30), alerts.take(3).open() as found:
            async for minute in found:
                print("alert:", say(minute))
        await service
        report = errors(files.read_lines(f"{log}*")).filter(lambda m: m.value >= 3)
        for minute in await report.collect():
            print("report:", say(minute))


if __name__ == "__main__":
    asyncio.run(main())
