"""of, from_iterable, from_async_iterable, range, interval, timer, unfold, empty, never, fail,
defer, using, from_source."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import itertools
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import structlog.testing
from feeds import examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.metrics import Meter
from reactive.operator import SourceOperator
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

lists = st.lists(st.integers(), max_size=100)


@given(lists, st.integers(1, 50), st.booleans())
@examples(30)
async def test_from_iterable_gives_what_iterating_gives(
    items: list[int], chunk: int, thread: bool
) -> None:
    settings = rx.Settings(chunk=chunk)
    makers: list[Callable[[], Any]] = [
        lambda: items,
        lambda: tuple(items),
        lambda: iter(items),
        lambda: (item for item in items),
        lambda: dict.fromkeys(items),
    ]
    for make in makers:
        expected = list(make())
        given = await signals(rx.from_iterable(make(), thread=thread), settings)
        assert [item for item, _ in pairs(given)] == expected
        assert all(len(one) <= chunk for one in given if isinstance(one, rx.Chunk))


@given(st.lists(st.integers(), max_size=20))
@examples(20)
async def test_of_gives_its_arguments(items: list[int]) -> None:
    assert await rx.of(*items).collect() == items


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5).filter(bool))
@examples(100)
async def test_range_is_pythons(start: int, stop: int, step: int) -> None:
    assert await rx.range(start).collect() == list(builtins.range(start))
    assert await rx.range(start, stop).collect() == list(builtins.range(start, stop))
    assert await rx.range(start, stop, step).collect() == list(builtins.range(start, stop, step))
    assert await rx.range(stop, step=step).collect() == list(builtins.range(0, stop, step))


async def test_from_iterable_is_lazy_and_reads_ahead_no_more_than_it_gave() -> None:
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        for taken in itertools.count(1):  # noqa: UP028  `taken` is looked at
            yield taken

    async with rx.from_iterable(count()).open() as items:
        assert taken == 0
        for given in range(1, 100):
            await anext(items)
            assert taken <= 2 * given


@pytest.mark.parametrize("thread", [False, True])
async def test_a_generator_is_closed_where_it_was_read(thread: bool) -> None:
    threads: list[Any] = []

    def numbers() -> Iterator[int]:
        threads.append(threading.current_thread())
        try:
            yield from itertools.count()
        finally:
            threads.append(threading.current_thread())

    assert await rx.from_iterable(numbers(), thread=thread).take(3).collect() == [0, 1, 2]
    first, last = threads
    assert first is last
    assert (first is threading.main_thread()) is not thread
    assert not thread or not first.is_alive()


@pytest.mark.parametrize("thread", [False, True])
async def test_what_came_before_a_failing_iterable_is_delivered(thread: bool) -> None:
    error = OSError("gone")

    def numbers() -> Iterator[int]:
        yield from range(5)
        raise error

    given = []
    with pytest.raises(OSError, match="gone") as caught:
        async for item in rx.from_iterable(numbers(), thread=thread):
            given.append(item)  # noqa: PERF401
    assert given == [0, 1, 2, 3, 4]
    assert caught.value is error
    assert f"in operator from_iterable ({__file__}:" in error.__notes__[0]


@pytest.mark.parametrize("thread", [False, True])
async def test_an_iterator_serves_one_run(thread: bool) -> None:
    stream = rx.from_iterable(iter([1, 2]), thread=thread)
    assert await stream.collect() == [1, 2]
    with pytest.raises(rx.SourceConsumedError, match=r"can be iterated only once.*rx\.defer"):
        await stream.collect()
    again = rx.from_iterable([1, 2], thread=thread)
    assert await again.collect() == await again.collect() == [1, 2]


async def test_a_blocking_iterable_in_a_thread_does_not_hold_the_loop() -> None:
    items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    stream = rx.from_iterable(iter(items.get, None), thread=True)
    async with stream.open() as given:
        for number in range(5):
            waiting = asyncio.ensure_future(anext(given))
            await asyncio.sleep(0.001)
            assert not waiting.done()
            items.put(number)
            assert await waiting == number
        items.put(None)
        with pytest.raises(StopAsyncIteration):
            await anext(given)


async def test_a_slow_iterable_in_a_thread_gives_each_item_when_it_is_there() -> None:
    gate = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        time.sleep(0.02)
        yield 2
        gate.wait(10)
        yield 3

    async with rx.from_iterable(numbers(), thread=True).open() as given:
        assert [await anext(given), await anext(given)] == [1, 2]
        gate.set()
        assert await anext(given) == 3


@pytest.mark.parametrize("thread", [False, True])
async def test_a_failing_close_of_an_iterable_surfaces(thread: bool) -> None:
    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            raise OSError("close failed")

    with pytest.raises(OSError, match="close failed"):
        await rx.from_iterable(numbers(), thread=thread).take(3).collect()


@pytest.mark.allow_leaks("thread")
async def test_a_thread_that_blocks_for_ever_is_left_behind_with_a_warning() -> None:
    gate = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        gate.wait(30)

    with structlog.testing.capture_logs() as events:
        assert await rx.from_iterable(numbers(), thread=True).take(1).collect() == [1]
        assert events == []
        async with rx.from_iterable(numbers(), thread=True).open() as items:
            assert await anext(items) == 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(items), 0.01)
    gate.set()
    (event,) = events
    assert event["event"] == "thread_left_behind"
    assert event["operator"].startswith("from_iterable (")


def reader_of(stream: rx.Stream[Any]) -> rx.Reader[Any]:
    operator = stream.node.operator
    assert isinstance(operator, SourceOperator)
    return operator.source.reader(rx.Context("test", None, rx.Settings(), Meter("test")))


async def test_a_cancelled_read_of_a_clock_loses_no_tick(virtual_time: VirtualTime) -> None:
    for stream in (rx.timer(10), rx.interval(10)):
        start = virtual_time.now
        reader = reader_of(stream)
        await reader.open()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(9), 3)
        assert await reader.read(9) == rx.Chunk([0])
        assert virtual_time.now == start + 10
        await reader.close()


async def test_a_cancelled_read_of_a_thread_loses_no_item() -> None:
    items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    reader = reader_of(rx.from_iterable(iter(items.get, None), thread=True))
    await reader.open()
    for number in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(9), 0.002)
        items.put(number)
        assert await reader.read(9) == rx.Chunk([number])
    items.put(None)
    assert await reader.read(9) is None
    await reader.close()


async def test_a_slow_iterable_is_taken_in_small_pieces() -> None:
    def slow() -> Iterator[int]:
        for number in range(60):
            time.sleep(0.002)
            yield number

    given = await signals(rx.from_iterable(slow()))
    assert max(len(one) for one in given if isinstance(one, rx.Chunk)) <= 4


def test_what_cannot_be_iterated_is_refused_at_once() -> None:
    async def agen() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="cannot iterate int; pass a list, a generator"):
        rx.from_iterable(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"async_generator; use rx\.from_async_iterable"):
        rx.from_iterable(agen())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cannot iterate list with.*use rx\.from_iterable"):
        rx.from_async_iterable([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot iterate int with `async for`"):
        rx.from_async_iterable(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"from_source needs a .*Source, not 5"):
        rx.from_source(5)  # type: ignore[arg-type]


async def counted(count: int, log: list[str]) -> AsyncIterator[int]:
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")


async def test_from_async_iterable_gives_what_iterating_gives() -> None:
    log: list[str] = []
    assert await rx.from_async_iterable(counted(100, log)).collect() == [*range(100)]
    assert log == ["closed"]
    assert await rx.from_async_iterable(counted(100, log)).take(3).collect() == [0, 1, 2]
    assert log == ["closed"] * 2


async def test_an_async_iterator_serves_one_run() -> None:
    stream = rx.from_async_iterable(counted(2, []))
    assert await stream.collect() == [0, 1]
    with pytest.raises(rx.SourceConsumedError, match="can be iterated only once"):
        await stream.collect()


async def test_an_async_iterable_is_asked_only_when_an_item_is_wanted() -> None:
    asked = 0

    async def numbers() -> AsyncIterator[int]:
        nonlocal asked
        for asked in itertools.count(1):
            yield asked

    async with rx.from_async_iterable(numbers()).map(str).open() as items:
        for number in range(1, 10):
            assert await anext(items) == str(number)
            assert asked == number


async def test_from_an_asyncio_queue(virtual_time: VirtualTime) -> None:
    waiting: asyncio.Queue[int] = asyncio.Queue()
    for number in range(5):
        waiting.put_nowait(number)
    asyncio.get_running_loop().call_later(3, waiting.put_nowait, 5)
    given = []
    async for item in rx.from_async_iterable(waiting).take(6):
        given.append((item, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (5, 3.0)]
    assert waiting.empty()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues are shut down from 3.13 on")
async def test_a_queue_that_is_shut_down_completes() -> None:
    waiting: asyncio.Queue[int] = asyncio.Queue()
    waiting.put_nowait(1)
    waiting.shutdown()  # type: ignore[attr-defined]
    assert await rx.from_async_iterable(waiting).collect() == [1]


async def test_from_an_aiostream_stream() -> None:
    from aiostream import stream

    assert await rx.from_async_iterable(stream.range(5)).map(str).collect() == list("01234")
    again = rx.from_async_iterable(stream.count()).take(3)
    assert await again.collect() == await again.collect() == [0, 1, 2]


async def test_interval_counts_periods_without_drift(virtual_time: VirtualTime) -> None:
    given = []
    async for tick in rx.interval(0.5).take(5):
        given.append((tick, virtual_time.now))
        await asyncio.sleep(0.2)
    assert given == [(0, 0.5), (1, 1.0), (2, 1.5), (3, 2.0), (4, 2.5)]


async def test_interval_leaves_out_ticks_that_passed(virtual_time: VirtualTime) -> None:
    given = []
    async for tick in rx.interval(1).take(4):
        given.append((tick, virtual_time.now))
        await asyncio.sleep(2.5)
    assert given == [(0, 1.0), (2, 3.5), (5, 6.0), (7, 8.5)]


async def test_timer_gives_zero_once(virtual_time: VirtualTime) -> None:
    assert await rx.timer(2.5).collect() == [0]
    assert virtual_time.now == 2.5
    assert await rx.timer(0).collect() == [0]
    assert virtual_time.now == 2.5


def test_wrong_times_are_refused_at_once() -> None:
    for period in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="interval needs a period above 0 seconds, not"):
            rx.interval(period)
    for delay in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="timer needs a delay of 0 seconds or more, not"):
            rx.timer(delay)
    for wrong in ("1", None, True):
        with pytest.raises(TypeError, match=r"interval needs a period in seconds, not"):
            rx.interval(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="range"):
        rx.range(1, 2, 0)
    with pytest.raises(TypeError):
        rx.range("a")  # type: ignore[arg-type]


@given(st.integers(1, 50), st.integers(1, 60))
@examples(30)
async def test_unfold(seed: int, limit: int) -> None:
    def double(n: int) -> tuple[str, int] | None:
        return (str(n), 2 * n) if n < limit else None

    expected, n = [], seed
    while n < limit:
        expected.append(str(n))
        n *= 2
    stream = rx.unfold(seed, double)
    assert await stream.collect() == await stream.collect() == expected


async def test_unfold_may_be_endless() -> None:
    assert await rx.unfold(0, lambda n: (n, n + 1)).skip(1000).take(2).collect() == [1000, 1001]


async def test_empty_never_and_fail(virtual_time: VirtualTime) -> None:
    assert await rx.empty().collect() == []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1e6):
            await rx.never().collect()
    error = ValueError("no")
    failing = rx.fail(error)
    for _ in range(2):
        with pytest.raises(ValueError, match="no") as caught:
            await failing.collect()
        assert caught.value is error
    with pytest.raises(TypeError, match="fail needs an exception, not <class 'ValueError'>"):
        rx.fail(ValueError)  # type: ignore[arg-type]


async def test_a_failure_raised_in_many_runs_does_not_grow() -> None:
    error = ValueError("no")
    for _ in range(5):
        with pytest.raises(ValueError, match="no"):
            await rx.fail(error).map(str).collect()
    assert len(error.__notes__) <= 5
    failing = rx.fail(ValueError("no"))
    for _ in range(5):
        with pytest.raises(ValueError, match="no") as caught:
            await failing.collect()
    assert len(caught.value.__notes__) == 1


async def test_defer_takes_a_terminal_as_the_stream_it_is() -> None:
    assert await rx.defer(lambda: rx.of(1, 2, 3).count()).collect() == [3]


async def test_defer_makes_a_stream_for_each_run() -> None:
    made = itertools.count()
    stream = rx.defer(lambda: rx.of(next(made)))
    assert await stream.collect() == [0]
    assert await stream.collect() == [1]

    async def later() -> rx.Stream[int]:
        await asyncio.sleep(0)
        return rx.of(next(made))

    assert await rx.defer(later).map(str).collect() == ["2"]


async def test_defer_takes_a_single_result_for_a_stream() -> None:
    assert await rx.defer(lambda: rx.range(4).sum()).collect() == [6]

    async def later() -> rx.Stream[int]:
        return rx.range(4).sum()

    assert await rx.defer(later).collect() == [6]


async def test_defer_makes_nothing_before_its_turn() -> None:
    made: list[int] = []

    def make() -> rx.Stream[int]:
        made.append(1)
        return rx.of(2)

    stream = rx.of(1).concat(rx.defer(make))
    assert await stream.take(1).collect() == [1]
    assert made == []
    assert await stream.collect() == [1, 2]
    assert made == [1]


async def test_what_defer_makes_must_be_a_stream() -> None:
    with pytest.raises(TypeError, match="expected a Stream, got list; wrap it") as caught:
        await rx.defer(lambda: [1]).collect()  # type: ignore[arg-type, return-value]
    assert f"in operator defer ({__file__}:" in caught.value.__notes__[0]
    with pytest.raises(ZeroDivisionError) as caught_too:
        await rx.defer(lambda: 1 / 0).collect()  # type: ignore[arg-type, return-value]
    assert f"in operator defer ({__file__}:" in caught_too.value.__notes__[0]


class Resource:
    """A context manager that remembers how it was left."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __enter__(self) -> list[int]:
        self.log.append("entered")
        return [1, 2, 3]

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        self.log.append(error)
        return True


