"""streamz: items emitted into the head of a synchronous graph, its fastest way to run."""

from __future__ import annotations

import operator
from typing import Any

from streamz import Stream

from benchmarks.peers import Operators


def total(operators: Operators, count: int) -> int:
    source = Stream()
    items: Any = source
    for kind, function in operators:
        items = items.map(function) if kind == "map" else items.filter(function)
    last = [0]

    def keep(value: int) -> None:
        last[0] = value

    items.accumulate(operator.add, start=0).sink(keep)
    for number in range(count):
        source.emit(number)
    return last[0]
