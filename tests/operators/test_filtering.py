"""filter, filter_map, partition, distinct, distinct_until_changed, ignore_items and the like."""

from __future__ import annotations

import asyncio
import itertools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, Probe, slow_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


@model_of("filter")
@given(feeds())
@examples()
async def test_filter(feed: Feed) -> None:
    await check(
        lambda stream: stream.filter(lambda x: x % 2),
        feed,
        lambda pairs: [(item, time) for item, time in pairs if item % 2],
    )


@model_of("filter_map")
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


@model_of("distinct")
@given(feeds(), st.sampled_from([None, abs, lambda x: x % 3]))
@examples()
async def test_distinct(feed: Feed, key: Callable[[Any], Any] | None) -> None:
    def model(pairs: list[Pair]) -> list[Pair]:
        first: dict[Any, Pair] = {}
        for pair in pairs:
            first.setdefault(pair[0] if key is None else key(pair[0]), pair)
        return list(first.values())

    await check(lambda stream: stream.distinct(key), feed, model)


@model_of("distinct")
@given(feeds(), st.sampled_from([None, abs]), st.integers(1, 5), st.booleans())
@examples()
async def test_distinct_of_the_last_keys(
    feed: Feed, key: Callable[[Any], Any] | None, count: int, within: bool
) -> None:
    def model(pairs: list[Pair]) -> list[Pair]:
        kept: list[Pair] = []
        for item, time in pairs:
            remembered = [item if key is None else key(item) for item, _ in kept[-count:]]
            if (item if key is None else key(item)) not in remembered:
                kept.append((item, time))
        return kept

    await check(
        lambda stream: stream.distinct(key, count=count, within=1 if within else None), feed, model
    )


@model_of("distinct")
@given(timelines(elements=st.integers(0, 3), last=20), st.integers(1, 8), st.integers(1, 5))
@examples(40)
def test_distinct_for_a_time(timeline: Timeline, within: int, count: int) -> None:
    def model(events: Sequence[Event[Any]]) -> list[Event[Any]]:
        kept: list[Event[Any]] = []
        for event in events:
            given = [one for one in kept if isinstance(one, Item)][-count:]
            if isinstance(event, Item) and any(
                one.value == event.value and event.time - one.time < within for one in given
            ):
                continue
            kept.append(event)
        return kept

    check_times(lambda s: s.distinct(within=within, count=count), [timeline], model)


@pytest.mark.parametrize(("options", "bound"), [({"count": 10}, 10), ({"within": 3}, 30)])
async def test_distinct_remembers_no_more_than_it_must(
    virtual_time: VirtualTime, options: dict[str, Any], bound: int
) -> None:
    class Key:
        """Is equal to no other."""

    keys: weakref.WeakSet[Key] = weakref.WeakSet()

    def key_of(item: int) -> Key:
        key = Key()
        keys.add(key)
        return key

    most = 0
    async for _ in slow_source(range(100), 0.1).distinct(key_of, **options):
        most = max(most, len(keys))
    # The key at hand, and one that a rounding error keeps.
    assert bound <= most <= bound + 2


async def test_what_distinct_remembers_for_a_time_keeps_its_age(virtual_time: VirtualTime) -> None:
    from operators.distinguishing import DistinctWithin
    from reactive.context import Context
    from reactive.metrics import Meter

    context = Context("distinct", None, rx.Settings(), Meter("distinct"))
    before, after = (DistinctWithin(None, 5, None).step(context) for _ in range(2))
    out: list[Any] = []
    before.on_chunk(rx.Chunk([1]), out)
    await asyncio.sleep(3)
    before.on_chunk(rx.Chunk([2]), out)
    state = before.snapshot()
    await asyncio.sleep(100)
    after.restore(state)
    await asyncio.sleep(2)
    after.on_chunk(rx.Chunk([1, 2]), out)
    await asyncio.sleep(3)
    after.on_chunk(rx.Chunk([1, 2]), out)
    assert out == [rx.Chunk([1]), rx.Chunk([2]), rx.Chunk([1]), rx.Chunk([2])]


@model_of("partition")
@given(feeds(), st.sampled_from([0, 1]))
@examples()
async def test_each_part_of_a_partition(feed: Feed, part: int) -> None:
    await check(
        lambda stream: stream.partition(lambda x: x % 2)[part],
        feed,
        lambda pairs: [(item, time) for item, time in pairs if item % 2 != part],
    )


