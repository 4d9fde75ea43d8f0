"""The two runs of the demo: live from the sockets while recording, and batch from the recording."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

import reactive as rx
from connectors import files, memory, tcp
from reactive.demo.data import Dataset
from reactive.demo.pipeline import BAD, TOO_LATE, Flight, Pane, Total, departures
from reactive.demo.view import Cell, Key, Phase, View, clock
from reactive.fast_dataclasses import dataclass
from reactive.overview import Overview

T = TypeVar("T")

REFRESH_SECONDS = 0.1
QUIET_SECONDS = 0.02
LAST_SECONDS = 10.0
LETTERS = 4
LATEST = 5


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Sent(NamedTuple):
    """What the sender says it sent."""

    lines: int
    broken: int
    connections: int


@dataclass
class Tally:
    """What both runs end in: the last pane of every airport and hour, and the dead letters."""

    board: dict[Key, Cell] = field(default_factory=dict)
    panes: Counter[str] = field(default_factory=Counter)
    late: deque[str] = field(default_factory=lambda: deque(maxlen=LATEST))
    too_late: int = 0
    dead: int = 0
    letters: deque[rx.DeadLetter[bytes]] = field(default_factory=lambda: deque(maxlen=LETTERS))

    def jobs(self, lines: rx.Stream[bytes]) -> list[rx.Job]:
        """The pipeline over `lines`, its dead letters, and what came too late for it."""
        return [
            departures(lines).to(memory.call(self.show)).named("board"),
            BAD.to(memory.call(self.set_aside)).named("dead letters"),
            TOO_LATE.to(memory.call(self.drop)).named("dropped"),
        ]

    def show(self, pane: Pane) -> None:
        key = pane.key, pane.window.start
        total = Total(pane.value.departures, pane.value.minutes)
        timing = pane.pane.timing
        self.panes[timing] += 1
        if timing == "late":
            before = self.board.get(key)
            self.late.append(late_flight(key, None if before is None else before.total, total))
        self.board[key] = Cell(total, timing)

    def drop(self, flight: Flight) -> None:
        self.too_late += 1

    def set_aside(self, letter: rx.DeadLetter[bytes]) -> None:
        self.dead += 1
        self.letters.append(letter)


async def live(
    dataset: Dataset, month: int, rate: float | None, recording: Path, view: View
) -> tuple[Phase, Sent]:
    """Listen, let the sender send, and end when all that it sent has come through."""
    address: asyncio.Future[tcp.Address] = asyncio.get_running_loop().create_future()
    lines = tcp.listen("127.0.0.1", 0, on_listening=address.set_result).named("flights")
    tally = Tally()
    jobs = [lines.to(files.write_lines(recording)).named("recording"), *tally.jobs(lines)]
    async with (
        rx.start(*jobs) as run,
        _sender(dataset, month, await _unless_failed(run, address), rate) as process,
    ):
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise DemoFailed(f"the sender ended with status {await process.wait()}")
        async with _watched("live", run, jobs, tally, view) as phase:
            said = await _unless_failed(run, process.stdout.read())
            if status := await process.wait():
                raise DemoFailed(f"the sender ended with status {status}")
            sent = Sent(**orjson.loads(said))
            await _all_read(run, sent.connections)
            await run.stop(drain=True)
    return phase.final(), sent


async def _all_read(run: rx.Run, connections: int) -> None:
    """Wait until every connection was read to its end: the last lines, or a whole connection, may
    still lie in the kernel. Lines that never come are for the comparison to find."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            while not run.failed:
                flights = run.metrics()["flights"]
                accepted = flights.counters.get("connections", 0)
                if accepted >= connections and not flights.gauges["open_connections"]:
                    return
                await asyncio.sleep(QUIET_SECONDS)


