"""retry, restart, repeat: what they give and when, by models; how they are drained and restored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog.testing
from catalogue import model_of
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import End, Failure, Item, Pause, Probe, failing_source, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.observing import Stepping
from reactive.testing.plugin import VirtualTime

Model = Callable[..., list[Event[Any]]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[Any]]:
    """The warnings are looked at, not printed."""
    with structlog.testing.capture_logs() as events:
        yield events


@st.composite
def attempts(draw: st.DrawFn) -> list[Timeline]:
    """How one attempt after the other goes, mostly badly; a failure's number says what it is."""
    drawn = draw(st.lists(timelines(max_size=2, last=3, fails=False), min_size=5, max_size=7))
    endings = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 0, None])
    numbers = draw(st.lists(endings, min_size=len(drawn), max_size=len(drawn)))
    return [
        timeline
        if number is None
        else (*timeline[:-1], Failure(timeline[-1].time, OSError(number)))
        for timeline, number in zip(drawn, numbers, strict=True)
    ]


def one_by_one(streams: Sequence[rx.Stream[Any]]) -> rx.Stream[Any]:
    """A stream that is another one each time it is run, and at last one that stays silent."""
    following = iter(streams)
    return rx.defer(lambda: next(following, rx.never()))


def first_is_good(error: OSError) -> bool:
    return error.args != (0,)


class Trying:
    """The model of backoff and budget: asked after each attempt for the pause before the next."""

    def __init__(self, backoff: rx.Backoff, budget: rx.RetryBudget | None) -> None:
        self.backoff = backoff
        self.budget = budget
        self.in_a_row = 0
        self.begun: list[float] = []

    def pause(self, now: float) -> float | None:
        backoff, budget = self.backoff, self.budget
        if budget is not None:
            recent = [time for time in self.begun if now - time < budget.per]
            if len(recent) >= budget.retries:
                return None
        if backoff.attempts is not None and self.in_a_row >= backoff.attempts:
            return None
        wait = min(backoff.initial * backoff.factor**self.in_a_row, backoff.maximum)
        self.in_a_row += 1
        self.begun.append(now)
        return wait


def model_of_retry(trying: Trying) -> Model:
    def model(*attempts: Timeline) -> list[Event[Any]]:
        now, out = 0.0, []
        for timeline in attempts:
            out += [Item(now + item.time, item.value) for item in items_of(timeline)]
            if items_of(timeline):
                trying.in_a_row = 0
            (ending,) = ending_of(timeline)
            now += ending.time
            if isinstance(ending, End):
                return [*out, End(now)]
            assert isinstance(ending, Failure)
            pause = trying.pause(now) if ending.error.args != (0,) else None
            if pause is None:
                return [*out, Failure(now, ending.error)]
            now += pause
        return out

    return model


def model_of_restart(trying: Trying, healthy: float) -> Model:
    def model(*attempts: Timeline) -> list[Event[Any]]:
        now, out = 0.0, []
        for timeline in attempts:
            out += [Item(now + item.time, item.value) for item in items_of(timeline)]
            (ending,) = ending_of(timeline)
            now += ending.time
            if ending.time >= healthy:
                trying.in_a_row = 0
            refused = isinstance(ending, Failure) and ending.error.args == (0,)
            pause = None if refused else trying.pause(now)
            if pause is None:
                last = End(now) if isinstance(ending, End) else Failure(now, ending.error)
                return [*out, last]
            now += pause
        return out

    return model


backoffs = st.builds(
    rx.Backoff,
    initial=st.integers(0, 2),
    factor=st.just(2),
    maximum=st.integers(2, 5),
    jitter=st.just(0),
    attempts=st.sampled_from([None, None, 0, 1, 3]),
)
budgets = st.builds(rx.RetryBudget, st.integers(1, 3), st.integers(4, 20)) | st.none()


@model_of("retry")
@given(attempts(), backoffs, budgets)
@examples(100)
def test_retry(attempts: list[Timeline], backoff: rx.Backoff, budget: rx.RetryBudget) -> None:
    check_times(
        lambda *streams: one_by_one(streams).retry(
            backoff, on=OSError, when=first_is_good, budget=budget
        ),
        attempts,
        model_of_retry(Trying(backoff, budget)),
    )


