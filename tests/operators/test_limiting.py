"""take, skip, take_while, skip_while, take_last, take_until."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

counts = st.integers(0, 12)


@given(feeds(), counts)
@examples()
async def test_take(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.take(count), feed, lambda pairs: pairs[:count], ends_early=True
    )


@given(feeds(), counts)
@examples()
async def test_skip(feed: Feed, count: int) -> None:
    await check(lambda stream: stream.skip(count), feed, lambda pairs: pairs[count:])


@given(feeds(), counts)
@examples()
async def test_take_last_keeps_the_times_of_its_items(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.take_last(count),
        feed,
        lambda pairs: pairs[max(0, len(pairs) - count) :],
    )


@given(feeds(), st.integers(-5, 5), st.booleans())
@examples()
async def test_take_while(feed: Feed, limit: int, inclusive: bool) -> None:
    def model(pairs: list[Any]) -> list[Any]:
        kept = list(itertools.takewhile(lambda pair: pair[0] < limit, pairs))
        return pairs[: len(kept) + inclusive]

    await check(
        lambda stream: stream.take_while(lambda x: x < limit, inclusive=inclusive),
        feed,
        model,
        ends_early=True,
    )


@given(feeds(), st.integers(-5, 5))
@examples()
async def test_skip_while(feed: Feed, limit: int) -> None:
    await check(
        lambda stream: stream.skip_while(lambda x: x < limit),
        feed,
        lambda pairs: list(itertools.dropwhile(lambda pair: pair[0] < limit, pairs)),
    )


@given(feeds(), st.booleans())
@examples()
async def test_take_until_what_never_comes(feed: Feed, event: bool) -> None:
    until = asyncio.Event() if event else rx.empty()
    await check(lambda stream: stream.take_until(until), feed, lambda pairs: pairs)


BUILDS: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "take": lambda s: s.take(3),
    "skip": lambda s: s.skip(1),
    "take_while": lambda s: s.take_while(bool),
    "skip_while": lambda s: s.skip_while(bool),
    "take_last": lambda s: s.take_last(2),
    "take_until a stream": lambda s: s.take_until(rx.never()),
    "take_until an event": lambda s: s.take_until(asyncio.Event()),
}


@pytest.mark.parametrize("name", BUILDS)
async def test_of_nothing_comes_nothing(name: str) -> None:
    assert await BUILDS[name](rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await BUILDS[name](rx.fail(error)).collect()
    assert caught.value is error


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda s: s.take(1), 1),
        (lambda s: s.take(5), 5),
        (lambda s: s.first(), 1),
        (lambda s: s.take_while(lambda x: x < 4), 5),
        (lambda s: s.take_while(lambda x: x < 4, inclusive=True), 5),
        (lambda s: s.zip(rx.range(4)), 4),
    ],
)
async def test_what_needs_no_more_closes_upstream_at_that_item(
    virtual_time: VirtualTime,
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
    wanted: int,
) -> None:
    probe = Probe(ticking(100))
    assert await build(probe.stream).collect()
    assert (virtual_time.now, probe.closes) == (wanted, 1)
    probe.check()


def ticking(count: int) -> rx.Stream[int]:
    """A source that gives a number each second."""
    from reactive.testing import slow_source

    return slow_source(range(count), 1)


async def test_operators_before_take_see_no_item_after_it() -> None:
    seen: list[int] = []
    stream = rx.range(1000).tap(seen.append).filter(lambda x: x % 2).take(2).map(str)
    assert await stream.collect() == ["1", "3"]
    assert seen == [0, 1, 2, 3]


async def test_the_last_item_of_take_goes_all_the_way() -> None:
    stream = rx.range(1000).take(3).flat_map(lambda x: [x] * x).batch(2)
    assert await stream.collect() == [[1, 2], [2]]
    assert await rx.range(9).take(2).filter(lambda x: False).collect() == []
    assert await rx.range(9).take(2).map(lambda x: 1 / x, on_error="skip").collect() == [1]


async def test_takes_in_a_row_end_with_the_shortest() -> None:
    for counts in itertools.permutations([2, 3, 4]):
        stream = rx.range(100)
        for count in counts:
            stream = stream.take(count)
        assert await stream.collect() == [0, 1]


@pytest.mark.parametrize("kind", ["never", "failing", "endless"])
async def test_take_nothing_asks_for_nothing(kind: str) -> None:
    source = {"never": rx.never(), "failing": rx.fail(OSError()), "endless": rx.interval(1)}[kind]
    probe = Probe(source)
    assert await asyncio.wait_for(probe.stream.map(str).take(0).collect(), 1) == []
    assert await asyncio.wait_for(probe.stream.take(0).count(), 1) == 0
    assert probe.reads == 0
    probe.check()


async def test_take_last_gives_nothing_before_the_end(virtual_time: VirtualTime) -> None:
    given = []
    async for item in ticking(4).take_last(2):
        given.append((item, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [(2, 4.0), (3, 4.0)]


async def test_take_last_of_what_fails_gives_nothing() -> None:
    given = []
    with pytest.raises(OSError, match="gone"):
        async for item in rx.range(5).concat(rx.fail(OSError("gone"))).take_last(2):
            given.append(item)  # noqa: PERF401
    assert given == []


async def test_take_until_a_stream_gives(virtual_time: VirtualTime) -> None:
    probe, other = Probe(ticking(100)), Probe(rx.timer(3.5))
    assert await probe.stream.take_until(other.stream).collect() == [0, 1, 2]
    assert virtual_time.now == 3.5
    for each in (probe, other):
        each.check()


async def test_take_until_an_event_is_set(virtual_time: VirtualTime) -> None:
    probe, event = Probe(ticking(100)), asyncio.Event()
    asyncio.get_running_loop().call_later(2.5, event.set)
    assert await probe.stream.take_until(event).collect() == [0, 1]
    assert virtual_time.now == 2.5
    probe.check()


async def test_take_until_an_event_that_is_set_gives_nothing() -> None:
    event = asyncio.Event()
    event.set()
    assert await rx.range(5).take_until(event).collect() == []


async def test_take_until_ends_with_upstream_and_closes_the_other(
    virtual_time: VirtualTime,
) -> None:
    other = Probe(rx.interval(100))
    assert await ticking(3).take_until(other.stream).collect() == [0, 1, 2]
    assert virtual_time.now == 3
    other.check()


async def test_take_until_fails_with_the_other(virtual_time: VirtualTime) -> None:
    failing = rx.timer(1.5).map(lambda x: 1 / x)
    with pytest.raises(ZeroDivisionError):
        await ticking(9).take_until(failing).collect()
    assert virtual_time.now == 1.5


@pytest.mark.parametrize("name", ["take", "skip", "take_last"])
def test_wrong_counts_are_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs a count of at least 0, not -1"):
        getattr(rx.of(1), name)(-1)
    for wrong in (1.5, "2", True, None):
        with pytest.raises(TypeError, match=f"{name} needs a whole number of items"):
            getattr(rx.of(1), name)(wrong)


@pytest.mark.parametrize("name", ["take_while", "skip_while"])
def test_wrong_functions_are_refused_at_once(name: str) -> None:
    async def fetch(x: int) -> bool:
        return True

    with pytest.raises(TypeError, match=f"{name} needs a function, not int 5"):
        getattr(rx.of(1), name)(5)
    with pytest.raises(TypeError, match=rf"{name} takes a plain function.*use map"):
        getattr(rx.of(1), name)(fetch)


def test_take_until_needs_a_stream_or_an_event() -> None:
    with pytest.raises(TypeError, match="expected a Stream, got int"):
        rx.of(1).take_until(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["take_while", "skip_while"])
async def test_a_failing_function_is_noted_on_the_operator(name: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await getattr(rx.of(1, 0), name)(lambda x: 1 / x).collect()
    assert f"in operator {name} ({__file__}:" in caught.value.__notes__[0]
