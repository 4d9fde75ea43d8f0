"""bytewax: a windowed join, as documented."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, join_window
from bytewax.testing import TestingSink, TestingSource, run_main

from benchmarks.events import DatedEvent


def joined(
    left: Sequence[DatedEvent], right: Sequence[DatedEvent], size: float, lateness: float
) -> list[Any]:
    """Every pair of events that have a key and a window in common."""
    results: list[Any] = []
    flow = Dataflow("benchmark")
    sides = [
        op.key_on(
            f"key {name}",
            op.input(f"input {name}", flow, TestingSource(events, batch_size=1000)),
            lambda event: event[1],
        )
        for name, events in (("left", left), ("right", right))
    ]
    clock: Any = EventClock(lambda event: event[0], timedelta(seconds=lateness))
    windower = TumblingWindower(timedelta(seconds=size), datetime(2023, 1, 1, tzinfo=UTC))
    windows = join_window("join", clock, windower, *sides, insert_mode="product")
    op.output("output", windows.down, TestingSink(results))
    run_main(flow)
    return [row for _, (_, row) in results if None not in row]
