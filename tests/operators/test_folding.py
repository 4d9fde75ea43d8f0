"""reduce, fold, count, sum, mean, variance, min, max, top, to_list, collect_into and the like."""

from __future__ import annotations

import functools
import inspect
import statistics
from collections import Counter, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feed_of, feeds, last_time, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx

Build = Callable[[rx.Stream[Any]], rx.Single[Any]]
MISSING = object()


def subtract(total: int, item: int) -> int:
    return 2 * total - item


def insert_first(so_far: list[int], item: int) -> list[int]:
    so_far.insert(0, item)
    return so_far


FOLDS: dict[str, tuple[Build, Callable[[list[Any]], Any]]] = {
    "reduce": (
        lambda s: s.reduce(subtract),
        lambda items: functools.reduce(subtract, items) if items else MISSING,
    ),
    "reduce from a start": (
        lambda s: s.reduce(subtract, 5),
        lambda items: functools.reduce(subtract, items, 5),
    ),
    "fold": (lambda s: s.fold(insert_first, list), lambda items: items[::-1]),
    "count": (lambda s: s.count(), len),
    "sum": (lambda s: s.sum(), sum),
    "sum from a start": (lambda s: s.sum(1.5), lambda items: sum(items, 1.5)),
    "mean": (lambda s: s.mean(), lambda items: statistics.fmean(items) if items else MISSING),
    "variance of a population": (
        lambda s: s.map(Fraction).variance(population=True),
        lambda items: statistics.pvariance(map(Fraction, items)) if items else MISSING,
    ),
    "min": (lambda s: s.min(), lambda items: min(items, default=MISSING)),
    "max": (lambda s: s.max(), lambda items: max(items, default=MISSING)),
    "min by key": (lambda s: s.min(abs), lambda items: min(items, key=abs, default=MISSING)),
    "max by key": (lambda s: s.max(abs), lambda items: max(items, key=abs, default=MISSING)),
    "min or a default": (lambda s: s.min(default=9), lambda items: min(items, default=9)),
    "max or a default": (lambda s: s.max(default=None), lambda items: max(items, default=None)),
    "to_list": (lambda s: s.to_list(), list),
    "to_set": (lambda s: s.to_set(), set),
    "to_dict": (lambda s: s.to_dict(abs), lambda items: {abs(x): x for x in items}),
    "to_dict of values": (
        lambda s: s.to_dict(abs, str),
        lambda items: {abs(x): str(x) for x in items},
    ),
    "top": (lambda s: s.top(3), lambda items: sorted(items, reverse=True)[:3]),
    "top by key": (
        lambda s: s.top(4, lambda x: abs(x) // 2),
        lambda items: sorted(items, key=lambda x: abs(x) // 2, reverse=True)[:4],
    ),
    "collect_into": (lambda s: s.collect_into(list), list),
    "collect_into by add": (lambda s: s.collect_into(set), set),
    "collect_into by update": (lambda s: s.collect_into(Counter), Counter),
    "collect_into of a function": (
        lambda s: s.collect_into(lambda: deque([0], maxlen=3)),
        lambda items: deque([0, *items], maxlen=3),
    ),
}


@pytest.mark.parametrize("name", FOLDS)
@model_of(
    "reduce",
    "fold",
    "count",
    "sum",
    "variance",
    "min",
    "max",
    "top",
    "to_list",
    "to_set",
    "to_dict",
    "collect_into",
)
@given(feed=feeds())
@examples(30)
async def test_folds(name: str, feed: Feed) -> None:
    build, model = FOLDS[name]
    expected = model(feed.items)
    if expected is MISSING:
        with pytest.raises(rx.EmptyStreamError, match="needs at least one item"):
            await build(feed.stream)
        return

    def paired(pairs: list[Pair]) -> list[Pair]:
        return [(expected, feed.at_end(last_time(pairs)))]

    assert await build(feed.stream) == expected
    await check(build, feed, paired, ends_early=True)


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_a_folds_time_is_that_of_the_last_item_folded(size: int) -> None:
    items = rx.Chunk([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    settings = rx.Settings(chunk=size)
    stream = Feed((items,)).stream

    async def times(folded: rx.Stream[Any]) -> list[Pair]:
        return pairs(await signals(folded, settings))

    assert await times(stream.filter(lambda x: x < 4).sum()) == [(6, 30)]
    assert await times(stream.take(2).sum()) == [(3, 20)]
    assert await times(stream.take(4).filter(lambda x: x % 2).batch(9)) == [([1, 3], 30)]
    assert await times(stream.filter(lambda x: x > 9).count()) == [(0, None)]


async def test_min_and_max_give_the_first_of_equals() -> None:
    words = rx.of("bb", "a", "cc", "d")
    assert await words.min(len) == "a"
    assert await words.max(len) == "bb"


async def test_to_dict_keeps_the_last_of_equal_keys() -> None:
    assert await rx.of("a", "bb", "c").to_dict(len) == {1: "c", 2: "bb"}


async def test_a_fold_goes_on_as_a_stream() -> None:
    assert await rx.range(4).sum().map(lambda x: x * 10).collect() == [60]
    assert await rx.range(4).to_list().flat_map(list).collect() == [0, 1, 2, 3]
    assert await rx.range(4).count().concat(rx.range(4).sum()).collect() == [4, 6]


async def test_an_awaited_fold_says_which_operator_had_no_item() -> None:
    with pytest.raises(rx.EmptyStreamError, match=r"^mean needs at least one item") as caught:
        await rx.empty().mean()
    assert f"in operator mean ({__file__}:" in caught.value.__notes__[0]


async def test_a_failing_upstream_gives_no_result() -> None:
    error = OSError("gone")
    for build, _ in FOLDS.values():
        given = []
        with pytest.raises(OSError, match="gone") as caught:
            async for item in build(rx.of(1).concat(rx.fail(error))):
                given.append(item)  # noqa: PERF401
        assert given == []
        assert caught.value is error


@pytest.mark.parametrize("name", ["reduce", "min", "max", "to_dict"])
async def test_wrong_functions_are_refused_at_once(name: str) -> None:
    async def fetch(*args: int) -> int:
        return 1

    with pytest.raises(TypeError, match=f"{name} needs a function, not int 5"):
        getattr(rx.of(1), name)(5)
    with pytest.raises(TypeError, match=rf"{name} takes a plain function.*use map"):
        getattr(rx.of(1), name)(fetch)
    with pytest.raises(TypeError, match="gave coroutine, which nobody would await"):
        await getattr(rx.of(1, 2), name)(lambda *args: fetch(*args))


async def test_to_dict_refuses_a_value_that_is_no_function() -> None:
    with pytest.raises(TypeError, match="to_dict needs a function, not int 5"):
        rx.of(1).to_dict(abs, 5)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda s: s.sum(), TypeError),
        (lambda s: s.mean(), TypeError),
        (lambda s: s.min(), TypeError),
        (lambda s: s.to_set(), TypeError),
        (lambda s: s.to_dict(lambda x: x), TypeError),
        (lambda s: s.reduce(lambda total, x: 1 / 0), ZeroDivisionError),
    ],
)
async def test_what_cannot_be_folded_is_noted_on_the_operator(
    build: Build, error: type[Exception]
) -> None:
    stream = build(rx.of([1], {}))
    with pytest.raises(error) as caught:
        await stream
    assert f"in operator {stream.node.operator.label} ({__file__}:" in caught.value.__notes__[0]


async def test_every_run_folds_anew() -> None:
    for build, _ in FOLDS.values():
        single = build(rx.of(3, 1, 2))
        assert await single == await single


def test_every_fold_is_tested() -> None:
    from operators.folding import Folding

    methods = {name for name, _ in inspect.getmembers(Folding, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")}
    assert public == {name.split()[0] for name in FOLDS}


@model_of("mean")
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=1))
@examples()
async def test_mean_is_the_sum_by_the_count(values: list[float]) -> None:
    assert await rx.from_iterable(values).mean() == sum(values) / len(values)


async def test_a_timed_fold_of_nothing_has_no_time() -> None:
    assert pairs(await signals(feed_of().stream.count())) == [(0, None)]


@model_of("variance")
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.sampled_from([0, 1e9]))
@examples()
async def test_variance_of_a_sample_loses_no_digits_far_from_zero(
    values: list[float], offset: float
) -> None:
    shifted = [value + offset for value in values]
    expected = statistics.variance(map(Fraction, shifted))
    given = await rx.from_iterable(shifted).variance()
    assert given == pytest.approx(float(expected), rel=1e-6, abs=1e-3)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
    st.sampled_from([0.0, 1e6, 1e12]),
    st.sampled_from([1, 60]),
)
@examples(60)
async def test_variance_is_exact_to_the_last_digits_whatever_comes_first(
    items: list[float], first: float, times: int
) -> None:
    every = [first, *items * times]
    expected = statistics.variance(map(Fraction, every))
    assert await rx.from_iterable(every).variance() == pytest.approx(float(expected), rel=1e-12)


