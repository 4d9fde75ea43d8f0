"""deduplicate and scan of keyed streams, compared with lists of everything that came."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, controls, examples, feed_of, pairs, push, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from operators.processing import Process
from reactive.metrics import Meter
from reactive.signals import AnySignal
from reactive.testing.plugin import VirtualTime

SECOND = 1_000_000


def sign(item: int) -> bool:
    return item < 0


@st.composite
def disordered(draw: st.DrawFn) -> Feed:
    """Items in disorder that the watermarks mostly allow."""
    script: list[AnySignal] = []
    low = 0
    for _ in range(draw(st.integers(0, 12))):
        some = draw(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 12)), max_size=4))
        if some:
            times = [(low + time) * SECOND for _, time in some]
            script.append(rx.Chunk([item for item, _ in some], times))
        low += draw(st.integers(0, 6))
        if draw(st.booleans()):
            script.append(rx.Watermark(low * SECOND))
    return Feed(tuple(script))


def first_ones(
    feed: Feed, within: float, value: Callable[[int], Hashable]
) -> tuple[list[Pair], list[int]]:
    """Each is compared with all that were given."""
    given: list[Pair] = []
    late: list[int] = []
    watermark = -(2**63)
    for signal in feed.script:
        if isinstance(signal, rx.Watermark):
            watermark = signal.time
        if not isinstance(signal, rx.Chunk):
            continue
        for item, time in zip(signal.items, signal.times or (), strict=True):
            if time < watermark:
                late.append(item)
            elif not any(
                value(item) == value(other) and abs(time - at) < within * SECOND
                for other, at in given
                if at is not None
            ):
                given.append((item, time))
    return given, late


@model_of("KeyedStream.deduplicate")
@given(disordered(), st.sampled_from([1, 2.5, 5, 30]), st.booleans())
@examples(80)
async def test_an_item_is_given_if_none_like_it_is_near(
    feed: Feed, within: float, by_key: bool
) -> None:
    keyed = feed.stream.key_by((lambda x: x) if by_key else sign)
    by = None if by_key else abs
    given, late = first_ones(feed, within, lambda x: x)
    found = await signals(keyed.deduplicate(within=within, by=by))
    assert pairs(found) == given
    assert controls(found) == feed.controls
    kept: list[int] = []
    side = rx.SideOutput[int]("late")
    report = await rx.run(
        keyed.deduplicate(within=within, by=by, late=side).to(memory.append([])),
        side.to(memory.append(kept)),
    )
    assert kept == late
    assert report["deduplicate"].counters.get("late", 0) == len(late)


async def test_what_may_have_a_neighbour_yet_is_remembered() -> None:
    feed = Feed((rx.Chunk([1], [10]), rx.Watermark(12), rx.Chunk([1, 1, 1], [20, 13, 15])))
    stream = feed.stream.key_by(sign).deduplicate(within=5 / SECOND)
    assert pairs(await signals(stream)) == [(1, 10), (1, 20), (1, 15)]


async def test_what_is_remembered_is_bounded() -> None:
    stream = rx.never().key_by(sign).deduplicate(within=5, by=abs)
    operator = stream.node.operator
    assert isinstance(operator, Process)
    context = rx.Context("it", None, rx.Settings(mode="stream"), Meter("it"))
    step: Any = operator.step(context)
    held = step._states.handles["given"]._held
    for second in range(2000):
        push(step, rx.Chunk([second % 7], [second * SECOND]))
        push(step, rx.Watermark((second - 10) * SECOND))
        assert sum(len(times) for each in held.values() for times in each.values()) <= 30
    push(step, rx.Watermark(10_000 * SECOND))
    assert not held


async def test_without_disorder_and_in_batch() -> None:
    clicks = rx.of(("ann", 1), ("ann", 5), ("bob", 6), ("ann", 12), ("ann", 11))
    keyed = clicks.event_time(lambda click: click[1]).key_by(lambda click: click[0])
    given = await keyed.deduplicate(within=10).collect()
    assert given == [("ann", 1), ("bob", 6), ("ann", 12)]


def running(given: list[Pair], ttl: float | None) -> list[Pair]:
    """The running sum of each sign, forgotten when it has been left alone for too long."""
    results: list[Pair] = []
    for index, (item, time) in enumerate(given):
        total, until = 0, -1.0
        for other, at in given[: index + 1]:
            if sign(other) is not sign(item):
                continue
            assert at is not None
            if ttl is not None and at >= until:
                total, until = 0, -1
            total += other
            until = max(until, at + (ttl or 0) * SECOND)
        results.append(((sign(item), total), time))
    return results


@model_of("KeyedStream.scan")
@given(disordered(), st.sampled_from([None, 1, 3.5]))
@examples(80)
async def test_scan_by_key(feed: Feed, ttl: float | None) -> None:
    feed = Feed(tuple(one for one in feed.script if isinstance(one, rx.Chunk)))
    keyed = feed.stream.key_by(sign)
    wanted = running(feed.pairs, ttl)
    for stream in (
        keyed.scan(lambda total, x: total + x, ttl=ttl),
        keyed.scan(lambda total, x: total + x, 0, ttl=ttl),
        keyed.scan(lambda total, x: total + x, factory=int, ttl=ttl),
    ):
        assert pairs(await signals(stream)) == wanted


async def test_scan_forgets_by_the_clock_without_event_time(virtual_time: VirtualTime) -> None:
    ticks = rx.interval(1).take(3).concat(rx.interval(5).take(2))
    given = await ticks.key_by(lambda x: "all").scan(lambda n, x: n + 1, 0, ttl=3).collect()
    assert given == [("all", 1), ("all", 2), ("all", 3), ("all", 1), ("all", 1)]


async def test_scan_starts_anew_for_each_key() -> None:
    def seen(words: list[str], word: str) -> list[str]:
        return [*words, word]

    stream = rx.of("a", "bb", "c").key_by(len).scan(seen, factory=list[str])
    assert await stream.collect() == [(1, ["a"]), (2, ["bb"]), (1, ["a", "c"])]


async def test_bad_arguments() -> None:
    keyed = rx.of(1).key_by(abs)
    with pytest.raises(ValueError, match="deduplicate needs `within` above 0 seconds, not 0"):
        keyed.deduplicate(within=0)
    with pytest.raises(TypeError, match="deduplicate needs a function, not int 3"):
        keyed.deduplicate(within=1, by=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not both"):
        keyed.scan(lambda a, b: a, 0, factory=int)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="scan needs `ttl` above 0 seconds, not -1"):
        keyed.scan(lambda a, b: a, 0, ttl=-1)

    async def later(total: int, item: int) -> int:
        return total

    with pytest.raises(TypeError, match="scan takes a plain function"):
        keyed.scan(later, 0)
    with pytest.raises(TypeError, match="coroutine, which nobody would await"):
        await keyed.scan(lambda total, item: later(0, 0), 0).collect()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="there is no event time"):
        await keyed.deduplicate(within=1).collect()
    assert await feed_of(1, times=[0]).stream.key_by(abs).deduplicate(within=1).collect() == [1]
