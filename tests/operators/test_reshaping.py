"""flatten, unzip, cast, of_type, expand, map_chunks."""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from operators.checking import MISSING
from operators.reshaping import BreadthFirst


@model_of("flatten")
@given(feeds(st.lists(st.integers(), max_size=4)))
@examples()
async def test_flatten(feed: Feed) -> None:
    await check(
        lambda stream: stream.flatten(),
        feed,
        lambda pairs: [(each, time) for items, time in pairs for each in items],
    )


async def test_flatten_takes_no_more_of_an_endless_iterable_than_is_wanted() -> None:
    taken = itertools.count(1)
    assert await rx.of(taken).flatten().take(5).collect() == [1, 2, 3, 4, 5]
    assert next(taken) == 6


async def test_what_is_no_iterable_cannot_be_flattened() -> None:
    with pytest.raises(TypeError, match="'int' object is not iterable") as caught:
        await rx.of([1], 2).flatten().collect()  # type: ignore[misc]
    assert caught.value.__notes__[0].startswith("in operator flatten (")


@model_of("unzip")
@given(feeds(st.tuples(st.integers(), st.text())), st.booleans())
@examples()
async def test_unzip(feed: Feed, second: bool) -> None:
    await check(
        lambda stream: stream.unzip()[second],
        feed,
        lambda pairs: [(pair[second], time) for pair, time in pairs],
    )


