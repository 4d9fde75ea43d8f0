"""Who runs the queries: Reactive in both modes, and the libraries beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

import reactive as rx
from benchmarks import loops
from benchmarks.nexmark.check import Mode
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.queries import QUERIES, Query, Results, Surroundings
from reactive.context import Context
from reactive.endpoint import Sink, Writer
from reactive.signals import Chunk

Run: TypeAlias = Callable[[Sequence[Event], Surroundings, Results], None]
"""Runs a query over events to its end, and adds the results to those."""

BYTEWAX, BEAM = "bytewax", "Beam, local"


@dataclass(frozen=True)
class Contestant:
    """One way to run the queries."""

    name: str
    runs: Callable[[], Mapping[int, Run]]
    module: str
    most_checked: int | None = None
    """How many events it is checked over at most."""

    @property
    def ours(self) -> bool:
        """Whether it is Reactive."""
        return self.module == "reactive"

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        return find_spec(self.module) is not None


def ours(mode: Mode) -> dict[int, Run]:
    """All queries with Reactive."""
    return {number: partial(_run, query, mode) for number, query in QUERIES.items()}


def _run(
    query: Query, mode: Mode, events: Sequence[Event], around: Surroundings, results: Results
) -> None:
    job = query.over(rx.from_iterable(events), around).to(_Extending(results))
    loops.run(rx.run(job, mode=mode))


@dataclass(frozen=True)
class _Extending(Sink[Any]):
    results: Results

    def writer(self, context: Context) -> Writer[Any]:
        return _Extender(self.results)


class _Extender(Writer[Any]):
    def __init__(self, results: Results) -> None:
        self._results = results

    async def write(self, chunk: Chunk[Any]) -> None:
        self._results.extend(chunk.items)


def _peer(module: str) -> Callable[[], Mapping[int, Run]]:
    def runs() -> Mapping[int, Run]:
        found: Mapping[int, Run] = import_module(f"benchmarks.nexmark.{module}").RUNS
        return found

    return runs


STREAM, BATCH = "Reactive, stream", "Reactive, batch"
CONTESTANTS = (
    Contestant(STREAM, partial(ours, "stream"), "reactive"),
    Contestant(BATCH, partial(ours, "batch"), "reactive"),
    Contestant(BYTEWAX, _peer("with_bytewax"), "bytewax", 50_000),
    Contestant(BEAM, _peer("with_beam"), "apache_beam", 20_000),
)
