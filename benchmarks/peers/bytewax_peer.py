"""bytewax: a dataflow run by its single-process entry point."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from operator import add
from typing import Any

import bytewax.operators as op
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSink, TestingSource, run_main

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