async def batch(recording: Path, view: View) -> Phase:
    """The same pipeline over the recorded file."""
    tally = Tally()
    lines = files.read_lines(recording, encoding=None).named("flights")
    jobs = tally.jobs(lines)
    async with rx.start(*jobs) as run, _watched("batch", run, jobs, tally, view) as phase:
        await run.wait()
    return phase.final()


async def _unless_failed(run: rx.Run, work: asyncio.Future[T] | Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or what made the run fail before."""
    wanted = asyncio.ensure_future(work)
    running = asyncio.ensure_future(run.wait())
    try:
        await asyncio.wait((wanted, running), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            await running
        return await wanted
    finally:
        for task in (wanted, running):
            task.cancel()


@asynccontextmanager
async def _sender(
    dataset: Dataset, month: int, address: tcp.Address, rate: float | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [str(dataset.path), str(month), address.host, str(address.port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reactive.demo.sender",
        *arguments,
        *([] if rate is None else [str(rate)]),
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for the demo, which then ends the sender.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class _Watch:
    """Follows a run for the view, which draws in a thread of its own: the event loop is for
    the pipeline."""

    def __init__(
        self, name: str, run: rx.Run, jobs: Sequence[rx.Job], tally: Tally, view: View
    ) -> None:
        self._name, self._run, self._tally, self._view = name, run, tally, view
        self._overview = Overview(jobs)
        self._started = time.perf_counter()
        self._ended = asyncio.Event()
        self._last: Phase | None = None

    def phase(self, *, done: bool = False) -> Phase:
        report, tally = self._run.metrics(), self._tally
        return Phase(
            name=self._name,
            seconds=time.perf_counter() - self._started,
            lines=report["flights"].items_out or 0,
            dead=tally.dead,
            rows=self._overview.rows(self._run),
            board=dict(tally.board),
            panes=dict(tally.panes),
            late=list(tally.late),
            too_late=tally.too_late,
            letters=[_describe(letter) for letter in tally.letters],
            done=done,
        )

    async def follow(self) -> None:
        while not self._ended.is_set():
            await asyncio.to_thread(self._view.show, self.phase())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), REFRESH_SECONDS)

    def end(self) -> None:
        self._ended.set()

    def finish(self) -> None:
        self._last = self.phase(done=True)
        self._view.show(self._last)

    def final(self) -> Phase:
        assert self._last is not None
        return self._last


@asynccontextmanager
async def _watched(
    name: str, run: rx.Run, jobs: Sequence[rx.Job], tally: Tally, view: View
) -> AsyncIterator[_Watch]:
    watch = _Watch(name, run, jobs, tally, view)
    following = asyncio.create_task(watch.follow())
    try:
        yield watch
    finally:
        watch.end()
        await following
    watch.finish()


def late_flight(key: Key, before: Total | None, after: Total) -> str:
    """What a late pane says that the one before it did not."""
    count, delay = (0, 0) if before is None else before
    left = after.departures - count
    flights = f"a flight {after.minutes - delay:,} min late" if left == 1 else f"{left} flights"
    mean = f"{after.mean:+.1f}" if before is None else f"{before.mean:+.1f} to {after.mean:+.1f}"
    return f"{key[0]} {clock(key[1])}: {flights}, mean {mean} min"


def _describe(letter: rx.DeadLetter[bytes]) -> str:
    return f"{letter.error}: {letter.item.decode('utf-8', 'backslashreplace')}"


def differences(live: Phase, batch: Phase) -> list[str]:
    """Where two runs do not agree, in words."""
    found = []
    for what, one, other in (
        ("lines", live.lines, batch.lines),
        ("dead letters", live.dead, batch.dead),
        ("flights too late to count", live.too_late, batch.too_late),
    ):
        if one != other:
            found.append(f"{what}: live {one:,}, batch {other:,}")
    lives, batches = live.totals, batch.totals
    return found + [
        f"{key[0]} {clock(key[1])}: live {lives.get(key)}, batch {batches.get(key)}"
        for key in sorted(lives.keys() | batches.keys())
        if lives.get(key) != batches.get(key)
    ]
