"""Operators behind one another: fused or not, the result is that of plain iterators."""

from __future__ import annotations

import asyncio
import functools
import itertools
import operator
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from feeds import Feed, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx

STEPS: list[tuple[str, Callable[[rx.Stream[Any]], rx.Stream[Any]], Callable[[Any], Any]]] = [
    ("map", lambda s: s.map(lambda x: x + 1), lambda items: (x + 1 for x in items)),
    ("filter", lambda s: s.filter(lambda x: x % 3), lambda items: (x for x in items if x % 3)),
    (
        "flat_map",
        lambda s: s.flat_map(lambda x: (x, x + 1)),
        lambda items: (y for x in items for y in (x, x + 1)),
    ),
    (
        "filter_map",
        lambda s: s.filter_map(lambda x: x - 1 if x % 2 else None),
        lambda items: (x - 1 for x in items if x % 2),
    ),
    ("scan", lambda s: s.scan(operator.add, 0), lambda items: itertools.accumulate(items)),
    (
        "enumerate",
        lambda s: s.enumerate().starmap(operator.mul),
        lambda items: itertools.starmap(operator.mul, enumerate(items)),
    ),
    (
        "pairwise",
        lambda s: s.pairwise().starmap(operator.sub),
        lambda items: itertools.starmap(operator.sub, itertools.pairwise(items)),
    ),
    ("take", lambda s: s.take(9), lambda items: itertools.islice(items, 9)),
    ("skip", lambda s: s.skip(2), lambda items: itertools.islice(items, 2, None)),
    (
        "take_while",
        lambda s: s.take_while(lambda x: x < 50),
        lambda items: itertools.takewhile(lambda x: x < 50, items),
    ),
    (
        "skip_while",
        lambda s: s.skip_while(lambda x: x < 2),
        lambda items: itertools.dropwhile(lambda x: x < 2, items),
    ),
    ("take_last", lambda s: s.take_last(7), lambda items: iter(list(items)[-7:])),
    ("distinct", lambda s: s.distinct(), lambda items: iter(dict.fromkeys(items))),
    (
        "distinct_until_changed",
        lambda s: s.distinct_until_changed(),
        lambda items: (key for key, _ in itertools.groupby(items)),
    ),
    (
        "batch",
        lambda s: s.batch(3).map(sum),
        lambda items: (sum(group) for group in batched(items, 3)),
    ),
    (
        "sliding",
        lambda s: s.sliding(2).map(sum),
        lambda items: (a + b for a, b in itertools.pairwise(items)),
    ),
    ("sum", lambda s: s.sum(), lambda items: iter([sum(items)])),
    ("count", lambda s: s.count(), lambda items: iter([sum(1 for _ in items)])),
    ("to_list", lambda s: s.to_list().flat_map(list), lambda items: iter(list(items))),
    ("rebatch", lambda s: s.rebatch(4), lambda items: items),
    ("awaited map", lambda s: s.map(awaited), lambda items: items),
    ("concurrent map", lambda s: s.map(turned, concurrency=3), lambda items: items),
    ("through", lambda s: s.through(passing), lambda items: items),
    ("batch within", lambda s: s.batch(2, within=60).flat_map(list), lambda items: items),
    ("concat", lambda s: s.concat(rx.of(7, 8)), lambda items: itertools.chain(items, (7, 8))),
    ("concat before", lambda s: rx.of(7).concat(s), lambda items: itertools.chain((7,), items)),
    (
        "zip",
        lambda s: s.zip(rx.range(12)).starmap(operator.add),
        lambda items: (a + b for a, b in zip(items, range(12), strict=False)),
    ),
    (
        "zip with itself",
        lambda s: s.zip(s.map(lambda x: x + 1)).starmap(operator.mul),
        lambda items: (x * (x + 1) for x in items),
    ),
    ("merge", lambda s: s.merge(rx.empty()), lambda items: items),
    ("retry", lambda s: s.retry(1), lambda items: items),
    ("recover", lambda s: s.recover(rx.of(9)), lambda items: items),
    ("take_until", lambda s: s.take_until(rx.empty()), lambda items: items),
    (
        "replace",
        lambda s: s.map(lambda x: 10 // x, on_error=rx.replace(-1)),
        lambda items: (10 // x if x else -1 for x in items),
    ),
    ("buffer", lambda s: s.buffer(3), lambda items: items),
]


def batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while group := list(itertools.islice(items, size)):
        yield group


def put_together(
    feed: Feed, steps: list[tuple[str, Any, Any]]
) -> tuple[rx.Stream[Any], Iterator[Any]]:
    """The same operators on a stream and on an iterator of its items."""
    stream, expected = feed.stream, iter(feed.items)
    for _, build, model in steps:
        stream, expected = build(stream), model(expected)
    return stream, expected


chains = st.lists(st.sampled_from(STEPS), max_size=8)
bounds = st.builds(rx.Settings, chunk=st.integers(1, 8), edge=st.integers(1, 8))


@given(feeds(), chains, bounds)
@examples(300)
async def test_any_chain_of_operators_is_the_same_as_iterators(
    feed: Feed, steps: list[tuple[str, Any, Any]], settings: rx.Settings
) -> None:
    stream, expected = put_together(feed, steps)
    # Every chunk on the way out has as many times as items, or none.
    given = pairs(await signals(stream, settings))
    assert [item for item, _ in given] == list(expected)


@given(feeds(), chains, bounds)
@examples(150)
async def test_a_chain_that_fails_gives_nothing_twice_and_nothing_out_of_turn(
    feed: Feed, steps: list[tuple[str, Any, Any]], settings: rx.Settings
) -> None:
    steps = [step for step in steps if step[0] not in ("retry", "recover")]
    _, expected = put_together(feed, steps)
    stream, _ = put_together(Feed((*feed.script, OSError("gone"))), steps)
    given = []
    try:
        async with stream.open(settings) as items:
            async for item in items:
                given.append(item)  # noqa: PERF401  what was given before the failure counts
    except OSError:
        # What waits for the end of its input is not given.
        assert given == list(expected)[: len(given)]
    else:
        # Something in the chain needed no more.
        assert given == list(expected)


@given(feeds(), chains)
@examples(50)
async def test_two_runs_of_a_chain_at_once_are_independent(
    feed: Feed, steps: list[tuple[str, Any, Any]]
) -> None:
    stream, expected = put_together(feed, steps)
    one, other = await asyncio.gather(stream.collect(), stream.collect())
    assert one == other == list(expected)


MANY = 1000

KINDS: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "map": lambda s: s.map(lambda x: x),
    "map with a policy": lambda s: s.map(lambda x: x, on_error="skip"),
    "filter": lambda s: s.filter(lambda x: True),
    "flat_map": lambda s: s.flat_map(lambda x: (x,)),
    "scan": lambda s: s.scan(lambda total, x: x, 0),
    "enumerate": lambda s: s.enumerate().starmap(lambda n, x: x),
    "take": lambda s: s.take(100),
    "take_while": lambda s: s.take_while(lambda x: True),
    "take_last": lambda s: s.take_last(100),
    "distinct": lambda s: s.distinct(),
    "batch": lambda s: s.batch(2).flat_map(list),
    "fold": lambda s: s.to_list().flat_map(list),
    "rebatch": lambda s: s.rebatch(2),
    "through": lambda s: s.through(passing),
    "awaited map": lambda s: s.map(awaited),
    "concat": lambda s: s.concat(rx.empty()),
    "recover": lambda s: s.recover(rx.empty()),
}
SPREADING: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "buffer": lambda s: s.buffer(2),
    "batch within": lambda s: s.batch(2, within=1).flat_map(list),
    "concurrent map": lambda s: s.map(awaited, concurrency=2),
    "merge": lambda s: s.merge(rx.empty()),
    "zip": lambda s: s.zip(rx.range(3)).starmap(lambda x, n: x),
    "take_until": lambda s: s.take_until(rx.empty()),
}


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def awaited(x: Any) -> Any:
    return x


