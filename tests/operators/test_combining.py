"""merge, concat, zip: values, times, control signals, and who is closed when."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, controls, examples, feed_of, feeds, pairs, rising, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Pause, Probe, run, scripted_source, slow_source
from reactive.testing.plugin import VirtualTime

several = st.lists(feeds(), min_size=1, max_size=4)


@model_of("concat")
@given(several)
@examples()
async def test_concat_gives_one_after_the_other(inputs: list[Feed]) -> None:
    first, *others = inputs
    given = await signals(first.stream.concat(*(other.stream for other in others)))
    assert pairs(given) == [pair for feed in inputs for pair in feed.pairs]
    said = [control for feed in inputs for control in feed.controls]
    assert controls(given) == rising(said)


@model_of("merge")
@given(several)
@examples()
async def test_merge_gives_everything_and_keeps_the_order_of_each(inputs: list[Feed]) -> None:
    marked = [feed.stream.map(lambda x, n=n: (n, x)) for n, feed in enumerate(inputs)]
    given = pairs(await signals(marked[0].merge(*marked[1:])))
    for number, feed in enumerate(inputs):
        own = [(item, time) for (source, item), time in given if source == number]
        assert own == feed.pairs
    assert len(given) == sum(len(feed.pairs) for feed in inputs)


@model_of("merge")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=4))
@examples(40)
def test_what_waits_is_given_by_priority(inputs: list[tuple[int, int]]) -> None:
    """The consumer takes an item and is busy until all others wait."""

    async def main() -> None:
        first, *others = [
            rx.range(count).map(lambda n, priority=priority: (priority, n))  # type: ignore[misc]
            for priority, count in inputs
        ]
        merged = first.merge(*others, priorities=[priority for priority, _ in inputs])
        async with merged.open(rx.Settings(chunk=1)) as items:
            begun = [item async for item in take_one(items)]
            await asyncio.sleep(60)
            rest = [item async for item in items]
        assert [priority for priority, _ in rest] == sorted(
            (priority for priority, _ in rest), reverse=True
        )
        assert sorted(begun + rest) == sorted(
            (priority, n) for priority, count in inputs for n in range(count)
        )

    run(main())


async def take_one(items: Any) -> Any:
    async for item in items:
        yield item
        break


@given(several, st.booleans())
@examples()
async def test_zip_pairs_by_position_at_the_latest_time(
    inputs: list[Feed], through_edges: bool
) -> None:
    streams = [feed.stream for feed in inputs]
    if through_edges:
        streams = [stream.buffer(1) for stream in streams]

    def row(each: tuple[Pair, ...]) -> Pair:
        known = [time for _, time in each if time is not None]
        return tuple(item for item, _ in each), max(known, default=None)

    expected = [row(each) for each in zip(*(feed.pairs for feed in inputs), strict=False)]
    assert pairs(await signals(streams[0].zip(*streams[1:]))) == expected


@model_of("zip")
@given(several)
@examples()
async def test_strict_zip_insists_on_equal_lengths(inputs: list[Feed]) -> None:
    zipped = inputs[0].stream.zip(*(feed.stream for feed in inputs[1:]), strict=True)
    lengths = [len(feed.items) for feed in inputs]
    if len(set(lengths)) == 1:
        assert len(await zipped.collect()) == lengths[0]
        return
    with pytest.raises(ValueError, match=r"input \d of zip is shorter than the others") as caught:
        await zipped.collect()
    number = int(str(caught.value).split("input ")[1][0])
    assert lengths[number] == min(lengths)
    assert __file__ in str(caught.value)


BUILDS: dict[str, Callable[..., rx.Stream[Any]]] = {
    "merge": lambda first, *others: first.merge(*others),
    "concat": lambda first, *others: first.concat(*others),
    "zip": lambda first, *others: first.zip(*others),
}


@pytest.mark.parametrize("name", BUILDS)
async def test_of_nothing_comes_nothing(name: str) -> None:
    build = BUILDS[name]
    assert await build(rx.empty()).collect() == []
    assert await build(rx.empty(), rx.empty(), rx.empty()).collect() == []
    error = OSError("gone")
    for inputs in ((rx.fail(error),), (rx.empty(), rx.fail(error)), (rx.fail(error), rx.never())):
        if name == "zip" and len(inputs) == 2 and inputs[0].node.operator.label == "empty":
            continue
        with pytest.raises(OSError, match="gone") as caught:
            await build(*inputs).collect()
        assert caught.value is error


@pytest.mark.parametrize("name", BUILDS)
async def test_a_single_input_passes(name: str) -> None:
    given = await BUILDS[name](rx.of(1, 2)).collect()
    assert given == ([(1,), (2,)] if name == "zip" else [1, 2])


@pytest.mark.parametrize("name", BUILDS)
def test_what_is_no_stream_is_refused_at_once(name: str) -> None:
    with pytest.raises(TypeError, match=r"expected a Stream, got list; wrap it with"):
        BUILDS[name](rx.of(1), [1, 2])


@pytest.mark.parametrize("name", ["merge", "zip"])
async def test_what_came_before_a_failure_is_delivered_first(
    virtual_time: VirtualTime, name: str
) -> None:
    failing = scripted_source([rx.Chunk([1, 2]), Pause(1), OSError("gone")])
    other = Probe(rx.interval(0.4))
    given = []
    with pytest.raises(OSError, match="gone"):
        async for item in BUILDS[name](failing, other.stream):
            given.append(item)  # noqa: PERF401
    assert given == ([1, 2, 0, 1] if name == "merge" else [(1, 0), (2, 1)])
    assert virtual_time.now == 1
    other.check()


async def test_merge_gives_each_item_when_it_comes(virtual_time: VirtualTime) -> None:
    stream = slow_source("abc", 2).merge(slow_source("xy", 3))
    given = []
    async for item in stream:
        given.append((item, virtual_time.now))  # noqa: PERF401  the time counts
    assert given[:3] == [("a", 2.0), ("x", 3.0), ("b", 4.0)]
    assert sorted(given[3:]) == [("c", 6.0), ("y", 6.0)]


async def test_merge_lets_no_input_starve_another() -> None:
    stream = rx.range(100_000).map(lambda x: "a").merge(rx.range(100_000).map(lambda x: "b"))
    given = await stream.take(20_000).collect()
    assert 0.25 < given.count("a") / len(given) < 0.75


async def test_merge_of_a_busy_and_a_rare_input_is_prompt(virtual_time: VirtualTime) -> None:
    rare = slow_source(["rare"], 1)
    busy = slow_source(range(1000), 0.01)
    async for item in busy.merge(rare):
        if item == "rare":
            assert virtual_time.now == pytest.approx(1)


async def test_merge_pushes_back_on_every_input() -> None:
    probes = [Probe(range(100_000)), Probe(range(100_000))]
    merged = probes[0].stream.merge(probes[1].stream)
    async with merged.open(rx.Settings(chunk=16, edge=16)) as items:
        for _ in range(10):
            await anext(items)
        for _ in range(100):
            await asyncio.sleep(0)
        assert all(probe.items <= 10 + 4 * 16 for probe in probes)
    for probe in probes:
        probe.check()


async def test_concat_opens_an_input_when_its_turn_comes(virtual_time: VirtualTime) -> None:
    first, second, third = (Probe(slow_source([n], 1)) for n in range(3))
    async with first.stream.concat(second.stream, third.stream).open() as items:
        assert await anext(items) == 0
        assert (first.opens, second.opens) == (1, 0)
        assert await anext(items) == 1
        assert (first.closes, second.opens, third.opens) == (1, 1, 0)
    assert third.opens == 0
    for probe in (first, second, third):
        probe.check()


async def test_concat_does_not_open_what_comes_after_a_failure() -> None:
    later = Probe([1])
    with pytest.raises(OSError, match="gone"):
        await rx.fail(OSError("gone")).concat(later.stream).collect()
    assert later.opens == 0


async def test_zip_ends_with_the_shortest_and_closes_the_others(
    virtual_time: VirtualTime,
) -> None:
    endless = Probe(rx.interval(1))
    assert await rx.of("a", "b").zip(endless.stream).collect() == [("a", 0), ("b", 1)]
    assert virtual_time.now == 2
    endless.check()
    assert await endless.stream.zip(rx.empty()).collect() == []
    endless.check()


async def test_zip_holds_back_an_input_that_is_ahead() -> None:
    fast = Probe(range(100_000))
    slow = rx.Subject[int](10)
    async with fast.stream.zip(slow).open(rx.Settings(chunk=16, edge=16)) as items:
        for number in range(5):
            await slow.send(number)
            assert await anext(items) == (number, number)
        for _ in range(100):
            await asyncio.sleep(0)
        assert fast.items <= 5 + 4 * 16
    fast.check()


async def test_zip_with_itself_runs_once() -> None:
    probe = Probe(range(5000))
    stream = probe.stream
    assert await stream.zip(stream).map(lambda pair: pair[0] == pair[1]).collect() == [True] * 5000
    assert probe.opens == 1


async def test_merge_with_itself_gives_everything_twice() -> None:
    stream = rx.range(5000)
    assert sorted(await stream.merge(stream).collect()) == sorted([*range(5000)] * 2)


async def test_concat_with_itself_gives_everything_twice() -> None:
    stream = rx.range(500)
    assert await stream.concat(stream).collect() == [*range(500)] * 2


@pytest.mark.parametrize("name", ["merge", "zip"])
async def test_the_watermark_is_the_least_of_the_inputs(name: str) -> None:
    first = scripted_source(
        [rx.Watermark(10), rx.Chunk(["a"], [11]), rx.Watermark(40), rx.Chunk(["c"], [45])]
    )
    second = scripted_source([rx.Watermark(20), rx.Chunk(["b"], [30])])
    given = await signals(BUILDS[name](first, second))
    watermarks = [one.time for one in controls(given) if isinstance(one, rx.Watermark)]
    assert watermarks == sorted(set(watermarks))
    assert watermarks[0] == 10
    assert set(watermarks) <= {10, 20, 40}


async def test_an_idle_input_does_not_hold_back_the_watermark(virtual_time: VirtualTime) -> None:
    quiet = scripted_source([rx.Watermark(5), Pause(1), rx.IDLE], ends=False)
    busy = scripted_source([Pause(2), rx.Chunk(["a"], [50]), rx.Watermark(60), Pause(1)])
    given = await signals(quiet.merge(busy).take_until(rx.timer(5)))
    assert rx.Watermark(60) in given


@pytest.mark.parametrize("name", ["merge", "zip"])
async def test_a_barrier_passes_when_it_came_on_every_input(name: str) -> None:
    first = scripted_source([rx.Chunk([1, 2]), rx.Barrier(7), rx.Chunk([3])])
    second = scripted_source([rx.Chunk([4]), rx.Barrier(7), rx.Chunk([5, 6])])
    given = await asyncio.wait_for(signals(BUILDS[name](first, second)), 60)
    assert controls(given) == [rx.Barrier(7)]
    before = pairs(itertools.takewhile(lambda one: not isinstance(one, rx.Barrier), given))
    after = pairs(itertools.dropwhile(lambda one: not isinstance(one, rx.Barrier), given))
    if name == "zip":
        assert [item for item, _ in before] == [(1, 4)]
        assert [item for item, _ in after] == [(2, 5), (3, 6)]
    else:
        assert sorted(item for item, _ in before) == [1, 2, 4]
        assert sorted(item for item, _ in after) == [3, 5, 6]


async def test_an_input_that_ended_counts_as_aligned() -> None:
    first = scripted_source([rx.Chunk([1]), rx.Barrier(1), rx.Chunk([2])])
    given = await signals(first.merge(rx.of(9)))
    assert controls(given) == [rx.Barrier(1)]
    assert sorted(item for item, _ in pairs(given)) == [1, 2, 9]


async def test_zip_of_timed_and_timeless_inputs_keeps_the_known_times() -> None:
    timed = Feed((rx.Chunk([1, 2], [10, 20]),)).stream
    given = await signals(timed.zip(feed_of("a", "b").stream))
    assert pairs(given) == [((1, "a"), 10), ((2, "b"), 20)]


@given(feeds())
@examples(20)
async def test_merging_with_nothing_changes_nothing(feed: Feed) -> None:
    await check(lambda stream: stream.concat(rx.empty()), feed, lambda pairs: pairs)
    given = await signals(feed.stream.merge(rx.empty()))
    assert pairs(given) == feed.pairs


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.rebatch(3),
        lambda s: s.take_last(4),
        lambda s: s.batch(3),
        lambda s: s.batch(3, within=60),
        lambda s: s.map(same_later, concurrency=4),
        lambda s: s.map(same_later, concurrency=4, ordered=False),
        lambda s: s.zip(s),
        lambda s: s.buffer(2).pairwise(),
        lambda s: s.count(),
    ],
)
@pytest.mark.parametrize("timed_first", [True, False])
async def test_items_with_and_without_times_may_follow_one_another(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]], timed_first: bool
) -> None:
    timed = rx.Chunk([1, 2], [10, 20])
    plain: rx.Chunk[int] = rx.Chunk([3, 4, 5])
    script = (timed, plain, timed) if timed_first else (plain, timed, plain)
    given = pairs(await signals(build(Feed(script).stream)))
    items = await build(rx.from_iterable([x for chunk in script for x in chunk.items])).collect()
    assert [item for item, _ in given] == items


async def same_later(x: Any) -> Any:
    await asyncio.sleep(0)
    return x
