"""csp in simulation mode: a node in Python for each function."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import csp
import numpy
from csp import ts

from benchmarks.peers import Operators

_START = datetime(2025, 1, 1)


# A node that returns nothing does not tick.
@csp.node  # noqa: RET503
def _keep(x: ts[int], predicate: Callable[[int], Any]) -> ts[int]:
    if csp.ticked(x) and predicate(x):
        return x


def total(operators: Operators, count: int) -> int:
    """Fed from a list of times and values, as its documentation shows."""
    return _run(operators, [(timedelta(microseconds=number), number) for number in range(count)])


def fastest_total(operators: Operators, count: int) -> int:
    """Fed from NumPy arrays, its fastest source, so that only the nodes are measured."""
    times = numpy.datetime64(_START, "ns") + numpy.arange(count).astype("timedelta64[us]")
    return _run(operators, (times, numpy.arange(count)))


def _run(operators: Operators, numbers: Any) -> int:
    @csp.graph
    def graph() -> None:
        items = csp.curve(int, numbers)
        for kind, function in operators:
            if kind == "map":
                items = csp.apply(items, function, int)
            else:
                items = _keep(items, function)
        csp.add_graph_output("total", csp.accum(items), tick_count=1)

    ticks = csp.run(graph, starttime=_START)["total"]
    return int(ticks[-1][1])
