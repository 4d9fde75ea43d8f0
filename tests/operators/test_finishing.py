"""on_complete, on_error, finally_: called when they have to be, in order, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import structlog.testing
from catalogue import model_of
from feeds import Feed, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, stream_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import End, Failure, MarbleError, Probe, failing_source, run
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[Any]]:
    """The warnings are looked at, not printed."""
    with structlog.testing.capture_logs() as events:
        yield events


class Calls:
    """A function that notes its calls, and what it is told, at their times."""

    def __init__(self, seconds: float | None = None, error: Exception | None = None) -> None:
        self.times: list[float] = []
        self.told: list[Any] = []
        self.done = 0
        self._seconds = seconds
        self._error = error

    def __call__(self, *args: Any) -> Any:
        self.times.append(asyncio.get_running_loop().time())
        self.told += args
        if self._seconds is not None:
            return self._later(self._seconds)
        return self._finish()

    async def _later(self, seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return self._finish()

    def _finish(self) -> str:
        self.done += 1
        if self._error is not None:
            raise self._error
        return "of no interest"


BUILDS: dict[str, Callable[[rx.Stream[Any], Any], rx.Stream[Any]]] = {
    "on_complete": lambda stream, fn: stream.on_complete(fn),
    "on_error": lambda stream, fn: stream.on_error(fn),
    "finally_": lambda stream, fn: stream.finally_(fn),
}
CALLED_ON: dict[str, tuple[type[Event[Any]], ...]] = {
    "on_complete": (End,),
    "on_error": (Failure,),
    "finally_": (End, Failure),
}


@model_of("on_complete", "on_error")
@given(feeds(), st.sampled_from(sorted(BUILDS)))
@examples(20)
async def test_items_and_signals_pass(feed: Feed, kind: str) -> None:
    await check(lambda stream: BUILDS[kind](stream, Calls()), feed, lambda pairs: pairs)


@model_of("on_complete", "on_error", "finally_")
@given(timelines(), st.sampled_from(sorted(BUILDS)), st.sampled_from([None, 0, 2.5]))
@examples()
def test_the_end_waits_for_the_call(timeline: Timeline, kind: str, seconds: float | None) -> None:
    calls = Calls(seconds)

    def model(timeline: Timeline) -> list[Event[Any]]:
        (ending,) = ending_of(timeline)
        later = ending.time + (seconds or 0) * isinstance(ending, CALLED_ON[kind])
        ended = End(later) if isinstance(ending, End) else Failure(later, ending.error)
        return [*items_of(timeline), ended]

    check_times(lambda stream: BUILDS[kind](stream, calls), [timeline], model)
    (ending,) = ending_of(timeline)
    called = isinstance(ending, CALLED_ON[kind])
    assert calls.times == [ending.time] * called
    assert calls.done == called
    assert calls.told == ([ending.error] if kind == "on_error" and called else [])


@model_of("on_error")
@given(timelines(), st.sampled_from([MarbleError, Exception, OSError, (OSError, MarbleError)]))
@examples()
def test_only_the_errors_that_are_meant(timeline: Timeline, on: Any) -> None:
    calls = Calls()
    check_times(lambda stream: stream.on_error(calls, on=on), [timeline], lambda same: same)
    (ending,) = ending_of(timeline)
    meant = isinstance(ending, Failure) and isinstance(ending.error, on)
    assert calls.told == ([ending.error] if meant else [])


@model_of("finally_")
@given(timelines(endless=True), st.integers(0, 40), st.booleans())
@examples()
def test_finally_is_called_once_however_a_run_ends(
    timeline: Timeline, moment: int, by_cancelling: bool
) -> None:
    """Cancelled, or left after the item that comes first after a moment."""
    calls = Calls(0.5)

    async def main() -> None:
        stream = stream_of(timeline).finally_(calls)
        if by_cancelling:
            async with asyncio.timeout(moment + 0.25):
                await stream.collect()
        else:
            async with stream.open() as items:
                async for _ in items:
                    if asyncio.get_running_loop().time() >= moment:
                        break

    if not by_cancelling and not ending_of(timeline):
        timeline = (*timeline, End(50))
    left = [item.time for item in items_of(timeline) if item.time >= moment]
    ended = [event.time for event in ending_of(timeline)]
    last = min([moment + 0.25, *ended] if by_cancelling else left[:1] + ended)
    try:
        run(main())
    except (TimeoutError, Exception) as error:
        assert isinstance(error, TimeoutError) or str(error) == "# of a timeline"
    assert calls.times == [last]
    assert calls.done == 1


async def test_what_never_began_is_not_finished(virtual_time: VirtualTime) -> None:
    calls = Calls()
    items = aiter(rx.of(1).finally_(calls))
    await items.aclose()  # type: ignore[attr-defined]
    assert await rx.of(1, 2).concat(rx.of(3).finally_(calls)).take(2).collect() == [1, 2]
    assert calls.times == []


async def test_what_failed_to_open_is_finished_and_told() -> None:
    gone = OSError("gone")

    async def open_feed() -> rx.Stream[int]:
        raise gone

    closing, told, completed = Calls(), Calls(), Calls()
    stream = rx.defer(open_feed).finally_(closing).on_complete(completed).on_error(told)
    with pytest.raises(OSError, match="gone") as caught:
        await stream.collect()
    assert caught.value is gone
    assert (completed.done, told.told, closing.done) == (0, [gone], 1)


@pytest.mark.parametrize("source", ["ends", "fails", "is left", "ends apart", "fails apart"])
async def test_finally_comes_when_upstream_is_closed(
    virtual_time: VirtualTime, source: str
) -> None:
    sources = {"ends": [1], "fails": failing_source([1], OSError()), "is left": rx.interval(1)}
    probe = Probe(sources[source.removesuffix(" apart")])
    stream = probe.stream.merge(rx.empty()) if "apart" in source else probe.stream
    active: list[int] = []
    with pytest.raises((TimeoutError, OSError, StopAsyncIteration)):
        async with (
            asyncio.timeout(2.5),
            stream.finally_(lambda: active.append(probe.active)).open() as items,
        ):
            while True:
                await anext(items)
    assert active == [0]
    probe.check()


async def test_finally_comes_before_what_follows_opens(virtual_time: VirtualTime) -> None:
    order: list[str] = []

    def opened() -> rx.Stream[int]:
        order.append("opened")
        return rx.of(2)

    stream = rx.of(1).finally_(lambda: order.append("closed")).concat(rx.defer(opened))
    assert await stream.collect() == [1, 2]
    assert order == ["closed", "opened"]


async def test_finallys_in_a_row_are_called_from_the_source_on() -> None:
    order: list[int] = []
    stream = rx.of(1)
    for number in range(3):
        stream = stream.finally_(lambda number=number: order.append(number))
    assert await stream.take(1).collect() == [1]
    assert order == [0, 1, 2]


async def test_every_attempt_is_finished(virtual_time: VirtualTime) -> None:
    calls = Calls()
    with pytest.raises(OSError, match="gone"):
        await failing_source([], OSError("gone")).finally_(calls).retry(2).collect()
    assert calls.done == 3


async def test_a_cancellation_does_not_interrupt_what_finishes(virtual_time: VirtualTime) -> None:
    for source in (rx.never(), rx.of(1), rx.interval(1).take(1)):
        calls = Calls(2)
        task = asyncio.ensure_future(source.finally_(calls).collect())
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls.done == 1


async def test_a_region_of_its_own_is_finished_too(virtual_time: VirtualTime) -> None:
    calls = Calls(2)
    stream = rx.interval(1).finally_(calls).buffer(3).merge(rx.never())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.5):
            await stream.collect()
    assert calls.done == 1
    assert virtual_time.now == 5.5


async def test_draining_completes(virtual_time: VirtualTime) -> None:
    completed, closed = Calls(), Calls()
    stream = rx.interval(1).on_complete(completed).finally_(closed)
    async with rx.start(stream.to(memory.append([]))) as running:
        await asyncio.sleep(2.5)
        await running.stop(drain=True)
    assert completed.times == closed.times == [2.5]


async def test_the_collector_finishes_what_was_left(virtual_time: VirtualTime) -> None:
    calls = Calls(1)
    with pytest.warns(ResourceWarning, match="left before its end"):
        async for _ in rx.interval(1).finally_(calls):
            break
        await asyncio.sleep(5)
    assert calls.done == 1


async def test_a_failing_call_on_completion_is_the_failure() -> None:
    stuck = ValueError("stuck")
    for kind in ("on_complete", "finally_"):
        with pytest.raises(ValueError, match="stuck") as caught:
            await BUILDS[kind](rx.of(1), Calls(0, stuck)).named("last").collect()
        assert caught.value is stuck
        assert any("in operator last (" in note for note in stuck.__notes__)
        assert await BUILDS[kind](rx.of(1), Calls(0, stuck)).recover(rx.of(2)).collect() == [1, 2]


@pytest.mark.parametrize("kind", ["on_error", "finally_"])
async def test_a_failing_call_joins_the_failure(kind: str) -> None:
    gone, stuck = OSError("gone"), ValueError("stuck")
    for seconds in (None, 0):
        with pytest.raises(ExceptionGroup, match="failed too") as caught:
            await BUILDS[kind](rx.fail(gone), Calls(seconds, stuck)).collect()
        assert caught.value.exceptions == (gone, stuck)
    with pytest.raises(OSError, match="gone") as same:
        await BUILDS[kind](rx.fail(gone), Calls(None, gone)).collect()
    assert same.value is gone


async def test_a_failing_call_does_not_hide_what_failed_to_close() -> None:
    gone, stuck = OSError("gone"), ValueError("stuck")

    async def feed() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise gone

    async with rx.from_async_iterable(feed()).finally_(Calls(None, stuck)).open() as items:
        assert await anext(items) == 1
        with pytest.raises(ExceptionGroup) as caught:
            await items.aclose()  # type: ignore[attr-defined]
    assert caught.value.exceptions == (gone, stuck)


async def test_a_cancellation_stays_one_when_the_call_fails(
    virtual_time: VirtualTime, quiet: list[Any]
) -> None:
    task = asyncio.ensure_future(rx.never().finally_(Calls(1, ValueError("stuck"))).collect())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert any("stuck" in note for note in caught.value.__notes__)


async def test_only_the_errors_that_are_meant_are_told() -> None:
    calls = Calls()
    with pytest.raises(OSError, match="gone"):
        await rx.fail(OSError("gone")).on_error(calls, on=(ValueError, KeyError)).collect()
    assert calls.told == []
    with pytest.raises(ConnectionError):
        await rx.fail(ConnectionError()).on_error(calls, on=OSError).collect()
    assert [type(error) for error in calls.told] == [ConnectionError]


async def test_what_downstream_raises_is_not_told() -> None:
    told, closed = Calls(), Calls()
    with pytest.raises(ZeroDivisionError):
        await rx.of(0).on_error(told).finally_(closed).map(lambda x: 1 / x).collect()
    assert (told.done, closed.done) == (0, 1)


async def test_leaving_early_completes_nothing() -> None:
    completed, told, closed = Calls(), Calls(), Calls()
    stream = rx.of(1, 2, 3).on_complete(completed).on_error(told).finally_(closed)
    assert await stream.take(2).on_complete(completed).collect() == [1, 2]
    assert (completed.done, told.done, closed.done) == (1, 0, 1)


def test_what_is_no_function_is_refused() -> None:
    for kind, build in BUILDS.items():
        with pytest.raises(TypeError, match=f"{kind} needs a function, not int 5"):
            build(rx.of(1), 5)
    with pytest.raises(TypeError, match="on_error: `on` needs exception types"):
        rx.of(1).on_error(print, on=BaseException)  # type: ignore[type-var]