async def test_variance_of_too_few() -> None:
    assert await rx.of(5).variance(population=True) == 0
    with pytest.raises(rx.EmptyStreamError, match=r"at least two items and the stream had one; "):
        await rx.of(5).variance()
    with pytest.raises(rx.EmptyStreamError, match=r"at least two items and the stream had none\n"):
        await rx.empty().variance()


async def test_top_gives_equals_in_their_order_and_compares_no_items() -> None:
    items = [(key, object()) for key in (1, 2, 1, 2, 0, 2) * 300]
    for count in (*range(1, 8), 100, 999, 1000, 1001, 1700, 1799, 1800, 2000):
        expected = sorted(items, key=lambda item: item[0], reverse=True)[:count]
        assert await rx.from_iterable(items).top(count, lambda item: item[0]) == expected


async def test_a_fold_begins_anew_in_every_run() -> None:
    made: list[list[int]] = []

    def start() -> list[int]:
        made.append([])
        return made[-1]

    folded = rx.of(1, 2).fold(insert_first, start)
    assert made == []
    assert await folded == [2, 1]
    assert await folded == [2, 1]
    assert await rx.empty().fold(insert_first, start) == []
    assert made == [[2, 1], [2, 1], []]


async def test_a_given_container_gets_the_items_and_is_the_result() -> None:
    kept = [0]
    filled = rx.of(1, 2).collect_into(kept)
    assert await filled is kept
    assert kept == [0, 1, 2]
    assert await filled is kept
    assert kept == [0, 1, 2, 1, 2]
    with pytest.raises(OSError, match="gone"):
        await rx.of(3).concat(rx.fail(OSError("gone"))).collect_into(kept)
    assert kept[-1] == 3


