"""enrich: order, one call for a key at a time, what is kept and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cases import Failure
from catalogue import model_of
from feeds import Feed, check, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import End, Item
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


class Service:
    """Something that is asked for keys and takes so many seconds to answer."""

    def __init__(self, seconds: float = 1.0, fails: Callable[[Any], bool] | None = None) -> None:
        self.asked: list[Any] = []
        self.now: list[Any] = []
        self.most = 0
        self._seconds = seconds
        self._fails = fails

    async def __call__(self, key: Any) -> str:
        assert key not in self.now, "two calls for a key at a time"
        self.asked.append(key)
        self.now.append(key)
        self.most = max(self.most, len(self.now))
        try:
            await asyncio.sleep(self._seconds)
            if self._fails is not None and self._fails(key):
                raise Failure(key)
            return f"<{key}>"
        finally:
            self.now.remove(key)


async def soon(key: Any) -> str:
    for _ in range(key % 4):
        await asyncio.sleep(0)
    return f"<{key}>"


@model_of("enrich")
@given(feeds(), st.integers(1, 4), st.one_of(st.none(), st.builds(rx.Cache, st.integers(1, 3))))
@examples(60)
async def test_every_item_with_what_is_fetched(
    feed: Feed, concurrency: int, cache: rx.Cache | None
) -> None:
    await check(
        lambda s: s.enrich(soon, key=lambda x: x % 3, concurrency=concurrency, cache=cache),
        feed,
        lambda given: [((item, f"<{item % 3}>"), time) for item, time in given],
    )


async def waits(key: int) -> int:
    await asyncio.sleep(abs(key))
    return -key


def in_turn(events: Timeline) -> list[Event[Any]]:
    """One call at a time, each as many seconds as its key says, what was fetched kept."""
    given: list[Event[Any]] = []
    free = 0.0
    kept: set[Any] = set()
    for item in items_of(events):
        free = max(free, item.time)
        if item.value not in kept:
            free += abs(item.value)
            kept.add(item.value)
        given.append(Item(free, (item.value, -item.value)))
    (ending,) = ending_of(events)
    return [*given, End(max(free, ending.time))]


@given(timelines(fails=False))
@examples(40)
def test_one_call_at_a_time(events: Timeline) -> None:
    check_times(lambda s: s.enrich(waits, cache=rx.Cache()), [events], in_turn)


async def counters(stream: rx.Stream[Any], into: list[Any]) -> dict[str, int]:
    async with rx.start(stream.named("enrich").to(memory.append(into))) as running:
        await running.wait()
        (meter,) = [one for one in running.metrics().operators if one.name == "enrich"]
        return meter.counters


async def test_hits_misses_and_those_that_wait_for_the_same(virtual_time: VirtualTime) -> None:
    service = Service()
    kept: list[Any] = []
    stream = rx.of("a", "b", "a", "c", "a").enrich(service, concurrency=2, cache=rx.Cache())
    # The third waits for the first; the fourth until a call is done, with the last behind it.
    assert await counters(stream, kept) == {"misses": 3, "coalesced": 1, "hits": 1}
    assert kept == [(letter, f"<{letter}>") for letter in "abaca"]
    assert service.asked == ["a", "b", "c"] and service.most == 2
    assert virtual_time.now == 2


async def test_without_a_cache_only_what_is_under_way_is_shared(virtual_time: VirtualTime) -> None:
    service = Service()
    stream = rx.of("a", "a").concat(rx.timer(5).map(lambda _: "a"))
    assert await stream.enrich(service).collect() == [("a", "<a>")] * 3
    assert service.asked == ["a", "a"]


async def test_a_cache_forgets_what_is_old(virtual_time: VirtualTime) -> None:
    service = Service(seconds=0)
    stream = rx.interval(1).take(7).enrich(service, key=lambda n: "a", cache=rx.Cache(ttl=3))
    await stream.collect()
    assert len(service.asked) == 3


async def test_a_cache_drops_what_was_asked_for_longest_ago(virtual_time: VirtualTime) -> None:
    service = Service()
    letters = rx.interval(5).zip(rx.of(*"abacab")).map(lambda pair: pair[1])
    await letters.enrich(service, cache=rx.Cache(size=2)).collect()
    assert service.asked == ["a", "b", "c", "b"]


async def test_items_that_are_skipped_make_room_for_those_behind(virtual_time: VirtualTime) -> None:
    service = Service(fails=lambda key: True)
    stream = rx.range(5).enrich(service, on_error="skip")
    async with asyncio.timeout(60):
        assert await stream.collect(rx.Settings(chunk=1, edge=1)) == []
    assert service.asked == [0, 1, 2, 3, 4]


async def test_failures_are_shared_by_those_who_wait_and_not_kept(
    virtual_time: VirtualTime,
) -> None:
    fails = iter([True, False])
    service = Service(fails=lambda key: next(fails))
    stream = rx.of("a", "a").concat(rx.timer(5).map(lambda _: "a"))
    enriched = stream.enrich(service, cache=rx.Cache(), on_error=rx.replace(None))
    assert await enriched.collect() == [("a", None), ("a", None), ("a", "<a>")]
    assert service.asked == ["a", "a"]


async def test_what_fails_comes_after_what_was_before_it(virtual_time: VirtualTime) -> None:
    service = Service(fails=lambda key: key == 3)
    given: list[Any] = []
    with pytest.raises(Failure) as caught:
        async for item in rx.range(6).enrich(service, concurrency=3):
            given.append(item)  # noqa: PERF401
    assert given == [(n, f"<{n}>") for n in range(3)]
    assert "in operator enrich" in caught.value.__notes__[0]
    assert service.now == []


async def test_error_policies(virtual_time: VirtualTime) -> None:
    def build(**options: Any) -> rx.Stream[Any]:
        return rx.range(4).enrich(Service(fails=lambda key: key == 2), concurrency=4, **options)

    assert [n for n, _ in await build(on_error="skip").collect()] == [0, 1, 3]
    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    letters: list[rx.DeadLetter[int]] = []
    main = build(on_error=bad).to(memory.append([]))
    await rx.run(main, bad.to(memory.append(letters)))
    assert [letter.item for letter in letters] == [2]


async def test_timeout_and_retry(virtual_time: VirtualTime) -> None:
    with pytest.raises(TimeoutError, match=r"enrich: no result within 0.5 s"):
        await rx.of(1).enrich(Service(), timeout=0.5).collect()
    fails = iter([True, True, False])
    service = Service(fails=lambda key: next(fails))
    kept: list[Any] = []
    assert (await counters(rx.of(1).enrich(service, retry=3), kept))["retries"] == 2
    assert kept == [(1, "<1>")]


async def test_upstream_fails_after_what_it_gave(virtual_time: VirtualTime) -> None:
    source = Feed((rx.Chunk([1, 2]), OSError("gone"))).stream
    given: list[Any] = []
    with pytest.raises(OSError, match="gone"):
        async for item in source.enrich(Service()):
            given.append(item)  # noqa: PERF401
    assert given == [(1, "<1>"), (2, "<2>")]


async def test_no_more_wait_in_line_than_a_chunk_may_have(virtual_time: VirtualTime) -> None:
    taken: list[int] = []
    stream = rx.range(1000).tap(taken.append).enrich(Service(seconds=9), key=lambda n: 0)
    async with stream.open(rx.Settings(chunk=5, edge=5)):
        await asyncio.sleep(5)
        assert len(taken) <= 25


async def test_calls_under_way_are_stopped_with_the_run(virtual_time: VirtualTime) -> None:
    service = Service(seconds=100)
    async with rx.of(1, 2).enrich(service, concurrency=2).open():
        await asyncio.sleep(5)
        assert len(service.now) in (0, 2)
    assert service.now == []


@pytest.mark.parametrize("timed", [True, False])
async def test_control_signals_keep_their_place(timed: bool, virtual_time: VirtualTime) -> None:
    def chunk(n: int) -> rx.Chunk[int]:
        return rx.Chunk([n], [n] if timed else None)

    script = (chunk(1), rx.Watermark(2), rx.Barrier(1), chunk(3), rx.IDLE)
    given = await signals(Feed(script).stream.enrich(Service(), concurrency=2))
    assert [type(one) for one in given] == [type(one) for one in script]
    assert pairs(given) == [((n, f"<{n}>"), n if timed else None) for n in (1, 3)]


async def test_a_function_that_gives_nothing_to_await() -> None:
    with pytest.raises(TypeError, match=r"enrich .*: the function gave int, which cannot be awai"):
        await rx.of(1).enrich(lambda key: key).collect()  # type: ignore[arg-type, return-value, misc]
    with pytest.raises(TypeError, match="unhashable"):
        await rx.of([1]).enrich(soon).collect()


def test_bad_arguments() -> None:
    numbers = rx.range(3)
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        numbers.enrich(soon, concurrency=0)
    with pytest.raises(TypeError, match=r"cache must be a rx.Cache, not 5"):
        numbers.enrich(soon, cache=5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"enrich .key. takes a plain function"):
        numbers.enrich(soon, key=soon)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="enrich: retry_on says"):
        numbers.enrich(soon, retry_on=OSError)
    with pytest.raises(ValueError, match="Cache"):
        rx.Cache(size=0)
    with pytest.raises(ValueError, match="ttl"):
        rx.Cache(ttl=0)
