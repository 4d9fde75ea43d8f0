"""What a benchmark consists of: rows, contestants, figures and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one timed run gave.

    `result` must be the same for all contestants of a row that name the same `kind` of it; None:
    there is none to compare.
    `figures` are numbers by name; the worker adds `seconds` (wall clock) and `cpu` unless the
    contestant measured `seconds` itself.
    """

    result: Any
    figures: Mapping[str, float] = field(default_factory=dict)
    kind: str = ""


@dataclass(frozen=True)
class Contestant:
    """One way to do a row's work."""

    name: str
    run: Callable[[Settings], Outcome]
    kind: Literal["ours", "by hand", "peer"] = "peer"
    module: str | None = None
    """The module that must be installed for it to run."""
    share: float = 1.0
    """A slow contestant gets this share of `count`, and its seconds are scaled up."""


@dataclass
class Samples:
    """All figures of a row: contestant -> the figures of each round it ran in, by its number."""

    rounds: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)

    def add(self, number: int, name: str, figures: Mapping[str, float]) -> None:
        """Note what a contestant did in a round."""
        self.rounds.setdefault(name, {})[number] = figures

    def by_round(self, name: str, figure: str = "seconds") -> dict[int, float]:
        """The figure in each round; empty if the contestant did not run."""
        rounds = self.rounds.get(name, {})
        return {number: had[figure] for number, had in rounds.items() if figure in had}

    def values(self, name: str, figure: str = "seconds") -> list[float]:
        """The figures of all rounds."""
        return list(self.by_round(name, figure).values())

    def median(self, name: str, figure: str = "seconds") -> float | None:
        """The median over the rounds."""
        values = self.values(name, figure)
        return median(values) if values else None

    def across(
        self,
        combine: Callable[..., float | None],
        *names: str,
        figure: str = "seconds",
    ) -> float | None:
        """The median of what `combine` makes of the figures of one round, over the rounds in which
        all of `names` ran: a machine that is slower for a while slows all of them."""
        figures = [self.by_round(name, figure) for name in names]
        common = set(figures[0]).intersection(*figures[1:])
        made = [combine(*(one[number] for one in figures)) for number in sorted(common)]
        known = [value for value in made if value is not None]
        return median(known) if known else None

    def ratio(self, name: str, other: str, figure: str = "seconds") -> float | None:
        """How many times `other` is `name`."""
        return self.across(lambda one, two: one / two if two else None, name, other, figure=figure)


@dataclass(frozen=True)
class Bar:
    """A promise: `measure(samples)` is at most (or at least) `limit`."""

    text: str
    measure: Callable[[Samples], float | None]
    limit: float | Callable[[Samples], float | None]
    sense: Literal["at most", "at least"] = "at most"
    unit: str = "x"

    def limit_in(self, samples: Samples) -> float | None:
        """The limit, which may depend on a figure of the same run."""
        return self.limit(samples) if callable(self.limit) else self.limit


@dataclass(frozen=True)
class Column:
    """A figure as it is shown."""

    label: str
    show: Callable[[Samples, str, Settings], str]


@contextmanager
def nothing(settings: Settings) -> Iterator[Settings]:
    """For rows that need no file, port or process around them."""
    yield settings


@dataclass(frozen=True)
class Row:
    """One line of the table of bars.

    `full` and `quick` are the settings of a run. `warm` overrides them for the untimed run that
    comes first in each process. After a `generation` of rounds, all processes are made anew.
    `around` makes what all contestants share, and removes it.
    """

    name: str
    title: str
    contestants: tuple[Contestant, ...]
    bars: tuple[Bar, ...]
    columns: tuple[Column, ...]
    full: Settings
    quick: Settings
    warm: Settings | None
    rounds: int = 15
    quick_rounds: int = 3
    generation: int = 5
    seconds_for_a_contestant: float = 20.0
    computes: bool = True
    """Whether CPU time is a fair measure of it: it waits for nothing."""
    notes: tuple[str, ...] = ()
    around: Callable[[Settings], AbstractContextManager[Settings]] = nothing


def faster(text: str, ours: str, other: str, limit: float) -> Bar:
    """A bar: `ours` is at least `limit` times as fast as `other`."""
    return Bar(text, lambda samples: samples.ratio(other, ours), limit, "at least")


def within(text: str, ours: str, other: str, limit: float, figure: str = "seconds") -> Bar:
    """A bar: `ours` takes at most `limit` times as long as `other`."""
    return Bar(text, lambda samples: samples.ratio(ours, other, figure), limit)


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def median_column(label: str = "median", figure: str = "seconds") -> Column:
    """Median of a figure in seconds, and the spread of the rounds."""

    def show(samples: Samples, name: str, settings: Settings) -> str:
        values = samples.values(name, figure)
        if not values:
            return ""
        return f"{duration(median(values))} ({duration(min(values))} to {duration(max(values))})"

    return Column(label, show)


def per_item_column(
    label: str = "an item", figure: str = "seconds", count: str = "count"
) -> Column:
    """The median divided by the number of items."""

    def show(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.median(name, figure)
        return "" if value is None else duration(value / settings[count])

    return Column(label, show)


def beside_column(ours: str, figure: str = "seconds") -> Column:
    """How many times ours it takes."""

    def show(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.ratio(name, ours, figure)
        return "" if value is None else f"{value:.3g}x"

    return Column("beside ours", show)
