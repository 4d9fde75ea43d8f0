"""pathway: tumbling windows as its guide shows them, of rows that are there from the start."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pathway as pw

from benchmarks.events import DatedEvent, Totals


class _Events(pw.Schema):
    time: pw.DateTimeUtc
    key: str
    value: int


def tumbling_totals(given: Sequence[DatedEvent], size: int, lateness: int) -> Totals:
    """A window is kept until the time of its rows has passed its end by the lateness."""
    logging.disable(logging.INFO)
    pw.internals.parse_graph.G.clear()
    table = pw.debug.table_from_rows(_Events, list(given))
    windows = table.windowby(
        table.time,
        window=pw.temporal.tumbling(duration=timedelta(seconds=size)),
        instance=table.key,
        behavior=pw.temporal.exactly_once_behavior(shift=timedelta(seconds=lateness)),
    )
    totals = windows.reduce(n=pw.reducers.count(), total=pw.reducers.sum(pw.this.value))
    rows: list[dict[str, Any]] = []

    def on_change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        rows.append(row)

    pw.io.subscribe(totals, on_change=on_change)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    return [len(rows), sum(row["n"] for row in rows), sum(row["total"] for row in rows)]
