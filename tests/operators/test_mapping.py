"""map, starmap, flat_map, tap, enumerate, pairwise, scan: of plain functions, fused."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feed_of, feeds, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx


@model_of("map")
@given(feeds())
@examples()
async def test_map(feed: Feed) -> None:
    await check(
        lambda stream: stream.map(lambda x: x * 10),
        feed,
        lambda pairs: [(item * 10, time) for item, time in pairs],
    )


@model_of("starmap")
@given(feeds(st.tuples(st.integers(), st.integers())))
@examples()
async def test_starmap(feed: Feed) -> None:
    await check(
        lambda stream: stream.starmap(operator.sub),
        feed,
        lambda pairs: [(a - b, time) for (a, b), time in pairs],
    )


@model_of("flat_map")
@given(feeds(st.integers(0, 4)))
@examples()
async def test_flat_map(feed: Feed) -> None:
    await check(
        lambda stream: stream.flat_map(range),
        feed,
        lambda pairs: [(each, time) for item, time in pairs for each in range(item)],
    )


@given(feeds(st.integers(0, 3)))
@examples()
async def test_flat_map_within_flat_map(feed: Feed) -> None:
    await check(
        lambda stream: stream.flat_map(range).map(lambda x: x + 1).flat_map(lambda x: [x] * x),
        feed,
        lambda pairs: [
            (each + 1, time)
            for item, time in pairs
            for each in range(item)
            for _ in range(each + 1)
        ],
    )


@model_of("tap")
@given(feeds())
@examples()
async def test_tap(feed: Feed) -> None:
    seen: list[Any] = []
    await check(lambda stream: stream.tap(seen.append), feed, lambda pairs: pairs)
    assert seen == feed.items


@model_of("enumerate")
@given(feeds(), st.integers(-3, 3))
@examples()
async def test_enumerate(feed: Feed, start: int) -> None:
    await check(
        lambda stream: stream.enumerate(start),
        feed,
        lambda pairs: [((n, item), time) for n, (item, time) in enumerate(pairs, start)],
    )


@model_of("pairwise")
@given(feeds(st.none() | st.integers(0, 2)))
@examples()
async def test_pairwise(feed: Feed) -> None:
    await check(
        lambda stream: stream.pairwise(),
        feed,
        lambda pairs: [((a, b), time) for (a, _), (b, time) in itertools.pairwise(pairs)],
    )


@model_of("scan")
@given(feeds(), st.booleans())
@examples()
async def test_scan(feed: Feed, with_initial: bool) -> None:
    def fold(total: int, item: int) -> int:
        return 3 * total - item

    def model(pairs: list[Pair]) -> list[Pair]:
        items = [item for item, _ in pairs]
        if with_initial:
            totals = list(itertools.accumulate(items, fold, initial=7))[1:]
        else:
            totals = list(itertools.accumulate(items, fold))
        return [(total, time) for total, (_, time) in zip(totals, pairs, strict=True)]

    await check(
        lambda stream: stream.scan(fold, 7) if with_initial else stream.scan(fold), feed, model
    )


async def test_scan_may_give_none_and_start_from_none() -> None:
    stream: rx.Stream[int | None] = rx.of(1, 2, 3)
    assert await stream.scan(lambda total, x: None).collect() == [1, None, None]
    assert await stream.scan(lambda total, x: (total, x), None).collect() == [
        (None, 1),
        ((None, 1), 2),
        (((None, 1), 2), 3),
    ]


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.map(str),
        lambda s: s.starmap(max),
        lambda s: s.flat_map(list),
        lambda s: s.tap(print),
        lambda s: s.enumerate(),
        lambda s: s.pairwise(),
        lambda s: s.scan(max),
        lambda s: s.scan(max, 0),
        lambda s: s.scan(max, factory=int),
    ],
)
async def test_of_nothing_comes_nothing(build: Callable[[rx.Stream[Any]], rx.Stream[Any]]) -> None:
    assert await build(rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await build(rx.fail(error)).collect()
    assert caught.value is error


async def test_what_came_before_a_failure_is_delivered_first() -> None:
    given: list[float] = []
    stream = feed_of(1, 2, 4, 0, 5).stream.map(lambda x: 8 / x).map(lambda x: x + 1)
    with pytest.raises(ZeroDivisionError):
        async for item in stream:
            given.append(item)  # noqa: PERF401  what was given before the failure counts
    assert given == [9, 5, 3]


async def test_a_failure_names_the_operator_and_its_line() -> None:
    stream = rx.of(1, 0).map(lambda x: 1 / x).named("divide").map(str)
    with pytest.raises(ZeroDivisionError) as caught:
        await stream.collect()
    (note,) = caught.value.__notes__
    assert note.startswith("in operator divide (")
    assert f"{__file__}:" in note


async def test_a_failing_inner_iterable_is_noted_on_flat_map() -> None:
    def broken(x: int) -> Iterator[int]:
        yield x
        raise OSError("inner")

    given: list[int] = []
    stream = rx.of(1, 2).map(int).flat_map(broken).map(int)
    with pytest.raises(OSError, match="inner") as caught:
        async for item in stream:
            given.append(item)  # noqa: PERF401  what was given before the failure counts
    assert given == [1]
    assert "in operator flat_map (" in caught.value.__notes__[0]


async def test_flat_map_takes_no_more_of_an_endless_iterable_than_is_wanted() -> None:
    taken = itertools.count(1)
    assert await rx.of(1, 2).flat_map(lambda _: taken).take(5).collect() == [1, 2, 3, 4, 5]
    assert next(taken) == 6


async def test_many_items_of_a_long_iterable_travel_together() -> None:
    given = await signals(rx.of(1).flat_map(lambda _: range(50_000)))
    assert len(given) < 5_000
    assert max(len(chunk) for chunk in given if isinstance(chunk, rx.Chunk)) <= 2 * 1024


async def test_flat_map_of_endless_iterables_lets_the_loop_run() -> None:
    stream = rx.of(1).flat_map(lambda _: itertools.count()).filter(lambda x: x < 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await stream.collect()


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.rebatch(1).take(3),
        lambda s: s.take(3),
        lambda s: s.rebatch(1).map(lambda x: x if x < 3 else 1 / 0, on_error="skip").take(3),
    ],
)
async def test_flat_map_closes_the_inner_iterable_it_left(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
) -> None:
    closed: list[int] = []

    def endless(number: int) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(number)

    stream = build(rx.of(1, 2).flat_map(endless))
    assert await stream.collect() == [0, 1, 2]
    assert closed == [1]
    async with rx.of(3).flat_map(endless).rebatch(1).open() as items:
        assert await anext(items) == 0
    assert closed == [1, 3]


async def test_a_plain_function_that_gives_a_coroutine_is_refused() -> None:
    async def fetch(x: int) -> int:
        return x

    with pytest.raises(TypeError, match=r"gave coroutine, which nobody would await; write it as"):
        await rx.of(1).map(lambda x: fetch(x)).collect()
    with pytest.raises(TypeError, match=r"gave coroutine"):
        await rx.of((1,)).starmap(lambda x: fetch(x)).collect()


@pytest.mark.parametrize("name", ["map", "starmap", "flat_map", "tap", "scan"])
@pytest.mark.parametrize("wrong", [None, 5, "text"])
def test_what_cannot_be_called_is_refused_at_once(name: str, wrong: object) -> None:
    with pytest.raises(TypeError, match=f"{name} needs a function, not {type(wrong).__name__}"):
        getattr(rx.of(1), name)(wrong)


@pytest.mark.parametrize("name", ["starmap", "flat_map", "tap", "scan"])
def test_an_async_function_is_refused_where_nobody_would_await_it(name: str) -> None:
    async def fetch(*args: Any) -> int:
        return 1

    with pytest.raises(TypeError, match=rf"{name} takes a plain function.*use map"):
        getattr(rx.of(1), name)(fetch)


def test_enumerate_counts_in_whole_numbers() -> None:
    with pytest.raises(TypeError, match="enumerate"):
        rx.of(1).enumerate("a")  # type: ignore[arg-type]


async def test_initial_is_each_runs_own_beginning() -> None:
    stream = rx.of(1, 2).scan(operator.add, 10)
    assert await stream.collect() == await stream.collect() == [11, 13]


@model_of("scan")
@given(feeds())
@examples(30)
async def test_scan_from_a_start_made_anew(feed: Feed) -> None:
    def add(held: list[int], item: int) -> list[int]:
        held.append(item)
        return held

    def model(pairs: list[Pair]) -> list[Pair]:
        items = [item for item, _ in pairs]
        return [(items[: n + 1], time) for n, (_, time) in enumerate(pairs)]

    for _ in range(2):
        await check(lambda stream: stream.scan(add, factory=list).map(list), feed, model)


async def test_a_start_is_made_once_a_run_and_when_it_is_needed() -> None:
    made: list[int] = []

    def start() -> int:
        made.append(1)
        return 0

    stream = rx.range(5).scan(operator.add, factory=start)
    assert await asyncio.gather(stream.collect(), stream.collect()) == [[0, 1, 3, 6, 10]] * 2
    assert len(made) == 2
    assert await rx.empty().scan(operator.add, factory=start).collect() == []
    assert len(made) == 2


async def test_a_start_that_fails_is_the_streams_failure() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await rx.of(1).scan(operator.add, factory=lambda: 1 // 0).collect()
    assert caught.value.__notes__[0].startswith("in operator scan (")


def test_scan_starts_one_way() -> None:
    with pytest.raises(TypeError, match="from `initial` or from what `factory` makes, not both"):
        rx.of(1).scan(operator.add, 1, factory=int)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"scan \(factory\) needs a function"):
        rx.of(1).scan(operator.add, factory=5)  # type: ignore[call-overload]
