"""group_by: what goes into which group, when groups end, and what holds the others back."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import structlog.testing
from catalogue import model_of
from feeds import Feed, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, ending_of, items_of, plain, stream_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import Failure, Item, Pause, Probe, record, run, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


def by(divisor: int) -> Callable[[int], int]:
    return lambda x: x % divisor


def lists(group: rx.Group[Any, Any]) -> rx.Stream[tuple[Any, list[Any]]]:
    return group.to_list().map(lambda items: (group.key, items))


def grouped(items: Sequence[int], key: Callable[[int], Any], limit: int) -> list[tuple[Any, Any]]:
    """All groups with their items, the one without an item for longest ended at the limit."""
    live: dict[Any, list[int]] = {}
    ended: list[tuple[Any, list[int]]] = []
    for item in items:
        group = live.pop(key(item), None)
        if group is None and len(live) == limit:
            oldest = next(iter(live))
            ended.append((oldest, live.pop(oldest)))
        live[key(item)] = [*(group or []), item]
    return [*ended, *live.items()]


@model_of("group_by")
@given(feeds(signals=False), st.integers(1, 5), st.sampled_from([1, 2, 3, 1024]), st.integers(1, 9))
@examples(40)
async def test_every_item_goes_into_the_group_of_its_key(
    feed: Feed, divisor: int, limit: int, buffer: int
) -> None:
    groups = feed.stream.group_by(by(divisor), limit=limit, buffer=buffer)
    settings = rx.Settings(chunk=buffer, edge=buffer)
    given = await groups.merge_map(lists, 1024).collect(settings)
    assert sorted(given) == sorted(grouped(feed.items, by(divisor), limit))


@model_of("group_by")
@given(feeds(signals=False), st.integers(1, 6), st.integers(1, 6))
@examples(40)
async def test_more_groups_than_there_may_be_fail(feed: Feed, divisor: int, limit: int) -> None:
    keys: list[int] = []
    groups = feed.stream.group_by(by(divisor), limit=limit, overflow="fail")
    expected = list(dict.fromkeys(x % divisor for x in feed.items))
    stream = groups.map(lambda group: group.key).tap(keys.append)
    if len(expected) > limit:
        with pytest.raises(rx.OverflowFailure):
            await stream.collect()
    else:
        await stream.collect()
    assert keys == expected[:limit]


@given(feeds(), st.integers(1, 5))
@examples(40)
async def test_times_watermarks_and_barriers_come_through_groups(feed: Feed, divisor: int) -> None:
    feed = Feed(tuple(one for one in feed.script if one != rx.IDLE))
    groups = feed.stream.group_by(by(divisor))
    given = await signals(groups.merge_map(lambda group: group))
    assert [one for one in controls(given) if isinstance(one, rx.Barrier)] == [
        one for one in feed.controls if isinstance(one, rx.Barrier)
    ]
    said = [one for one in controls(given) if isinstance(one, rx.Watermark)]
    wanted = [one for one in feed.controls if isinstance(one, rx.Watermark)]
    assert said[-1:] == wanted[-1:]
    assert set(said) <= set(wanted)
    low = -1
    parts: list[list[Any]] = [[]]
    for signal in given:
        if isinstance(signal, rx.Watermark):
            assert signal.time > low
            low = signal.time
        elif isinstance(signal, rx.Barrier):
            parts.append([])
        elif isinstance(signal, rx.Chunk):
            assert min(signal.times or [low]) >= low
            parts[-1] += pairs([signal])
    expected: list[list[Any]] = [[]]
    for signal in feed.script:
        if isinstance(signal, rx.Barrier):
            expected.append([])
        expected[-1] += pairs([signal])

    def of(part: list[Any], key: int) -> list[Any]:
        return [pair for pair in part if pair[0] % divisor == key]

    assert len(parts) == len(expected)
    for part, wanted_part in zip(parts, expected, strict=True):
        for key in range(divisor):
            assert of(part, key) == of(wanted_part, key)


def idle_model(idle: float) -> Callable[[Timeline], list[Event[Any]]]:
    """The groups as lists, when they end: idle for so long, or with the stream."""

    def model(timeline: Timeline) -> list[Event[Any]]:
        given: list[Event[Any]] = []
        live: dict[int, tuple[float, list[int]]] = {}
        ending = ending_of(timeline)[0]
        for event in (*items_of(timeline), ending):
            for key, (last, items) in sorted(live.items(), key=lambda entry: entry[1][0]):
                if last + idle <= event.time:
                    given.append(Item(last + idle, (key, items)))
                    del live[key]
            if isinstance(event, Item):
                _, items = live.pop(event.value % 2, (0.0, []))
                live[event.value % 2] = event.time, [*items, event.value]
        if not isinstance(ending, Failure):
            given += [Item(ending.time, (key, items)) for key, (_, items) in live.items()]
        return [*given, ending]

    return model


@model_of("group_by")
@given(timeline=timelines(), idle=st.sampled_from([1.5, 4.5]))
@examples(40)
def test_groups_end_when_they_are_idle(timeline: Timeline, idle: float) -> None:
    groups = stream_of(timeline).group_by(by(2), idle=idle)
    given = run(record(groups.merge_map(lists), until=200)).events
    wanted = idle_model(idle)(timeline)
    # Those that end at one moment come in no order.
    assert sorted(map(plain, given[:-1])) == sorted(map(plain, wanted[:-1]))
    assert plain(given[-1]) == plain(wanted[-1])


async def test_a_group_per_key_by_default_for_as_many_as_may_be_live() -> None:
    stream = rx.range(5000).group_by(by(1000), buffer=1).merge_map(lambda group: group.count())
    assert await stream.collect() == [5] * 1000
    assert "concurrency: 1024" in str(stream.explain())
    two = rx.range(1).group_by(by(2), limit=2).filter(lambda group: True).merge_map(lists)
    assert "concurrency: 2" in str(two.explain())


async def test_more_groups_than_the_limit_fail_if_that_is_asked_for() -> None:
    groups = rx.range(5).group_by(by(4), limit=3, overflow="fail")
    with pytest.raises(rx.OverflowFailure, match=r"has 3 groups, and 3 would be one more; raise"):
        await groups.merge_map(lambda group: group).collect()


async def test_what_the_limit_ended_is_counted() -> None:
    kept: list[Any] = []
    groups = rx.of(1, 2, 3, 1, 2).group_by(by(10), limit=2).named("groups")
    report = await rx.run(groups.merge_map(lists).to(memory.append(kept)))
    assert sorted(kept) == [(1, [1]), (1, [1]), (2, [2]), (2, [2]), (3, [3])]
    assert report["groups"].counters == {"ended_early": 3}


async def test_all_groups_fail_with_the_stream(virtual_time: VirtualTime) -> None:
    error = OSError("gone")
    source = scripted_source([rx.Chunk([1, 2, 3]), Pause(1), error])
    seen: list[Any] = []

    def watched(group: rx.Group[int, int]) -> rx.Stream[Any]:
        return group.recover_with(lambda failure: rx.of(failure)).tap(seen.append)

    with pytest.raises(OSError, match="gone") as caught:
        await source.group_by(by(10)).merge_map(watched).collect()
    assert caught.value is error
    assert seen[:3] == [1, 2, 3]


async def test_whoever_leaves_a_group_gets_another(virtual_time: VirtualTime) -> None:
    source = rx.interval(1).take(7).map(lambda n: "abaaaab"[n] + str(n))
    groups = source.group_by(lambda x: x[0])
    given = await groups.merge_map(lambda group: group.take(2).to_list()).collect()
    assert sorted(given) == [["a0", "a2"], ["a3", "a4"], ["a5"], ["b1", "b6"]]


async def test_what_was_not_read_of_a_group_that_was_left_is_counted() -> None:
    kept: list[Any] = []
    groups = rx.of(*"aaaaa").group_by(str, buffer=2).named("groups")
    read = groups.merge_map(lambda group: group.rebatch(1).take(1))
    report = await rx.run(read.to(memory.append(kept)), settings=rx.Settings(chunk=1, edge=1))
    assert len(kept) >= 2
    assert len(kept) + report["groups"].counters["dropped"] == 5


async def test_groups_that_are_filtered_out_hold_nothing_back() -> None:
    kept: list[int] = []
    groups = rx.range(5000).group_by(by(5), buffer=4).named("groups")
    odd = groups.filter(lambda group: group.key == 3).merge_map(lambda group: group)
    report = await asyncio.wait_for(rx.run(odd.to(memory.append(kept))), 30)
    assert kept == [*range(3, 5000, 5)]
    assert report["groups"].counters["dropped"] > 3000


async def test_a_group_that_nobody_reads_is_told(virtual_time: VirtualTime) -> None:
    source = Probe(range(100))
    with structlog.testing.capture_logs() as events:
        groups = source.stream.group_by(by(4), buffer=3)
        async with groups.merge_map(lambda group: group, 2).open(rx.Settings(4, 4)) as items:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(100):
                    async for _ in items:
                        pass
    (event,) = events
    assert event["event"] == "unread_group_holds_back_others"
    assert event["group"] in ("2", "3")
    assert "merge_map with a concurrency of at least" in event["fix"]
    source.check()


async def test_idle_groups_make_way_for_those_that_wait(virtual_time: VirtualTime) -> None:
    groups = rx.range(40).group_by(by(4), buffer=3, idle=5)
    given = await groups.merge_map(lambda group: group, 2).collect(rx.Settings(4, 4))
    assert sorted(given) == [*range(40)]


async def test_a_group_whose_items_wait_for_room_is_not_idle(virtual_time: VirtualTime) -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(3)
        return x

    groups = rx.range(9).group_by(by(1), buffer=2, idle=1)
    read = groups.merge_map(lambda group: group.map(slow).to_list())
    assert await read.collect(rx.Settings(chunk=1, edge=1)) == [[*range(9)]]


async def test_groups_can_be_read_one_after_the_other_while_there_is_room() -> None:
    groups = rx.range(300).group_by(by(3), buffer=100)
    given = await groups.concat_map(lambda group: group).collect()
    assert given == [*range(0, 300, 3), *range(1, 300, 3), *range(2, 300, 3)]


async def test_groups_can_be_read_by_anybody_in_the_loop() -> None:
    groups = rx.range(1000).group_by(by(4), buffer=2)
    async with groups.open() as live, asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(group.collect()) async for group in live]
    assert [task.result() for task in reading] == [[*range(key, 1000, 4)] for key in range(4)]


async def test_a_group_of_a_run_that_was_left_fails(virtual_time: VirtualTime) -> None:
    async with rx.interval(1).group_by(by(2)).open() as groups:
        group = await anext(groups)
        reading = asyncio.ensure_future(group.collect())
        await asyncio.sleep(2)
    with pytest.raises(rx.StreamClosedError, match=r"the run of group_by .* was left"):
        await reading


async def test_a_slow_group_holds_back_the_stream(virtual_time: VirtualTime) -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(1)
        return x

    source = Probe(range(10_000))
    groups = source.stream.group_by(by(2), buffer=4)
    read = groups.merge_map(lambda group: group.map(slow) if group.key else group)
    async with read.open(rx.Settings(chunk=4, edge=4)) as items:
        async with asyncio.timeout(10.5):
            given = [await anext(items) for _ in range(20)]
    assert sum(x % 2 for x in given) <= 10
    assert source.items < 80


async def test_a_group_is_read_once_but_used_as_often_as_one_likes() -> None:
    groups = rx.range(6).group_by(by(2))
    given = await groups.merge_map(lambda group: group.zip(group.skip(1))).collect()
    assert sorted(given) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    with pytest.raises(rx.SourceConsumedError, match=r"group 0 was read before"):
        await groups.merge_map(lambda group: group.concat_map(lambda _: group)).collect()


async def test_a_group_knows_its_key_and_its_run() -> None:
    async with rx.of("a").group_by(str.upper).open() as groups:
        group = await anext(groups)
        assert isinstance(group, rx.Group)
        assert group.key == "A"
        assert repr(group) == "<Group 'A'>"
        with pytest.raises(AttributeError):
            group.key = "B"  # type: ignore[misc]
        with pytest.raises(TypeError, match="a Group belongs to a run and does not pickle"):
            pickle.dumps(group)


async def test_a_drain_gives_everything_that_was_taken(virtual_time: VirtualTime) -> None:
    kept: list[Any] = []
    source: rx.Subject[int] = rx.Subject()
    stream = source.group_by(by(3)).merge_map(lambda group: group.batch(10, within=60))
    async with rx.start(stream.to(memory.append(kept))) as run:
        for number in range(7):
            await source.send(number)
        await asyncio.sleep(1)
        await run.stop(drain=True)
    assert sorted(kept) == [[0, 3, 6], [1, 4], [2, 5]]
    assert virtual_time.now == 1


@pytest.mark.virtual_time
async def test_keys_that_do_not_hash_are_told_where_they_come_from() -> None:
    given = []
    stream = rx.of(1, 1, [1]).group_by(lambda x: x).merge_map(lambda group: group)
    with pytest.raises(TypeError, match="unhashable type: 'list'") as caught:
        async for item in stream:
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert any("group_by" in note and __file__ in note for note in caught.value.__notes__)
    assert given == [1, 1]


async def test_what_the_key_function_raises_says_where() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await rx.of(1, 0).group_by(lambda x: 1 // x).collect()
    assert any("group_key" in note and __file__ in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, r"group_by \(limit\) needs a count of at least 1"),
        ({"buffer": 0}, r"group_by \(buffer\) needs a count of at least 1"),
        ({"idle": 0}, "group_by needs `idle` above 0 seconds"),
        ({"overflow": "drop"}, "overflow must be one of end_longest_idle, fail, not 'drop'"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rx.of(1).group_by(str, **options)


def test_an_async_key_is_refused_at_once() -> None:
    async def key(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="group_by takes a plain function"):
        rx.of(1).group_by(key)


async def test_watermarks_that_nobody_reads_do_not_pile_up() -> None:
    source = Feed((rx.Chunk([1], [0]), *(rx.Watermark(time) for time in range(1, 5000))))
    async with source.stream.group_by(by(3)).open() as groups:
        (group,) = [group async for group in groups]
    given = await signals(group)
    assert given[0] == rx.Chunk([1], [0])
    assert given[-1] == rx.Watermark(4999)
    assert len(given) < 100


async def test_a_group_that_waits_to_be_taken_is_not_idle(virtual_time: VirtualTime) -> None:
    async def slowly(group: rx.Group[int, int]) -> tuple[int, list[int]]:
        await asyncio.sleep(3)
        return group.key, await group.to_list()

    groups = rx.range(5).group_by(lambda x: x, limit=1, idle=1).map(slowly)
    assert await groups.collect() == [(x, [x]) for x in range(5)]
