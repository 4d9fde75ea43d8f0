"""Control signals at the meeting of several inputs: minimum watermarks, aligned barriers."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import reactive as rx
from reactive import IDLE, Barrier, Chunk, Watermark
from reactive.chain import Edge
from reactive.channel import Channel
from reactive.execution import Execution
from reactive.inlets import Inlets
from reactive.plan import JobPlan, make_plan


class Signals(rx.Source[Any]):
    """Gives exactly these signals."""

    def __init__(self, *signals: rx.Signal[Any]) -> None:
        self.signals = signals

    def reader(self, context: rx.Context) -> rx.Reader[Any]:
        return _SignalsReader(list(self.signals))


class _SignalsReader(rx.Reader[Any]):
    def __init__(self, signals: list[rx.Signal[Any]]) -> None:
        self.signals = signals

    async def read(self, limit: int) -> rx.Signal[Any] | None:
        return self.signals.pop(0) if self.signals else None


async def signals_of(stream: rx.Stream[Any]) -> list[Any]:
    """Every item and control signal that comes out, in order."""
    execution = Execution(make_plan([JobPlan(stream.node)]))
    out: list[Any] = []
    try:
        await execution.open()
        while (signal := await execution.read()) is not None:
            out += signal.items if type(signal) is Chunk else [signal]
    finally:
        await execution.close()
    return out


def stream(*signals: rx.Signal[Any]) -> rx.Stream[Any]:
    return rx.from_source(Signals(*signals))


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.map(lambda x: x),
        lambda s: s.map(lambda x: x).batch(1).flat_map(list),
        lambda s: s.flat_map(lambda x: [x]),
        lambda s: s.buffer(1),
        lambda s: s.rebatch(1),
        lambda s: s.merge(rx.empty()),
        lambda s: s.concat(rx.empty()),
        lambda s: s.take_until(s.filter(lambda x: False)),
        lambda s: s.retry(),
        lambda s: s.recover(rx.empty()),
        lambda s: rx.defer(lambda: s),
        lambda s: s.map(_same),
        lambda s: s.map(_same, concurrency=3),
        lambda s: s.map(_same, concurrency=3, ordered=False),
        lambda s: s.map(abs, on="thread", concurrency=2),
    ],
)
async def test_signals_keep_their_place(build: Any) -> None:
    given = stream(
        Chunk([1, 2]), Watermark(10), Chunk([3]), Barrier(1), Chunk([4, 5]), Watermark(20), IDLE
    )
    out = await signals_of(build(given))
    if IDLE not in out:
        out.append(IDLE)
    assert out == [1, 2, Watermark(10), 3, Barrier(1), 4, 5, Watermark(20), IDLE]


async def _same(item: int) -> int:
    return item


async def test_merge_gives_the_minimum_watermark() -> None:
    a = stream(Watermark(10), Watermark(30), Watermark(50))
    b = stream(Watermark(20), Watermark(25), Watermark(40))
    marks = [signal.time for signal in await signals_of(a.merge(b))]
    assert marks == sorted(set(marks))
    assert marks[-1] == 40 or marks[-1] == 50


async def test_an_idle_input_does_not_hold_back_the_other() -> None:
    a = stream(Watermark(10), IDLE).concat(rx.never())
    b = stream(Watermark(5), Watermark(90), Chunk([1]))
    merged = a.merge(b).take(1)
    out = await signals_of(merged)
    assert Watermark(90) in out


async def test_barriers_align_before_they_pass() -> None:
    a = stream(Chunk(["a1"]), Barrier(1), Chunk(["a2"]))
    b = stream(Chunk(["b1"]), Chunk(["b2"]), Barrier(1), Chunk(["b3"]))
    out = await signals_of(a.merge(b))
    at = out.index(Barrier(1))
    assert set(out[:at]) == {"a1", "b1", "b2"}
    assert set(out[at + 1 :]) == {"a2", "b3"}


async def test_an_ended_input_counts_as_aligned() -> None:
    out = await signals_of(stream(Chunk([1])).merge(stream(Barrier(1), Chunk([2]))))
    assert out.count(Barrier(1)) == 1
    assert out.index(Barrier(1)) < out.index(2)


async def test_a_retry_never_turns_the_watermark_back() -> None:
    attempts = iter([[Watermark(10), Chunk([1])], [Watermark(5), Watermark(20)]])

    def attempt() -> rx.Stream[Any]:
        signals = next(attempts)
        given = stream(*signals)
        return (
            given.concat(rx.fail(OSError()))
            if len(signals[1:]) and signals[0].time == 10
            else given
        )

    retried = rx.defer(attempt).retry(rx.Backoff(initial=0.001))
    assert await signals_of(retried) == [Watermark(10), 1, Watermark(20)]


class Waiting:
    """As much of a region as an edge needs."""

    unsent = keeps = False
    state = ""

    def keep(self, barrier: Barrier, states: Any) -> None: ...

    async def flush(self) -> None: ...


def edges(count: int) -> list[Edge]:
    return [Edge(Channel(100, name=str(at)), 10, Waiting()) for at in range(count)]


def put(edge: Edge, *signals: rx.Signal[Any]) -> None:
    for signal in signals:
        edge.channel.admit(signal)


def polled(inlets: Inlets) -> list[Any]:
    """Everything that is there now."""
    given = []
    while (arrival := inlets.poll()) is not None:
        given.append(arrival)
    return given


def test_what_a_paused_input_says_before_a_barrier_counts_when_it_is_resumed() -> None:
    a, b = edges(2)
    inlets = Inlets([a, b])
    put(a, Watermark(1), Chunk(["held"]))
    put(b, Watermark(1))
    assert polled(inlets) == [(0, Chunk(["held"])), Watermark(1)]
    inlets.pause(0)
    put(a, Watermark(50), Chunk(["more"]), Barrier(1))
    put(b, Watermark(40), Barrier(1))
    assert polled(inlets) == [(0, Chunk(["more"])), Barrier(1)]
    inlets.resume(0)
    assert polled(inlets) == [Watermark(40)]


def test_a_paused_input_is_idle_when_it_is_resumed() -> None:
    a, b = edges(2)
    inlets = Inlets([a, b])
    inlets.pause(0)
    put(a, Watermark(5), IDLE, Barrier(1))
    put(b, Watermark(40), Barrier(1))
    assert polled(inlets) == [Barrier(1)]
    inlets.resume(0)
    assert polled(inlets) == [Watermark(40)]
    put(b, IDLE)
    assert polled(inlets) == [IDLE]


def test_a_paused_input_that_has_ended_holds_the_watermark_back_until_it_is_resumed() -> None:
    a, b = edges(2)
    inlets = Inlets([a, b])
    put(a, Watermark(1), Chunk(["held"]))
    assert polled(inlets) == [(0, Chunk(["held"]))]
    inlets.pause(0)
    put(b, Watermark(2), Barrier(1))
    a.channel.end()
    assert polled(inlets) == [Watermark(1), (0, None), Barrier(1)]
    put(b, Watermark(40))
    assert polled(inlets) == []
    restored = Inlets(edges(2))
    restored.restore(inlets.snapshot())
    assert polled(restored) == []
    for each in (inlets, restored):
        each.resume(0)
        assert polled(each) == [Watermark(40)]


def test_an_input_is_asked_when_those_of_higher_priority_have_nothing() -> None:
    low, high, too = edges(3)
    inlets = Inlets([low, high, too], priorities=[0, 1, 1])
    inlets.limit = 2
    for edge in (low, high, too):
        put(edge, Chunk([1, 2, 3]))
    assert [index for index, _ in polled(inlets)] == [1, 2, 1, 2, 0, 0]
    put(low, Chunk([4, 5, 6]))
    assert inlets.poll() == (0, Chunk([4, 5]))
    put(high, Chunk([7]))
    assert polled(inlets) == [(1, Chunk([7])), (0, Chunk([6]))]


def test_only_leading_inputs_give_the_watermark_and_all_align() -> None:
    main, side = edges(2)
    inlets = Inlets([main, side], leading=[0])
    put(main, Watermark(7), IDLE, Chunk([1]), Barrier(1))
    assert polled(inlets) == [Watermark(7), IDLE, (0, Chunk([1]))]
    put(side, Watermark(3), IDLE, Chunk([2]), Barrier(1))
    assert polled(inlets) == [(1, Chunk([2])), Barrier(1)]


def test_inlets_go_on_from_a_snapshot() -> None:
    before = edges(4)
    inlets = Inlets(before)
    for edge, time in zip(before, (10, 20, 30, 1), strict=True):
        put(edge, Watermark(time))
    put(before[2], IDLE)
    before[3].channel.end()
    assert polled(inlets) == [Watermark(1), (3, None), Watermark(10)]
    inlets.pause(1)
    state = pickle.dumps(inlets.snapshot())
    put(before[0], Watermark(99))
    polled(inlets)

    after = edges(4)
    restored = Inlets(after)
    restored.restore(pickle.loads(state))
    assert after[3].channel.closed
    assert not any(edge.channel.closed for edge in after[:3])
    put(after[0], Watermark(10), Watermark(15), Watermark(25))
    put(after[1], Chunk(["paused"]))
    assert polled(restored) == [Watermark(15), Watermark(20)]
    restored.resume(1)
    assert polled(restored) == [(1, Chunk(["paused"]))]
