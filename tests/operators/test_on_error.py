"""What becomes of items whose function fails, against models: every policy of every operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item
from reactive.testing.marbles import Event

Build = Callable[..., rx.Stream[Any]]


class Odd(Exception):
    """What the function says of an item that it cannot handle."""


def half(x: int) -> int:
    if x % 2:
        raise Odd(x)
    return x // 2


def half_of_both(x: int, y: int) -> int:
    return half(x) + half(y)


def halves(x: int) -> list[int]:
    return [half(x)] * 2


def small(x: int) -> bool:
    return half(x) < 2


REPLACEMENT = [7, 8]
"""Put in place of a result, whatever that is: it is true, and something to iterate over."""

BUILDS: dict[str, tuple[Build, Callable[[int, Any], list[Any]]]] = {
    "map": (lambda s, **o: s.map(half, **o), lambda x, result: [result(half)]),
    "starmap": (
        lambda s, **o: s.map(lambda x: (x, x)).starmap(half_of_both, **o),
        lambda x, result: [result(lambda x: half_of_both(x, x))],
    ),
    "flat_map": (lambda s, **o: s.flat_map(halves, **o), lambda x, result: [*result(halves)]),
    "tap": (lambda s, **o: s.tap(half, **o), lambda x, result: [x] * bool([result(half)])),
    "filter": (lambda s, **o: s.filter(small, **o), lambda x, result: [x] * bool(result(small))),
    "filter_map": (lambda s, **o: s.filter_map(half, **o), lambda x, result: [result(half)]),
    "partition": (
        lambda s, **o: s.partition(small, **o)[0],
        lambda x, result: [x] * bool(result(small)),
    ),
    "partition, the rest": (
        lambda s, **o: s.partition(small, **o)[1],
        lambda x, result: [x] * (not result(small)),
    ),
}


def handled(name: str, given: Iterable[Pair], policy: str) -> tuple[list[Pair], list[int]]:
    """What is given, and which items are dead letters."""
    _, becomes = BUILDS[name]
    out: list[Pair] = []
    dead: list[int] = []
    for x, time in given:

        def result(fn: Callable[[int], Any], x: int = x) -> Any:
            try:
                return fn(x)
            except Odd:
                if policy != "replace":
                    raise
                return REPLACEMENT

        try:
            out += [(each, time) for each in becomes(x, result)]
        except Odd:
            dead.append(x)
            if policy == "raise":
                break
    return out, dead


@pytest.mark.parametrize("name", BUILDS)
@model_of("map", "starmap", "flat_map", "tap", "filter", "filter_map", "partition")
@given(feed=feeds(signals=False), policy=st.sampled_from(["raise", "skip", "replace", "side"]))
@examples(40)
async def test_a_function_that_fails(name: str, feed: Feed, policy: str) -> None:
    build, _ = BUILDS[name]
    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    on_error = {"replace": rx.replace(REPLACEMENT), "side": bad}.get(policy, policy)
    expected, dead = handled(name, feed.pairs, policy)
    letters: list[rx.DeadLetter[int]] = []
    given: list[Any] = []
    stream = build(feed.stream, on_error=on_error).tap(given.append)
    if policy == "side":
        stream = stream.merge(bad.tap(letters.append).ignore_items())
    if policy == "raise" and dead:
        with pytest.raises(Odd) as caught:
            await stream.collect()
        assert caught.value.args == (dead[0],)
        assert given == [item for item, _ in expected]
        return
    assert pairs(await signals(stream)) == expected
    if policy == "side":
        items = [letter.item for letter in letters]
        assert items == ([(x, x) for x in dead] if name == "starmap" else dead)
        assert all(isinstance(letter.error, Odd) for letter in letters)


@st.composite
def calls(draw: st.DrawFn) -> tuple[tuple[float, str], ...]:
    """How long the calls for one item take, one after the other, and how they end."""
    outcomes = st.sampled_from(["gives", "fails", "fails", "fails for good"])
    seconds = st.integers(0, 5).map(lambda second: second + 0.25)
    return tuple(draw(st.lists(st.tuples(seconds, outcomes), min_size=4, max_size=4)))


class Later(Exception):
    """Worth another call."""


class Calls:
    """A function that takes as long for an item, call by call, as the item says."""

    def __init__(self) -> None:
        self._made: dict[int, int] = {}

    async def __call__(self, item: tuple[int, Any]) -> int:
        number, plan = item
        made = self._made.get(number, 0)
        self._made[number] = made + 1
        seconds, outcome = plan[made]
        await asyncio.sleep(seconds)
        if outcome == "fails":
            raise Later(number)
        if outcome == "fails for good":
            raise Odd(number)
        return made


def call_by_call(
    timeline: Timeline, limit: float | None, again: int, result: Callable[[Any, int], Any]
) -> list[Event[Any]]:
    """One item after the other, each with as many calls as it takes; a second between them."""
    given: list[Event[Any]] = []
    free = 0.0
    for number, item in enumerate(items_of(timeline)):
        free = max(free, item.time)
        for made, (seconds, outcome) in enumerate(item.value):
            late = limit is not None and seconds > limit
            free += limit if late and limit is not None else seconds
            if outcome == "gives" and not late:
                given.append(Item(free, result((number, item.value), made)))
                break
            if made == again or (outcome == "fails for good" and not late):
                given.append(Item(free, result((number, item.value), -1)))
                break
            free += 1
    (ending,) = ending_of(timeline)
    time = max(free, ending.time)
    return [*given, Failure(time, ending.error) if isinstance(ending, Failure) else End(time)]


def pausing(again: int) -> rx.Backoff:
    return rx.Backoff(initial=1, factor=1, jitter=0, attempts=again)


plans = timelines(elements=calls(), max_size=4, last=20)
limits = st.sampled_from([None, 1, 3])


@model_of("map")
@given(plans, limits, st.integers(0, 3))
@examples(60)
def test_calls_with_a_time_limit_and_again(
    timeline: Timeline, limit: float | None, again: int
) -> None:
    check_times(
        lambda s: s.enumerate().map(
            Calls(),
            timeout=limit,
            retry=pausing(again),
            retry_on=(Later, TimeoutError),
            on_error=rx.replace(-1),
        ),
        [timeline],
        lambda events: call_by_call(events, limit, again, lambda item, made: made),
    )


@model_of("enrich")
@given(plans, limits, st.integers(0, 3))
@examples(60)
def test_fetching_with_a_time_limit_and_again(
    timeline: Timeline, limit: float | None, again: int
) -> None:
    check_times(
        lambda s: s.enumerate().enrich(
            Calls(),
            timeout=limit,
            retry=pausing(again),
            retry_on=(Later, TimeoutError),
            on_error=rx.replace(-1),
        ),
        [timeline],
        lambda events: call_by_call(events, limit, again, lambda item, made: (item, made)),
    )
