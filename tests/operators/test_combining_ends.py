"""What combines several streams: who is closed when, what waits, what is refused, and how fast one
gives way to another."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, feed_of, pairs, signals

import reactive as rx
from reactive.testing import Pause, Probe, scripted_source, slow_source
from reactive.testing.plugin import VirtualTime

BUILDS: dict[str, Callable[..., rx.Stream[Any]]] = {
    "merge": lambda s, *others: s.merge(*others, priorities=[0] * (1 + len(others))),
    "interleave": lambda s, *others: s.interleave(*others),
    "race": lambda s, *others: s.race(*others),
    "merge_sorted": lambda s, *others: s.merge_sorted(*others),
    "zip_longest": lambda s, *others: s.zip_longest(*others),
    "combine_latest": lambda s, *others: s.combine_latest(*others),
    "with_latest_from": lambda s, *others: s.with_latest_from(*others),
    "fork_join": lambda s, *others: s.fork_join(*others),
}


@pytest.mark.parametrize("name", BUILDS)
async def test_of_nothing_comes_nothing(name: str) -> None:
    build = BUILDS[name]
    assert await build(rx.empty()).collect() == []
    assert await build(rx.empty(), rx.empty(), rx.empty()).collect() == []
    error = OSError("gone")
    for inputs in ((rx.fail(error),), (rx.fail(error), rx.never()), (rx.never(), rx.fail(error))):
        with pytest.raises(OSError, match="gone") as caught:
            await build(*inputs).collect()
        assert caught.value is error


@pytest.mark.parametrize("name", BUILDS)
async def test_a_single_input_passes(name: str) -> None:
    given = await BUILDS[name](rx.of(1, 2)).collect()
    if name == "fork_join":
        assert given == [(2,)]
    else:
        tuples = name in ("zip_longest", "combine_latest", "with_latest_from")
        assert given == ([(1,), (2,)] if tuples else [1, 2])


@pytest.mark.parametrize("name", BUILDS)
def test_what_is_no_stream_is_refused_at_once(name: str) -> None:
    with pytest.raises(TypeError, match=r"expected a Stream, got list; wrap it with"):
        BUILDS[name](rx.of(1), [1, 2])


def test_wrong_arguments_are_refused_at_once() -> None:
    stream = rx.of(1)
    with pytest.raises(ValueError, match=r"merge of 2 streams needs 2 priorities, .* not 1"):
        stream.merge(stream, priorities=[1])
    with pytest.raises(TypeError, match="merge needs a list of priorities, one for each stream"):
        stream.merge(stream, priorities=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="merge needs numbers as priorities, not 'high'"):
        stream.merge(stream, priorities=["high", 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="interleave needs a count of at least 1, not 0"):
        stream.interleave(stream, count=0)
    with pytest.raises(TypeError, match="merge_sorted needs a function, not int 3"):
        stream.merge_sorted(stream, key=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="merge_sorted takes a plain function"):
        stream.merge_sorted(stream, key=same_later)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="expected a Stream, got list"):
        stream.sequence_equal([1])  # type: ignore[arg-type]


async def same_later(x: Any) -> Any:
    return x


async def test_race_closes_the_others_when_one_has_won(virtual_time: VirtualTime) -> None:
    probes = [Probe(slow_source(range(5), seconds)) for seconds in (3, 2, 2.5)]
    async with probes[0].stream.race(*(probe.stream for probe in probes[1:])).open() as items:
        assert await anext(items) == 0
        await asyncio.sleep(0.1)
        assert [probe.closes for probe in probes] == [1, 0, 1]
        assert virtual_time.now == pytest.approx(2.1)
        assert [item async for item in items] == [1, 2, 3, 4]
    for probe in probes:
        probe.check()


async def test_race_is_won_by_an_end_too(virtual_time: VirtualTime) -> None:
    assert await rx.timer(2).race(rx.empty()).collect() == []
    assert virtual_time.now == 0


@pytest.mark.parametrize("name", ["combine_latest", "fork_join"])
async def test_an_input_that_never_gave_ends_all(virtual_time: VirtualTime, name: str) -> None:
    endless = Probe(rx.interval(1))
    nothing = scripted_source([Pause(2.5)])
    assert await BUILDS[name](endless.stream, nothing).collect() == []
    assert virtual_time.now == 2.5
    endless.check()


async def test_with_latest_from_counts_what_it_drops() -> None:
    early = scripted_source([rx.Chunk([1, 2]), Pause(5), rx.Chunk([3])])
    partner = scripted_source([Pause(1), rx.Chunk("ab"), Pause(1)])
    kept: list[Any] = []

    class Keep(rx.Sink[Any]):
        def writer(self, context: rx.Context) -> rx.Writer[Any]:
            return Keeping()

    class Keeping(rx.Writer[Any]):
        async def write(self, chunk: rx.Chunk[Any]) -> None:
            kept.extend(chunk.items)

    report = await rx.run(early.with_latest_from(partner).named("paired").to(Keep()))
    assert kept == [(3, "b")]
    (row,) = [row for row in report.operators if row.name == "paired"]
    assert row.counters == {"dropped": 2}


@pytest.mark.virtual_time
async def test_with_latest_from_takes_the_others_first() -> None:
    assert await rx.of(1, 2).with_latest_from(rx.of("a", "b")).collect() == [(1, "b"), (2, "b")]


async def test_with_latest_from_ends_with_its_own_stream(virtual_time: VirtualTime) -> None:
    other = Probe(rx.interval(1))
    assert await rx.empty().with_latest_from(other.stream).collect() == []
    other.check()
    slow = slow_source(range(2), 3)
    assert await slow.with_latest_from(rx.of(7)).collect() == [(0, 7), (1, 7)]


async def test_sequence_equal_closes_both_at_the_first_difference(
    virtual_time: VirtualTime,
) -> None:
    one, two = Probe(rx.interval(1)), Probe(rx.interval(1))
    assert await one.stream.sequence_equal(two.stream.map(lambda n: min(n, 2))) is False
    assert virtual_time.now == 4
    one.check()
    two.check()


async def test_sequence_equal_of_long_streams() -> None:
    assert await rx.range(10_000).sequence_equal(rx.range(10_000).buffer(7)) is True
    assert await rx.range(10_000).sequence_equal(rx.range(10_001)) is False
    assert await rx.range(10_001).sequence_equal(rx.range(10_000)) is False
    assert await rx.empty().sequence_equal(rx.empty()) is True


class Odd:
    def __eq__(self, other: object) -> bool:
        raise LookupError("odd")

    __hash__ = None  # type: ignore[assignment]


def notes_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


async def test_what_a_comparison_raises_says_where() -> None:
    with pytest.raises(LookupError, match="odd") as caught:
        await rx.of(1, Odd()).sequence_equal(rx.of(1, Odd()))
    assert "in operator sequence_equal (" in notes_of(caught.value)


def rows(count: int, seed: int) -> list[tuple[int, int]]:
    """Many items with few different keys, in order."""
    numbers = random.Random(seed)
    return sorted(
        ((numbers.randrange(count // 4), seed) for _ in range(count)), key=lambda row: row[0]
    )


@pytest.mark.parametrize("chunk", [1, 7, 1024])
async def test_merge_sorted_of_many_keeps_equals_in_the_order_of_their_streams(chunk: int) -> None:
    inputs = [rows(count, seed) for seed, count in enumerate((3000, 8, 500, 2000))]
    first, *others = (rx.from_iterable(each) for each in inputs)
    merged = first.merge_sorted(*others, key=lambda row: row[0])
    given = await merged.collect(rx.Settings(chunk=chunk))
    assert given == sorted((row for each in inputs for row in each), key=lambda row: row[0])


async def test_merge_sorted_tells_which_input_is_out_of_order() -> None:
    for chunk in (1, 1024):
        given = []
        with pytest.raises(ValueError, match="input 1 of merge_sorted is out of order: 4 comes af"):
            async with (
                rx.of(1, 3, 5, 7)
                .merge_sorted(rx.of(2, 5, 4), rx.of(9))
                .open(rx.Settings(chunk=chunk)) as items
            ):
                async for item in items:
                    given.append(item)  # noqa: PERF401  what comes before the failure counts
        assert given == [1, 2, 3, 5, 5]


async def test_merge_sorted_gives_what_comes_before_a_failing_key() -> None:
    def reciprocal(number: int) -> float:
        return -1 / number

    for chunk in (1, 1024):
        given = []
        with pytest.raises(ZeroDivisionError) as caught:
            async with (
                rx.of(1, 2, 4, 0)
                .merge_sorted(rx.of(3, 9), key=reciprocal)
                .open(rx.Settings(chunk=chunk)) as items
            ):
                async for item in items:
                    given.append(item)  # noqa: PERF401  what comes before the failure counts
        assert given == [1, 2, 3, 4]
        assert notes_of(caught.value).count("in operator merge_sorted (") == 1


async def test_merge_sorted_refuses_a_key_that_would_have_to_be_awaited() -> None:
    with pytest.raises(TypeError, match="which nobody would await"):
        await rx.of(1).merge_sorted(rx.of(2), key=lambda x: same_later(x)).collect()  # type: ignore[arg-type, return-value]


async def test_merge_sorted_of_what_cannot_be_compared() -> None:
    with pytest.raises(TypeError, match="'<' not supported") as caught:
        await rx.of(1).merge_sorted(rx.of("a")).collect()
    assert "in operator merge_sorted (" in notes_of(caught.value)


async def test_an_input_of_higher_priority_is_emptied_first(virtual_time: VirtualTime) -> None:
    """However much of lower priority is waiting, when downstream is slow."""
    low = rx.range(10_000).map(lambda n: ("low", n))
    high = slow_source(range(8), 10).map(lambda n: ("high", n))
    waits = []
    async with low.merge(high, priorities=[0, 1]).open() as items:
        async for kind, number in items:
            if kind == "high":
                waits.append(virtual_time.now - 10 * (number + 1))
                if number == 7:
                    break
            await asyncio.sleep(0.3)
    assert max(waits) <= 0.6


@pytest.mark.virtual_time
async def test_equal_priorities_take_turns() -> None:
    streams = [rx.range(5000).map(lambda x, n=n: n) for n in range(3)]
    merged = streams[0].merge(*streams[1:], priorities=[1, 1, 0])
    given = await merged.collect()
    assert given[:10_000].count(2) == 0
    assert 0.25 < given[:4000].count(0) / 4000 < 0.75


async def test_interleave_waits_for_the_one_whose_turn_it_is(virtual_time: VirtualTime) -> None:
    fast = Probe(range(100_000))
    slow = slow_source("ab", 2)
    async with fast.stream.interleave(slow, count=3).open(rx.Settings(chunk=16, edge=16)) as items:
        assert [await anext(items) for _ in range(5)] == [0, 1, 2, "a", "b"]
        assert virtual_time.now == 4
        assert fast.items <= 5 + 4 * 16
        assert [await anext(items) for _ in range(3)] == [3, 4, 5]


async def test_items_of_different_streams_with_and_without_times() -> None:
    timed = Feed((rx.Chunk([1, 2, 3], [10, 20, 30]),)).stream
    plain = feed_of(1, 2, 3).stream
    turns = [(1, 10), (1, None), (2, 20), (2, None), (3, 30), (3, None)]
    assert pairs(await signals(timed.interleave(plain))) == turns
    assert pairs(await signals(timed.merge_sorted(plain))) == turns
    rest = pairs(await signals(timed.zip_longest(feed_of("a").stream)))
    assert rest == [((1, "a"), 10), ((2, None), 20), ((3, None), 30)]


async def test_a_hundred_streams() -> None:
    streams = [rx.range(n, n + 50) for n in range(100)]
    first, *others = streams
    every = [item for n in range(100) for item in range(n, n + 50)]
    assert sorted(await first.merge(*others).collect()) == sorted(every)
    assert await first.merge_sorted(*others).collect() == sorted(every)
    assert await first.interleave(*others).count() == 5000
    assert await first.zip(*others).count() == 50
    assert await first.zip_longest(*others).last() == tuple(range(49, 149))
    assert await first.fork_join(*others).first() == tuple(range(49, 149))
    assert (await first.combine_latest(*others).last()) == tuple(range(49, 149))


async def test_start_with_opens_upstream_at_once_and_cuts_what_is_long() -> None:
    probe = Probe([1])
    stream = probe.stream.start_with(*range(10))
    async with stream.open(rx.Settings(chunk=4)) as items:
        assert await anext(items) == 0
        assert probe.opens == 1
        assert [item async for item in items] == [*range(1, 10), 1]
    chunks = await signals(stream, rx.Settings(chunk=4))
    assert chunks[:3] == [rx.Chunk([0, 1, 2, 3]), rx.Chunk([4, 5, 6, 7]), rx.Chunk([8, 9])]


async def test_end_with_gives_nothing_after_a_failure() -> None:
    given = []
    with pytest.raises(OSError, match="gone"):
        async for item in rx.of(1).concat(rx.fail(OSError("gone"))).end_with(2):
            given.append(item)  # noqa: PERF401  what comes before the failure counts
    assert given == [1]


async def test_end_with_gives_after_a_take() -> None:
    assert await rx.range(10).take(2).end_with("x", "y").take(3).collect() == [0, 1, "x"]


async def test_the_functions_do_what_the_methods_do() -> None:
    a, b, c = rx.of(1, 4), rx.of(2, 3), rx.of(0, 9)
    for function in (rx.merge, rx.concat, rx.interleave, rx.merge_sorted, rx.race):
        assert await function().collect() == []
        assert sorted(await function(a).collect()) == [1, 4]
    assert sorted(await rx.merge(a, b, c).collect()) == [0, 1, 2, 3, 4, 9]
    assert await rx.concat(a, b, c).collect() == [1, 4, 2, 3, 0, 9]
    assert await rx.interleave(a, b, c).collect() == [1, 2, 0, 4, 3, 9]
    assert await rx.merge_sorted(a, b, c).collect() == [0, 1, 2, 3, 4, 9]
    assert await rx.race(rx.never(), a, rx.never()).collect() == [1, 4]
    assert await rx.zip(a, b, c).collect() == [(1, 2, 0), (4, 3, 9)]
    assert await rx.zip_longest(a, rx.of(2), fill=0).collect() == [(1, 2), (4, 0)]
    assert await rx.combine_latest(a, b).last() == (4, 3)
    assert await rx.fork_join(a, b, c).collect() == [(4, 3, 9)]
    for tuples in (rx.zip, rx.zip_longest, rx.combine_latest, rx.fork_join):
        assert await tuples().collect() == []  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"test_combining_ends\.py:\d+\): input 1 of zip is short"):
        await rx.zip(a, rx.of(1), strict=True).collect()
    with pytest.raises(TypeError, match=r"in a list: write rx\.merge\(\*streams\)"):
        rx.merge([a, b])  # type: ignore[call-overload]
