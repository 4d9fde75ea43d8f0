"""bytewax: a dataflow run by its single-process entry point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import add
from typing import Any

import bytewax.operators as op
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators.windowing import (
    EventClock,
    SessionWindower,
    TumblingWindower,
    fold_window,
)
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSink, TestingSource, run_main

from benchmarks.events import DatedEvent, Totals
from benchmarks.peers import Operators


class _Numbers(StatelessSourcePartition[int]):
    def __init__(self, count: int) -> None:
        self._numbers = iter(range(count))

    def next_batch(self) -> list[int]:
        batch = list(islice(self._numbers, 1024))
        if not batch:
            raise StopIteration
        return batch


class _Range(DynamicSource[int]):
    def __init__(self, count: int) -> None:
        self._count = count

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Numbers:
        return _Numbers(self._count)


class _Adder(StatelessSinkPartition[int]):
    def __init__(self, totals: list[int]) -> None:
        self._totals = totals

    def write_batch(self, items: list[int]) -> None:
        self._totals[0] += sum(items)


class _Sum(DynamicSink[int]):
    def __init__(self, totals: list[int]) -> None:
        self._totals = totals

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Adder:
        return _Adder(self._totals)


def total(operators: Operators, count: int) -> int:
    """As documented, but with batches of a thousand: the default of its connectors, where its
    testing source gives one item at a time and takes ten times as long."""
    totals: list[tuple[str, int]] = []
    flow = Dataflow("benchmark")
    source = TestingSource(range(count), batch_size=1000)
    items = _transformed(operators, op.input("input", flow, source))
    keyed = op.key_on("key", items, lambda _: "all")
    op.output("output", op.reduce_final("sum", keyed, add), TestingSink(totals))
    run_main(flow)
    return totals[0][1]


def fastest_total(operators: Operators, count: int) -> int:
    """A source and a sink written for the purpose, that handle whole batches and need no key."""
    totals = [0]
    flow = Dataflow("benchmark")
    items = _transformed(operators, op.input("input", flow, _Range(count)))
    op.output("output", items, _Sum(totals))
    run_main(flow)
    return totals[0]


def _transformed(operators: Operators, items: Any) -> Any:
    for index, (kind, function) in enumerate(operators):
        if kind == "map":
            items = op.map(f"map_{index}", items, function)
        else:
            items = op.filter(f"filter_{index}", items, function)
    return items


class _Counter(StatelessSinkPartition[str]):
    def __init__(self, totals: list[int]) -> None:
        self._totals = totals

    def write_batch(self, items: list[str]) -> None:
        self._totals[0] += len(items)


class _Count(DynamicSink[str]):
    def __init__(self, totals: list[int]) -> None:
        self._totals = totals

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Counter:
        return _Counter(self._totals)


def count_lines(path: str, predicate: Callable[[str], bool]) -> int:
    totals = [0]
    flow = Dataflow("benchmark")
    lines = op.input("input", flow, FileSource(path))
    op.output("output", op.filter("filter", lines, predicate), _Count(totals))
    run_main(flow)
    return totals[0]


def tumbling_totals(events: Sequence[DatedEvent], size: float, lateness: float) -> Totals:
    """Count and sum of each key in tumbling windows, as documented."""
    align = datetime(2023, 1, 1, tzinfo=UTC)
    return _window_totals(events, TumblingWindower(timedelta(seconds=size), align), lateness)


def session_totals(events: Sequence[DatedEvent], gap: float, lateness: float) -> Totals:
    """The same in sessions."""
    return _window_totals(events, SessionWindower(timedelta(seconds=gap)), lateness)


def _window_totals(events: Sequence[DatedEvent], windower: Any, lateness: float) -> Totals:
    results: list[tuple[str, tuple[int, list[int]]]] = []
    flow = Dataflow("benchmark")
    source = TestingSource(events, batch_size=1000)
    keyed = op.key_on("key", op.input("input", flow, source), lambda event: event[1])
    clock: Any = EventClock(lambda event: event[0], timedelta(seconds=lateness))

    def add(held: list[int], event: DatedEvent) -> list[int]:
        held[0] += 1
        held[1] += event[2]
        return held

    def merge(held: list[int], other: list[int]) -> list[int]:
        return [held[0] + other[0], held[1] + other[1]]

    windows = fold_window("fold", keyed, clock, windower, lambda: [0, 0], add, merge)
    op.output("output", windows.down, TestingSink(results))
    run_main(flow)
    rows = [row for _, (_, row) in results]
    return [len(rows), sum(row[0] for row in rows), sum(row[1] for row in rows)]
