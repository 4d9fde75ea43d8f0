"""A process for each contestant, forked when the events are there, so that all have the same ones
at once, and what one does to its memory is nobody else's."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.nexmark.check import difference
from benchmarks.nexmark.contestants import Contestant
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.queries import QUERIES, Row, Surroundings
from benchmarks.nexmark.sql import BIDS_A_SECOND


@dataclass(frozen=True)
class Timing:
    """Seconds of one run."""

    wall: float
    cpu: float


class Failed(Exception):
    """A contestant's run raised something, or its process ended."""


class Process:
    """The process of a contestant, idle between runs."""

    def __init__(self, contestant: Contestant, events: Sequence[Event]) -> None:
        self.contestant = contestant
        context = multiprocessing.get_context("fork")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, contestant, events))
        self._process.start()
        theirs.close()
        self.queries: frozenset[int] = self._answer()

    def time(self, query: int, count: int) -> Timing:
        """Run a query over the first events, and tell how long it took."""
        timing: Timing = self._ask("time", query, count, None)
        return timing

    def check(self, query: int, count: int, expected: list[Row]) -> str | None:
        """Run a query over the first events, and tell how its rows differ from these."""
        complaint: str | None = self._ask("check", query, count, expected)
        return complaint

    def _ask(self, *request: Any) -> Any:
        self._connection.send(request)
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer, failure = self._connection.recv()
        except EOFError:
            raise Failed("its process ended by itself") from None
        if failure is not None:
            raise Failed(failure)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Any, contestant: Contestant, events: Sequence[Event]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.freeze()
    try:
        runs = contestant.runs()
    except Exception:
        connection.send((None, traceback.format_exc(limit=-3)))
        return
    connection.send((frozenset(runs), None))
    while True:
        try:
            what, query, count, expected = connection.recv()
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as folder:
            around = Surroundings(Path(folder))
            try:
                if what == "time":
                    answer: Any = _timed(runs[query], events[:count], around)
                else:
                    ticks = itertools.count()
                    around = Surroundings(Path(folder), lambda: next(ticks) / BIDS_A_SECOND)  # noqa: B023
                    results: list[Any] = []
                    runs[query](events[:count], around, results)
                    answer = difference(map(tuple, QUERIES[query].rows(results)), expected)
            except Exception:
                connection.send((None, traceback.format_exc(limit=-3)))
            else:
                connection.send((answer, None))


def _timed(run: Any, events: Sequence[Event], around: Surroundings) -> Timing:
    gc.collect()
    gc.freeze()
    # Were they kept, most of the time would go into looking through them for garbage.
    results: deque[Any] = deque(maxlen=0)
    cpu, wall = time.process_time(), time.perf_counter()
    run(events, around, results)
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)
