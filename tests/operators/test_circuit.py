"""Circuit breakers: a model of their states in time, what they guard, what they tell."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cloudpickle
import pytest
import structlog.testing
from catalogue import model_of
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, plain, stream_of, timelines

import reactive as rx
from reactive.testing import Failure, Probe, failing_source, record, run
from reactive.testing.plugin import VirtualTime


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[Any]]:
    """The log is looked at, not printed."""
    with structlog.testing.capture_logs() as events:
        yield events


@dataclass(frozen=True)
class Call:
    """A call that begins at a second and ends half a second after another one."""

    at: int
    seconds: int
    outcome: str

    @property
    def until(self) -> float:
        return self.at + self.seconds + 0.5


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Calls, some at the same time, that succeed, fail, are cancelled or answered with a no."""
    at, drawn = 0, []
    outcomes = st.sampled_from(["fails", "fails", "fails", "succeeds", "cancelled", "says no"])
    for _ in range(draw(st.integers(5, 16))):
        at += draw(st.sampled_from([0, 1, 1, 2, 5]))
        drawn.append(Call(at, draw(st.sampled_from([0, 0, 0, 1, 4, 8])), draw(outcomes)))
    return drawn


class Model:
    """What becomes of calls, said of their beginnings and ends in order of time."""

    def __init__(self, failures: int, reset: int, within: int | None, trials: int) -> None:
        self.failures = failures
        self.reset = reset + 0.25
        self.within = within
        self.trials = trials

    def results(self, calls: list[Call]) -> list[str]:
        self.state, self.since = "closed", -1.0
        self.failed: list[float] = []
        self.on_trial: list[Call] = []
        self.passed = 0
        begun: dict[int, float] = {}
        results = ["refused"] * len(calls)
        events = [(call.at, 1, number) for number, call in enumerate(calls)]
        events += [(call.until, 0, number) for number, call in enumerate(calls)]
        for time, begins, number in sorted(events):
            call = calls[number]
            if begins and self.admits(time, call):
                begun[number] = time
                results[number] = call.outcome
            elif not begins and number in begun:
                self.ends(time, call, fresh=begun[number] >= self.since)
        return results

    def admits(self, now: float, call: Call) -> bool:
        if self.state == "open" and now >= self.since + self.reset:
            self.turn("half_open", now)
        if self.state == "half_open":
            if len(self.on_trial) + self.passed >= self.trials:
                return False
            self.on_trial.append(call)
        return self.state != "open"

    def ends(self, now: float, call: Call, fresh: bool) -> None:
        if not fresh:
            return
        if self.state == "half_open":
            self.on_trial.remove(call)
            if call.outcome == "fails":
                self.turn("open", now)
            elif call.outcome != "cancelled":
                self.passed += 1
                if self.passed == self.trials:
                    self.turn("closed", now)
        elif self.state == "closed" and call.outcome == "fails":
            self.failed.append(now)
            recent = [at for at in self.failed if self.within is None or now - at < self.within]
            if len(recent) >= self.failures:
                self.turn("open", now)
        elif self.state == "closed" and call.outcome != "cancelled" and self.within is None:
            self.failed = []

    def turn(self, state: str, now: float) -> None:
        self.state, self.since = state, now
        self.failed, self.on_trial, self.passed = [], [], 0


class No(Exception):
    """The peer is there and refuses."""


async def outcome_of(call: Call, breaker: rx.CircuitBreaker) -> str:
    @breaker
    async def work() -> str:
        await asyncio.sleep(call.seconds + 0.5)
        if call.outcome == "fails":
            raise OSError
        if call.outcome == "says no":
            raise No
        if call.outcome == "cancelled":
            raise asyncio.CancelledError
        return "succeeds"

    await asyncio.sleep(call.at)
    try:
        return await work()
    except asyncio.CancelledError:
        return "cancelled"
    except OSError:
        return "fails"
    except No:
        return "says no"
    except rx.CircuitOpenError as refusal:
        assert 0 <= refusal.seconds <= 20
        return "refused"


@given(
    calls(),
    st.integers(1, 3),
    st.integers(1, 6),
    st.none() | st.integers(1, 6),
    st.integers(1, 2),
)
@examples(150)
def test_states_in_time(
    calls: list[Call], failures: int, reset: int, within: int | None, trials: int
) -> None:
    async def main() -> list[str]:
        breaker = rx.CircuitBreaker(
            failures, reset + 0.25, within=within, trials=trials, on=OSError
        )
        return await asyncio.gather(*(outcome_of(call, breaker) for call in calls))

    assert run(main()) == Model(failures, reset, within, trials).results(calls)


