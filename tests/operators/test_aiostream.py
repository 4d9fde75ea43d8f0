"""The bridge to aiostream: its operators in a pipeline, its streams as sources, ours in its."""

from __future__ import annotations

import asyncio
import operator
import sys
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiostream import async_, pipe, stream, streamcontext
from aiostream.core import Streamer

import reactive as rx
from reactive.testing import Probe, SinkProbe, check_leaks, slow_source
from reactive.testing.plugin import VirtualTime

ITEMS = [3, 1, 4, 1, 5, 9, 2, 6]


class Sequences:
    """Items that are sequences, for the operators that flatten them."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def __aiter__(self) -> AsyncIterator[int]:
        for part in range(self.number % 3):
            await asyncio.sleep(0)
            yield self.number * 10 + part


class Tens:
    """Another source to combine with."""

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in (10, 20, 30):
            await asyncio.sleep(0)
            yield number


async def halve(number: int) -> float:
    await asyncio.sleep(1 / (number + 1))
    return number / 2


def even(number: int) -> bool:
    return number % 2 == 0


def small(number: int) -> bool:
    return number < 5


def double(number: int) -> int:
    return number * 2


def subtract(a: int, b: int) -> int:
    return a - b


Call = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **kwargs: Any) -> Call:
    return args, kwargs


OPERATORS: dict[str, Call] = {
    "accumulate": call(operator.mul, initializer=2),
    "action": call(double),
    "amap": call(halve, ordered=False, task_limit=2),
    "chain": call(Tens()),
    "chunks": call(3),
    "concat": call(task_limit=1),
    "concatmap": call(Sequences, task_limit=1),
    "cycle": call(),
    "delay": call(2),
    "dropwhile": call(small),
    "enumerate": call(5, 2),
    "filter": call(even),
    "flatmap": call(Sequences),
    "flatten": call(),
    "getitem": call(slice(2, None, 2)),
    "list": call(),
    "map": call(halve, task_limit=3),
    "merge": call(Tens()),
    "print": call("item {}"),
    "reduce": call(operator.add),
    "skip": call(3),
    "skiplast": call(3),
    "smap": call(double),
    "spaceout": call(2),
    "starmap": call(subtract),
    "switch": call(),
    "switchmap": call(Sequences),
    "take": call(3),
    "takelast": call(3),
    "takewhile": call(small),
    "timeout": call(5),
    "until": call(lambda number: number == 9),
    "zip": call(Tens(), Tens(), strict=False),
    "ziplatest": call(Tens()),
}
UNORDERED = {"amap", "flatmap", "flatten", "merge", "ziplatest", "switch", "switchmap"}
"""What they give depends on which of several things at one moment the loop does first."""


def names_of(module: types.ModuleType, *, pipable: bool | None = None) -> set[str]:
    """The operators of a module of aiostream."""
    return {
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "").startswith("aiostream.stream.")
        and not isinstance(thing, types.ModuleType)
        and not name.startswith("_")
        and (pipable is None or hasattr(thing, "pipe") is pipable)
    }


SOURCES: dict[str, Callable[[], Any]] = {
    "just": lambda: stream.just(5),
    "call": lambda: stream.call(halve, 5),
    "throw": lambda: stream.throw(OSError("gone")),
    "empty": lambda: stream.empty(),
    "never": lambda: stream.never() | pipe.timeout(2),
    "repeat": lambda: stream.repeat(5, times=3, interval=1),
    "range": lambda: stream.range(2, 10, 3, interval=1),
    "count": lambda: stream.count(2, 5, interval=1) | pipe.take(3),
    "iterate": lambda: stream.iterate(ITEMS),
    "preserve": lambda: stream.preserve(Tens()),
}


def test_every_operator_of_aiostream_is_here() -> None:
    assert set(OPERATORS) == names_of(pipe) == names_of(stream, pipable=True)
    assert set(SOURCES) == names_of(stream, pipable=False)


def source_of(name: str) -> list[Any]:
    if name in ("concat", "flatten", "switch"):
        return [Sequences(number) for number in ITEMS]
    if name == "starmap":
        return [(number, 1) for number in ITEMS]
    return ITEMS


def cut(name: str, made: Any) -> Any:
    """An operator without an end is left after some items."""
    return made[:20] if name == "cycle" else made


def forms(name: str) -> dict[str, Callable[[rx.Stream[Any]], rx.Stream[Any]]]:
    """The ways to write one operator into a pipeline."""
    args, kwargs = OPERATORS[name]
    called, piped = getattr(stream, name), getattr(pipe, name)
    return {
        "called": lambda s: s.through(called, *args, **kwargs),
        "piped": lambda s: s.through(piped(*args, **kwargs)),
        "raw": lambda s: s.through(called.raw, *args, **kwargs),
        "composed": lambda s: s.through(
            lambda items: called(items, *args, **kwargs) | pipe.skip(0)
        ),
        "of a stream": lambda s: rx.from_async_iterable(called(s, *args, **kwargs)),
        "applied": lambda s: rx.from_async_iterable(s.pipe(piped(*args, **kwargs))),
    }


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("form", ["called", "piped", "raw", "composed", "of a stream", "applied"])
async def test_an_operator_in_the_middle_of_a_pipeline(
    virtual_time: VirtualTime, name: str, form: str
) -> None:
    if (name, form) == ("cycle", "raw"):
        pytest.skip("an iterator is not iterated again")
    args, kwargs = OPERATORS[name]
    items = source_of(name)
    before = virtual_time.now
    pure = cut(name, getattr(stream, name)(stream.iterate(items), *args, **kwargs))
    async with pure.stream() as streamer:
        expected = [item async for item in streamer]
    took = virtual_time.now - before
    probe, sink = Probe[Any](items), SinkProbe[Any]()
    built = forms(name)[form](probe.stream.filter(lambda x: x is not None))
    bounded = built.take(20) if name == "cycle" else built
    async with check_leaks():
        before = virtual_time.now
        given = await bounded.map(lambda x: [x]).collect()
        await rx.run(bounded.to(sink.sink))
    assert virtual_time.now - before == pytest.approx(2 * took)
    probe.check()
    assert probe.opens >= 2
    if name in UNORDERED:
        if name == "ziplatest":
            assert given[-1] == [expected[-1]] == [(6, 30)]
        elif "switch" not in name:
            assert sorted(map(repr, given)) == sorted(repr([item]) for item in expected)
    else:
        assert given == [[item] for item in expected]
        assert sink.items == expected


@pytest.mark.parametrize("name", SOURCES)
async def test_a_stream_of_aiostream_as_a_source(virtual_time: VirtualTime, name: str) -> None:
    async def outcome(made: Any) -> Any:
        given = []
        try:
            async with streamcontext(made) as streamer:
                async for item in streamer:
                    given.append(item)  # noqa: PERF401  kept on failure
        except Exception as error:
            return given, type(error)
        return given, None

    source = SOURCES[name]()
    ours = rx.from_async_iterable(source)
    expected = await outcome(source)
    async with check_leaks():
        assert await outcome(ours) == await outcome(ours.map(lambda x: x)) == expected
        assert list(await asyncio.gather(outcome(ours), outcome(ours))) == [expected] * 2


async def test_a_streamer_as_a_source_is_read_once() -> None:
    async with stream.range(3).stream() as streamer:
        ours = rx.from_async_iterable(streamer)
        assert await ours.collect() == [0, 1, 2]
    with pytest.raises(rx.SourceConsumedError):
        await ours.collect()


async def test_what_an_operator_gives_may_be_a_streamer() -> None:
    entered: list[bool] = []

    def chunks(items: AsyncIterator[int]) -> Streamer[list[int]]:
        made = stream.chunks(items, 2).stream()
        entered.append(False)
        return made

    assert await rx.range(3).through(chunks).collect() == [[0, 1], [2]]
    assert await rx.range(9).through(chunks).take(1).collect() == [[0, 1]]


async def test_a_context_without_aclose_is_left_all_the_same() -> None:
    log: list[str] = []

    class Context:
        async def __aenter__(self) -> Context:
            log.append("entered")
            return self

        async def __aexit__(self, *why: object) -> None:
            log.append("left")

        def __aiter__(self) -> Context:
            return self

        async def __anext__(self) -> int:
            return 1

    assert await rx.never().through(lambda items: Context()).take(2).collect() == [1, 1]
    assert log == ["entered", "left"]


async def test_cycle_runs_upstream_again_and_closes_each_run() -> None:
    probe = Probe([1, 2, 3])
    cycled = probe.stream.map(lambda x: x * 10).through(stream.cycle)
    async with check_leaks():
        assert await cycled.take(7).collect() == [10, 20, 30, 10, 20, 30, 10]
    assert (probe.opens, probe.closes) == (3, 3)
    probe.check()
    once = rx.from_iterable(iter([1, 2])).through(pipe.cycle())
    given: list[int] = []
    with pytest.raises(rx.SourceConsumedError, match="can be iterated only once"):
        await once.tap(given.append).collect()
    assert given == [1, 2]


async def test_a_generator_that_iterates_twice_gets_what_is_left() -> None:
    async def header_first(items: AsyncIterator[int]) -> AsyncIterator[Any]:
        async for item in items:
            if item > 2:
                break
            yield f"header {item}"
        async for item in items:
            yield item

    assert await rx.of(1, 3, 4).through(header_first).collect() == ["header 1", 4]
    assert await rx.of(1).through(header_first).collect() == ["header 1"]


async def test_items_are_not_asked_for_twice_at_once() -> None:
    doubled = slow_source([1, 2], 0.001).through(lambda items: stream.zip(items, items))
    with pytest.raises(RuntimeError, match="to use them twice, use the stream twice"):
        await doubled.collect()


OTHER_RUNS = {"merge", "chain", "flatmap", "switchmap"}
"""Operators that are given streams which are no part of the run, and which a drain does not end."""

ENDLESS: dict[str, Callable[[rx.Stream[int]], rx.Stream[Any]]] = {
    "map": lambda s: s.through(stream.map, halve, task_limit=3),
    "unordered map": lambda s: s.through(stream.amap, halve, ordered=False),
    "merge": lambda s: s.through(stream.merge, rx.interval(7), Tens()),
    "zip": lambda s: s.through(stream.zip, rx.interval(7)),
    "chain": lambda s: s.through(stream.chain, rx.interval(7)),
    "flatmap": lambda s: s.through(pipe.flatmap(lambda x: rx.interval(x + 1))),
    "switchmap": lambda s: s.through(pipe.switchmap(lambda x: rx.interval(0.3))),
    "timeout": lambda s: s.through(pipe.timeout(100)),
    "spaceout": lambda s: s.through(pipe.spaceout(3)),
    "chunks": lambda s: s.through(stream.chunks, 4),
    "cycle": lambda s: s.take(2).through(stream.cycle),
    "as a source": lambda s: rx.from_async_iterable(stream.merge(s, rx.interval(7).share())),
    "both ways": lambda s: rx.from_async_iterable(
        stream.chunks(s.through(stream.merge, rx.interval(5)).buffer(2), 3)
    ).through(pipe.flatmap(lambda items: stream.iterate(items))),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.5, 9.0, 9.5])
async def test_our_cancellation_crosses_into_aiostream(
    virtual_time: VirtualTime, name: str, seconds: float
) -> None:
    probe = Probe(rx.interval(1))
    async with check_leaks():
        task = asyncio.ensure_future(ENDLESS[name](probe.stream.map(abs)).collect())
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert virtual_time.now == seconds
    probe.check()


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("buffered", [False, True])
async def test_leaving_closes_all_that_aiostream_holds(
    virtual_time: VirtualTime, name: str, buffered: bool
) -> None:
    probe = Probe(rx.interval(1))
    built = ENDLESS[name](probe.stream.buffer(2) if buffered else probe.stream)
    async with check_leaks():
        async with built.open() as items:
            for _ in range(3):
                await anext(items)
        probe.check()
        assert len(await built.take(2).collect()) == 2
        probe.check()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(built.filter(lambda x: False).collect(), 30)
        probe.check()
        async with rx.start(built.to(SinkProbe[Any]().sink)) as running:
            await asyncio.sleep(4.5)
            await running.stop(drain=name not in OTHER_RUNS)
        probe.check()


THEIRS: dict[str, Callable[[rx.Stream[int]], Any]] = {
    "merge": lambda s: stream.merge(s, rx.interval(7)),
    "merge of two runs": lambda s: stream.merge(s, s),
    "zip": lambda s: stream.zip(s, stream.count(interval=2)),
    "map": lambda s: stream.map(s, async_(halve), task_limit=2),
    "chunks": lambda s: stream.chunks(s, 3),
    "take": lambda s: stream.take(stream.chain(s.take(2), s), 50),
    "flatmap": lambda s: stream.flatmap(stream.count(interval=3), lambda _: s.take(3)),
    "switchmap": lambda s: stream.switchmap(stream.count(interval=3), lambda _: s),
    "timeout": lambda s: stream.timeout(s, 10),
    "regions": lambda s: stream.merge(s.buffer(1).map(halve, concurrency=3), s.share()),
}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.5, 9.0, 9.5])
async def test_their_cancellation_crosses_into_ours(
    virtual_time: VirtualTime, name: str, seconds: float
) -> None:
    if (name, seconds) == ("timeout", 9.0) and sys.version_info < (3, 12):
        pytest.skip("asyncio.wait_for swallows it when an item comes at that moment")
    probe = Probe(rx.interval(1))

    async def consume() -> None:
        async with THEIRS[name](probe.stream.map(abs)).stream() as streamer:
            async for _ in streamer:
                pass

    async with check_leaks():
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        probe.check()


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("count", [0, 1, 4])
async def test_when_aiostream_leaves_early_ours_is_closed(
    virtual_time: VirtualTime, name: str, count: int
) -> None:
    probe = Probe(rx.interval(1))
    async with check_leaks():
        async with THEIRS[name](probe.stream).stream() as streamer:
            for _ in range(count):
                await anext(streamer)
        probe.check()
        left = await stream.list(THEIRS[name](probe.stream) | pipe.take(count))
        assert len(left or []) == count
        probe.check()


async def test_failures_cross_both_ways(virtual_time: VirtualTime) -> None:
    error = OSError("gone")
    failing = rx.interval(1).take(2).concat(rx.fail(error))
    probe = Probe(rx.interval(1))
    async with check_leaks():
        for build in (
            lambda s: s.through(stream.chunks, 3),
            lambda s: s.through(stream.merge, probe.stream),
            lambda s: probe.stream.through(stream.merge, s),
            lambda s: rx.from_async_iterable(stream.merge(s, probe.stream)),
        ):
            with pytest.raises(OSError, match="gone") as caught:
                await build(failing).collect()
            assert caught.value is error
            probe.check()
        with pytest.raises(ZeroDivisionError) as divided:
            await probe.stream.through(pipe.map(lambda x: 1 // (x - 1))).collect()
        assert f"in operator through ({__file__}:" in divided.value.__notes__[0]
        probe.check()
        with pytest.raises(TimeoutError):
            await rx.never().through(pipe.timeout(3)).collect()


async def test_stopping_with_a_drain_ends_what_aiostream_reads(virtual_time: VirtualTime) -> None:
    sink = SinkProbe[Any]()
    async with rx.start(rx.interval(1).through(stream.chunks, 2).to(sink.sink)) as running:
        await asyncio.sleep(5.5)
        await running.stop(drain=True)
    assert sink.items == [[0, 1], [2, 3], [4]]
    assert sink.finishes == 1
