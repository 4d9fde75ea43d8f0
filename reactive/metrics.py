"""Counters of a run, kept at chunk granularity, so that they cost nothing measurable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Literal

from reactive.fast_dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operator has come with what has an end: a source that knows its size, a sort that
    merges what it has written to disk. `done` and `total` are in `unit`; `total` is None where it
    is not known. `seconds` of the loop's clock have gone by since it began with this `phase`."""

    operator: str
    phase: str
    done: int
    total: int | None
    unit: Literal["bytes", "items"]
    seconds: float

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1; None where the total is not known."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def rate(self) -> float:
        """Bytes or items a second, since the phase began."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """The seconds that the rest will take at that rate; None while nobody can tell."""
        if self.total is None or not self.done or not self.seconds:
            return None
        return max(0, self.total - self.done) / self.rate


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
    progress: Callable[[], Progress | None] | None = None

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
