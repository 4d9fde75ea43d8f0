"""first, last, single, element_at, find, is_empty, all, any, contains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, examples, feed_of, feeds, last_time, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe, slow_source
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[Any]], rx.Single[Any]]
Model = Callable[[Feed], Pair]


def missing(feed: Feed) -> Pair:
    raise LookupError


def default(value: Any) -> Model:
    """A default, given at the end, with the time of the last item that was looked at."""
    return lambda feed: (value, feed.at_end(last_time(feed.pairs)))


def first(holds: Callable[[Any], bool], otherwise: Model = missing) -> Model:
    return lambda feed: (
        next((pair for pair in feed.pairs if holds(pair[0])), None) or otherwise(feed)
    )


def last(holds: Callable[[Any], bool], otherwise: Model = missing) -> Model:
    def model(feed: Feed) -> Pair:
        found = [(item, feed.at_end(time)) for item, time in feed.pairs if holds(item)]
        return found[-1] if found else otherwise(feed)

    return model


def at(index: int, otherwise: Model = missing) -> Model:
    return lambda feed: feed.pairs[index] if index < len(feed.pairs) else otherwise(feed)


def settles(holds: Callable[[Any], bool], answer: bool) -> Model:
    """The answer has the time of the item that settles it, or is given at the end."""

    def model(feed: Feed) -> Pair:
        for item, time in feed.pairs:
            if holds(item):
                return answer, time
        return not answer, feed.at_end(last_time(feed.pairs))

    return model


def anything(item: Any) -> bool:
    return True


def big(item: Any) -> bool:
    return bool(item > 2)


FOUND: dict[str, tuple[Build, Model]] = {
    "first": (lambda s: s.first(), first(anything)),
    "first or a default": (lambda s: s.first(default=9), first(anything, default(9))),
    "first that": (lambda s: s.first(big), first(big)),
    "first that, or a default": (lambda s: s.first(big, default=9), first(big, default(9))),
    "last": (lambda s: s.last(), last(anything)),
    "last or a default": (lambda s: s.last(default=None), last(anything, default(None))),
    "last that": (lambda s: s.last(big), last(big)),
    "last that, or a default": (lambda s: s.last(big, default=9), last(big, default(9))),
    "element_at 0": (lambda s: s.element_at(0), at(0)),
    "element_at 4": (lambda s: s.element_at(4), at(4)),
    "element_at 4, or": (lambda s: s.element_at(4, default=9), at(4, default(9))),
    "find": (lambda s: s.find(big), first(big, default(None))),
    "find or": (lambda s: s.find(big, 9), first(big, default(9))),
    "is_empty": (lambda s: s.is_empty(), settles(anything, False)),
    "all": (lambda s: s.all(), settles(lambda x: not x, False)),
    "all that": (lambda s: s.all(lambda x: x < 3), settles(big, False)),
    "any": (lambda s: s.any(), settles(bool, True)),
    "any that": (lambda s: s.any(big), settles(big, True)),
    "contains": (lambda s: s.contains(4), settles(lambda x: bool(x == 4), True)),
}


@pytest.mark.parametrize("name", FOUND)
@model_of("first", "last", "element_at", "find", "is_empty", "all", "any", "contains")
@given(feed=feeds())
@examples(30)
async def test_what_is_found(name: str, feed: Feed) -> None:
    build, model = FOUND[name]
    try:
        expected = model(feed)
    except LookupError:
        with pytest.raises(rx.EmptyStreamError, match=f"^{name.split()[0]}.* give it a default"):
            await build(feed.stream)
        return
    assert await build(feed.stream) == expected[0]
    await check(build, feed, lambda _: [expected], ends_early=True)


@model_of("single")
@given(feeds(max_size=3), st.booleans())
@examples(40)
async def test_single(feed: Feed, with_default: bool) -> None:
    stream = feed.stream.single(default=9) if with_default else feed.stream.single()
    if len(feed.items) > 1:
        with pytest.raises(rx.TooManyItemsError, match="single needs exactly one item"):
            await stream
    elif feed.items or with_default:
        given = await signals(stream)
        ((item, time),) = feed.pairs or [(9, None)]
        assert pairs(given) == [(item, feed.at_end(time))]
    else:
        with pytest.raises(rx.EmptyStreamError, match="single needs at least one item"):
            await stream


@pytest.mark.parametrize(
    ("build", "wanted", "answer"),
    [
        (lambda s: s.first(), 1, 0),
        (lambda s: s.first(lambda x: x > 2), 4, 3),
        (lambda s: s.element_at(2), 3, 2),
        (lambda s: s.find(lambda x: x > 2), 4, 3),
        (lambda s: s.is_empty(), 1, False),
        (lambda s: s.all(lambda x: x < 3), 4, False),
        (lambda s: s.any(), 2, True),
        (lambda s: s.contains(4), 5, True),
    ],
)
async def test_upstream_is_closed_as_soon_as_the_answer_is_known(
    virtual_time: VirtualTime, build: Build, wanted: int, answer: Any
) -> None:
    probe = Probe(slow_source(range(100), 1))
    assert await build(probe.stream) == answer
    assert (virtual_time.now, probe.items, probe.closes) == (wanted, wanted, 1)
    probe.check()


async def test_single_fails_at_the_second_item(virtual_time: VirtualTime) -> None:
    probe = Probe(slow_source(range(100), 1))
    with pytest.raises(rx.TooManyItemsError) as caught:
        await probe.stream.single()
    assert f"in operator single ({__file__}:" in caught.value.__notes__[0]
    assert (virtual_time.now, probe.closes) == (2, 1)


async def test_no_more_is_looked_at_than_needed() -> None:
    seen: list[int] = []
    assert await rx.range(100).tap(seen.append).first() == 0
    assert await rx.range(100).tap(seen.append).any(lambda x: x == 1)
    assert await rx.range(100).flat_map(range).tap(seen.append).element_at(2) == 1
    assert seen == [0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("nothing", [None, 0, False, "", ()])
async def test_what_is_false_can_be_found_and_be_a_default(nothing: object) -> None:
    for stream in (rx.of(nothing), rx.empty()):
        assert await stream.first(default=nothing) is nothing
        assert await stream.last(default=nothing) is nothing
        assert await stream.single(default=nothing) is nothing
        assert await stream.element_at(0, default=nothing) is nothing
        assert await stream.find(lambda x: True, nothing) is nothing


async def test_contains_looks_for_the_same_or_an_equal_item() -> None:
    nan = math.nan
    for items, value in [([1, nan], nan), ([1, float("nan")], nan), ([1], True), (["a"], 1)]:
        assert await rx.from_iterable(items).contains(value) is (value in items)


@pytest.mark.parametrize("name", FOUND)
async def test_a_failing_upstream_gives_no_result(name: str) -> None:
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await FOUND[name][0](rx.fail(error))
    assert caught.value is error


async def test_what_is_found_goes_on_as_a_stream() -> None:
    assert await rx.range(5).find(lambda x: x > 2).map(str).concat(rx.of("!")).collect() == [
        "3",
        "!",
    ]
    assert await rx.range(3).flat_map(lambda x: [x, x]).last(lambda x: x < 2).collect() == [1]


async def test_the_last_match_keeps_its_time_through_a_pipeline() -> None:
    stream = feed_of(1, 2, 3, 4, times=[10, 20, 30, 40]).stream
    odd = stream.map(lambda x: x).last(lambda x: x % 2).map(lambda x: x)
    assert pairs(await signals(odd)) == [(3, 30)]


WITH_PREDICATE = ["first", "last", "find", "all", "any"]


@pytest.mark.parametrize("name", WITH_PREDICATE)
async def test_wrong_functions_are_refused(name: str) -> None:
    async def fetch(x: int) -> bool:
        return True

    with pytest.raises(TypeError, match=f"{name} needs a function, not int 5"):
        getattr(rx.of(1), name)(5)
    with pytest.raises(TypeError, match=rf"{name} takes a plain function.*use map"):
        getattr(rx.of(1), name)(fetch)
    with pytest.raises(TypeError, match="gave coroutine, which nobody would await"):
        await getattr(rx.of(1), name)(lambda x: fetch(x))


@pytest.mark.parametrize("name", WITH_PREDICATE)
async def test_a_failing_function_is_noted_on_the_operator(name: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await getattr(rx.of(0), name)(lambda x: 1 / x)
    assert f"in operator {name} ({__file__}:" in caught.value.__notes__[0]


def test_element_at_refuses_what_is_no_position() -> None:
    with pytest.raises(ValueError, match="element_at needs a count of at least 0, not -1"):
        rx.of(1).element_at(-1)
    with pytest.raises(TypeError, match="element_at needs a whole number of items, not '1'"):
        rx.of(1).element_at("1")  # type: ignore[call-overload]


async def test_what_is_missing_is_told() -> None:
    with pytest.raises(rx.EmptyStreamError, match=r"element_at\(3\) needs 4 items and") as caught:
        await rx.range(3).element_at(3)
    assert f"in operator element_at ({__file__}:" in caught.value.__notes__[0]
    with pytest.raises(rx.EmptyStreamError, match="last needs an item for which its predicate"):
        await rx.range(3).last(lambda x: x > 5)
