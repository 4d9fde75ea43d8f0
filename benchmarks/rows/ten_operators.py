"""What one more inline operator costs: ten operators against three, all items reaching all."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    beside_column,
    duration,
    median_column,
    per_item_column,
)
from benchmarks.peers import Operators, summing_peers
from benchmarks.rows.three_lambdas import chained_generators

OURS, BY_HAND, CALL = "reactive", "hand-written loop", "a call of one of the lambdas"
PAIRS = 3
REFERENCE_CALL, REFERENCE_OPERATOR = 45e-9, 60e-9

increment = lambda x: x + 1  # noqa: E731
natural = lambda x: x >= 0  # noqa: E731

TEN: Operators = (("map", increment), ("filter", natural)) * 5
THREE: Operators = TEN[:3]


def compared(
    three: Callable[[], int], ten: Callable[[], int], count: int, pairs: int = PAIRS
) -> Outcome:
    """Time both in turns; the added cost is the median of their differences."""
    for_ten, added = [], []
    result = 0
    for _ in range(pairs):
        first = loops.now()
        three()
        second = loops.now()
        result = ten()
        third = loops.now()
        for_ten.append(third - second)
        added.append((third - second) - (second - first))
    return Outcome(result, {"seconds": median(for_ten), "added": median(added) / 7 / count})


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    def total(operators: Operators) -> int:
        async def main() -> int:
            items = rx.from_iterable(range(settings["count"]))
            for kind, function in operators:
                items = items.map(function) if kind == "map" else items.filter(function)
            return await items.sum()

        return loops.run(main())

    return compared(lambda: total(THREE), lambda: total(TEN), settings["count"])


def by_hand(settings: Settings) -> Outcome:
    count = settings["count"]

    def three() -> int:
        total = 0
        for x in range(count):
            x = increment(x)
            if natural(x):
                total += increment(x)
        return total

    def ten() -> int:
        total = 0
        for x in range(count):
            x = increment(x)
            if not natural(x):
                continue
            x = increment(x)
            if not natural(x):
                continue
            x = increment(x)
            if not natural(x):
                continue
            x = increment(x)
            if not natural(x):
                continue
            x = increment(x)
            if natural(x):
                total += x
        return total

    return compared(three, ten, count)


def generators(settings: Settings) -> Outcome:
    return peer(chained_generators, settings)


def peer(total: Callable[[Operators, int], int], settings: Settings) -> Outcome:
    count = settings["count"]
    return compared(lambda: total(THREE, count), lambda: total(TEN, count), count, pairs=1)


def call(settings: Settings) -> Outcome:
    """Loops that call the operators' own functions, less a loop that calls none."""
    numbers = range(settings["count"])
    costs = []
    for _ in range(2 * PAIRS):
        first = loops.now()
        for number in numbers:
            increment(number)
        for number in numbers:
            natural(number)
        third = loops.now()
        for _number in numbers:
            pass
        fourth = loops.now()
        costs.append((third - first) / 2 - (fourth - third))
    return Outcome(None, {"added": median(costs) / settings["count"]})


def scaled_limit(samples: Samples) -> float | None:
    """60 ns where a call costs 45 ns, in proportion elsewhere; in nanoseconds."""
    cost = samples.median(CALL, "added")
    return None if cost is None else cost / REFERENCE_CALL * REFERENCE_OPERATOR * 1e9


def added_by_ours(samples: Samples) -> float | None:
    cost = samples.median(OURS, "added")
    return None if cost is None else cost * 1e9


def show_added(samples: Samples, name: str, settings: Settings) -> str:
    cost = samples.median(name, "added")
    return "" if cost is None else duration(cost)


def but_not_calls(column: Column) -> Column:
    """The plain call has no ten operators to show."""

    def show(samples: Samples, name: str, settings: Settings) -> str:
        return "" if name == CALL else column.show(samples, name, settings)

    return Column(column.label, show)


ROW = Row(
    name="ten-operators",
    title="ten operators with Python lambdas over ints, and the cost of one more",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(BY_HAND, by_hand, "by hand"),
        Contestant("async generators by hand", generators, "by hand"),
        Contestant(CALL, call, "by hand"),
        *summing_peers(peer),
    ),
    bars=(
        Bar(
            "one more inline operator: under 60 ns where a Python call costs 45 ns, scaled to "
            "what a call costs here",
            added_by_ours,
            scaled_limit,
            unit=" ns",
        ),
    ),
    columns=(
        Column("one more operator", show_added),
        but_not_calls(median_column("ten operators")),
        but_not_calls(per_item_column("an item")),
        but_not_calls(beside_column(OURS)),
    ),
    full={"count": 200_000},
    quick={"count": 50_000},
    warm={"count": 5_000},
    rounds=10,
)
