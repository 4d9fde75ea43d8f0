"""Running jobs as a process of their own: signals, progress and the report at the end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from reactive.checkpoint import Checkpoint
from reactive.context import Settings
from reactive.overview import Overview, Row
from reactive.printing import ReaderGone
from reactive.progress_bar import progress_bar
from reactive.run import Run, start
from reactive.stream import Job

PROGRESS_SECONDS = 0.5


class Interrupted(Exception):
    """The run was cancelled by a second signal, `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Interrupts:
    """Counts SIGINT and SIGTERM: the first asks for a drain, the second for an end at once. The
    third raises KeyboardInterrupt wherever the program is, even where the event loop is held."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.number = 0
        self._count = 0

    def receive(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self.number = number
        if self._count > 2:
            raise KeyboardInterrupt
        event = self.first if self._count == 1 else self.second
        self._loop.call_soon_threadsafe(event.set)

    @contextmanager
    def installed(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        with self._woken():
            before = [signal.signal(number, self.receive) for number in numbers]
            try:
                yield
            finally:
                for number, handler in zip(numbers, before, strict=True):
                    signal.signal(number, handler)

    @contextmanager
    def _woken(self) -> Iterator[None]:
        """Signals wake the loop. Python runs `receive` in the main thread, between two
        instructions: a signal that comes just before the loop begins to wait, or that another
        thread gets, would be seen only when the loop wakes for something else. uvloop, and
        asyncio once `add_signal_handler` was called, see to that themselves."""
        reading, writing = socket.socketpair()
        with reading, writing:
            reading.setblocking(False)
            writing.setblocking(False)
            before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
            if before != -1:
                signal.set_wakeup_fd(before)
                yield
                return
            self._loop.add_reader(reading, reading.recv, 4096)
            try:
                yield
            finally:
                self._loop.remove_reader(reading)
                # What the program inside set meanwhile, by `add_signal_handler`, is its own.
                now = signal.set_wakeup_fd(-1)
                if now != writing.fileno():
                    signal.set_wakeup_fd(now)


async def supervise(
    jobs: Sequence[Job],
    *,
    settings: Settings | None = None,
    quiet: bool = False,
    checkpoint: Checkpoint | None = None,
    savepoint: str | None = None,
) -> None:
    """Run jobs to their end, or until SIGINT or SIGTERM, which drain; a second one cancels.

    With `checkpoint`, the drain ends with a last checkpoint, which is kept as `savepoint` if that
    is the name of one.

    Progress goes to standard error while that is a terminal, the report at the end always,
    unless `quiet`. Raises what fails, and `Interrupted`.
    """
    err = sys.stderr
    overview = Overview(jobs, checkpoints=checkpoint is not None)
    interrupts = _Interrupts()
    with interrupts.installed():
        progress: asyncio.Task[None] | None = None
        run: Run | None = None
        outcome = "failed"
        try:
            async with start(*jobs, settings=settings, checkpoint=checkpoint) as run:
                if err.isatty() and not quiet:
                    progress = asyncio.create_task(_progress(run, overview, err))
                if await _first(run.wait(), interrupts.first):
                    outcome = "completed"
                else:
                    name = signal.Signals(interrupts.number).name
                    if not quiet:
                        clear(err)
                        what = (
                            "taking no more, finishing what was taken"
                            if checkpoint is None
                            else "taking no more, and a last checkpoint"
                        )
                        print(f"{name}: {what}; once more to end at once", file=err, flush=True)
                    if not await _first(run.stop(savepoint=savepoint or False), interrupts.second):
                        outcome = "cancelled"
                        raise Interrupted(interrupts.number)
                    outcome = f"drained after {name}"
                if checkpoint is not None and run.committed is not None:
                    outcome += f", with epoch {run.committed} committed,"
        except (KeyboardInterrupt, asyncio.CancelledError):
            outcome = "cut off"
            raise
        except ReaderGone as error:
            outcome = f"stopped, {error.strerror},"
            raise
        finally:
            if progress is not None:
                progress.cancel()
                with suppress(asyncio.CancelledError):
                    await progress
            if run is not None and not quiet:
                clear(err)
                lines = report_lines(overview.rows(run), outcome, run.metrics().seconds)
                print("\n".join(lines), file=err, flush=True)


async def _first(work: Any, event: asyncio.Event) -> bool:
    """Whether `work` ends before `event` is set; raises what it raises, cancels it otherwise."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait((working, waiting))


async def _progress(run: Run, overview: Overview, err: TextIO) -> None:
    last, before = 0, 0.0
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        report, rows = run.metrics(), overview.rows(run)
        seconds = report.seconds
        items = sum(
            each.items_out or 0 for each in report.operators if each.name in overview.sources
        )
        rate = (items - last) / ((seconds - before) or 1.0)
        last, before = items, seconds
        text = f"{seconds:,.0f} s  {items:,} items in  {rate:,.0f} items/s"
        if bar := progress_bar(run.progress()):
            text = f"{bar}  {text}"
        if queued := sum(row.queued or 0 for row in rows):
            text += f"  {queued:,} waiting on edges"
        if letters := dead_letters(rows):
            text += f"  {_dead(letters)}"
        blocked = [row.doing for row in rows if row.doing.startswith("blocked")]
        if blocked:
            text += f"  {blocked[0]}"
        width = shutil.get_terminal_size().columns
        print(f"\r\x1b[K{text[: width - 1]}", end="", file=err, flush=True)


def clear(err: TextIO) -> None:
    """Remove the progress line, where there can be one."""
    if err.isatty():
        print("\r\x1b[K", end="", file=err, flush=True)


def dead_letters(rows: Sequence[Row]) -> int:
    """How many items went to side outputs as dead letters."""
    return sum(row.counters.get("dead_letters", 0) for row in rows)


def _dead(letters: int) -> str:
    return f"{letters:,} dead letter{'s' * (letters != 1)}"


def report_lines(rows: Sequence[Row], outcome: str, seconds: float) -> list[str]:
    """How a run went: a table of what went in and out of each operator and what it counted."""
    cells = [("operator", "items in", "items out", "")]
    cells += [
        (
            row.name,
            "" if row.items_in is None else f"{row.items_in:,}",
            "" if row.items_out is None else f"{row.items_out:,}",
            ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in row.counters.items()),
        )
        for row in rows
    ]
    widths = [max(len(each[column]) for each in cells) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {came:>{widths[1]}}  {went:>{widths[2]}}  {notes}".rstrip()
        for name, came, went, notes in cells
    ]
    end = f"{outcome} in {seconds:,.2f} s"
    letters = dead_letters(rows)
    return [*lines, f"{end}, {_dead(letters)}" if letters else end]


class LogFile:
    """Standard error for log lines: each takes the place of a progress line that stands there."""

    def write(self, text: str) -> int:
        if text != "\n":
            clear(sys.stderr)
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
