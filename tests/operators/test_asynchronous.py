"""map of async functions, on threads and on processes: order, bounds, errors, cleanup."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from catalogue import model_of
from feeds import Feed, check, controls, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Pause, Probe, scripted_source, slow_source
from reactive.testing.plugin import VirtualTime


class Tracked:
    """An async function that takes `delays[item]` seconds and counts the calls under way."""

    def __init__(self, delay: Callable[[Any], float] = lambda item: 1.0) -> None:
        self.delay = delay
        self.running = 0
        self.most = 0
        self.started: list[Any] = []
        self.cancelled = 0

    async def __call__(self, item: Any) -> Any:
        self.started.append(item)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay(item))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return item * 10


async def tenfold(x: int) -> int:
    return x * 10


async def varied(x: int) -> int:
    await asyncio.sleep(abs(x) % 3 * 0.0005)
    return x * 10


@given(feeds(), st.sampled_from([None, 1, 2, 5, 100]), st.sampled_from([tenfold, varied]))
@examples()
async def test_in_order_whatever_the_concurrency(
    feed: Feed, concurrency: int | None, fn: Callable[[int], Any]
) -> None:
    await check(
        lambda stream: stream.map(fn, concurrency=concurrency),
        feed,
        lambda pairs: [(item * 10, time) for item, time in pairs],
    )


@given(feeds(), st.sampled_from([1, 2, 5, 100]))
@examples()
async def test_as_completed_everything_comes_between_the_same_signals(
    feed: Feed, concurrency: int
) -> None:
    given = await signals(feed.stream.map(varied, concurrency=concurrency, ordered=False))
    assert controls(given) == feed.controls
    for own, expected in zip(sections(given), sections(feed.script), strict=True):
        wanted = [(item * 10, time) for item, time in pairs(expected)]
        assert sorted(pairs(own), key=repr) == sorted(wanted, key=repr)


def sections(script: Any) -> list[list[Any]]:
    """The chunks between control signals."""
    result: list[list[Any]] = [[]]
    for one in script:
        if isinstance(one, rx.Chunk):
            result[-1].append(one)
        else:
            result.append([])
    return result


async def test_results_leave_in_order_or_as_they_complete(virtual_time: VirtualTime) -> None:
    delays = {1: 3.0, 2: 1.0, 3: 2.0}
    for ordered, expected in (
        (True, [(10, 3.0), (20, 3.0), (30, 3.0)]),
        (False, [(20, 1.0), (30, 2.0), (10, 3.0)]),
    ):
        start, given = virtual_time.now, []
        async for item in rx.of(1, 2, 3).map(
            Tracked(delays.__getitem__), concurrency=3, ordered=ordered
        ):
            given.append((item, virtual_time.now - start))  # noqa: PERF401  the time counts
        assert given == expected


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_the_bound_is_held_and_used(
    virtual_time: VirtualTime, concurrency: int, ordered: bool
) -> None:
    fn = Tracked()
    stream = rx.range(28).map(fn, concurrency=concurrency, ordered=ordered)
    assert sorted(await stream.collect()) == [x * 10 for x in range(28)]
    assert fn.most == concurrency
    assert virtual_time.now == 28 / concurrency


async def test_a_slow_call_lets_only_as_many_finished_results_wait(
    virtual_time: VirtualTime,
) -> None:
    fn = Tracked(lambda item: 1000.0 if item == 0 else 1.0)
    probe = Probe(range(1000))
    async with probe.stream.map(fn, concurrency=5).open(rx.Settings(chunk=1)) as items:
        first = asyncio.ensure_future(anext(items))
        await asyncio.sleep(500)
        # One call is slow, and with it as many as twice the concurrency are in line.
        assert len(fn.started) == 10
        # Upstream has given what is in line, on the edge, and what waits for room there.
        assert probe.items <= 10 + 10 + 2
        assert await first == 0
    probe.check()


async def test_a_slow_consumer_lets_only_so_many_calls_start(virtual_time: VirtualTime) -> None:
    for ordered in (True, False):
        fn, probe = Tracked(lambda item: 0.1), Probe(range(1000))
        stream = probe.stream.map(fn, concurrency=3, ordered=ordered)
        async with stream.open(rx.Settings(chunk=1)) as items:
            for given in range(1, 6):
                await anext(items)
                await asyncio.sleep(100)
                assert len(fn.started) <= given + 2 * 3
                assert probe.items <= given + 2 * 3 + 2 * 3 + 2
        probe.check()


async def test_a_thousand_calls_at_once_overlap(virtual_time: VirtualTime) -> None:
    assert await rx.range(3000).map(Tracked(), concurrency=1000).count() == 3000
    assert virtual_time.now == 3


@pytest.mark.parametrize("options", [{}, {"concurrency": 3}, {"concurrency": 3, "ordered": False}])
async def test_a_result_does_not_wait_for_the_next_item(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    source = scripted_source([rx.Chunk([1]), Pause(100), rx.Chunk([2])])
    given = []
    async for item in source.map(Tracked(), **options):
        given.append((item, virtual_time.now))  # noqa: PERF401  the time counts
    # One at a time, the source is asked again after the first call.
    assert given == [(10, 1.0), (20, 101.0 if options else 102.0)]


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"concurrency": 2, "ordered": False}])
async def test_of_nothing_comes_nothing(options: dict[str, Any]) -> None:
    assert await rx.empty().map(tenfold, **options).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await rx.fail(error).map(tenfold, **options).collect()
    assert caught.value is error


async def inverse(x: int) -> int:
    await asyncio.sleep(0.1 * x)
    return 60 // (3 - x)


@pytest.mark.parametrize("options", [{}, {"concurrency": 8}, {"concurrency": 8, "ordered": False}])
async def test_a_failing_call_comes_after_what_was_before_it(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    given = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in rx.range(8).map(inverse, **options):
            given.append(item)  # noqa: PERF401
    assert given == [20, 30, 60]
    (note,) = caught.value.__notes__
    assert note.startswith("in operator map (")
    assert f"{__file__}:" in note


async def test_a_failure_cancels_the_other_calls_and_waits_for_them(
    virtual_time: VirtualTime,
) -> None:
    fn = Tracked(lambda item: 50.0)

    async def failing(item: int) -> Any:
        if item == 3:
            await asyncio.sleep(1)
            raise OSError("three")
        try:
            return await fn(item)
        finally:
            await asyncio.sleep(2)

    with pytest.raises(OSError, match="three"):
        await rx.range(8).map(failing, concurrency=5, ordered=False).collect()
    assert (fn.cancelled, fn.running) == (4, 0)
    assert virtual_time.now == 3


async def test_in_order_an_early_failure_waits_for_its_turn(virtual_time: VirtualTime) -> None:
    async def fn(item: int) -> int:
        if item == 1:
            raise OSError("one")
        await asyncio.sleep(5)
        return item

    given = []
    with pytest.raises(OSError, match="one"):
        async for item in rx.range(4).map(fn, concurrency=4):
            given.append((item, virtual_time.now))  # noqa: PERF401
    assert given == [(0, 5.0)]


@pytest.mark.parametrize("options", [{}, {"concurrency": 4}, {"concurrency": 4, "ordered": False}])
async def test_leaving_cancels_the_calls_under_way(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    fn, probe = Tracked(lambda item: 1.0 if item == 0 else 99.0), Probe(range(100))
    async with probe.stream.map(fn, **options).open() as items:
        assert await anext(items) == 0
    assert fn.running == 0
    assert fn.cancelled == (3 if options else 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await probe.stream.skip(1).map(fn, **options).collect()
    assert fn.running == 0
    probe.check()


async def test_a_failing_source_lets_the_calls_before_it_finish(virtual_time: VirtualTime) -> None:
    for ordered in (True, False):
        given = []
        source = scripted_source([rx.Chunk([1, 2, 3]), OSError("gone")])
        with pytest.raises(OSError, match="gone"):
            async for item in source.map(Tracked(), concurrency=2, ordered=ordered):
                given.append(item)  # noqa: PERF401
        assert given == [10, 20, 30]


async def test_a_failing_replacement_comes_after_what_was_before_it() -> None:
    def replacement(item: int, error: Exception) -> int:
        raise LookupError(f"no replacement for {item}")

    async def failing(item: int) -> int:
        if item == 3:
            raise OSError("three")
        return item

    for options in ({}, {"concurrency": 8}, {"concurrency": 8, "ordered": False}):
        stream = rx.range(8).map(failing, on_error=rx.replace_with(replacement), **options)
        given = []
        with pytest.raises(LookupError, match="no replacement for 3") as caught:
            async for item in stream:
                given.append(item)  # noqa: PERF401
        assert given == [0, 1, 2]
        assert f"in operator map ({__file__}:" in caught.value.__notes__[0]


async def test_a_plain_function_may_be_awaited_with_a_concurrency() -> None:
    assert await rx.of(1, 2).map(lambda x: tenfold(x), concurrency=1).collect() == [10, 20]
    assert await rx.of(1, 2).map(lambda x: tenfold(x), concurrency=2).collect() == [10, 20]
    for concurrency in (1, 2):
        with pytest.raises(TypeError, match="await"):
            await rx.of(1).map(lambda x: x, concurrency=concurrency).collect()  # type: ignore


async def test_async_callables_and_partials_are_awaited() -> None:
    import functools

    async def add(a: int, b: int) -> int:
        return a + b

    class Adder:
        async def __call__(self, x: int) -> int:
            return x + 1

        async def method(self, x: int) -> int:
            return x + 2

    assert await rx.of(1).map(functools.partial(add, 5)).collect() == [6]
    assert await rx.of(1).map(Adder()).collect() == [2]
    assert await rx.of(1).map(Adder().method).collect() == [3]


async def test_calls_in_flight_are_counted(virtual_time: VirtualTime) -> None:
    fn = Tracked()
    async with rx.start(slow_source(range(9), 0.25).map(fn, concurrency=9).to(Discard())) as run:
        await asyncio.sleep(2.1)
        assert run.metrics()["map"].gauges["in_flight"] == 4
        assert fn.running == 4
        await run.wait()


class Discard(rx.Sink[Any]):
    """Takes everything and keeps nothing."""

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _DiscardWriter()


class _DiscardWriter(rx.Writer[Any]):
    async def write(self, chunk: rx.Chunk[Any]) -> None:
        pass


def test_wrong_arguments_are_refused_at_once() -> None:
    stream = rx.of(1)
    for concurrency in (0, -1):
        with pytest.raises(ValueError, match="concurrency must be at least 1, not"):
            stream.map(tenfold, concurrency=concurrency)
    for wrong in (1.5, "3", True):
        with pytest.raises(TypeError, match="concurrency must be a whole number, not"):
            stream.map(tenfold, concurrency=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='on must be "loop", "thread" or "process", not \'gpu\''):
        stream.map(abs, on="gpu")  # type: ignore[call-overload]
    for on in ("thread", "process"):
        with pytest.raises(TypeError, match=rf'map\(on="{on}"\) takes a plain function'):
            stream.map(tenfold, on=on)


@pytest.mark.parametrize(
    "options",
    [{}, {"concurrency": 50}, {"concurrency": 50, "ordered": False}, {"on_error": "skip"}],
)
async def test_functions_that_never_wait_let_the_loop_run(options: dict[str, Any]) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def at_once(x: int) -> int:
        return 1 // (x % 2) if "on_error" in options else x

    beside = asyncio.ensure_future(other())
    await rx.range(20_000).map(at_once, **options).filter(lambda x: False).collect()
    beside.cancel()
    assert turns >= 20


# Threads


@model_of("map")
@given(feeds(), st.sampled_from([None, 1, 3]), st.booleans())
@examples(20)
async def test_on_threads(feed: Feed, concurrency: int | None, ordered: bool) -> None:
    stream = feed.stream.map(
        lambda x: x * 10, on="thread", concurrency=concurrency, ordered=ordered
    )
    given = await signals(stream)
    wanted = [(item * 10, time) for item, time in feed.pairs]
    assert controls(given) == feed.controls
    if ordered:
        assert pairs(given) == wanted
    else:
        assert sorted(pairs(given), key=repr) == sorted(wanted, key=repr)


async def test_threads_overlap_up_to_the_bound_and_end_with_the_run() -> None:
    together = threading.Barrier(3, timeout=10)
    names: set[str] = set()

    def meet(x: int) -> int:
        names.add(threading.current_thread().name)
        together.wait()
        return x

    assert await rx.range(9).map(meet, on="thread", concurrency=3).named("meet").collect() == [
        *range(9)
    ]
    assert len(names) == 3
    assert all(name.startswith("reactive meet") for name in names)
    assert not [thread for thread in threading.enumerate() if thread.name in names]


async def test_the_loop_runs_while_threads_work() -> None:
    gate = threading.Event()

    def blocking(x: int) -> int:
        gate.wait(10)
        return x

    waiting = asyncio.ensure_future(rx.range(3).map(blocking, on="thread").collect())
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not waiting.done()
    gate.set()
    assert await waiting == [0, 1, 2]


async def test_closing_waits_for_the_call_a_thread_is_in() -> None:
    started, gate, ended = threading.Event(), threading.Event(), []

    def blocking(x: int) -> int:
        if x == 0:
            return x
        started.set()
        gate.wait(10)
        ended.append(x)
        return x

    async with rx.range(50).map(blocking, on="thread", concurrency=1).open() as items:
        assert await anext(items) == 0
        await asyncio.to_thread(started.wait, 10)
        asyncio.get_running_loop().call_later(0.02, gate.set)
    assert ended == [1]


@pytest.mark.parametrize("on", ["thread", "process"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_failures_on_threads_and_processes(on: Any, ordered: bool) -> None:
    given = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in rx.of(1, 2, 0).map(
            lambda x: 10 // x, on=on, concurrency=1, ordered=ordered
        ):
            given.append(item)  # noqa: PERF401
    assert given == [10, 5]
    assert f"in operator map ({__file__}:" in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("options", [{}, {"on": "thread"}, {"on": "process", "concurrency": 1}])
async def test_a_stray_stop_iteration_is_a_failure(options: dict[str, Any]) -> None:
    stream = rx.range(3).map(lambda x: next(iter(())), **options)
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        await asyncio.wait_for(stream.collect(), 30)
    assert isinstance(caught.value.__cause__, StopIteration)
    skipped = rx.range(3).map(lambda x: next(iter([7] * (x == 1))), on_error="skip", **options)
    assert await asyncio.wait_for(skipped.collect(), 30) == [7]


async def test_a_thread_sees_the_callers_context() -> None:
    request = contextvars.ContextVar("request", default="none")
    request.set("r-17")
    stream = rx.range(2).map(lambda x: request.get(), on="thread")
    assert await stream.collect() == ["r-17"] * 2


# Processes


async def test_on_processes_everything_pickles_lambdas_included() -> None:
    offset = 7
    stream = rx.range(6).map(lambda x: (x + offset, os.getpid()), on="process", concurrency=2)
    given = await stream.collect()
    assert [item for item, _ in given] == [x + 7 for x in range(6)]
    pids = {pid for _, pid in given}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_processes_end_when_the_consumer_leaves() -> None:
    def work(x: int) -> int:
        if x > 0:
            time.sleep(60)
        return os.getpid()

    before = time.monotonic()
    async with rx.range(9).map(work, on="process", concurrency=2).open() as items:
        pid = await anext(items)
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - before < 30


class Custom(Exception):
    """Does not unpickle by itself."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first


