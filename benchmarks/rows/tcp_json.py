"""JSON lines over loopback TCP from another process, decoded with orjson."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

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

OURS, ANYIO, READLINE = "reactive", "bare anyio loop", "StreamReader.readline"


@contextmanager
def a_sender(settings: Settings) -> Iterator[Settings]:
    """A process that sends `count` lines on one port, and a few thousand on another."""
    command = [sys.executable, "-m", "benchmarks.sender", str(settings["count"]), "5000"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        port, small = map(int, process.stdout.readline().split())
        yield {**settings, "port": port, "warm": {"port": small}}
        process.stdin.close()


def ours(settings: Settings) -> Outcome:
    from connectors import tcp

    async def main() -> list[int]:
        lines = tcp.connect("127.0.0.1", settings["port"])
        return await lines.map(orjson.loads).reduce(add, [0, 0])

    return Outcome(loops.run(main()))


def add(totals: list[int], flight: dict[str, int]) -> list[int]:
    totals[0] += 1
    totals[1] += flight["delay"]
    return totals


def anyio_loop(settings: Settings) -> Outcome:
    import anyio

    async def main() -> list[int]:
        totals = [0, 0]
        rest = b""
        async with await anyio.connect_tcp("127.0.0.1", settings["port"]) as connection:
            while True:
                try:
                    received = await connection.receive()
                except anyio.EndOfStream:
                    break
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    totals = add(totals, orjson.loads(line))
        return totals

    return Outcome(loops.run(main()))


def readline(settings: Settings) -> Outcome:
    async def main() -> list[int]:
        totals = [0, 0]
        reader, writer = await asyncio.open_connection("127.0.0.1", settings["port"])
        while line := await reader.readline():
            totals = add(totals, orjson.loads(line))
        writer.close()
        await writer.wait_closed()
        return totals

    return Outcome(loops.run(main()))


ROW = Row(
    name="tcp-json",
    title="500,000 JSON lines over loopback TCP, decoded with orjson",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(ANYIO, anyio_loop, "by hand"),
        Contestant(READLINE, readline, "by hand"),
    ),
    bars=(
        within("within 1.1x of a bare anyio receive, split, decode loop", OURS, ANYIO, 1.1),
        faster("at least 2x faster than StreamReader.readline", OURS, READLINE, 2),
    ),
    columns=(median_column(), per_item_column("a line"), beside_column(OURS)),
    full={"count": 500_000},
    quick={"count": 100_000},
    warm={},
    around=a_sender,
)