@given(feeds(st.tuples(st.integers(), st.text())))
@examples(30)
async def test_unzipping_undoes_zipping(feed: Feed) -> None:
    def both(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        numbers, words = stream.unzip()
        return numbers.zip(words)

    given = await signals(both(feed.stream))
    assert pairs(given) == feed.pairs


async def test_the_halves_are_of_one_run() -> None:
    opened = []

    def numbers() -> Iterator[tuple[int, str]]:
        opened.append(1)
        return iter([(1, "a"), (2, "b")])

    first, second = rx.defer(lambda: rx.from_iterable(numbers())).unzip()
    assert await first.merge(second.map(len)).sum() == 1 + 2 + 1 + 1
    assert len(opened) == 1
    assert await second.collect() == ["a", "b"]
    assert len(opened) == 2


@pytest.mark.parametrize("wrong", [(1, 2, 3), (1,), 5])
async def test_what_is_no_pair_cannot_be_unzipped(wrong: Any) -> None:
    for half in rx.of((1, 2), wrong).unzip():
        with pytest.raises((ValueError, TypeError), match="unpack") as caught:
            await half.collect()
        assert caught.value.__notes__[0].startswith("in operator unzip")


async def test_cast_is_for_the_type_checker_alone() -> None:
    stream = rx.of(1, "a").map(str)
    assert stream.cast(int).node is stream.node
    assert await stream.cast(list[int] | None).collect() == ["1", "a"]
    assert type(rx.Subject[int]().cast(str)) is rx.Stream


@model_of("of_type")
@given(feeds(st.none() | st.booleans() | st.integers() | st.text()))
@examples()
async def test_of_type(feed: Feed) -> None:
    kinds: Any
    for kinds in ([int], [str, type(None)], [int | str], [bool, str, bytes]):
        await check(
            lambda stream, kinds=kinds: stream.of_type(*kinds),  # type: ignore[misc]
            feed,
            lambda pairs, kinds=tuple(kinds): [  # type: ignore[misc]
                (item, time) for item, time in pairs if isinstance(item, kinds)
            ],
        )


def test_what_is_no_class_is_refused() -> None:
    for wrong in ("int", 5, list[int], None):
        with pytest.raises(TypeError, match=r"of_type needs classes, and .* is none"):
            rx.of(1).of_type(int, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of_type needs a class"):
        rx.of(1).of_type()


# expand


def breadth_first(root: Any, fn: Callable[[Any], Iterable[Any]]) -> list[Any]:
    found, level = [root], [root]
    while level:
        level = [child for item in level for child in fn(item)]
        found += level
    return found


@given(feeds(st.integers(0, 5), max_size=8))
@examples()
async def test_expand(feed: Feed) -> None:
    await check(
        lambda stream: stream.expand(range),
        feed,
        lambda pairs: [(each, time) for item, time in pairs for each in breadth_first(item, range)],
    )


@model_of("expand")
@given(feeds(st.integers(0, 20)), st.sampled_from(["skip", "replace", "side"]))
@examples(40)
async def test_expand_with_a_policy(feed: Feed, policy: str) -> None:
    """The item that fails was given; it has no children, or those that replace them."""

    def less(x: int) -> list[int]:
        return [x - 10 // (x % 3), x - 7] if x > 0 else []

    def model(x: int) -> list[int]:
        if x > 0 and x % 3 == 0:
            return [-1] if policy == "replace" else []
        return less(x)

    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    on_error = {"skip": "skip", "replace": rx.replace([-1]), "side": bad}[policy]
    await check(
        lambda stream: stream.expand(less, on_error=on_error),
        feed,
        lambda pairs: [(each, time) for item, time in pairs for each in breadth_first(item, model)],
    )


@model_of("expand")
@given(st.lists(st.integers(0, 6), max_size=5), st.integers(1, 12))
@examples(60)
async def test_expand_gives_what_comes_before_too_many_wait(items: list[int], limit: int) -> None:
    def model() -> Iterator[int]:
        for item in items:
            yield item
            due = [item]
            while due:
                for child in range(due.pop(0)):
                    if len(due) == limit:
                        raise rx.OverflowFailure
                    due.append(child)
                    yield child

    expected: list[int] = []
    fails = False
    try:
        for each in model():
            expected.append(each)  # noqa: PERF402
    except rx.OverflowFailure:
        fails = True
    given: list[int] = []
    stream = rx.from_iterable(items).expand(range, limit=limit).tap(given.append)
    if fails:
        with pytest.raises(rx.OverflowFailure):
            await stream.collect()
    else:
        await stream.collect()
    assert given == expected


@model_of("cast")
@given(feeds())
@examples(20)
async def test_cast_changes_nothing(feed: Feed) -> None:
    await check(lambda stream: stream.cast(str), feed, lambda pairs: pairs)


async def test_expand_without_end_is_lazy() -> None:
    asked: list[int] = []

    def double(x: int) -> Iterator[int]:
        asked.append(x)
        yield 2 * x
        yield 2 * x + 1

    stream = rx.of(1).expand(double)
    assert await stream.take(10).collect() == [*range(1, 11)]
    assert asked == [1, 2, 3, 4, 5]
    assert await stream.first() == 1
    assert asked == [1, 2, 3, 4, 5]


async def test_expand_without_end_lets_the_loop_run_and_holds_little() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await rx.of(0).expand(lambda x: [x + 1], limit=1).count()


async def test_expand_holds_so_many_and_no_more() -> None:
    given: list[int] = []
    # When the last child of 0 comes, the others wait; the next level replaces them one by one.
    assert len(await rx.of(0).expand(lambda x: [1] * 5 if x == 0 else [], limit=5).collect()) == 6
    with pytest.raises(rx.OverflowFailure, match="4 items wait to be expanded; raise") as caught:
        async for item in rx.of(0).expand(lambda x: [x + 1] * 5, limit=4):
            given.append(item)  # noqa: PERF401
    assert given == [0, 1, 1, 1, 1]
    assert f"{__file__}:" in str(caught.value)


def test_what_gives_nothing_is_a_place_to_pause_too() -> None:
    breadth_first = BreadthFirst(lambda x: [1] * 12 if x == 0 else [], 100, "expand")
    assert list(breadth_first.walk(0)) == [0, *[1] * 12, MISSING, MISSING]


async def test_expand_closes_the_iterables_it_left() -> None:
    closed: list[int] = []

    def endless(number: int) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(number)

    assert await rx.of(7).expand(endless).take(3).collect() == [7, 0, 1]
    assert closed == [7]
    async with rx.of(8).expand(endless).rebatch(1).open() as items:
        assert [await anext(items), await anext(items)] == [8, 0]
    assert closed == [7, 8]


def test_wrong_arguments_of_expand() -> None:
    async def fetch(x: int) -> list[int]:
        return []

    with pytest.raises(TypeError, match="expand takes a plain function"):
        rx.of(1).expand(fetch)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expand \(limit\) needs a count of at least 1"):
        rx.of(1).expand(range, limit=0)
    with pytest.raises(TypeError, match="on_error"):
        rx.of(1).expand(range, on_error="ignore")  # type: ignore[arg-type]


# map_chunks


def inverses(xs: list[int]) -> list[float]:
    return [60 / x for x in xs]


@given(feeds(), st.sampled_from([list, tuple, deque, lambda xs: array("q", list(xs))]))
@examples()
async def test_map_chunks(feed: Feed, kind: Callable[[Iterable[int]], Any]) -> None:
    await check(
        lambda stream: stream.map_chunks(lambda xs: kind(x * 10 for x in xs)),
        feed,
        lambda pairs: [(item * 10, time) for item, time in pairs],
    )


@model_of("map_chunks")
@given(feeds(st.integers(-2, 2)), st.sampled_from(["skip", "replace", "side"]), st.integers(1, 9))
@examples()
async def test_map_chunks_with_a_policy(feed: Feed, policy: str, size: int) -> None:
    """The policy gets single items, whatever they came together with."""
    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    on_error = {"skip": "skip", "replace": rx.replace("none"), "side": bad}[policy]

    def model(pairs: list[Pair]) -> list[Pair]:
        results = [(60 / item if item else "none", time) for item, time in pairs]
        return [pair for pair in results if policy == "replace" or pair[0] != "none"]

    await check(
        lambda stream: stream.rebatch(size).map_chunks(inverses, on_error=on_error), feed, model
    )
    if policy == "side":
        stream = feed.stream.map_chunks(inverses, on_error=on_error)
        letters = await bad.merge(stream.filter(lambda x: False)).collect()
        assert [letter.item for letter in letters] == [0] * feed.items.count(0)  # type: ignore


async def test_what_came_before_a_failing_item_is_delivered() -> None:
    given: list[float] = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in feed_of(*range(10, 0, -1), 0, *range(1, 10)).stream.map_chunks(inverses):
            given.append(item)  # noqa: PERF401
    assert given == inverses([*range(10, 0, -1)])
    assert caught.value.__notes__[0].startswith("in operator map_chunks (")


async def test_the_function_gets_what_travels_together() -> None:
    sizes: list[int] = []

    def slow(xs: list[int]) -> list[int]:
        sizes.append(len(xs))
        until = time.perf_counter() + 0.003
        while time.perf_counter() < until:
            pass
        return xs

    assert await rx.range(1000).rebatch(100).map_chunks(slow).count() == 1000
    assert sizes == [100] * 10


async def test_a_failing_item_is_found_by_halves() -> None:
    sizes: list[int] = []

    def some_fail(xs: list[int]) -> list[float]:
        sizes.append(len(xs))
        return inverses(xs)

    items = [*range(1, 301), 0, *range(1, 724)]
    stream = feed_of(*items).stream.rebatch(1024).map_chunks(some_fail, on_error="skip")
    kept: list[float] = []
    async with rx.start(stream.to(_Keep(kept))) as run:
        await run.wait()
        counters = run.metrics()["map_chunks"].counters
    assert kept == inverses([x for x in items if x])
    assert counters["skipped"] == 1
    assert counters["divided"] <= 10
    assert len(sizes) <= 1 + 10 * 2


class _Keep(rx.Sink[Any]):
    def __init__(self, kept: list[Any]) -> None:
        self.kept = kept

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _KeepWriter(self.kept)


class _KeepWriter(rx.Writer[Any]):
    def __init__(self, kept: list[Any]) -> None:
        self.kept = kept

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        self.kept += chunk.items


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda xs: xs[1:], ValueError, "one result for every item, and the function gave 2 for 3"),
        (lambda xs: [], ValueError, "gave 0 for 3"),
        (lambda xs: [*xs, 1], ValueError, "gave 4 for 3"),
        (lambda xs: (x for x in xs), TypeError, "a list or another sequence, not generator"),
        (set, TypeError, "not set"),
        (dict.fromkeys, TypeError, "not dict"),
        (lambda xs: None, TypeError, "not NoneType"),
        (lambda xs: asyncio.sleep(0), TypeError, "not coroutine"),
    ],
)
@pytest.mark.parametrize("policy", ["raise", "skip"])
async def test_a_result_for_every_item(
    fn: Callable[[list[int]], Any], error: type[Exception], message: str, policy: Any
) -> None:
    with pytest.raises(error, match=message) as caught:
        await feed_of(1, 2, 3).stream.rebatch(3).map_chunks(fn, on_error=policy).collect()
    assert f"in operator map_chunks ({__file__}:" in caught.value.__notes__[0]