async def test_a_users_exception_comes_back_from_a_process_as_it_was() -> None:
    class Local(Exception):
        pass

    def fail(x: int) -> int:
        if x == 0:
            raise Local("zero", 0)
        raise Custom(x, 2)

    with pytest.raises(Local) as caught:
        await rx.of(0).map(fail, on="process", concurrency=1).collect()
    assert caught.value.args == ("zero", 0)
    notes = "\n".join(caught.value.__notes__)
    assert "in the worker process" in notes
    assert "in fail" in notes
    with pytest.raises((Custom, RuntimeError), match="1 and 2"):
        await rx.of(1).map(fail, on="process", concurrency=1).collect()
    assert await rx.of(1, 0).map(fail, on="process", on_error="skip").collect() == []


async def test_what_does_not_pickle_is_said_so() -> None:
    lock = threading.Lock()
    with pytest.raises(TypeError, match="the function does not pickle"):
        await rx.of(1).map(lambda x: lock, on="process").collect()
    with pytest.raises(TypeError, match="pickle") as caught:
        await rx.of(lock).map(lambda x: 1, on="process", concurrency=1).collect()
    assert "the item has to pickle" in "\n".join(caught.value.__notes__)
    with pytest.raises(TypeError, match="pickle") as caught:
        await rx.of(1).map(lambda x: (i for i in [x]), on="process", concurrency=1).collect()
    assert "the result has to pickle" in "\n".join(caught.value.__notes__)