@model_of("restart")
@given(attempts(), backoffs, budgets, st.integers(0, 10))
@examples()
def test_restart(
    attempts: list[Timeline], backoff: rx.Backoff, budget: rx.RetryBudget, healthy: int
) -> None:
    check_times(
        lambda *streams: one_by_one(streams).restart(
            backoff, on=OSError, when=first_is_good, budget=budget, healthy=healthy
        ),
        attempts,
        model_of_restart(Trying(backoff, budget), healthy),
    )


@model_of("repeat")
@given(attempts(), st.none() | st.integers(0, 7), st.integers(0, 3))
@examples()
def test_repeat(attempts: list[Timeline], times: int | None, pause: int) -> None:
    def model(*attempts: Timeline) -> list[Event[Any]]:
        now, out = 0.0, []
        for count, timeline in enumerate(attempts, 1):
            if times == 0:
                break
            out += [Item(now + item.time, item.value) for item in items_of(timeline)]
            (ending,) = ending_of(timeline)
            now += ending.time
            if isinstance(ending, Failure):
                return [*out, Failure(now, ending.error)]
            if count == times:
                break
            now += pause
        else:
            return out
        return [*out, End(now)]

    check_times(lambda *streams: one_by_one(streams).repeat(times, pause=pause), attempts, model)


async def test_a_budget_ends_what_fails_after_every_item(virtual_time: VirtualTime) -> None:
    error = OSError("gone")
    stream = rx.of(1).concat(rx.fail(error))
    given: list[int] = []
    retried = stream.retry(rx.Backoff(1, jitter=0), budget=rx.RetryBudget(5, per=60))
    with pytest.raises(OSError, match="gone") as caught:
        await retried.tap(given.append).collect()
    assert given == [1] * 6
    assert virtual_time.now == 5
    assert caught.value is error
    assert any(
        note.startswith("given up after a budget of 5 retries in 60 s, in operator retry (")
        for note in error.__notes__
    )


async def test_each_run_has_the_whole_budget(virtual_time: VirtualTime) -> None:
    stream = rx.fail(OSError()).retry(rx.Backoff(1, jitter=0), budget=rx.RetryBudget(2, per=60))
    for seconds in (3, 6):
        with pytest.raises(OSError):
            await stream.collect()
        assert virtual_time.now == seconds


async def test_an_error_says_how_many_attempts_it_took(virtual_time: VirtualTime) -> None:
    error = OSError("down")
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await rx.fail(error).retry(2).named("again").collect()
    notes = [note for note in error.__notes__ if note.startswith("given up")]
    assert len(notes) == 1
    assert notes[0].startswith("given up after 3 attempts, in operator again (")


@pytest.mark.parametrize("kind", ["retry", "recover", "recover_with", "restart"])
async def test_a_plan_error_is_never_rescued(virtual_time: VirtualTime, kind: str) -> None:
    build = {
        "retry": lambda s: s.retry(),
        "recover": lambda s: s.recover(rx.of(1)),
        "recover_with": lambda s: s.recover_with(lambda error: rx.of(1)),
        "restart": lambda s: s.restart(),
    }[kind]
    with pytest.raises(rx.PlanError, match="cannot"):
        await build(rx.fail(rx.PlanError("cannot"))).collect()
    assert virtual_time.now == 0


async def test_rescuers_within_each_other_without_end_are_refused_at_once(
    virtual_time: VirtualTime,
) -> None:
    def again() -> rx.Stream[int]:
        return rx.defer(again).retry().recover(rx.of(1))

    with pytest.raises(rx.PlanError, match="would run a stream within 100 others"):
        await again().collect()
    stream: rx.Stream[int] = rx.of(1, 2)
    for _ in range(100):
        stream = stream.retry(1)
    assert await stream.collect() == [1, 2]
    with pytest.raises(rx.PlanError, match="try again with one retry"):
        await stream.retry(1).collect()
    assert virtual_time.now == 0


