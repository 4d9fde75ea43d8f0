"""retry, recover, recover_with: what a stream's failure leads to."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import structlog.testing
from catalogue import model_of
from feeds import Feed, check, controls, examples, feed_of, feeds, pairs, rising, signals
from flurries import signals_at
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, MarbleError, Pause, Probe, failing_source, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.observing import Given, Stepping
from reactive.testing.plugin import VirtualTime

STEADY = rx.Backoff(initial=1, factor=1, jitter=0)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """The warnings of retry and recover are looked at, not printed."""
    with structlog.testing.capture_logs() as events:
        yield events


class Flaky:
    """Gives its items and fails, as often as it is told to; then it gives them and ends."""

    def __init__(self, items: list[int], failures: int) -> None:
        self.items = items
        self.failures = failures
        self.attempts = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self._run()

    async def _run(self) -> AsyncIterator[int]:
        self.attempts += 1
        attempt = self.attempts
        for item in self.items:
            yield item
        if attempt <= self.failures:
            raise OSError(f"attempt {attempt} failed")


@given(feeds())
@examples(20)
async def test_what_does_not_fail_passes(feed: Feed) -> None:
    await check(lambda stream: stream.retry(), feed, lambda pairs: pairs)
    await check(lambda stream: stream.recover(rx.of(99)), feed, lambda pairs: pairs)


@given(st.lists(st.integers(), max_size=5), st.integers(0, 4), st.integers(0, 4))
@examples()
async def test_retry_runs_upstream_again_as_often_as_it_may(
    items: list[int], failures: int, attempts: int
) -> None:
    flaky = Flaky(items, failures)
    # An item resets the attempts, so only without items are they used up.
    backoff = rx.Backoff(initial=0, maximum=0, attempts=attempts)
    stream = rx.from_async_iterable(flaky).retry(backoff)
    if failures > attempts and (attempts == 0 or not items):
        with pytest.raises(OSError, match=f"attempt {attempts + 1} failed"):
            await stream.collect()
        assert flaky.attempts == attempts + 1
    else:
        assert await stream.collect() == items * (failures + 1)
        assert flaky.attempts == failures + 1


async def test_retry_waits_as_the_backoff_says(virtual_time: VirtualTime) -> None:
    backoff = rx.Backoff(initial=1, factor=3, maximum=5, jitter=0, attempts=4)
    with pytest.raises(OSError, match="down"):
        await rx.fail(OSError("down")).retry(backoff).collect()
    assert virtual_time.now == 1 + 3 + 5 + 5


async def test_an_item_resets_the_backoff(virtual_time: VirtualTime) -> None:
    backoff = rx.Backoff(initial=1, factor=10, maximum=100, jitter=0, attempts=1)
    flaky = Flaky([1], 3)
    assert await rx.from_async_iterable(flaky).retry(backoff).collect() == [1] * 4
    assert virtual_time.now == 3


async def test_a_number_is_how_often_to_try_again(virtual_time: VirtualTime, quiet: Any) -> None:
    probe = Probe(rx.fail(OSError("down")))
    with pytest.raises(OSError, match="down"):
        await probe.stream.retry(2).collect()
    assert probe.opens == 3
    assert [event["event"] for event in quiet] == ["retrying", "retrying"]
    assert quiet[0]["operator"] == "retry"
    probe.check()


async def test_every_attempt_is_closed_before_the_next(virtual_time: VirtualTime) -> None:
    probe = Probe(failing_source([1, 2], OSError("gone")))
    active: list[int] = []

    def look(x: int) -> int:
        active.append(probe.active)
        return x

    stream = probe.stream.map(look).merge(rx.empty()).retry(STEADY).take(7)
    assert await stream.collect() == [1, 2, 1, 2, 1, 2, 1]
    assert set(active) == {1}
    probe.check()


async def test_retry_is_closed_while_it_waits(virtual_time: VirtualTime) -> None:
    probe = Probe(failing_source([1], OSError("gone")))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10.5):
            await probe.stream.retry(rx.Backoff(initial=10, jitter=0)).collect()
    assert virtual_time.now == 10.5
    probe.check()


async def test_stopping_ends_the_wait_of_a_retry(virtual_time: VirtualTime) -> None:
    probe = Probe(failing_source([1], OSError("gone")))
    kept: list[int] = []
    stream = probe.stream.tap(kept.append).retry(rx.Backoff(initial=10, maximum=10, jitter=0))
    async with rx.start(stream.to(Discard())) as run:
        await asyncio.sleep(5)
        await run.stop(drain=True)
    assert kept == [1]
    assert virtual_time.now <= 10
    probe.check()


class Discard(rx.Sink[Any]):
    """Takes everything and keeps nothing."""

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _DiscardWriter()


class _DiscardWriter(rx.Writer[Any]):
    async def write(self, chunk: rx.Chunk[Any]) -> None:
        pass


async def test_retry_only_what_it_is_told_to(virtual_time: VirtualTime) -> None:
    flaky = Flaky([1], 1)
    with pytest.raises(OSError, match="attempt 1"):
        await rx.from_async_iterable(flaky).retry(STEADY, on=ValueError).collect()
    assert flaky.attempts == 1
    flaky = Flaky([1], 1)
    stream = rx.from_async_iterable(flaky).retry(STEADY, on=(ValueError, OSError))
    assert await stream.collect() == [1, 1]


async def test_retried_watermarks_do_not_go_back(virtual_time: VirtualTime) -> None:
    attempts = iter([[rx.Watermark(10), rx.Watermark(20), OSError("gone")]])
    again = [rx.Watermark(10), rx.Watermark(20), rx.Chunk([1], [25]), rx.Watermark(30)]
    stream = rx.defer(lambda: scripted_source(next(attempts, again))).retry(STEADY)
    given = await signals(stream)
    assert controls(given) == [rx.Watermark(10), rx.Watermark(20), rx.Watermark(30)]


async def test_state_upstream_begins_anew_and_downstream_goes_on(
    virtual_time: VirtualTime,
) -> None:
    flaky = rx.from_async_iterable(Flaky([1, 2], 1))
    assert await flaky.enumerate().retry(STEADY).enumerate().collect() == [
        (0, (0, 1)),
        (1, (1, 2)),
        (2, (0, 1)),
        (3, (1, 2)),
    ]


async def test_retry_reports_how_often(virtual_time: VirtualTime) -> None:
    stream = rx.from_async_iterable(Flaky([1], 3)).retry(STEADY).named("again")
    report = await rx.run(stream.to(Discard()))
    assert report["again"].counters == {"retries": 3}


@model_of("recover")
@given(feeds(), feeds())
@examples()
async def test_recover_goes_on_with_the_other(feed: Feed, fallback: Feed) -> None:
    failing = Feed((*feed.script, OSError("gone"))).stream
    recovered = (
        failing.recover(fallback.stream),
        failing.recover_with(lambda error: fallback.stream),
    )
    for stream in recovered:
        given = await signals(stream)
        assert pairs(given) == feed.pairs + fallback.pairs
        assert controls(given) == rising(feed.controls + fallback.controls)


async def test_recover_is_told_the_error() -> None:
    stream = rx.of("1", "x").map(int).recover_with(lambda error: rx.of(str(error)))
    assert await stream.collect() == [1, "invalid literal for int() with base 10: 'x'"]


async def test_the_fallback_is_opened_after_upstream_was_closed(
    virtual_time: VirtualTime,
) -> None:
    failing, fallback = Probe(failing_source([1], OSError("gone"))), Probe([2])
    closed_before: list[int] = []
    stream = failing.stream.recover(
        fallback.stream.tap(lambda _: closed_before.append(failing.closes))
    )
    async with stream.open() as items:
        assert await anext(items) == 1
        assert fallback.opens == 0
        assert await anext(items) == 2
    assert closed_before == [1]
    failing.check()
    fallback.check()


async def test_a_run_that_recovered_of_an_error_that_does_not_pickle_can_be_kept(
    virtual_time: VirtualTime,
) -> None:
    def build(upstream: rx.Stream[int], fallback: rx.Stream[int]) -> rx.Stream[int]:
        return upstream.recover(fallback)

    barrier = rx.Barrier(1)
    first = build(
        rx.fail(OSError(lambda: "gone")), scripted_source([rx.Chunk([1]), barrier, rx.Chunk([2])])
    )
    async with Stepping(first) as running:
        await running.read_until(barrier)
    probe = Probe([7])
    second = build(probe.stream, scripted_source([rx.Chunk([2])]))
    kept = pickle.loads(pickle.dumps(running.kept))
    assert await signals_at(second, kept) == [(rx.Chunk([2]), 0)]
    assert probe.opens == 0


async def test_recover_only_from_what_it_is_told_to() -> None:
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await rx.fail(error).recover(rx.of(1), on=(ValueError, KeyError)).collect()
    assert caught.value is error


async def test_the_fallbacks_failure_surfaces() -> None:
    second = ValueError("second")
    with pytest.raises(ValueError, match="second") as caught:
        await rx.fail(OSError("first")).recover(rx.fail(second)).collect()
    assert caught.value is second
    with pytest.raises(ZeroDivisionError):
        await rx.fail(OSError("first")).recover_with(lambda _: 1 / 0).collect()  # type: ignore
    with pytest.raises(TypeError, match="expected a Stream, got int"):
        await rx.fail(OSError("first")).recover_with(lambda _: 5).collect()  # type: ignore


async def test_recoveries_in_a_row_take_the_nearest() -> None:
    stream = rx.fail(OSError("first")).recover(rx.of(1)).recover(rx.of(2))
    assert await stream.collect() == [1]
    stream = rx.fail(OSError("first")).recover(rx.fail(OSError("second"))).recover(rx.of(2))
    assert await stream.collect() == [2]


async def test_recover_does_not_catch_what_downstream_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        await rx.of(1, 0).recover(rx.of(9)).map(lambda x: 1 / x).collect()
    with pytest.raises(ZeroDivisionError):
        await rx.of(1, 0).retry(5).map(lambda x: 1 / x).collect()


async def test_cancelling_is_no_failure_to_rescue(virtual_time: VirtualTime) -> None:
    for stream in (rx.never().retry(), rx.never().recover(rx.of(1))):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stream.collect()


def test_bounds_follow_what_may_run() -> None:
    def ends(stream: rx.Stream[Any]) -> bool:
        return "unbounded" not in str(stream.explain()).splitlines()[0]

    assert ends(rx.of(1).retry())
    assert not ends(rx.interval(1).retry())
    assert ends(rx.of(1).recover(rx.of(2)))
    assert not ends(rx.interval(1).recover(rx.of(2)))
    assert not ends(rx.of(1).recover(rx.interval(1)))


def test_wrong_arguments_are_refused_at_once() -> None:
    stream = rx.of(1)
    for wrong in ("3", 1.5, True):
        with pytest.raises(TypeError, match=r"retry needs a rx\.Backoff or a number of attempts"):
            stream.retry(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attempts must be 0 or more"):
        stream.retry(-1)
    with pytest.raises(TypeError, match=r"recover needs a stream to go on with, not 5; use rx\.of"):
        stream.recover(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"not <function.*; use recover_with"):
        stream.recover(lambda error: rx.of(1))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="recover_with needs a function, not Stream"):
        stream.recover_with(rx.of(1))  # type: ignore[call-overload]
    for build in (lambda on: stream.retry(on=on), lambda on: stream.recover(stream, on=on)):
        for wrong_type in ("x", ValueError("x"), (ValueError, "x"), BaseException):
            with pytest.raises(TypeError, match="`on` needs exception types"):
                build(wrong_type)


async def test_a_pause_in_an_attempt_is_the_attempts_own(virtual_time: VirtualTime) -> None:
    script = [Pause(2), rx.Chunk([1]), Pause(2), OSError("gone")]
    stream = scripted_source(script).retry(STEADY).take(3)
    assert await stream.collect() == [1, 1, 1]
    assert virtual_time.now == 2 + (2 + 1 + 2) * 2


async def test_side_outputs_work_within_retried_parts(virtual_time: VirtualTime) -> None:
    bad: rx.SideOutput[rx.DeadLetter[str]] = rx.SideOutput("bad")
    flaky = rx.from_async_iterable(Flaky([1, 0], 1)).map(lambda x: 1 / x, on_error=bad)
    letters: list[Any] = []
    good: list[Any] = []
    await rx.run(
        flaky.retry(STEADY).tap(good.append).to(Discard()), bad.tap(letters.append).to(Discard())
    )
    assert good == [1, 1]
    assert [letter.item for letter in letters] == [0, 0]


@model_of("recover", "recover_with")
@given(timelines(), timelines(1), st.booleans())
@examples()
def test_when_the_fallback_begins(timeline: Timeline, fallback: Timeline, rescued: bool) -> None:
    def model(timeline: Timeline, fallback: Timeline) -> list[Event[Any]]:
        (ending,) = ending_of(timeline)
        if isinstance(ending, End) or not rescued:
            return [*timeline]
        later = [replace(event, time=event.time + ending.time) for event in fallback]
        return [*items_of(timeline), *later]

    def when(error: MarbleError) -> bool:
        return rescued

    inputs = [timeline, fallback]
    check_times(lambda one, two: one.recover(two, on=MarbleError, when=when), inputs, model)
    check_times(
        lambda one, two: one.recover_with(lambda _: two, on=MarbleError, when=when), inputs, model
    )


async def test_the_fallback_may_be_made_in_its_time(virtual_time: VirtualTime) -> None:
    probe = Probe(failing_source([1], OSError("gone")))
    closes: list[int] = []

    async def make(error: Exception) -> rx.Stream[str]:
        closes.append(probe.closes)
        await asyncio.sleep(3)
        return rx.of(str(error))

    assert await probe.stream.recover_with(make).collect() == [1, "gone"]
    assert closes == [1]
    assert virtual_time.now == 3
    # A single result is a stream that could be awaited too; it is run as a stream.
    assert await rx.fail(OSError()).recover_with(lambda _: rx.of(1, 2).count()).collect() == [2]


async def test_another_error_can_take_the_place_of_one() -> None:
    other = LookupError("no page")
    with pytest.raises(LookupError) as caught:
        await rx.fail(OSError()).recover_with(lambda error: rx.fail(other)).collect()
    assert caught.value is other


@pytest.mark.parametrize("kind", ["recover", "recover_with"])
async def test_what_had_failed_before_a_checkpoint_is_not_run_again(kind: str) -> None:
    probe = Probe(failing_source([1], OSError("gone")))

    def recovered(script: list[Any]) -> rx.Stream[Any]:
        other: rx.Stream[Any] = scripted_source(script)
        if kind == "recover":
            return probe.stream.recover(other.enumerate())
        return probe.stream.recover_with(lambda error: other.enumerate().map(lambda x: (*x, error)))

    async with Stepping(recovered([rx.Chunk([2]), rx.Barrier(1), rx.Chunk([3])])) as running:
        await running.read_until(rx.Barrier(1))
        kept = pickle.loads(pickle.dumps(running.kept))
    async with Stepping(recovered([rx.Chunk([3])]), kept) as running:
        entries, _ = await running.read_until(None)
    (entry,) = entries
    assert isinstance(entry, Given)
    assert entry.value[:2] == (1, 3)
    assert str(entry.value[2:]) == ("()" if kind == "recover" else "(OSError('gone'),)")
    assert probe.opens == 1


async def test_feeds_are_what_they_seem() -> None:
    assert pairs(await signals(feed_of(1, 2, times=[3, 4]).stream)) == [(1, 3), (2, 4)]