async def test_what_can_be_collected_into() -> None:
    assert await rx.of(b"ab", bytearray(b"c")).collect_into(bytearray) == b"abc"
    assert await rx.of(("a", 1), ("b", 2)).collect_into(dict) == {"a": 1, "b": 2}

    class Extended:
        def __init__(self) -> None:
            self.items: list[int] = []

        def extend(self, items: tuple[int, ...]) -> None:
            self.items += items

    assert (await rx.of(1, 2).collect_into(Extended)).items == [1, 2]
    with pytest.raises(TypeError, match="a container with append, add, update or extend, not 5"):
        rx.of(1).collect_into(5)
    with pytest.raises(TypeError, match=r"a container with append, add, .* not 0") as caught:
        await rx.of(1).collect_into(int)
    assert "in operator collect_into" in caught.value.__notes__[0]


async def test_wrong_starts_and_counts_are_refused_at_once() -> None:
    async def start() -> list[int]:
        return []

    for build in (rx.of(1).collect_into, lambda made: rx.of(1).fold(max, made)):
        with pytest.raises(TypeError, match="takes a plain function"):
            build(start)
    with pytest.raises(TypeError, match="fold needs a function, not list"):
        rx.of(1).fold(max, [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="top needs a count of at least 1, not 0"):
        rx.of(1).top(0)
    with pytest.raises(TypeError, match="top takes a plain function"):
        rx.of(1).top(1, start)  # type: ignore[arg-type]
