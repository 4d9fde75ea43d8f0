"""reduce, count, sum, mean, min, max, to_list, to_set, to_dict."""

from __future__ import annotations

import functools
import inspect
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, Pair, check, examples, feed_of, feeds, last_time, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx

Build = Callable[[rx.Stream[Any]], rx.Single[Any]]
MISSING = object()


def subtract(total: int, item: int) -> int:
    return 2 * total - item


FOLDS: dict[str, tuple[Build, Callable[[list[Any]], Any]]] = {
    "reduce": (
        lambda s: s.reduce(subtract),
        lambda items: functools.reduce(subtract, items) if items else MISSING,
    ),
    "reduce from a start": (
        lambda s: s.reduce(subtract, 5),
        lambda items: functools.reduce(subtract, items, 5),
    ),
    "count": (lambda s: s.count(), len),
    "sum": (lambda s: s.sum(), sum),
    "sum from a start": (lambda s: s.sum(1.5), lambda items: sum(items, 1.5)),
    "mean": (lambda s: s.mean(), lambda items: statistics.fmean(items) if items else MISSING),
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
}


@pytest.mark.parametrize("name", FOLDS)
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
        return [(expected, last_time(pairs))]

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


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=1))
@examples()
async def test_mean_is_the_sum_by_the_count(values: list[float]) -> None:
    assert await rx.from_iterable(values).mean() == sum(values) / len(values)


async def test_a_timed_fold_of_nothing_has_no_time() -> None:
    assert pairs(await signals(feed_of().stream.count())) == [(0, None)]
