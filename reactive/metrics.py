"""Counters of a run, kept at chunk granularity, so that they cost nothing measurable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Meter:
    """One operator's counters. `items_in` and `items_out` count items; `counters` holds named
    ones (`skipped`, `reconnects`, ...), `totals` those that are counted elsewhere (`dropped`);
    totals and `gauges` are read when somebody looks. What the inner operators of a fused loop take
    and give is not counted: it would cost as much as their work."""

    name: str
    items_in: int = 0
    items_out: int = 0
    counts_in: bool = True
    counts_out: bool = True
    counters: dict[str, int] = field(default_factory=dict)
    totals: dict[str, Callable[[], int]] = field(default_factory=dict)
    gauges: dict[str, Callable[[], float]] = field(default_factory=dict)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a named counter."""
        self.counters[name] = self.counters.get(name, 0) + amount


@dataclass(frozen=True, slots=True)
class OperatorMetrics:
    """A reading of one operator at one moment. What never happened is not among `counters`;
    `items_in` and `items_out` are None where they are not counted: inside a fused loop only the
    first operator's input and the last one's output are."""

    name: str
    items_in: int | None
    items_out: int | None
    counters: dict[str, int]
    gauges: dict[str, float]


def read_meter(meter: Meter) -> OperatorMetrics:
    """Read the counters and gauges of one operator now."""
    totals = {name: count for name, total in meter.totals.items() if (count := total())}
    return OperatorMetrics(
        meter.name,
        meter.items_in if meter.counts_in else None,
        meter.items_out if meter.counts_out else None,
        {**meter.counters, **totals},
        {name: gauge() for name, gauge in meter.gauges.items()},
    )
