"""filter, filter_map, distinct, distinct_until_changed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, Pair, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx


@given(feeds())
@examples()
async def test_filter(feed: Feed) -> None:
    await check(
        lambda stream: stream.filter(lambda x: x % 2),
        feed,
        lambda pairs: [(item, time) for item, time in pairs if item % 2],
    )


@given(feeds())
@examples()
async def test_filter_map_keeps_all_that_is_not_none(feed: Feed) -> None:
    def half(x: int) -> int | None:
        return None if x % 2 else x // 2

    await check(
        lambda stream: stream.filter_map(half),
        feed,
        lambda pairs: [(half(item), time) for item, time in pairs if half(item) is not None],
    )


@given(feeds(), st.sampled_from([None, abs, lambda x: x % 3]))
@examples()
async def test_distinct(feed: Feed, key: Callable[[Any], Any] | None) -> None:
    def model(pairs: list[Pair]) -> list[Pair]:
        first: dict[Any, Pair] = {}
        for pair in pairs:
            first.setdefault(pair[0] if key is None else key(pair[0]), pair)
        return list(first.values())

    await check(lambda stream: stream.distinct(key), feed, model)


@given(feeds(st.sampled_from([1, 1.0, -1, None, math.nan, float("nan")])), st.booleans())
@examples()
async def test_distinct_until_changed(feed: Feed, with_key: bool) -> None:
    key = str if with_key else None

    def model(pairs: list[Pair]) -> list[Pair]:
        kept: list[Pair] = []
        last: Any = object()
        for pair in pairs:
            value = pair[0] if key is None else key(pair[0])
            if last != value:
                kept.append(pair)
            last = value
        return kept

    given = feed.stream.distinct_until_changed(key)
    items = [item for item, _ in model(feed.pairs)]
    assert list(map(str, await given.collect())) == list(map(str, items))
    if not any(item != item for item in items):
        await check(lambda stream: stream.distinct_until_changed(key), feed, model)


async def test_distinct_until_changed_is_group_by_first() -> None:
    items = [1, 1, 2, 2, 2, 1, 3, 3]
    stream = rx.from_iterable(items).distinct_until_changed()
    assert await stream.collect() == [key for key, _ in itertools.groupby(items)]


@pytest.mark.parametrize("first", [None, 0, "", False, (), float("nan")])
async def test_the_first_item_always_passes(first: object) -> None:
    assert len(await rx.of(first).distinct_until_changed().collect()) == 1
    assert len(await rx.of(first).distinct().collect()) == 1


async def test_filter_takes_any_truth() -> None:
    assert await rx.of(0, 1, "", "a", [], [0], None).filter(lambda x: x).collect() == [1, "a", [0]]


async def test_filter_map_drops_only_none() -> None:
    kept = await rx.of(0, "", False, None, []).filter_map(lambda x: x).collect()
    assert kept == [0, "", False, []]


BUILDS: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "filter": lambda s: s.filter(bool),
    "filter_map": lambda s: s.filter_map(str),
    "distinct": lambda s: s.distinct(),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
}


@pytest.mark.parametrize("name", BUILDS)
async def test_of_nothing_comes_nothing(name: str) -> None:
    assert await BUILDS[name](rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await BUILDS[name](rx.fail(error)).collect()
    assert caught.value is error


@pytest.mark.parametrize("name", ["filter", "filter_map", "distinct", "distinct_until_changed"])
async def test_a_failing_function_is_noted_on_the_operator(name: str) -> None:
    stream = getattr(rx.of(1, 0), name)(lambda x: 1 / x)
    given = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in stream:
            given.append(item)  # noqa: PERF401  what was given before the failure counts
    assert len(given) == 1
    assert f"in operator {name} ({__file__}:" in caught.value.__notes__[0]


async def test_distinct_names_the_key_it_cannot_hash() -> None:
    with pytest.raises(TypeError, match="unhashable type: 'list'") as caught:
        await rx.of([1]).distinct().collect()
    assert "in operator distinct (" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", ["filter", "filter_map", "distinct", "distinct_until_changed"])
def test_wrong_functions_are_refused_at_once(name: str) -> None:
    async def fetch(x: int) -> int:
        return x

    with pytest.raises(TypeError, match=f"{name} needs a function, not int 5"):
        getattr(rx.of(1), name)(5)
    with pytest.raises(TypeError, match=rf"{name} takes a plain function.*use map"):
        getattr(rx.of(1), name)(fetch)


async def test_distinct_starts_anew_in_every_run() -> None:
    stream = rx.of(1, 1, 2).distinct()
    assert await stream.collect() == await stream.collect() == [1, 2]
