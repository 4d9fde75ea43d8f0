"""One item at a time through ten operators and one buffer, beside one asyncio.Queue hop.

A process of its own writes a byte into a socket for every item, 10,000 a second; the event loop
sleeps in between, as it does in a service. An item is the time at which it was handed over.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
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
    within,
)
from benchmarks.rows.three_lambdas import mapped

OURS, QUEUE = "reactive, ten operators and a buffer", "one asyncio.Queue hop"
GENERATORS = "ten async generators and a queue"
WARM_UP = 1_000

_PACER = """
import socket, sys, time
count, rate, out = int(sys.argv[1]), float(sys.argv[2]), socket.socket(fileno=int(sys.argv[3]))
due = time.perf_counter()
for _ in range(count):
    due += 1 / rate
    while (wait := due - time.perf_counter()) > 0:
        time.sleep(wait)
    out.sendall(b".")
"""


@contextmanager
def paced(settings: Settings) -> Iterator[socket.socket]:
    """A socket that gets a byte whenever an item is due."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", _PACER, str(settings["count"]), str(settings["rate"])]
    with ours:
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        with process:
            yield ours


async def stamps(ours: socket.socket) -> AsyncIterator[int]:
    """The time now, in nanoseconds, whenever an item is due."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(ours, 1):
        yield time.perf_counter_ns()


class Latencies:
    """How long each item took, those of the first thousand left out."""

    def __init__(self) -> None:
        self._taken: list[int] = []

    def add(self, stamp: int) -> None:
        self._taken.append(time.perf_counter_ns() - stamp)

    def outcome(self) -> Outcome:
        taken = sorted(self._taken[WARM_UP:] or self._taken)
        figures = {
            f"p{percent:g}": taken[min(len(taken) - 1, int(len(taken) * percent / 100))] / 1e9
            for percent in (50, 99, 99.9)
        }
        return Outcome(len(self._taken), figures)


forth = lambda stamp: stamp + 1  # noqa: E731
back = lambda stamp: stamp - 1  # noqa: E731


async def ours(items: AsyncIterator[int]) -> Outcome:
    import reactive as rx

    latencies = Latencies()
    stream: Any = rx.from_async_iterable(items)
    for _ in range(5):
        stream = stream.map(forth).map(back)
    async with stream.buffer(1024).open() as out:
        async for stamp in out:
            latencies.add(stamp)
    return latencies.outcome()


async def queue_hop(items: AsyncIterator[int]) -> Outcome:
    latencies = Latencies()
    queue: asyncio.Queue[int | None] = asyncio.Queue(1024)

    async def feed() -> None:
        async for item in items:
            await queue.put(item)
        await queue.put(None)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed())
        while (stamp := await queue.get()) is not None:
            latencies.add(stamp)
    return latencies.outcome()


async def generators(items: AsyncIterator[int]) -> Outcome:
    for _ in range(5):
        items = mapped(back, mapped(forth, items))
    return await queue_hop(items)


async def aiostream(items: AsyncIterator[int]) -> Outcome:
    """aiostream pulls through its operators, so that there is nothing to buffer."""
    from aiostream import pipe, stream

    latencies = Latencies()
    stamped: Any = stream.iterate(items)
    for _ in range(5):
        stamped = stamped | pipe.map(forth) | pipe.map(back)
    async with stamped.stream() as out:
        async for stamp in out:
            latencies.add(stamp)
    return latencies.outcome()


def fed(
    consume: Callable[[AsyncIterator[int]], Coroutine[Any, Any, Outcome]],
) -> Callable[[Settings], Outcome]:
    def run(settings: Settings) -> Outcome:
        with paced(settings) as source:
            return loops.run(consume(stamps(source)))

    return run


def show(figure: str) -> Column:
    def column(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.median(name, figure)
        return "" if value is None else duration(value)

    return Column(figure, column)


def slowest_in_a_hundred(samples: Samples) -> float | None:
    value = samples.median(OURS, "p99")
    return None if value is None else value * 1e3


ROW = Row(
    name="latency",
    title="one item at a time through ten operators and one buffer, 10,000 items/s",
    contestants=(
        Contestant(OURS, fed(ours), "ours", "reactive"),
        Contestant(QUEUE, fed(queue_hop), "by hand"),
        Contestant(GENERATORS, fed(generators), "by hand"),
        Contestant("aiostream, ten operators", fed(aiostream), module="aiostream"),
    ),
    bars=(
        within("p50 within 2x of one asyncio.Queue hop", OURS, QUEUE, 2, "p50"),
        Bar("p99 under 1 ms", slowest_in_a_hundred, 1, unit=" ms"),
    ),
    columns=(show("p50"), show("p99"), show("p99.9")),
    full={"count": 50_000, "rate": 10_000},
    quick={"count": 15_000, "rate": 10_000},
    warm=None,
    rounds=6,
    generation=2,
    computes=False,
)