@model_of("circuit_breaker")
@given(
    st.lists(st.tuples(st.integers(0, 6), timelines(max_size=2, last=3)), max_size=8),
    st.integers(1, 3),
    st.integers(1, 6),
)
@examples(100)
def test_runs_in_time(runs: list[tuple[int, Timeline]], failures: int, reset: int) -> None:
    """Runs one after the other; a refused one is not even opened."""
    expected: list[Any] = []
    now, failed, opened = 0.0, 0, None
    for pause, timeline in runs:
        now += pause
        if opened is not None and now < opened + reset + 0.25:
            expected.append("refused")
            continue
        expected.append(list(map(plain, timeline)))
        if not isinstance(timeline[0], Failure):
            failed, opened = 0, None
        now += timeline[-1].time
        if isinstance(timeline[-1], Failure):
            failed += 1
            if failed == failures or opened is not None:
                opened = now

    async def main() -> list[Any]:
        breaker = rx.CircuitBreaker(failures, reset + 0.25)
        given: list[Any] = []
        for pause, timeline in runs:
            await asyncio.sleep(pause)
            probe = Probe(stream_of(timeline))
            events = (await record(probe.stream.circuit_breaker(breaker), until=100)).events
            refused = isinstance(events[0], Failure) and isinstance(
                events[0].error, rx.CircuitOpenError
            )
            assert probe.opens == (not refused)
            given.append("refused" if refused else list(map(plain, events)))
        return given

    assert run(main()) == expected


