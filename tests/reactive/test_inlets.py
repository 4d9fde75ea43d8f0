"""Control signals at the meeting of several inputs: minimum watermarks, aligned barriers."""

from __future__ import annotations

from typing import Any

import pytest

import reactive as rx
from reactive import IDLE, Barrier, Chunk, Watermark
from reactive.execution import Execution
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
        lambda s: s.take_until(rx.never()),
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
