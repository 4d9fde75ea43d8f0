"""The process at the other end: replays flights, one TCP connection for each airport.

    python -m reactive.demo.sender TABLE MONTH HOST PORT [LINES_A_SECOND]

It prints `ready` when it has the flights, and at the end one line of JSON that says what it sent.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeAlias

import orjson

import reactive as rx
from connectors import tcp
from reactive.demo import records
from reactive.demo.data import Dataset

Told: TypeAlias = tuple[str, bytes]
"""An airport, and the line it sends."""

AHEAD_SECONDS = 0.02


async def paced(told: Sequence[Told], rate: float) -> AsyncIterator[Told]:
    """The same, at most `rate` a second."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number, each in enumerate(told):
        early = started + number / rate - loop.time()
        if early > AHEAD_SECONDS:
            await asyncio.sleep(early)
        yield each


async def replay(told: Sequence[Told], host: str, port: int, rate: float | None) -> int:
    """Send every airport's lines over its own connection, all in one order; returns how many
    connections that took."""
    source: rx.Stream[Told] = (
        rx.from_iterable(told) if rate is None else rx.from_async_iterable(paced(told, rate))
    )

    def airport(code: str) -> rx.Job:
        lines = source.filter(lambda each: each[0] == code).map(lambda each: each[1])
        return lines.to(tcp.write(host, port)).named(f"to {code}")

    codes = sorted({each[0] for each in told})
    await rx.run(*map(airport, codes))
    return len(codes)


def main(arguments: Sequence[str]) -> None:
    table, month, host, port, *rate = arguments
    departures = Dataset(Path(table), table).departures(int(month))
    told = list(records.lines(departures))
    print("ready", flush=True)
    connections = asyncio.run(replay(told, host, int(port), float(rate[0]) if rate else None))
    broken = sum(map(records.is_broken, range(len(told))))
    report = {"lines": len(told), "broken": broken, "connections": connections}
    print(orjson.dumps(report).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