async def test_both_parts_share_one_run_and_one_call_of_the_predicate() -> None:
    asked: list[int] = []

    def is_odd(x: int) -> int:
        asked.append(x)
        return x % 2

    probe = Probe(rx.range(3000))
    odd, even = probe.stream.partition(is_odd)
    assert await odd.count().zip(even.to_list()).collect() == [(1500, list(range(0, 3000, 2)))]
    assert asked == list(range(3000))
    assert (probe.opens, probe.closes) == (1, 1)


async def test_a_partition_asks_the_truth_of_a_result_once() -> None:
    class Truth:
        def __bool__(self) -> bool:
            nonlocal asked
            asked += 1
            return True

    asked = 0
    some, others = rx.range(5).partition(lambda x: Truth())
    assert await some.merge(others).collect() == [0, 1, 2, 3, 4]
    assert asked == 5


async def test_both_parts_fail_with_upstream_and_with_the_predicate() -> None:
    for stream in (rx.of(2, 1).concat(rx.fail(OSError())), rx.of(2, 1, 0)):
        for part in stream.partition(lambda x: 1 / x > 0.7):
            given = []
            with pytest.raises((OSError, ZeroDivisionError)):
                async for item in part:
                    given.append(item)  # noqa: PERF401  what came before the failure counts
            assert len(given) == 1
    some, others = rx.of(1, 0).partition(lambda x: 1 / x > 0.7, on_error=rx.replace(False))
    assert await some.zip(others).collect() == [(1, 0)]


@model_of("ignore_items")
@given(feeds())
@examples(30)
async def test_ignore_items(feed: Feed) -> None:
    await check(lambda stream: stream.ignore_items(), feed, lambda pairs: [])


async def test_ignore_items_lets_the_failure_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await rx.of(1, 0).map(lambda x: 1 / x).ignore_items().collect()


@model_of("default_if_empty")
@given(feeds(max_size=4), st.integers(-5, 5))
@examples(40)
async def test_default_if_empty(feed: Feed, limit: int) -> None:
    def model(pairs: list[Pair]) -> list[Pair]:
        return [(item, time) for item, time in pairs if item > limit] or [
            ("none", feed.at_end(None))
        ]

    await check(
        lambda stream: stream.filter(lambda x: x > limit).default_if_empty("none"), feed, model
    )


@given(timelines(max_size=2))
@examples(20)
def test_the_default_comes_at_the_end(timeline: Timeline) -> None:
    def model(events: Sequence[Event[Any]]) -> list[Event[Any]]:
        if any(isinstance(event, Item) for event in events) or isinstance(events[-1], Failure):
            return list(events)
        return [Item(events[-1].time, 0), End(events[-1].time)]

    check_times(lambda s: s.default_if_empty(0), [timeline], model)


@model_of("distinct_until_changed")
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
    "distinct within": lambda s: s.distinct(within=1),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
    "partition": lambda s: s.partition(bool)[0],
    "ignore_items": lambda s: s.ignore_items(),
}

WITH_FUNCTION = ["filter", "filter_map", "partition", "distinct", "distinct_until_changed"]


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


@pytest.mark.parametrize("within", [None, 1])
async def test_distinct_names_the_key_it_cannot_hash(within: float | None) -> None:
    given = []
    with pytest.raises(TypeError, match="unhashable type: 'list'") as caught:
        async for item in rx.of(1, [1]).distinct(within=within):
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert given == [1]
    assert "in operator distinct (" in caught.value.__notes__[0]


async def test_a_key_that_nobody_would_await_is_refused() -> None:
    async def fetch(x: int) -> int:
        return x

    for within in (None, 1):
        with pytest.raises(TypeError, match="gave coroutine, which nobody would await"):
            await rx.of(1, 2).distinct(lambda x: fetch(x), within=within).collect()


def test_distinct_refuses_bounds_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="distinct needs a count of at least 1, not 0"):
        rx.of(1).distinct(count=0)
    with pytest.raises(ValueError, match="distinct needs `within` above 0 seconds, not 0"):
        rx.of(1).distinct(within=0)
    with pytest.raises(TypeError, match="distinct needs `within` in seconds, not '1'"):
        rx.of(1).distinct(within="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WITH_FUNCTION)
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
