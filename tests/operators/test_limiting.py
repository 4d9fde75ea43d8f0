"""take, skip, take_while, skip_while, take_last, skip_last and slices."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, check, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

counts = st.integers(0, 12)


@model_of("take")
@given(feeds(), counts)
@examples()
async def test_take(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.take(count), feed, lambda pairs: pairs[:count], ends_early=True
    )


@model_of("skip")
@given(feeds(), counts)
@examples()
async def test_skip(feed: Feed, count: int) -> None:
    await check(lambda stream: stream.skip(count), feed, lambda pairs: pairs[count:])


@model_of("take_last")
@given(feeds(), counts)
@examples()
async def test_take_last_keeps_the_times_of_its_items(feed: Feed, count: int) -> None:
    given = await signals(feed.stream.take_last(count))
    assert pairs(given) == feed.pairs[max(0, len(feed.pairs) - count) :]
    others = [one for one in controls(given) if not isinstance(one, rx.Watermark)]
    assert others == [one for one in feed.controls if not isinstance(one, rx.Watermark)]
    begun = next((at for at, one in enumerate(feed.script) if isinstance(one, rx.Chunk)), 0)
    said = [one for one in feed.controls if isinstance(one, rx.Watermark)]
    if count:
        early = [one for one in feed.script[:begun] if isinstance(one, rx.Watermark)]
        said = early + said[len(early) :][-1:]
    assert [one for one in given if isinstance(one, rx.Watermark)] == said
    if count and feed.items and said and given[-1] == said[-1]:
        assert isinstance(given[-2], rx.Chunk)


@model_of("take_while")
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


@model_of("skip_while")
@given(feeds(), st.integers(-5, 5))
@examples()
async def test_skip_while(feed: Feed, limit: int) -> None:
    await check(
        lambda stream: stream.skip_while(lambda x: x < limit),
        feed,
        lambda pairs: list(itertools.dropwhile(lambda pair: pair[0] < limit, pairs)),
    )


@model_of("skip_last")
@given(feeds(signals=False), counts)
@examples()
async def test_skip_last(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.skip_last(count),
        feed,
        lambda pairs: pairs[: max(0, len(pairs) - count)],
    )


@given(feeds(timed=True), counts)
@examples(60)
async def test_watermarks_wait_behind_what_skip_last_holds(feed: Feed, count: int) -> None:
    def entries(given: Iterable[Any]) -> list[Any]:
        rows: list[Any] = []
        for signal in given:
            if isinstance(signal, rx.Chunk):
                rows += signal.items
            elif isinstance(signal, rx.Watermark):
                rows.append(signal)
        return rows

    expected, place, end = [], 0, max(0, len(feed.items) - count)
    for entry in entries(feed.script):
        if isinstance(entry, rx.Watermark):
            expected += [entry] if place <= end else []
        else:
            expected += [entry] if place < end else []
            place += 1
    assert entries(await signals(feed.stream.skip_last(count))) == expected


async def test_skip_last_holds_one_watermark_between_two_items() -> None:
    marks = [rx.Watermark(time) for time in range(1, 6)]
    feed = Feed((rx.Chunk([1], [10]), *marks, rx.Chunk([2], [20])))
    given = await signals(feed.stream.skip_last(1))
    assert given == [rx.Chunk([1], [10]), rx.Watermark(5)]


async def test_skip_last_gives_an_item_when_as_many_more_have_come(
    virtual_time: VirtualTime,
) -> None:
    given = []
    async for item in ticking(5).skip_last(2):
        given.append((item, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [(0, 3.0), (1, 4.0), (2, 5.0)]


bounds = st.none() | st.integers(-8, 8)


@model_of("__getitem__")
@given(feeds(signals=False, max_size=12), bounds, bounds, st.none() | st.integers(1, 4))
@examples(200)
async def test_slices(feed: Feed, start: int | None, stop: int | None, step: int | None) -> None:
    part = slice(start, stop, step)
    await check(lambda stream: stream[part], feed, lambda pairs: pairs[part])


@pytest.mark.parametrize(
    ("part", "wanted"),
    [(slice(2, 10, 3), 9), (slice(None, 4), 4), (slice(4, 5), 5), (slice(1, 9, 4), 6)],
)
async def test_a_slice_completes_with_its_last_item(
    virtual_time: VirtualTime, part: Any, wanted: int
) -> None:
    probe = Probe(ticking(100))
    assert await probe.stream[part].collect() == list(range(100))[part]
    assert (virtual_time.now, probe.items, probe.closes) == (wanted, wanted, 1)


async def test_a_slice_that_is_empty_for_sure_opens_nothing() -> None:
    for part in (slice(3, 3), slice(5, 2), slice(-2, -2), slice(-1, -4), slice(0)):
        probe = Probe(rx.interval(1))
        assert await probe.stream[part].collect() == []
        assert probe.opens == 0


async def test_slices_of_slices() -> None:
    assert await rx.range(100)[10:][:-10][::7][1:4].collect() == list(range(10, 90, 7))[1:4]
    assert rx.Single is type(rx.range(3).sum()[:])
    assert await rx.range(4)[:].collect() == [0, 1, 2, 3]


def test_what_a_stream_cannot_give_is_refused_at_once() -> None:
    stream: Any = rx.range(10)
    with pytest.raises(TypeError, match=r"stream\[3\]: a stream is sliced.* use element_at"):
        stream[3]
    with pytest.raises(ValueError, match="a slice of a stream needs a step of at least 1, not -1"):
        stream[::-1]
    with pytest.raises(ValueError, match="a step of at least 1, not 0"):
        stream[1:2:0]
    for wrong in (slice("a", None), slice(None, 1.5), slice(None, None, True)):
        with pytest.raises(TypeError, match="a slice of a stream needs whole numbers, not"):
            stream[wrong]


@pytest.mark.parametrize("use", [iter, list, tuple, sum, reversed, len, lambda stream: 3 in stream])
def test_a_stream_is_no_sequence(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"is not iterable|has no len\(\)|not a container"):
        use(rx.range(10))
    assert not isinstance(rx.range(10), Iterable)
    with pytest.raises(TypeError, match="is not iterable"):
        for _ in rx.range(10):  # type: ignore[misc]
            pass


BUILDS: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "take": lambda s: s.take(3),
    "skip": lambda s: s.skip(1),
    "take_while": lambda s: s.take_while(bool),
    "skip_while": lambda s: s.skip_while(bool),
    "take_last": lambda s: s.take_last(2),
    "skip_last": lambda s: s.skip_last(2),
    "a slice": lambda s: s[1:3],
    "a slice of the end": lambda s: s[-3:2],
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
    assert await asyncio.wait_for(probe.stream.map(str).take(0).collect(), 60) == []
    assert await asyncio.wait_for(probe.stream.take(0).count(), 60) == 0
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


@pytest.mark.parametrize("name", ["take", "skip", "take_last", "skip_last"])
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


@pytest.mark.parametrize("name", ["take_while", "skip_while"])
async def test_a_failing_function_is_noted_on_the_operator(name: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await getattr(rx.of(1, 0), name)(lambda x: 1 / x).collect()
    assert f"in operator {name} ({__file__}:" in caught.value.__notes__[0]