@pytest.mark.parametrize("kind", ["retry", "restart", "repeat"])
async def test_draining_does_not_wait_for_the_next_run(
    virtual_time: VirtualTime, kind: str
) -> None:
    probe = Probe([1] if kind == "repeat" else failing_source([1], OSError()))
    pauses = rx.Backoff(30, maximum=30, jitter=0)
    build = {
        "retry": lambda s: s.retry(pauses),
        "restart": lambda s: s.restart(pauses),
        "repeat": lambda s: s.repeat(pause=30),
    }[kind]
    given: list[int] = []
    async with rx.start(build(probe.stream).to(memory.append(given))) as running:
        await asyncio.sleep(40)
        await running.stop(drain=True)
    assert given == [1, 1]
    assert virtual_time.now == 40
    assert probe.opens == 2
    probe.check()


@pytest.mark.parametrize("kind", ["retry", "restart", "repeat"])
async def test_draining_lets_no_other_run_begin(virtual_time: VirtualTime, kind: str) -> None:
    probe = Probe(rx.interval(1))
    build = {
        "retry": lambda s: s.retry(),
        "restart": lambda s: s.restart(),
        "repeat": lambda s: s.repeat(),
    }[kind]
    given: list[int] = []
    async with rx.start(build(probe.stream).to(memory.append(given))) as running:
        await asyncio.sleep(2.5)
        await running.stop(drain=True)
    assert given == [0, 1]
    assert virtual_time.now == 2.5
    assert probe.opens == 1
    probe.check()


@pytest.mark.parametrize("kind", ["retry", "restart", "repeat"])
async def test_runs_without_end_let_others_run(kind: str) -> None:
    never_waiting = rx.Backoff(initial=0, maximum=0)
    stream = {
        "retry": rx.fail(OSError()).retry(never_waiting),
        "restart": rx.empty().restart(never_waiting),
        "repeat": rx.empty().repeat(),
    }[kind]
    task = asyncio.ensure_future(stream.collect())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_every_run_is_closed_before_the_next(virtual_time: VirtualTime) -> None:
    for build in (lambda s: s.repeat(3), lambda s: s.restart(rx.Backoff(1, attempts=2))):
        probe = Probe([1, 2])
        active: list[int] = []

        def look(_: int, probe: Probe = probe, active: list[int] = active) -> None:
            active.append(probe.active)

        assert await build(probe.stream.tap(look).merge(rx.empty())).collect() == [1, 2] * 3
        assert set(active) == {1}
        assert probe.opens == 3
        probe.check()


async def test_repeating_no_time_opens_nothing() -> None:
    probe = Probe([1])
    assert await probe.stream.repeat(0).collect() == []
    assert probe.opens == 0


async def test_a_failing_cleanup_joins_the_failure(virtual_time: VirtualTime) -> None:
    gone, stuck = OSError("gone"), ValueError("stuck")

    def build() -> rx.Stream[int]:
        async def items() -> Any:
            try:
                yield 1
                await asyncio.sleep(1)
                yield 2
            finally:
                raise stuck

        def check(item: int) -> int:
            if item == 2:
                raise gone
            return item

        return rx.defer(lambda: rx.from_async_iterable(items())).map(check)

    for stream in (build().retry(), build().restart(), build().recover(rx.of(0))):
        with pytest.raises(ExceptionGroup) as caught:
            await stream.collect()
        assert caught.value.exceptions == (gone, stuck)


async def test_restarts_are_logged_and_counted(virtual_time: VirtualTime, quiet: list[Any]) -> None:
    stream = one_by_one([rx.of(1), rx.fail(OSError("gone")), rx.of(2)])
    job = stream.restart(rx.Backoff(1, factor=3, jitter=0, attempts=2)).to(memory.append([]))
    report = await rx.run(job)
    assert report["restart"].counters == {"restarts": 2}
    told = [(event["event"], event["error"], event["seconds"]) for event in quiet]
    assert told == [("restarting", "completed", 1), ("restarting", "OSError('gone')", 3)]
    assert {event["operator"] for event in quiet} == {"restart"}


