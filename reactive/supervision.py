"""Running jobs as a process of their own: signals, progress and the report at the end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from reactive.context import Settings
from reactive.graph import walk
from reactive.metrics import OperatorMetrics
from reactive.operator import SourceOperator
from reactive.plan import make_plan
from reactive.printing import ReaderGone
from reactive.run import Report, Run, start
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
        before = [signal.signal(number, self.receive) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


async def supervise(
    jobs: Sequence[Job], *, settings: Settings | None = None, quiet: bool = False
) -> None:
    """Run jobs to their end, or until SIGINT or SIGTERM, which drain; a second one cancels.

    Progress goes to standard error while that is a terminal, the report at the end always,
    unless `quiet`. Raises what fails, and `Interrupted`.
    """
    err = sys.stderr
    interrupts = _Interrupts()
    with interrupts.installed():
        progress: asyncio.Task[None] | None = None
        run: Run | None = None
        outcome = "failed"
        try:
            async with start(*jobs, settings=settings) as run:
                if err.isatty() and not quiet:
                    progress = asyncio.create_task(_progress(run, _sources(jobs), err))
                if await _first(run.wait(), interrupts.first):
                    outcome = "completed"
                else:
                    name = signal.Signals(interrupts.number).name
                    if not quiet:
                        clear(err)
                        print(
                            f"{name}: taking no more, finishing what was taken; "
                            "once more to end at once",
                            file=err,
                            flush=True,
                        )
                    if not await _first(run.stop(drain=True), interrupts.second):
                        outcome = "cancelled"
                        raise Interrupted(interrupts.number)
                    outcome = f"drained after {name}"
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
                print("\n".join(report_lines(run.metrics(), outcome)), file=err, flush=True)


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


def _sources(jobs: Sequence[Job]) -> set[str]:
    plan = make_plan([job.planned for job in jobs])
    nodes = walk(job.planned.root for job in jobs)
    return {plan.names[node] for node in nodes if isinstance(node.operator, SourceOperator)}


async def _progress(run: Run, sources: set[str], err: TextIO) -> None:
    last, seconds = 0, 0.0
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        report = run.metrics()
        items = sum(each.items_out for each in report.operators if each.name in sources)
        rate = (items - last) / ((report.seconds - seconds) or 1.0)
        last, seconds = items, report.seconds
        text = f"{report.seconds:,.0f} s  {items:,} items in  {rate:,.0f} items/s"
        if queued := sum(each.gauges.get("depth", 0) for each in report.operators):
            text += f"  {queued:,.0f} waiting on edges"
        if letters := total(report, "dead_letters"):
            text += f"  {letters:,} dead letters"
        states = sorted({r.state for r in run.regions() if r.state.startswith("blocked")})
        if states:
            text += f"  {states[0]}"
        print(f"\r\x1b[K{text}", end="", file=err, flush=True)


def clear(err: TextIO) -> None:
    """Remove the progress line, where there can be one."""
    if err.isatty():
        print("\r\x1b[K", end="", file=err, flush=True)


def total(report: Report, counter: str) -> int:
    """A counter over all operators."""
    return sum(each.counters.get(counter, 0) for each in report.operators)


def report_lines(report: Report, outcome: str) -> list[str]:
    """How a run went, as a table: what went in and out of each operator, and what it counted."""
    rows = [("operator", "items in", "items out", "")]
    rows += [
        (each.name, f"{each.items_in:,}", f"{each.items_out:,}", _notes(each))
        for each in report.operators
        if each.items_in or each.items_out or each.counters or "depth" not in each.gauges
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    ]
    letters = total(report, "dead_letters")
    end = f"{outcome} in {report.seconds:,.2f} s"
    return [*lines, f"{end}, {letters:,} dead letters" if letters else end]


def _notes(operator: OperatorMetrics) -> str:
    counters = dict(operator.counters)
    if dropped := operator.gauges.get("dropped"):
        counters["dropped"] = counters.get("dropped", 0) + int(dropped)
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counters.items())