async def test_a_worker_that_dies_is_said_so() -> None:
    with pytest.raises(RuntimeError, match="a worker process died") as caught:
        await rx.of(1, 2).map(lambda x: os._exit(3), on="process", concurrency=1).collect()
    assert f"{__file__}:" in str(caught.value)


async def test_an_interrupt_of_the_group_does_not_kill_the_workers() -> None:
    def work(x: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return x

    assert await rx.range(3).map(work, on="process", concurrency=1).collect() == [0, 1, 2]


async def test_times_stay_with_their_items_on_processes() -> None:
    stream = feed_of(1, 2, 3, times=[7, 8, 9]).stream
    given = await signals(stream.map(lambda x: -x, on="process", concurrency=2))
    assert pairs(given) == [(-1, 7), (-2, 8), (-3, 9)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from 3.12 on")
@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"by": lambda x: x % 2}])
async def test_calls_that_are_done_as_they_start(options: Any, virtual_time: VirtualTime) -> None:
    async def done(item: int) -> int:
        if item == 3:
            raise ValueError(item)
        return item

    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    stream = rx.range(8).map(done, concurrency=2, on_error="skip", **options)
    async with asyncio.timeout(1):
        assert sorted(await stream.collect()) == [0, 1, 2, 4, 5, 6, 7]


MISUSES: dict[str, Callable[[Any], rx.Stream[Any]]] = {
    "awaitables where none are awaited": lambda policy: rx.of(1, 2).map(
        lambda x: asyncio.sleep(0, x), on_error=policy
    ),
    "no awaitables where they are": lambda policy: rx.of(1, 2).map(
        lambda x: x, concurrency=2, on_error=policy
    ),
    "none, one at a time": lambda policy: rx.of(1, 2).map(
        lambda x: x, concurrency=1, on_error=policy
    ),
    "none, tried again": lambda policy: rx.of(1, 2).map(
        lambda x: x, concurrency=2, retry=rx.Backoff(initial=0), on_error=policy
    ),
}


@pytest.mark.parametrize("name", MISUSES)
@pytest.mark.parametrize("policy", ["skip", rx.replace(0), rx.SideOutput[Any]("bad")])
async def test_no_policy_covers_a_function_of_the_wrong_kind(name: str, policy: Any) -> None:
    with pytest.raises(rx.MisusedFunctionError, match="await"):
        await MISUSES[name](policy).collect()