class AsyncResource(Resource):
    """The same, async."""

    __enter__ = None  # type: ignore[assignment]
    __exit__ = None  # type: ignore[assignment]

    async def __aenter__(self) -> list[int]:
        await asyncio.sleep(0)
        return Resource.__enter__(self)

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        await asyncio.sleep(0)
        return Resource.__exit__(self, kind, error, traceback)


@pytest.mark.parametrize("kind", [Resource, AsyncResource])
async def test_using_leaves_the_resource_after_the_stream(kind: Callable[..., Any]) -> None:
    log: list[Any] = []
    stream = rx.using(lambda: kind(log), rx.from_iterable)
    assert log == []
    assert await stream.collect() == [1, 2, 3]
    assert log == ["entered", None]
    assert await stream.take(1).collect() == [1]
    assert log == ["entered", None] * 2


@pytest.mark.parametrize("kind", [Resource, AsyncResource])
async def test_using_tells_the_resource_what_failed(kind: Callable[..., Any]) -> None:
    log: list[Any] = []
    stream = rx.using(lambda: kind(log), lambda items: rx.from_iterable(items).map(lambda x: 1 / 0))
    with pytest.raises(ZeroDivisionError) as caught:
        await stream.collect()
    assert log == ["entered", caught.value]

    def broken(items: Any) -> rx.Stream[int]:
        raise OSError("no stream")

    with pytest.raises(OSError, match="no stream") as failed:
        await rx.using(lambda: kind(log), broken).collect()
    assert log[2:] == ["entered", failed.value]


