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
from benchmarks.nexmark.queries import QUERIES, Query, Surroundings

Run: TypeAlias = Callable[[Sequence[Event], Surroundings], Sequence[Any]]
"""Runs a query over events to its end, and gives the results."""

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


def _run(query: Query, mode: Mode, events: Sequence[Event], around: Surroundings) -> Sequence[Any]:
    return loops.run(query.over(rx.from_iterable(events), around).collect(mode=mode))


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