async def turned(x: Any) -> Any:
    """Takes longer for some items than for others."""
    for _ in range(hash(x) % 3):
        await asyncio.sleep(0)
    return x


@pytest.mark.parametrize("kind", KINDS | SPREADING)
async def test_a_thousand_operators_in_a_row(kind: str) -> None:
    build = (KINDS | SPREADING)[kind]
    stream = rx.range(3)
    for _ in range(MANY):
        stream = build(stream)
    assert await stream.collect() == [0, 1, 2]


async def test_a_thousand_operators_of_every_kind_in_turn() -> None:
    builds = itertools.cycle((KINDS | SPREADING).values())
    stream = rx.range(3)
    for build in itertools.islice(builds, MANY):
        stream = build(stream)
    assert await stream.collect() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["retry", "defer"])
async def test_runs_nested_within_runs(kind: str) -> None:
    stream = rx.range(3)
    for _ in range(50):
        stream = stream.retry(1) if kind == "retry" else rx.defer(functools.partial(same, stream))
    assert await stream.collect() == [0, 1, 2]


def same(stream: rx.Stream[int]) -> rx.Stream[int]:
    return stream


SKIPPED = 100_000


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.filter(lambda x: x < 0),
        lambda s: s.filter_map(lambda x: None),
        lambda s: s.flat_map(lambda x: ()),
        lambda s: s.flat_map(lambda x: ()).rebatch(1),
        lambda s: s.skip(SKIPPED),
        lambda s: s.skip_while(lambda x: True),
        lambda s: s.map(lambda x: 1 / 0, on_error="skip"),
        lambda s: s.map(failing, on_error="skip"),
        lambda s: s.map(failing, concurrency=8, on_error="skip"),
        lambda s: s.map(failing, concurrency=8, ordered=False, on_error="skip"),
        lambda s: s.map(lambda x: 0).distinct().skip(1),
        lambda s: s.batch(2).filter(lambda x: False),
        lambda s: s.through(nothing),
    ],
)
async def test_a_hundred_thousand_skipped_items(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
) -> None:
    assert await build(rx.range(SKIPPED)).collect() == []


async def failing(x: Any) -> Any:
    raise ValueError(x)


async def nothing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for _ in items:
        pass
    return
    yield


@pytest.mark.parametrize("name", ["concat", "merge"])
async def test_a_hundred_thousand_empty_inputs(name: str) -> None:
    count = 100_000 if name == "concat" else 1000
    empties = [rx.empty() for _ in range(count)]
    assert await getattr(rx.of(1), name)(*empties, rx.of(2)).collect() == [1, 2]


async def test_concats_one_by_one() -> None:
    stream = rx.of(1)
    for _ in range(10_000):
        stream = stream.concat(rx.empty())
    assert await stream.collect() == [1]