async def test_using_closes_the_stream_before_the_resource(virtual_time: VirtualTime) -> None:
    order: list[str] = []

    @contextlib.asynccontextmanager
    async def resource() -> AsyncIterator[int]:
        yield 5
        order.append("resource")

    probe = Probe(rx.interval(1))

    def watch(count: int) -> rx.Stream[int]:
        return probe.stream.take(count)

    stream = rx.using(resource, watch)
    async with stream.open() as items:
        await anext(items)
    assert (probe.closes, order) == (1, ["resource"])
    probe.check()


async def test_using_needs_context_managers() -> None:
    with pytest.raises(TypeError, match="using needs a function that gives a context manager"):
        await rx.using(lambda: 5, rx.from_iterable).collect()  # type: ignore[arg-type,return-value]


async def test_a_resource_that_cannot_be_entered_fails_the_stream() -> None:
    class Broken(Resource):
        def __enter__(self) -> list[int]:
            raise OSError("cannot enter")

    log: list[Any] = []
    with pytest.raises(OSError, match="cannot enter"):
        await rx.using(lambda: Broken(log), rx.from_iterable).collect()
    assert log == []


def test_wrong_functions_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="defer needs a function, not int 5"):
        rx.defer(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="using needs a function, not int 5"):
        rx.using(5, rx.from_iterable)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="using needs a function, not int 5"):
        rx.using(lambda: Resource([]), 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unfold needs a function, not int 5"):
        rx.unfold(1, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unfold takes a plain function"):
        rx.unfold(1, asyncio.sleep)  # type: ignore[arg-type]


async def test_sources_say_whether_they_end() -> None:
    def ends(stream: rx.Stream[Any]) -> bool:
        return "unbounded" not in str(stream.explain()).splitlines()[0]

    for stream in (rx.of(1), rx.range(3), rx.empty(), rx.timer(1), rx.fail(OSError())):
        assert ends(stream)
    for stream in (rx.interval(1), rx.never(), rx.Subject[int]()):
        assert not ends(stream)
