"""reactivex (RxPY): an observable of an iterable, piped through operators, run to its last item.

`from_iterable` emits in a plain loop; `reactivex.range` would schedule every item, and under `run`
every scheduled action starts a thread.
"""

from __future__ import annotations

from typing import Any

import reactivex
from reactivex import operators as ops

from benchmarks.peers import Operators


def total(operators: Operators, count: int) -> int:
    items: Any = reactivex.from_iterable(range(count))
    for kind, function in operators:
        items = items.pipe(ops.map(function) if kind == "map" else ops.filter(function))
    return int(items.pipe(ops.sum()).run())
