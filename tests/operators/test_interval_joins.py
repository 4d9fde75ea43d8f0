"""interval_join against nested loops over lists; what it holds, gives alone and drops."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from catalogue import model_of
from disorder import (
    HOWS,
    SECOND,
    Event,
    Pair,
    bounds,
    by_key,
    cuts,
    items_of,
    two_inputs,
    whole_and_rest,
)
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from reactive.testing import scripted_source
from reactive.testing.scripts import Pause
from reactive.testing.virtual_time import run

intervals = st.tuples(st.integers(-4, 8), st.integers(-4, 8)).filter(lambda pair: sum(pair) >= 0)


def near(
    left: list[Event], right: list[Event], before: int, after: int, how: str
) -> list[tuple[Any, int]]:
    given: list[tuple[Any, int]] = [
        ((a, b), max(a.time, b.time) * SECOND)
        for a in left
        for b in right
        if a.key == b.key and a.time - before <= b.time <= a.time + after
    ]
    met = {event for pair, _ in given for event in enumerate(pair)}
    if how in ("left", "full"):
        given += [((a, None), a.time * SECOND) for a in left if (0, a) not in met]
    if how in ("right", "full"):
        given += [((None, b), b.time * SECOND) for b in right if (1, b) not in met]
    return given


@model_of("KeyedStream.interval_join")
@pytest.mark.parametrize("how", HOWS)
def test_pairs_are_those_of_nested_loops(how: Any) -> None:
    async def check(inputs: Pair, settings: rx.Settings, interval: tuple[int, int]) -> None:
        before, after = interval
        left, right = (by_key(one.stream) for one in inputs)
        stream = left.interval_join(right, before=before, after=after, how=how)
        expected = Counter(near(inputs[0].events, inputs[1].events, before, after, how))
        given = await signals(stream, settings)
        assert Counter(pairs(given)) == expected
        low = -(10**9)
        for signal in given:
            if isinstance(signal, rx.Watermark):
                assert signal.time > low
                low = signal.time
            elif isinstance(signal, rx.Chunk):
                assert min(signal.times or ()) >= low
        batch = await stream.collect(mode="batch")
        assert Counter(batch) == Counter(pair for pair, _ in expected.elements())

    @given(two_inputs, bounds, intervals)
    @examples(40)
    def law(inputs: Pair, settings: rx.Settings, interval: tuple[int, int]) -> None:
        run(check(inputs, settings, interval))

    law()


@pytest.mark.parametrize("how", ["inner", "full"])
def test_it_goes_on_from_a_barrier(how: Any) -> None:
    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        return by_key(left).interval_join(by_key(right), before=2, after=5, how=how)

    @given(st.tuples(cuts(), cuts()), st.booleans())
    @examples(60)
    def law(feeds: tuple[tuple[Feed, Feed], ...], changes: bool) -> None:
        after, again = run(whole_and_rest(build, feeds, changes))
        assert Counter(items_of(again)) == Counter(items_of(after))

    law()


def steadily(count: int) -> rx.Stream[int]:
    return rx.range(count).event_time(lambda n: n, every=0)


async def held_by(stream: rx.Stream[Any], gauge: str = "held") -> float:
    """The most that the last operator holds."""
    most = 0.0

    def look(item: Any) -> None:
        nonlocal most
        meters = {one.name: one for one in running.metrics().operators}
        most = max(most, meters["join"].gauges[gauge])

    async with rx.start(
        stream.named("join").tap(look).to(memory.append([])),
        mode="stream",
        settings=rx.Settings(chunk=4, edge=4),
    ) as running:
        await running.wait()
    return most


@pytest.mark.parametrize("how", ["inner", "full"])
async def test_what_can_meet_nothing_any_more_is_dropped(how: Any) -> None:
    """Every key comes once on each side: nobody would look at an old one again."""
    one = steadily(1000).key_by(lambda n: n)
    assert await held_by(one.interval_join(one, before=3, after=3, how=how)) < 60


async def test_an_item_alone_is_given_when_the_other_side_has_passed_it() -> None:
    def at(time: int) -> rx.Chunk[int]:
        return rx.Chunk([time], [time * SECOND])

    def mark(time: int) -> rx.Watermark:
        return rx.Watermark(time * SECOND)

    left = scripted_source([at(10), mark(40)])
    right = scripted_source([mark(15), *[Pause()] * 20, mark(16), *[Pause()] * 20, mark(30)])
    by_nothing = [stream.key_by(lambda n: 0) for stream in (left, right)]
    joined = by_nothing[0].interval_join(by_nothing[1], before=1, after=5, how="left")
    given = await signals(joined)
    # Up to 15 seconds one may come yet; until it is given, no watermark passes its own time.
    assert given == [mark(10), rx.Chunk([(10, None)], [10 * SECOND]), mark(16), mark(30)]


async def test_an_item_alone_is_given_though_its_own_side_has_stopped() -> None:
    """Its own side holds back the watermark of both, and the other side has told all there is."""
    left = rx.of(1).event_time(int).concat(rx.never())
    right = rx.of(1, 7).event_time(int, every=0).concat(rx.never())
    by_nothing = [stream.key_by(lambda n: 0) for stream in (left, right)]
    joined = by_nothing[0].interval_join(by_nothing[1], before=-1, after=5, how="left")
    async with joined.open() as items:
        assert await anext(items) == (1, None)


async def test_late_items_are_counted_and_sent_away() -> None:
    late = rx.SideOutput[int]("late")
    left = scripted_source(
        [rx.Watermark(10 * SECOND), rx.Chunk([9, 10], [9 * SECOND, 10 * SECOND])]
    ).key_by(lambda n: 0)
    right = scripted_source([rx.Chunk([8], [8 * SECOND])]).key_by(lambda n: 0)
    kept: list[Any] = []
    lost: list[int] = []
    stream = left.interval_join(right, before=5, how="full", late=late)
    jobs = stream.to(memory.append(kept)), late.to(memory.append(lost))
    await rx.run(*jobs, mode="stream")
    assert kept == [(10, 8)] and lost == [9]


async def test_items_without_time_are_told() -> None:
    timed = rx.of(1).event_time(lambda n: n).key_by(lambda n: n)
    with pytest.raises(TypeError, match=r"interval_join .* came from the left; put .event_time"):
        await rx.of(1).key_by(lambda n: n).interval_join(timed).collect()


def test_bad_arguments() -> None:
    keyed = rx.of(1).key_by(lambda n: n)
    with pytest.raises(ValueError, match=r"before=1, after=-2\) ends before it begins"):
        keyed.interval_join(keyed, before=1, after=-2)
    with pytest.raises(ValueError, match="finite `after`, or it would hold everything"):
        keyed.interval_join(keyed, after=float("inf"))
    with pytest.raises(TypeError, match="`before` in seconds, not '1'"):
        keyed.interval_join(keyed, before="1")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="needs another keyed stream"):
        keyed.interval_join(rx.of(1))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="how must be one of"):
        keyed.interval_join(keyed, how="outer")  # type: ignore[call-overload]
