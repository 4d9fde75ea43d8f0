"""The aggregators against folds and models in plain Python; alone, merged, and in windows."""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Callable, Sequence
from copy import deepcopy
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx

SECOND = 1_000_000


class Item(NamedTuple):
    number: Fraction
    order: int


def number(item: Item) -> Fraction:
    return item.number


def tens(item: Item) -> int:
    return item.number.__floor__() // 10


def median(items: Sequence[Item]) -> Any:
    return statistics.median(map(number, items))


def quartile(items: Sequence[Item]) -> Any:
    if len(items) < 2:
        return items[0].number
    return statistics.quantiles(map(number, items), n=4, method="inclusive")[0]


def variance(items: Sequence[Item]) -> Any:
    return statistics.variance(map(number, items)) if len(items) > 1 else None


Kind = tuple[Callable[[], rx.Aggregator[Item, Any, Any]], Callable[[Sequence[Item]], Any]]

KINDS: dict[str, Kind] = {
    "count": (rx.count, len),
    "sum": (lambda: rx.sum(number), lambda items: sum(map(number, items))),
    "mean": (lambda: rx.mean(number), lambda items: statistics.mean(map(number, items))),
    "variance": (lambda: rx.variance(number), variance),
    "variance of all": (
        lambda: rx.variance(number, population=True),
        lambda items: statistics.pvariance(map(number, items)),
    ),
    "min": (lambda: rx.min(number), lambda items: min(map(number, items))),
    "min by key": (lambda: rx.min(key=tens), lambda items: min(items, key=tens)),
    "max": (lambda: rx.max(number), lambda items: max(map(number, items))),
    "max by key": (lambda: rx.max(key=tens), lambda items: max(items, key=tens)),
    "max of items": (rx.max, max),
    "first": (rx.first, lambda items: items[0]),
    "first of": (lambda: rx.first(number), lambda items: items[0].number),
    "last": (rx.last, lambda items: items[-1]),
    "top": (lambda: rx.top(3, tens), lambda items: sorted(items, key=tens, reverse=True)[:3]),
    "distinct": (lambda: rx.distinct(tens), lambda items: [*dict.fromkeys(map(tens, items))]),
    "median": (lambda: rx.quantile(0.5, number), median),
    "quartile": (lambda: rx.quantile(0.25, number), quartile),
    "list": (rx.to_list, list),
    "set": (lambda: rx.to_set(tens), lambda items: set(map(tens, items))),
    "dict": (
        lambda: rx.to_dict(tens, number),
        lambda items: {tens(item): item.number for item in items},
    ),
}
numbers = st.lists(st.integers(0, 50), min_size=1, max_size=20)


def items_of(values: Sequence[int]) -> list[Item]:
    return [Item(Fraction(value), order) for order, value in enumerate(values)]


def all_of(aggregator: rx.Aggregator[Item, Any, Any], items: Sequence[Item]) -> Any:
    held = aggregator.create()
    for item in items:
        held = aggregator.add(held, item)
    return held


@pytest.mark.parametrize("name", KINDS)
@given(numbers, st.integers(0, 20))
@examples(60)
def test_what_it_gives_whole_and_merged(name: str, values: list[int], cut: int) -> None:
    make, model = KINDS[name]
    aggregator, items = make(), items_of(values)
    expected = model(items)
    held = all_of(aggregator, items)
    assert aggregator.result(held) == expected
    assert aggregator.result(pickle.loads(pickle.dumps(held))) == expected
    one, other = all_of(aggregator, items[:cut]), all_of(aggregator, items[cut:])
    before = deepcopy(other)
    merged = aggregator.merge(aggregator.merge(aggregator.create(), one), other)
    assert aggregator.result(merged) == expected
    more = aggregator.add(merged, Item(Fraction(7), 99))
    assert aggregator.result(more) == model([*items, Item(Fraction(7), 99)])
    assert other == before


ASSIGNERS: dict[str, rx.WindowAssigner] = {
    "tumbling": rx.Tumbling(10),
    "sliding": rx.Sliding(20, 10),
    "sessions": rx.Session(4),
}
PANES: dict[str, Any] = {
    "once": {},
    "in panes": {
        "trigger": rx.AfterWatermark(early=rx.AfterCount(2), late=rx.AfterCount(1)),
        "accumulation": "accumulating",
        "allowed_lateness": 1000,
    },
}


@pytest.mark.parametrize("panes", PANES)
@pytest.mark.parametrize("assigner", ASSIGNERS)
@given(numbers, st.booleans())
@examples(20)
async def test_in_windows_live_and_in_batch(
    assigner: str, panes: str, values: list[int], alone: bool
) -> None:
    items = items_of(values)
    stream = (
        rx.from_iterable(items)
        .event_time(number_in_seconds, lateness=60)
        .key_by(lambda item: item.order % 2)
        .window(ASSIGNERS[assigner], **PANES[panes])
    )
    for names in [[name] for name in KINDS] if alone else [list(KINDS)]:
        made = {name.replace(" ", "_"): KINDS[name][0]() for name in names}
        whole = stream.aggregate(**made) if len(made) > 1 else stream.aggregate(*made.values())
        held = stream.to_list()
        for mode in ("stream", "batch"):
            given = last_panes(await whole.collect(mode=mode))  # type: ignore[arg-type]
            lists = last_panes(await held.collect(mode=mode))  # type: ignore[arg-type]
            assert given.keys() == lists.keys()
            for key, value in given.items():
                row = tuple(value) if len(made) > 1 else (value,)
                assert row == tuple(KINDS[name][1](lists[key]) for name in names)


def number_in_seconds(item: Item) -> float:
    return float(item.number)


def last_panes(results: Sequence[rx.Windowed[Any, Any]]) -> dict[Any, Any]:
    return {(result.key, result.window): result.value for result in results}


async def test_of_several_at_once_comes_one_row_with_their_names() -> None:
    windows = rx.of(1, 2, 6).window(rx.Global())
    (row,) = [w.value for w in await windows.aggregate(low=rx.min(), mean=rx.mean()).collect()]
    assert (row.low, row.mean) == (1, 3)
    assert row._fields == ("low", "mean")


def test_what_makes_no_sense_is_refused() -> None:
    async def later(item: object) -> int:
        return 1

    for make in (rx.mean, rx.variance, rx.min, rx.max, rx.first, rx.last, rx.distinct, rx.to_dict):
        with pytest.raises(TypeError, match=r"takes a plain function, and .* is async"):
            make(later)
    with pytest.raises(ValueError, match="top needs a count of at least 1"):
        rx.top(0)
    with pytest.raises(ValueError, match="from 0 to 1, not 50"):
        rx.quantile(50)


@pytest.mark.parametrize("name", KINDS)
def test_of_nothing_there_is_nothing_or_no_result(name: str) -> None:
    aggregator = KINDS[name][0]()
    try:
        result = aggregator.result(aggregator.create())
    except rx.NoResult:
        return
    assert not result


def test_explain_says_which_hold_all() -> None:
    windows = rx.interval(1).event_time(lambda n: n).window(rx.Tumbling(60))
    assert "all items (quantile) of open windows" in str(
        windows.aggregate(rx.quantile(0.5)).explain()
    )
    several = windows.aggregate(n=rx.count(), all=rx.to_set())
    assert "all items (n: count, all: to_set)" in str(several.explain())
    assert "a result so far (max)" in str(windows.aggregate(rx.max()).explain())
