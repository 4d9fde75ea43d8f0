"""How inner streams are run: on the spot, as a chain, or with a plan; none tells which it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from reactive.operator import Step, Stepwise
from reactive.signals import Chunk, Signal
from reactive.testing import failing_source, scripted_source
from reactive.testing.plugin import VirtualTime

OPERATORS: dict[str, Callable[..., rx.Stream[Any]]] = {
    "concat_map": lambda s, fn: s.concat_map(fn),
    "merge_map": lambda s, fn: s.merge_map(fn),
    "exhaust_map": lambda s, fn: s.exhaust_map(fn),
    "switch_map": lambda s, fn: s.rebatch(1).switch_map(fn),
}
all_operators = pytest.mark.parametrize("name", OPERATORS)
TINY = rx.Settings(chunk=3, edge=3)
IMPATIENT = rx.Settings(slice_seconds=1e-9)
"""Others are let in at every opportunity, as on a machine that is busy with other work."""


def planned(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    """The same stream, but a plan is needed to run it."""
    return stream.concat(rx.empty())


async def same_later(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


async def same(item: Any) -> Any:
    return item


WAYS: dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]] = {
    "as it is": lambda s: s,
    "in a loop": lambda s: s.map(lambda item: item),
    "with an end": lambda s: s.batch(2).flatten(),
    "in an inner loop": lambda s: s.flat_map(lambda item: (item,)),
    "by a step": lambda s: s.map_chunks(list),
    "by steps": lambda s: s.map(lambda item: item).map_chunks(list).map(lambda item: item),
    "by a stage": lambda s: s.map(lambda item: item).map(same).map(lambda item: item),
    "by a stage that waits": lambda s: s.map(same_later),
    "by several stages": lambda s: s.map(same).map(same_later).map(same).map(same).map(same),
    "with a plan": planned,
}
SOURCES: dict[str, Callable[[list[int]], rx.Stream[int]]] = {
    "of": lambda items: rx.of(*items),
    "a list": rx.from_iterable,
    "an iterator": lambda items: rx.from_iterable(iter(items)),
    "a generator": lambda items: rx.from_async_iterable(generated(items)),
}


async def generated(items: list[int]) -> AsyncIterator[int]:
    for item in items:
        if item % 3 == 0:
            await asyncio.sleep(0)
        yield item


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6),
    st.lists(st.tuples(st.sampled_from(list(SOURCES)), st.sampled_from(list(WAYS))), min_size=6),
    st.sampled_from([rx.Settings(), TINY, rx.Settings(chunk=1, edge=1), IMPATIENT]),
)
@examples(60)
async def test_all_ways_give_the_same_in_order(
    inners: list[list[int]], made: list[tuple[str, str]], settings: rx.Settings
) -> None:
    def make(index: int) -> rx.Stream[int]:
        source, way = made[index]
        return WAYS[way](SOURCES[source](inners[index]))

    expected = [item for items in inners for item in items]
    outer = rx.range(len(inners))
    assert await outer.concat_map(make).collect(settings) == expected
    assert await outer.merge_map(make, 1).collect(settings) == expected
    assert sorted(await outer.merge_map(make, 2).collect(settings)) == sorted(expected)


@all_operators
@given(items=st.lists(st.integers(0, 9), max_size=6), way=st.sampled_from(list(WAYS)))
@examples(30)
async def test_one_inner_stream_gives_the_same_in_all_operators(
    name: str, items: list[int], way: str
) -> None:
    for settings in (rx.Settings(), TINY, IMPATIENT):
        stream = OPERATORS[name](rx.of(0), lambda _: WAYS[way](rx.from_iterable(items)))
        assert await stream.collect(settings) == items


@all_operators
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_given_while_others_are_let_in_comes_before_the_end(
    name: str, source: str, way: str
) -> None:
    stream = OPERATORS[name](rx.of(0), lambda _: WAYS[way](SOURCES[source]([1, 2, 3])))
    assert await stream.collect(IMPATIENT) == [1, 2, 3]


async def test_exhaust_map_misses_nothing_while_inner_streams_wait_for_nothing() -> None:
    calls = 0

    def listed(x: int) -> rx.Stream[int]:
        nonlocal calls
        calls += 1
        return rx.of(*[x] * (1000 if x % 2 else 100))

    def looped(x: int) -> rx.Stream[int]:
        return rx.of(*[x] * 90).map(lambda item: item)

    expected = [x for x in range(600) for _ in range(90)]
    assert await rx.range(600).exhaust_map(looped).collect() == expected
    expected = [x for x in range(100) for _ in range(1000 if x % 2 else 100)]
    assert await rx.range(100).exhaust_map(listed).collect() == expected
    assert calls == 100


async def test_exhaust_map_misses_nothing_when_others_are_let_in_meanwhile() -> None:
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            await asyncio.sleep(0)
            others += 1

    def slow(item: int) -> int:
        time.sleep(0.0002)
        return item

    counting = asyncio.create_task(count())
    stream = rx.range(20).exhaust_map(lambda x: rx.of(*[x] * 30).map(slow))
    assert await stream.collect(IMPATIENT) == [x for x in range(20) for _ in range(30)]
    counting.cancel()
    assert others > 20


async def test_exhaust_map_that_is_left_in_the_midst_closes_the_inner_stream() -> None:
    closed = []

    def numbers(x: int) -> rx.Stream[int]:
        return rx.of(*[x] * 300).map(slow).finally_(lambda: closed.append(x))

    def slow(item: int) -> int:
        time.sleep(0.0002)
        return item

    async with rx.range(9).exhaust_map(numbers).open(IMPATIENT) as items:
        assert await anext(items) == 0
    assert closed == [0]


async def test_a_stream_that_would_not_be_left_does_not_keep_the_next_from_being_left(
    virtual_time: VirtualTime,
) -> None:
    left = []

    async def inner(x: int) -> AsyncIterator[int]:
        try:
            yield x
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            left.append((x, virtual_time.now))

    given = await rx.interval(1).take(3).switch_map(inner).take(3).collect()
    assert given == [0, 1, 2]
    assert left[:2] == [(0, 2), (1, 3)]


@all_operators
@pytest.mark.parametrize("way", WAYS)
async def test_what_came_before_a_failure_is_given(name: str, way: str) -> None:
    error = OSError("gone")
    given: list[int] = []
    stream = OPERATORS[name](rx.of(0), lambda _: WAYS[way](failing_source([1, 2], error)))
    with pytest.raises(OSError, match="gone"):
        async for item in stream:
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert given[: len(given)] == [1, 2][: len(given)]
    assert way == "with an end" or name == "switch_map" or given == [1, 2]


@pytest.mark.parametrize("name", ["concat_map", "merge_map", "exhaust_map"])
async def test_a_failure_in_a_loop_leaves_what_inner_streams_before_gave(name: str) -> None:
    def divide(x: int) -> rx.Stream[float]:
        return rx.of(4, 2).map(lambda item: item / (3 - x))

    given: list[float] = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in OPERATORS[name](rx.range(9), divide):
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert given == [4 / 3, 2 / 3, 2, 1, 4, 2]
    assert any("in operator map (" in note for note in caught.value.__notes__)


async def test_a_failure_of_the_function_leaves_what_inner_streams_before_gave() -> None:
    def make(x: int) -> rx.Stream[int]:
        if x == 5:
            raise OSError("gone")
        return rx.of(x)

    for operator in ("concat_map", "merge_map", "exhaust_map"):
        given: list[int] = []
        with pytest.raises(OSError, match="gone"):
            async for item in OPERATORS[operator](rx.range(9), make):
                given.append(item)  # noqa: PERF401  what came before the failure counts
        assert given == [0, 1, 2, 3, 4]


class _Closing(Step[Any, Any]):
    def __init__(self, closed: list[int]) -> None:
        self._closed = closed
        self._items: list[Any] = []

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        out.append(chunk)

    def close(self) -> None:
        self._closed.append(1)


def closing(closed: list[int]) -> Stepwise:
    class Closing(Stepwise):
        def step(self, context: rx.Context) -> Step[Any, Any]:
            return _Closing(closed)

    return Closing()


@all_operators
@pytest.mark.parametrize("way", ["as it is", "by a stage that waits", "with a plan"])
async def test_steps_are_closed_at_the_end_on_failure_and_when_left(name: str, way: str) -> None:
    for items in ((1, 2), (1, 0), range(500)):
        closed: list[int] = []

        def make(_: int, items: Any = items, closed: list[int] = closed) -> rx.Stream[float]:
            inner = WAYS[way](rx.from_iterable(items)._then(closing(closed)))
            return inner if items[0] == 0 else inner.map(lambda item: 1 / item)

        async with OPERATORS[name](rx.of(0), make).open(TINY) as given:
            await anext(given)
            if len(items) == 2:
                try:
                    await anext(given)
                    await anext(given, None)
                except ZeroDivisionError:
                    pass
        assert closed


@all_operators
async def test_an_endless_inner_loop_is_fair_and_can_be_left(name: str) -> None:
    def endless(_: int) -> rx.Stream[int]:
        return rx.of(0).flat_map(lambda _: iter(int, 1))

    async with OPERATORS[name](rx.of(1), endless).open() as items:
        for _ in range(5000):
            await anext(items)
    silent = OPERATORS[name](rx.of(1), lambda x: endless(x).filter(lambda _: False))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(silent.collect(), 0.05)


@all_operators
async def test_slow_functions_of_inner_streams_let_others_run(name: str) -> None:
    turns = 0
    busy = True

    async def others() -> None:
        nonlocal turns
        while busy:
            turns += 1
            await asyncio.sleep(0)

    def slow(item: int) -> int:
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.001
        while loop.time() < until:
            pass
        return item

    watching = asyncio.ensure_future(others())
    stream = OPERATORS[name](rx.range(4), lambda _: rx.range(10).map(slow))
    assert await stream.collect()
    busy = False
    await watching
    assert turns > 8


async def test_many_empty_inner_streams_let_others_run_and_come_to_an_end() -> None:
    for operator in ("concat_map", "merge_map", "exhaust_map"):
        stream = OPERATORS[operator](rx.range(20_000), lambda _: rx.empty())
        assert await stream.collect() == []


@all_operators
async def test_pipelines_of_the_same_lines_are_each_run_as_described(name: str) -> None:
    noted: list[int] = []

    def make(x: int) -> rx.Stream[Any]:
        shift = (lambda item: item + x) if x % 3 else abs
        given = rx.of(*range(x % 4)).map(shift).tap(noted.append).enumerate(start=x % 2)
        return (given if x % 5 else given.skip(x % 2)).named(f"last {x % 2}")

    expected: list[Any] = []
    for x in range(40):
        shifted = [item + x if x % 3 else item for item in range(x % 4)]
        pairs = [*enumerate(shifted, start=x % 2)]
        expected += pairs if x % 5 else pairs[x % 2 :]
    outer = rx.range(40).buffer(1).rebatch(1)
    if name == "switch_map":
        outer = rx.from_async_iterable(same_order(40))
    assert await OPERATORS[name](outer, make).collect() == expected
    assert noted == [item + (x if x % 3 else 0) for x in range(40) for item in range(x % 4)]


async def same_order(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["concat_map", "merge_map", "exhaust_map"])
async def test_a_failure_in_a_pipeline_like_many_before_names_operator_and_line(name: str) -> None:
    given: list[int] = []

    def inverse(x: int) -> rx.Stream[float]:
        return rx.of(x, 0 if x == 7 else 1).map(lambda item: item).map(lambda item: 2 // item)

    stream = OPERATORS[name](rx.range(1, 20), inverse).tap(given.append)
    with pytest.raises(ZeroDivisionError) as caught:
        await stream.collect()
    assert given == [value for x in range(1, 7) for value in (2 // x, 2)] + [2 // 7]
    (note,) = caught.value.__notes__
    assert "in operator map-2 (" in note
    assert "test_inner.py" in note


@pytest.mark.parametrize("name", ["concat_map", "merge_map"])
async def test_each_function_of_many_like_pipelines_is_looked_at(name: str) -> None:
    def make(x: int) -> rx.Stream[Any]:
        return rx.of(x).map(abs if x < 9 else lambda item: same(item))

    with pytest.raises(TypeError, match="nobody would await"):
        await OPERATORS[name](rx.range(20), make).collect()


async def test_merged_generators_that_do_not_wait_share_tasks() -> None:
    tasks: set[asyncio.Task[Any] | None] = set()
    closed = 0

    async def inner(x: int) -> AsyncIterator[int]:
        nonlocal closed
        try:
            tasks.add(asyncio.current_task())
            yield x
            tasks.add(asyncio.current_task())
            yield -x
        finally:
            closed += 1

    expected = [item for x in range(1600) for item in (x, -x)]
    assert await rx.range(1600).merge_map(inner, 16).collect() == expected
    assert closed == 1600
    # An edge holds 16 of them at a time.
    assert len(tasks) <= 1600 // 16 + 16


async def test_merged_generators_that_wait_all_begin_at_once(virtual_time: VirtualTime) -> None:
    async def inner(x: int) -> AsyncIterator[tuple[int, float]]:
        if x % 3 == 0:
            yield x, virtual_time.now
        async with asyncio.timeout(2):
            await asyncio.sleep(1)
            yield x, virtual_time.now
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(5)
        except TimeoutError:
            yield x, virtual_time.now

    given = await rx.range(12).merge_map(inner, 12).collect()
    expected = [(x, 0) for x in range(0, 12, 3)]
    assert sorted(given[:4]) == expected
    assert sorted(given[4:]) == sorted((x, moment) for x in range(12) for moment in (1, 2))


async def test_a_merged_generator_without_an_end_leaves_room_for_others() -> None:
    async def inner(x: int) -> AsyncIterator[int]:
        if x == 2:
            await asyncio.sleep(0)
        while True:
            yield x

    for settings in (rx.Settings(), TINY, IMPATIENT):
        seen = set()
        async with rx.range(3).merge_map(inner, 3).open(settings) as items:
            async for item in items:
                seen.add(item)
                if seen == {0, 1, 2}:
                    break


async def test_a_merged_generator_that_fails_at_once_leaves_what_came_before() -> None:
    given: list[int] = []
    closed: list[int] = []

    async def inner(x: int) -> AsyncIterator[int]:
        try:
            yield x
            if x == 5:
                raise OSError("gone")
            if x % 4 == 3:
                await asyncio.sleep(0)
        finally:
            closed.append(x)

    with pytest.raises(OSError, match="gone") as caught:
        await rx.range(9).merge_map(inner, 3).tap(given.append).collect()
    assert {0, 1, 2, 3, 4, 5} <= set(given)
    assert len(closed) == len(set(closed))
    assert set(given) <= set(closed)
    assert any("from_async_iterable (" in note for note in caught.value.__notes__)


async def test_the_tasks_of_merged_streams_go_on_with_the_next(virtual_time: VirtualTime) -> None:
    tasks: set[asyncio.Task[Any] | None] = set()
    running = 0

    async def inner(x: int) -> AsyncIterator[int]:
        nonlocal running
        running += 1
        assert running <= 3
        tasks.add(asyncio.current_task())
        yield x
        await asyncio.sleep(1)
        assert asyncio.current_task() in tasks
        running -= 1

    assert sorted(await rx.range(12).merge_map(inner, 3).collect()) == [*range(12)]
    assert len(tasks) == 3
    assert virtual_time.now == 4


async def test_a_merged_stream_that_fails_does_not_begin_others(virtual_time: VirtualTime) -> None:
    begun = []

    async def inner(x: int) -> AsyncIterator[int]:
        begun.append(x)
        await asyncio.sleep(1 + x)
        if x == 1:
            raise OSError("gone")
        yield x

    with pytest.raises(OSError, match="gone"):
        await rx.range(9).merge_map(inner, 2).collect()
    assert begun == [0, 1, 2]


@all_operators
async def test_an_async_iterable_runs_in_one_task_with_limits_of_its_own(
    virtual_time: VirtualTime, name: str
) -> None:
    tasks = set()

    async def inner(x: int) -> AsyncIterator[str]:
        tasks.add(asyncio.current_task())
        yield "begun"
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(5)
        except TimeoutError:
            yield "timed out"
        tasks.add(asyncio.current_task())
        yield "done"

    async def slow(item: str) -> str:
        await asyncio.sleep(3)
        return item

    given = await OPERATORS[name](rx.of(1), inner).map(slow).collect()
    assert given == ["begun", "timed out", "done"]
    assert len(tasks) == 1


async def test_what_raises_within_an_async_iterable_that_waited_names_the_operator() -> None:
    async def inner(x: int) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield x
        await asyncio.sleep(0)
        raise OSError("gone")

    for operator in OPERATORS.values():
        with pytest.raises(OSError, match="gone") as caught:
            await operator(rx.of(1), inner).collect()
        assert any("from_async_iterable (" in note for note in caught.value.__notes__)


@all_operators
@pytest.mark.parametrize("way", WAYS)
async def test_side_outputs_are_fed_from_inner_streams(name: str, way: str) -> None:
    bad: rx.SideOutput[rx.DeadLetter[int]] = rx.SideOutput("bad")

    def make(_: int) -> rx.Stream[float]:
        return WAYS[way](rx.of(1, 0, 2).map(lambda item: 2 / item, on_error=bad))

    good: list[float] = []
    dead: list[Any] = []
    jobs = (
        OPERATORS[name](rx.of(1), make).map(lambda x: x, on_error=bad).to(memory.append(good)),
        bad.to(memory.append(dead)),
    )
    report = await rx.run(*jobs)
    assert good == [2, 1]
    assert [(letter.item, letter.operator) for letter in dead] == [(0, "map")]
    assert report[f"{name}/map"].counters == {"dead_letters": 1}


@pytest.mark.parametrize("name", ["concat_map", "merge_map", "exhaust_map"])
async def test_counters_have_the_same_names_with_and_without_a_plan(name: str) -> None:
    def make(x: int) -> rx.Stream[int]:
        return rx.of(x, x).map(lambda item: item).filter(bool).map_chunks(list).map(abs)

    seen = []
    for way in (lambda s: s, planned):
        kept: list[int] = []
        stream = OPERATORS[name](rx.of(1), lambda x, way=way: way(make(x))).named("outer")
        report = await rx.run(stream.to(memory.append(kept)))
        seen.append(
            {
                each.name: (each.items_in, each.items_out)
                for each in report.operators
                if each.name.startswith("outer/") and "concat" not in each.name
            }
        )
        assert report["outer"].items_in == 1
        assert report["outer"].items_out == 2
    assert {key: value for key, value in seen[1].items() if "empty" not in key} == seen[0]
    assert set(seen[0]) == {
        f"outer/{each}" for each in ("of", "map", "filter", "map_chunks", "map-2")
    }


@pytest.mark.parametrize("name", ["concat_map", "merge_map"])
@pytest.mark.parametrize("script", [[1, 2, 3], [3, 1, 2], [4, 1, 3]])
async def test_event_times_and_watermarks_are_the_same_with_and_without_a_plan(
    name: str, script: list[int]
) -> None:
    inner = (rx.Chunk(["a"], [5]), rx.Watermark(7), rx.Chunk(["b"], [9]), rx.Watermark(10))
    made: dict[int, rx.Stream[Any]] = {
        1: rx.of("c").map(str),
        2: rx.of("d"),
        3: Feed(inner).stream.map(str),
        4: rx.of(6, 8, 7).event_time(lambda item: item, lateness=0).map(str),
    }
    outer = scripted_source([Chunk(script, [2, 3, 4]), rx.Watermark(6)])
    given, expected = [
        await signals(OPERATORS[name](outer.rebatch(1), lambda item, way=way: way(made[item])))
        for way in (lambda s: s, planned)
    ]
    assert sorted(pairs(given)) == sorted(pairs(expected))
    low = 0
    for signal in given:
        if isinstance(signal, rx.Watermark):
            low = signal.time
        elif isinstance(signal, rx.Chunk) and signal.times is not None:
            assert min(signal.times) >= low
    if name == "concat_map":
        assert given == expected


async def test_a_drain_lets_bounded_chains_finish_and_stops_the_others(
    virtual_time: VirtualTime,
) -> None:
    async def endless() -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            if number % 3 == 0:
                await asyncio.sleep(1)

    made = {
        "bounded": lambda: rx.of(1, 2).map(same_later).map(lambda item: f"bounded {item}"),
        "ticks": lambda: rx.interval(1).map(lambda item: f"tick {item}"),
        "endless": lambda: rx.from_async_iterable(endless()).map(lambda item: f"endless {item}"),
        "plain": endless,
    }
    for name in ("concat_map", "merge_map"):
        for each, make in made.items():
            outer: rx.Subject[str] = rx.Subject()
            kept: list[Any] = []
            stream = OPERATORS[name](outer, lambda _, make=make: make())
            async with rx.start(stream.to(memory.append(kept))) as run:
                await outer.send(each)
                await asyncio.sleep(2.5)
                await run.stop(drain=True)
            assert kept


GROUPS: dict[str, Callable[[rx.Group[int, int]], rx.Stream[Any]]] = {
    "as it is": lambda group: group,
    "in a loop": lambda group: group.map(lambda item: item),
    "by a step": lambda group: group.map_chunks(list),
    "by a timed step": lambda group: group.batch(3, within=5).flatten(),
    "by a stage": lambda group: group.map(same),
    "with a plan": planned,
}


@given(
    st.lists(st.integers(0, 99), max_size=60),
    st.lists(st.sampled_from(list(GROUPS)), min_size=5, max_size=5),
    st.sampled_from([rx.Settings(), TINY, rx.Settings(chunk=1, edge=1)]),
)
@examples(40)
async def test_groups_merge_the_same_however_they_are_run(
    items: list[int], ways: list[str], settings: rx.Settings
) -> None:
    groups = rx.from_iterable(items).group_by(lambda item: item % 5, buffer=3)
    merged = groups.merge_map(lambda group: GROUPS[ways[group.key]](group))
    given = await merged.collect(settings)
    for key in range(5):
        assert [x for x in given if x % 5 == key] == [x for x in items if x % 5 == key]
    assert len(given) == len(items)


async def test_groups_that_are_merged_take_no_tasks() -> None:
    tasks = 0

    def look(item: int) -> int:
        nonlocal tasks
        tasks = max(tasks, len(asyncio.all_tasks()))
        return item

    groups = rx.range(5000).group_by(lambda x: x % 100)
    assert len(await groups.merge_map(lambda group: group.map(look)).collect()) == 5000
    assert tasks < 10


async def test_groups_with_and_without_tasks_take_turns_when_downstream_is_slow() -> None:
    groups = rx.range(10**9).group_by(lambda x: x % 4, buffer=8)
    merged = groups.merge_map(lambda group: group.map(same) if group.key % 2 else group)
    given = await merged.map(same_later).take(400).collect(TINY)
    for key in range(4):
        assert len([x for x in given if x % 4 == key]) > 20


@pytest.mark.parametrize("way", GROUPS)
async def test_groups_fail_with_what_is_grouped(way: str) -> None:
    outer = failing_source([1, 2, 3, 4], OSError("gone"))
    given: list[int] = []
    with pytest.raises(OSError, match="gone"):
        async for item in outer.group_by(lambda x: x % 2).merge_map(GROUPS[way]):
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert set(given) <= {1, 2, 3, 4}


@pytest.mark.parametrize("way", GROUPS)
async def test_groups_are_given_up_when_the_run_is_left(way: str) -> None:
    kept: list[rx.Group[int, int]] = []
    groups = rx.range(10**9).group_by(lambda x: x % 3).tap(kept.append)
    async with groups.merge_map(GROUPS[way]).open(TINY) as items:
        for _ in range(9):
            await anext(items)
    for group in kept:
        with pytest.raises((rx.SourceConsumedError, rx.StreamClosedError)):
            await group.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_steps_of_groups_are_closed_when_the_run_is_left() -> None:
    closed: list[int] = []
    groups = rx.range(10**9).group_by(lambda x: x % 3)
    merged = groups.merge_map(lambda group: group._then(closing(closed)))
    async with merged.open() as items:
        for _ in range(9):
            await anext(items)
        assert not closed
    assert len(closed) == 3


async def test_a_group_that_fails_fails_the_merged_stream_after_what_it_gave() -> None:
    groups = rx.range(30).group_by(lambda x: x % 3)
    given: list[float] = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in groups.merge_map(lambda group: group.map(lambda x: 1 / (12 - x))):
            given.append(item)  # noqa: PERF401  what came before the failure counts
    assert all(1 / (12 - x) in given for x in (0, 3, 6, 9))
    assert any("in operator map (" in note for note in caught.value.__notes__)