async def test_a_function_may_change_its_list() -> None:
    def reverse(xs: list[int]) -> list[int]:
        xs.reverse()
        return xs

    stream = feed_of(1, 2, 3).stream.rebatch(3)
    both = stream.map_chunks(reverse).zip(stream)
    assert await both.collect() == [(3, 1), (2, 2), (1, 3)]


async def test_map_chunks_counts_what_goes_through() -> None:
    async with rx.start(rx.range(100).map_chunks(list).to(_Keep([]))) as run:
        await run.wait()
        metrics = run.metrics()["map_chunks"]
    assert (metrics.items_in, metrics.items_out) == (100, 100)


def test_wrong_arguments_of_map_chunks() -> None:
    async def fetch(xs: list[int]) -> list[int]:
        return xs

    with pytest.raises(TypeError, match="map_chunks takes a plain function"):
        rx.of(1).map_chunks(fetch)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_error"):
        rx.of(1).map_chunks(list, on_error="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.flatten(),
        lambda s: s.unzip()[0],
        lambda s: s.of_type(int),
        lambda s: s.expand(range),
        lambda s: s.map_chunks(list),
    ],
)
async def test_of_nothing_comes_nothing(build: Callable[[rx.Stream[Any]], rx.Stream[Any]]) -> None:
    assert await build(rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await build(rx.fail(error)).collect()
    assert caught.value is error


async def test_map_chunks_may_give_the_same_list_every_time() -> None:
    held: list[int] = []

    def doubled(items: list[int]) -> list[int]:
        held[:] = [2 * x for x in items]
        return held

    pairs = rx.range(5000).map_chunks(doubled).buffer(5000)
    assert await pairs.collect() == [2 * x for x in range(5000)]
