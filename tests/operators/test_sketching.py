"""approximate_distinct_count, approximate_quantiles, heavy_hitters: within their errors."""

from __future__ import annotations

import inspect
import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, examples, feeds, last_time, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe

Build = Callable[[rx.Stream[Any], float], rx.Stream[Any]]

RANKS = [0.0, 0.2, 0.5, 0.75, 1.0]


def quantiles(items: list[Any], ranks: list[float]) -> list[Any]:
    return [sorted(items)[max(0, math.ceil(rank * len(items)) - 1)] for rank in ranks]


# What they give of few items, where they are exact.
EXACT: dict[str, tuple[Build, Callable[[list[Any]], Any]]] = {
    "approximate_distinct_count": (
        lambda s, error: s.approximate_distinct_count(error=error),
        lambda items: len(set(items)),
    ),
    "approximate_quantiles": (
        lambda s, error: s.approximate_quantiles(RANKS, error=error),
        lambda items: quantiles(items, RANKS),
    ),
    "heavy_hitters": (
        lambda s, error: s.heavy_hitters(0.25, error=error).map(sorted),
        lambda items: sorted(
            (item, count) for item, count in Counter(items).items() if count >= len(items) / 4
        ),
    ),
}


@pytest.mark.parametrize("name", EXACT)
@model_of("approximate_distinct_count", "approximate_quantiles", "heavy_hitters")
@given(feed=feeds(), error=st.sampled_from([0.005, 0.02]))
@examples(30)
async def test_of_few_items_they_are_exact(name: str, feed: Feed, error: float) -> None:
    build, model = EXACT[name]
    if name == "approximate_quantiles" and not feed.items:
        with pytest.raises(rx.EmptyStreamError, match="needs at least one item") as caught:
            await build(feed.stream, error).collect()
        assert f"in operator {name} ({__file__}:" in caught.value.__notes__[0]
        return
    given = await signals(build(feed.stream, error))
    assert pairs(given) == [(model(feed.items), feed.at_end(last_time(feed.pairs)))]
    assert [one for one in given if not isinstance(one, rx.Chunk)] == feed.controls


def test_every_sketch_is_tested() -> None:
    from operators.sketching import Sketching

    methods = {name for name, _ in inspect.getmembers(Sketching, inspect.isfunction)}
    assert {name for name in methods if not name.startswith("_")} == set(EXACT)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
numbers = st.integers() | st.floats(allow_nan=False) | st.booleans()


@model_of("approximate_distinct_count")
@given(st.lists(texts | st.binary(max_size=3) | numbers, max_size=30))
@examples(100)
async def test_items_count_as_one_if_they_are_equal_in_python(items: list[Any]) -> None:
    assert await rx.from_iterable(items).approximate_distinct_count() == len(set(items))


@pytest.mark.parametrize("error", [0.005, 0.02, 0.1])
async def test_distinct_counts_are_as_exact_as_asked_for(error: float) -> None:
    for size in (500, 5_000, 30_000):
        stream = rx.range(2 * size).map(lambda n, size=size: f"{n % size}")  # type: ignore[misc]
        assert await stream.approximate_distinct_count(error=error) == pytest.approx(
            size, rel=4 * error
        )


@pytest.mark.parametrize("error", [0.005, 0.03])
async def test_quantiles_are_as_exact_as_asked_for(error: float) -> None:
    size = 20_000
    items = random.Random(7).sample(range(size), size)
    ranks = [rank / 20 for rank in range(21)]
    given = await rx.from_iterable(items).approximate_quantiles(ranks, error=error)
    assert given == sorted(given)
    for rank, item in zip(ranks, given, strict=True):
        assert abs((item + 1) / size - rank) <= 2 * error
    assert (given[0], given[-1]) == (0, size - 1)


async def test_quantiles_of_anything_that_has_an_order() -> None:
    words = ["pear", "fig", "apple", "date", "cherry"]
    assert await rx.from_iterable(words).approximate_quantiles([0.5]) == ["date"]
    with pytest.raises(TypeError, match="'<' not supported") as caught:
        await rx.of(*[1, "a"] * 500).approximate_quantiles([0.5])
    assert f"in operator approximate_quantiles ({__file__}:" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="nan has no rank among the others; filter it out first"):
        await rx.of(1.0, math.nan).approximate_quantiles([0.5])


@pytest.mark.parametrize("share", [0.01, 0.05])
async def test_no_heavy_hitter_is_missing_and_counts_are_as_exact_as_asked_for(
    share: float,
) -> None:
    chance = random.Random(3)
    items = [int(chance.paretovariate(0.4)) for _ in range(20_000)]
    counts = Counter(items)
    given = await rx.from_iterable(items).heavy_hitters(share)
    found = dict(given)
    assert [count for _, count in given] == sorted(found.values(), reverse=True)
    assert {item for item, count in counts.items() if count >= share * len(items)} <= set(found)
    for item, count in found.items():
        assert counts[item] >= (share - share / 10) * len(items)
        assert counts[item] <= count <= counts[item] + share / 10 * len(items)


async def test_what_cannot_be_sketched_is_noted_on_the_operator() -> None:
    with pytest.raises(TypeError, match=r"takes text, numbers and bytes, not tuple \(1, 2\); map"):
        await rx.of((1, 2)).approximate_distinct_count()
    with pytest.raises(TypeError) as caught:
        await rx.of([1]).heavy_hitters(0.5)
    assert f"in operator heavy_hitters ({__file__}:" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", EXACT)
async def test_without_the_library_the_run_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasketches", None)
    probe = Probe([1, 2])
    stream = EXACT[name][0](probe.stream, 0.01)
    with pytest.raises(ImportError, match=rf"^{name} \(.*\) needs an optional package: pip") as no:
        await stream.collect()
    assert 'pip install "reactive-pipelines[sketches]" (there is no datasketches)' in str(no.value)
    probe.check()


def test_wrong_arguments_are_refused_at_once() -> None:
    stream = rx.of(1)
    for wrong in (0, 0.5, math.nan, -1):
        with pytest.raises(ValueError, match=r"needs an error from 0\.0006 to 0\.1, not"):
            stream.approximate_distinct_count(error=wrong)
    with pytest.raises(TypeError, match="needs an error as a number, not '1'"):
        stream.approximate_distinct_count(error="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs ranks from 0 to 1, not 1\.5"):
        stream.approximate_quantiles([0.5, 1.5])
    for nothing in ([], 0.5, "0.5"):
        with pytest.raises(TypeError, match=r"needs a list of ranks such as \[0\.5, 0\.99\], not"):
            stream.approximate_quantiles(nothing)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs an error from"):
        stream.approximate_quantiles([0.5], error=0)
    with pytest.raises(ValueError, match="needs a share from 1e-05 to 1, not 0"):
        stream.heavy_hitters(0)
    with pytest.raises(ValueError, match=r"needs an error from 1e-06 to 0\.1, not 0\.2"):
        stream.heavy_hitters(0.1, error=0.2)
