"""The two runs of the demo: live from the sockets while recording, and batch from the recording."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

import reactive as rx
from connectors import files, memory, tcp
from reactive.demo.data import Dataset
from reactive.demo.pipeline import BAD, EMPTY, Board, departures
from reactive.demo.view import Phase, View
from reactive.overview import Overview

T = TypeVar("T")

REFRESH_SECONDS = 0.1
QUIET_SECONDS = 0.02
LAST_SECONDS = 10.0
LETTERS = 4


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Sent(NamedTuple):
    """What the sender says it sent."""

    lines: int
    broken: int
    connections: int


@dataclass
class Tally:
    """What both runs end in: the last board, and the dead letters."""

    board: Board = field(default_factory=lambda: EMPTY)
    dead: int = 0
    letters: deque[rx.DeadLetter[bytes]] = field(default_factory=lambda: deque(maxlen=LETTERS))

    def jobs(self, lines: rx.Stream[bytes]) -> list[rx.Job]:
        """The pipeline over `lines`, and its dead letters."""
        return [
            departures(lines).to(memory.call(self.show)).named("board"),
            BAD.to(memory.call(self.set_aside)).named("dead letters"),
        ]

    def show(self, board: Board) -> None:
        self.board = board

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
            totals=tally.board,
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


def _describe(letter: rx.DeadLetter[bytes]) -> str:
    return f"{letter.error}: {letter.item.decode('utf-8', 'backslashreplace')}"


def differences(live: Phase, batch: Phase) -> list[str]:
    """Where two runs do not agree, in words."""
    found = []
    for what in ("lines", "dead"):
        one, other = getattr(live, what), getattr(batch, what)
        if one != other:
            found.append(f"{what.replace('dead', 'dead letters')}: live {one:,}, batch {other:,}")
    for key in sorted(live.totals.keys() | batch.totals.keys()):
        one, other = live.totals.get(key), batch.totals.get(key)
        if one != other:
            found.append(f"{key[0]} at {key[1]}: live {one}, batch {other}")
    return found