class Peer:
    """What is called: it fails as long as it is told to."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0

    def call(self, item: Any = None) -> Any:
        """Answer with the item."""
        self.calls += 1
        if self.down:
            raise OSError("down")
        return item

    async def call_later(self, item: Any = None) -> Any:
        await asyncio.sleep(1)
        return self.call(item)


async def test_a_map_leaves_a_peer_that_is_down_in_peace(virtual_time: VirtualTime) -> None:
    peer, breaker = Peer(), rx.CircuitBreaker(failures=3, reset=30, name="peer")
    peer.down = True
    stream = rx.range(100).map(breaker(peer.call_later), concurrency=2, on_error="skip")
    assert await stream.collect() == []
    assert peer.calls == 4
    assert breaker.counts == {"succeeded": 0, "failed": 4, "refused": 96, "opened": 1}
    peer.down = False
    with pytest.raises(rx.CircuitOpenError, match=r"'peer' refuses calls for another 30 s; .*down"):
        await rx.of(1).map(breaker(peer.call)).collect()
    await asyncio.sleep(30)
    first, *others = await stream.collect()
    assert (first, others) == (0, [*range(others[0], 100)])
    assert breaker.counts["refused"] == 96 + 1 + others[0] - 1
    assert breaker.state == "closed"


async def test_it_guards_functions_of_every_kind(virtual_time: VirtualTime) -> None:
    breaker, peer = rx.CircuitBreaker(failures=1, reset=10), Peer()

    class Client:
        @breaker
        async def method(self, item: int) -> Any:
            """Ask the peer."""
            return await peer.call_later(item)

        async def __call__(self, item: int) -> Any:
            return await peer.call_later(item)

    assert Client.method.__doc__ == "Ask the peer."
    assert Client.method.__name__ == "method"
    assert breaker(peer.call)(1) == 1
    assert breaker(partial(peer.call, 2))() == 2
    assert await Client().method(3) == 3
    assert await breaker(Client())(4) == 4
    assert await breaker(partial(peer.call_later, 5))() == 5
    assert await breaker(lambda item: peer.call_later(item))(6) == 6
    assert await rx.of(7).map(Client().method).collect() == [7]
    assert breaker.counts["succeeded"] == 7
    peer.down = True
    with pytest.raises(OSError, match="down"):
        await breaker(lambda: peer.call_later())()
    calls = peer.calls
    later = peer.call_later()
    for guarded in (Client().method, breaker(peer.call), breaker(lambda item: later)):
        with pytest.raises(rx.CircuitOpenError):
            await rx.of(1).map(guarded, concurrency=1).collect()
    later.close()
    assert peer.calls == calls


async def test_a_call_that_waits_to_be_awaited_is_refused_then(virtual_time: VirtualTime) -> None:
    breaker, peer = rx.CircuitBreaker(failures=1, reset=10), Peer()
    waiting = breaker(lambda: peer.call_later())()
    with pytest.raises(ZeroDivisionError), breaker.guard():
        raise ZeroDivisionError
    with pytest.raises(rx.CircuitOpenError):
        await waiting
    assert peer.calls == 0


async def test_what_is_never_awaited_takes_no_trial(virtual_time: VirtualTime) -> None:
    breaker, peer = rx.CircuitBreaker(failures=1, reset=10), Peer()
    with pytest.raises(ZeroDivisionError), breaker.guard():
        raise ZeroDivisionError
    await asyncio.sleep(10)
    later = asyncio.get_running_loop().create_future()
    breaker(lambda: later)().close()
    assert await breaker(peer.call_later)(1) == 1
    assert breaker.state == "closed"


async def test_blocks_and_their_cancellation(virtual_time: VirtualTime) -> None:
    breaker = rx.CircuitBreaker(failures=1, reset=10)
    with breaker.guard():
        await asyncio.sleep(1)
    with pytest.raises(OSError, match="down"), breaker.guard():
        raise OSError("down")
    assert breaker.state == "open"
    await asyncio.sleep(10)
    assert breaker.state == "half_open"
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                with breaker.guard():
                    await asyncio.sleep(5)
        assert breaker.state == "half_open"
    with breaker.guard():
        with pytest.raises(rx.CircuitOpenError, match="while a trial is under way") as caught:
            breaker.guard().__enter__()
        assert caught.value.seconds == 0
        assert caught.value.circuit == "circuit"
    assert breaker.state == "closed"


async def test_changes_are_logged(virtual_time: VirtualTime, quiet: list[Any]) -> None:
    breaker = rx.CircuitBreaker(failures=1, reset=10, name="pages")
    with pytest.raises(OSError, match="down"), breaker.guard():
        raise OSError("down")
    await asyncio.sleep(10)
    with breaker.guard():
        pass
    assert [event["event"] for event in quiet] == [
        "circuit_opened",
        "circuit_half_open",
        "circuit_closed",
    ]
    assert {event["circuit"] for event in quiet} == {"pages"}
    assert (quiet[0]["seconds"], quiet[0]["error"]) == (10, "OSError('down')")
    assert repr(breaker) == "<CircuitBreaker 'pages' closed>"


async def test_only_what_is_meant_counts_as_a_failure() -> None:
    breaker = rx.CircuitBreaker(failures=1, on=OSError, when=lambda error: error.errno == 5)
    for error in (ValueError(), OSError(4, "no")):
        with pytest.raises(type(error)), breaker.guard():
            raise error
    assert breaker.counts["succeeded"] == 2
    with pytest.raises(OSError, match="yes"), breaker.guard():
        raise OSError(5, "yes")
    assert breaker.state == "open"


async def test_a_predicate_that_fails_counts_as_a_failure() -> None:
    breaker = rx.CircuitBreaker(failures=1, when=lambda error: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught, breaker.guard():
        raise OSError
    assert isinstance(caught.value.__context__, OSError)
    assert breaker.state == "open"


async def test_threads_share_it() -> None:
    breaker, peer = rx.CircuitBreaker(failures=3, reset=60), Peer()
    peer.down = True
    stream = rx.range(50).map(breaker(peer.call), on="thread", concurrency=4, on_error="skip")
    assert await stream.collect() == []
    assert breaker.counts["opened"] == 1
    assert breaker.counts["failed"] + breaker.counts["refused"] == 50
    assert peer.calls == breaker.counts["failed"] <= 6


def test_it_works_without_a_loop() -> None:
    breaker, peer = rx.CircuitBreaker(failures=1, reset=0.01), Peer()
    peer.down = True
    with pytest.raises(OSError, match="down"):
        breaker(peer.call)()
    with pytest.raises(rx.CircuitOpenError):
        breaker(peer.call)()
    threading.Event().wait(0.02)
    peer.down = False
    assert breaker(peer.call)(1) == 1


def test_copies_begin_closed_and_know_their_limits() -> None:
    breaker = rx.CircuitBreaker(1, 7, within=8, trials=2, on=OSError, name="pages")
    with pytest.raises(OSError), breaker.guard():
        raise OSError
    for copied in (cloudpickle.loads(cloudpickle.dumps(breaker)), copy.deepcopy(breaker)):
        assert repr(copied) == "<CircuitBreaker 'pages' closed>"
        assert copied.__reduce__() == breaker.__reduce__()
    refusal = rx.CircuitOpenError("no", "pages", 3.5)
    assert vars(cloudpickle.loads(cloudpickle.dumps(refusal))) == vars(refusal)


async def test_a_stream_is_not_opened_while_it_is_open(virtual_time: VirtualTime) -> None:
    breaker = rx.CircuitBreaker(failures=2, reset=10)
    probe = Probe(failing_source([], OSError("down")))
    stream = probe.stream.circuit_breaker(breaker)
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await stream.collect()
    for _ in range(3):
        with pytest.raises(rx.CircuitOpenError) as caught:
            await stream.collect()
    assert any("in operator circuit_breaker (" in note for note in caught.value.__notes__)
    assert probe.opens == 2
    probe.check()


async def test_a_stream_that_is_retried_waits_for_its_trial(virtual_time: VirtualTime) -> None:
    breaker = rx.CircuitBreaker(failures=1, reset=10)
    attempts = iter([rx.fail(OSError()), rx.fail(OSError()), rx.of(1)])
    opened: list[float] = []

    def attempt() -> rx.Stream[int]:
        opened.append(virtual_time.now)
        return next(attempts)

    guarded = rx.defer(attempt).circuit_breaker(breaker)
    assert await guarded.retry(rx.Backoff(4, factor=1, jitter=0)).collect() == [1]
    assert opened == [0, 12, 24]
    assert breaker.state == "closed"


async def test_an_item_is_a_success_and_a_later_failure_still_counts() -> None:
    breaker = rx.CircuitBreaker(failures=1)
    with pytest.raises(OSError, match="gone"):
        await failing_source([1], OSError("gone")).circuit_breaker(breaker).collect()
    assert breaker.counts == {"succeeded": 1, "failed": 1, "refused": 0, "opened": 1}


async def test_a_stream_that_is_left_before_it_gave_anything_tells_nothing(
    virtual_time: VirtualTime,
) -> None:
    breaker = rx.CircuitBreaker(failures=1, reset=10)
    with pytest.raises(OSError), breaker.guard():
        raise OSError
    await asyncio.sleep(10)
    for stream in (rx.never(), rx.never().concat(rx.of(1))):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stream.circuit_breaker(breaker).collect()
    assert breaker.state == "half_open"
    assert await rx.of(1).circuit_breaker(breaker).collect() == [1]
    assert breaker.state == "closed"


async def test_refused_runs_are_counted(virtual_time: VirtualTime) -> None:
    breaker = rx.CircuitBreaker(failures=1, reset=10)
    with pytest.raises(OSError), breaker.guard():
        raise OSError
    stream = rx.of(1).circuit_breaker(breaker).retry(rx.Backoff(4, factor=1, jitter=0))
    async with rx.start(stream.to(Discard())) as running:
        report = await running.wait()
    assert report["retry/circuit_breaker"].counters == {"refused": 3}


class Discard(rx.Sink[Any]):
    """Takes everything and keeps nothing."""

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _DiscardWriter()


class _DiscardWriter(rx.Writer[Any]):
    async def write(self, chunk: rx.Chunk[Any]) -> None:
        pass


def test_wrong_arguments_are_refused_at_once() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1

    breaker = rx.CircuitBreaker()
    for wrong, complaint in (
        (lambda: breaker(5), "CircuitBreaker needs a function, not int 5"),
        (lambda: breaker(items), "guard the stream with circuit_breaker"),
        (lambda: rx.CircuitBreaker("x"), "`failures` needs a whole number"),
        (lambda: rx.CircuitBreaker(reset="x"), "needs `reset` in seconds"),
        (lambda: rx.CircuitBreaker(on=BaseException), "`on` needs exception types"),
        (lambda: rx.CircuitBreaker(when=5), "`when` needs a function"),
        (lambda: rx.of(1).circuit_breaker(5), r"circuit_breaker needs a rx\.CircuitBreaker, not 5"),
    ):
        with pytest.raises(TypeError, match=complaint):
            wrong()
    for wrong, complaint in (
        (lambda: rx.CircuitBreaker(0), "at least 1"),
        (lambda: rx.CircuitBreaker(reset=0), "above 0 seconds"),
        (lambda: rx.CircuitBreaker(within=0), "above 0 seconds"),
        (lambda: rx.CircuitBreaker(trials=0), "at least 1"),
    ):
        with pytest.raises(ValueError, match=complaint):
            wrong()