def test_bounds_and_limits_are_shown() -> None:
    def shown(stream: rx.Stream[Any]) -> str:
        return str(stream.explain())

    assert "unbounded" in shown(rx.of(1).restart())
    assert "unbounded" in shown(rx.of(1).repeat())
    assert "unbounded" not in shown(rx.of(1).repeat(3))
    assert "unbounded" in shown(rx.interval(1).repeat(3))
    assert "times: 3, pause: 2 s" in shown(rx.of(1).repeat(3, pause=2))
    text = shown(rx.of(1).retry(3, budget=rx.RetryBudget(4, per=60)))
    assert "again: up to 3 times, budget: 4 in 60 s" in text


async def test_a_repeat_goes_on_counting_after_a_checkpoint() -> None:
    script = [rx.Chunk([1]), rx.Barrier(1), rx.Chunk([2])]
    scripts = [script, [rx.Chunk([1]), rx.Barrier(2), rx.Chunk([2])], script]
    whole = one_by_one([scripted_source(one) for one in scripts]).repeat(3)
    async with Stepping(whole) as running:
        await running.read_until(rx.Barrier(1))
        await running.read_until(rx.Barrier(2))
        kept = running.kept
    rest = one_by_one([rx.of(2), rx.of(1, 2), rx.of(9)]).repeat(3)
    async with Stepping(rest, kept) as running:
        entries, _ = await running.read_until(None)
    assert [entry.value for entry in entries] == [2, 1, 2]  # type: ignore[union-attr]


async def test_watermarks_do_not_go_back_over_a_checkpoint() -> None:
    script = [rx.Watermark(20), rx.Barrier(1), rx.Chunk([1], [30])]
    async with Stepping(scripted_source(script).retry()) as running:
        await running.read_until(rx.Barrier(1))
        kept = running.kept
    again = scripted_source([rx.Watermark(10), rx.Watermark(20), rx.Watermark(30)]).retry()
    async with Stepping(again, kept) as running:
        assert await running.read_until(None) == ([rx.Watermark(30)], False)


def test_what_is_no_limit_is_refused() -> None:
    stream = rx.of(1)
    for wrong, complaint in (
        (lambda: stream.retry(budget=5), r"retry: budget is a rx\.RetryBudget, not 5"),
        (lambda: stream.restart("x"), r"restart needs a rx\.Backoff or a number of attempts"),
        (lambda: stream.restart(healthy="x"), "restart needs `healthy` in seconds"),
        (lambda: stream.repeat("x"), "repeat needs a whole number"),
        (lambda: stream.repeat(pause="x"), "repeat needs a pause in seconds"),
        (lambda: stream.retry(when=5), "retry: `when` needs a function, not int 5"),
        (lambda: stream.retry(when=asyncio.sleep), "retry: `when` takes a plain function"),
        (lambda: rx.RetryBudget(1.5, 1), "whole number of retries"),
        (lambda: rx.RetryBudget(1, "x"), "`per` in seconds"),
    ):
        with pytest.raises(TypeError, match=complaint):
            wrong()
    for wrong, complaint in (
        (lambda: stream.restart(healthy=-1), "of 0 seconds or more"),
        (lambda: stream.repeat(-1), "count of at least 0"),
        (lambda: stream.repeat(pause=-1), "of 0 seconds or more"),
        (lambda: rx.RetryBudget(0, 1), "at least 1 retry"),
        (lambda: rx.RetryBudget(1, 0), "above 0 seconds"),
    ):
        with pytest.raises(ValueError, match=complaint):
            wrong()


async def test_an_answer_that_nobody_awaits_is_refused() -> None:
    async def later(error: Exception) -> bool:
        return False

    with pytest.raises(TypeError, match="nobody would await"):
        await rx.fail(OSError()).retry(when=lambda error: later(error)).collect()  # type: ignore


async def test_a_run_that_lasted_resets_the_pauses_of_a_restart(virtual_time: VirtualTime) -> None:
    script = [Pause(3), rx.Chunk([1]), Pause(3), OSError()]
    stream: rx.Stream[int] = scripted_source(script)
    for healthy, seconds in ((6, 3 * (6 + 1)), (6.5, 6 + 1 + 6 + 2 + 6 + 4)):
        before = virtual_time.now
        await stream.restart(rx.Backoff(1, jitter=0), healthy=healthy).take(4).collect()
        assert virtual_time.now - before == seconds + 3
