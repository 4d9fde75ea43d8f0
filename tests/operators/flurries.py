"""Timings with several items at one moment, for operators that look at the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from timelines import ERROR, Timeline, plain, stream_of

import reactive as rx
from reactive.execution import Execution
from reactive.plan import JobPlan, make_plan
from reactive.signals import AnySignal
from reactive.testing import End, Failure, Item, record, run
from reactive.testing.marbles import Event

UNTIL = 10_000.0

bounds = st.builds(rx.Settings, chunk=st.integers(1, 4), edge=st.integers(1, 4))


@st.composite
def flurries(
    draw: st.DrawFn, *, last: int = 20, max_size: int = 12, fails: bool = True
) -> Timeline:
    """Items at whole seconds, often several at one, then an end, a failure or neither."""
    times = sorted(draw(st.lists(st.integers(0, last), max_size=max_size)))
    events: list[Event[Any]] = [Item(float(time), draw(st.integers(0, 9))) for time in times]
    kind = draw(st.sampled_from(["end", "end", "endless", "fails"][: 3 + fails]))
    after = float((times[-1] if times else 0) + draw(st.integers(1, 6)))
    if kind == "end":
        events.append(End(after))
    elif kind == "fails":
        events.append(Failure(after, ERROR))
    return tuple(events)


def end_of(timeline: Timeline) -> float:
    """When it ends or fails; when the test does, if it goes on."""
    return timeline[-1].time if timeline and not isinstance(timeline[-1], Item) else UNTIL


def fails(timeline: Timeline) -> bool:
    return bool(timeline) and isinstance(timeline[-1], Failure)


def check(stream: rx.Stream[Any], settings: rx.Settings, expected: Sequence[Event[Any]]) -> None:
    """Compare what comes out, and when, with what a model says."""
    given = run(record(stream, until=UNTIL, settings=settings)).events
    assert list(map(plain, given)) == list(map(plain, expected))


def check_model(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
    timeline: Timeline,
    settings: rx.Settings,
    model: Callable[[Timeline], Sequence[Event[Any]]],
) -> None:
    """The same for an operator of one input, whatever the chunks."""
    check(build(stream_of(timeline)), settings, model(timeline))


async def signals_at(
    stream: rx.Stream[Any], restored: Mapping[str, Any] | None = None
) -> list[tuple[AnySignal, float]]:
    """Every signal a stream gives, with the seconds since it was opened; it may begin with what
    operators held in an earlier run."""
    clock = asyncio.get_running_loop().time
    execution, start = Execution(make_plan([JobPlan(stream.node)]), restored=restored), clock()
    given: list[tuple[AnySignal, float]] = []
    try:
        await execution.open()
        while (signal := await execution.read()) is not None:
            given.append((signal, clock() - start))
    finally:
        await execution.close()
    return given
