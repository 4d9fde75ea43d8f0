"""What is late for join, cogroup, interval_join and process, and what becomes of the rest: values
and times against models, in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
from catalogue import model_of
from disorder import HOWS, SECOND, Event, by_key, grouped, in_time, joined
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, stream_of, timelines

import reactive as rx
from connectors import memory
from reactive.testing import End, Item, run

Told: TypeAlias = list[tuple[float, Any]]
"""What was given, each with the second of the loop's clock at which it was."""

GAP = 4
WINDOWS: dict[str, rx.WindowAssigner] = {
    "tumbling": rx.Tumbling(5, offset=1),
    "sliding": rx.Sliding(9, every=4),
}


@st.composite
def arrivals(draw: st.DrawFn, number: int = 0) -> Timeline:
    """Events that happened at other times than they come, and in another order."""
    elements = st.tuples(st.sampled_from("ab"), st.integers(0, 20))
    events = draw(timelines(number, elements=elements, fails=False, max_size=9))
    return tuple(
        Item(each.time, Event(each.value[0], n, each.value[1])) if isinstance(each, Item) else each
        for n, each in enumerate(events)
    )


two = st.tuples(arrivals(0), arrivals(1))
latenesses = st.integers(0, 6)


def keyed(timeline: Timeline, lateness: int) -> rx.KeyedStream[str, Event]:
    return by_key(in_time(stream_of(timeline), lateness))


def outcome(stream: rx.Stream[Any], late: rx.SideOutput[Any]) -> tuple[Told, Told]:
    """What a stream and its late items give, and when."""

    async def both() -> tuple[Told, Told]:
        kept: Told = []
        lost: Told = []
        clock = asyncio.get_running_loop().time

        def timed(item: Any) -> tuple[float, Any]:
            return round(clock(), 6), item

        jobs = stream.map(timed).to(memory.append(kept)), late.map(timed).to(memory.append(lost))
        await rx.run(*jobs, mode="stream")
        return kept, lost

    return run(both())


class Progress:
    """How far event time has come on each side: as far as its latest event, less the lateness."""

    def __init__(self, sides: int, lateness: int) -> None:
        self.of = [-math.inf] * sides
        self._lateness = lateness

    def goes_on(self, side: int, event: Event | None) -> float:
        """An event came, or the end; gives how far all sides have come."""
        reached = math.inf if event is None else event.time - self._lateness
        self.of[side] = max(self.of[side], reached)
        return min(self.of)


def ticks(inputs: Sequence[Timeline]) -> Iterator[tuple[float, int, Event | None]]:
    """The events of all sides in the order in which they come; None for the end of a side."""
    sides = [[(one.time, n, one) for one in events] for n, events in enumerate(inputs)]
    for time, side, event in heapq.merge(*sides, key=lambda tick: tick[0]):
        assert isinstance(event, Item | End)
        yield time, side, event.value if isinstance(event, Item) else None


Results: TypeAlias = Callable[[list[tuple[Any, ...]]], list[Any]]
"""From windows with what they hold of both sides to what comes of them."""


def in_windows(
    assigner: rx.WindowAssigner,
    inputs: Sequence[Timeline],
    lateness: int,
    results: Results,
    allowed: int = 0,
) -> tuple[Told, Told, list[Any]]:
    """What windows of one lateness give and when, what is late, and what they held in the end."""
    progress = Progress(2, lateness)
    held: dict[rx.Window, list[list[Event]]] = {}
    kept: Told = []
    lost: Told = []
    given: set[rx.Window] = set()
    for time, side, event in ticks(inputs):
        if event is not None:
            passed = progress.of[side] - allowed
            windows = assigner.assign(event, event.time * SECOND)
            taking = [window for window in windows if window.end / SECOND > passed]
            for window in taking:
                held.setdefault(window, [[], []])[side].append(event)
            if not taking:
                lost.append((time, event))
        passed = progress.goes_on(side, event)
        due = {window for window in held if window.end / SECOND <= passed} - given
        for window in sorted(due, key=lambda each: each.end):
            given.add(window)
            kept += [(time, one) for one in results([(window, *held[window])])]
    return kept, lost, results([(window, *rows) for window, rows in held.items()])


def in_sessions(inputs: Sequence[Timeline], lateness: int, results: Results) -> tuple[Told, Told]:
    """The same for windows that grow: an event is late if the session it would be in is over."""
    progress = Progress(2, lateness)
    live: list[tuple[str, float, float, list[list[Event]]]] = []
    kept: Told = []
    lost: Told = []
    for time, side, event in ticks(inputs):
        if event is not None:
            start, end = event.time, event.time + GAP
            met = [one for one in live if one[0] == event.key and start < one[2] and one[1] < end]
            begun = min([start, *(one[1] for one in met)])
            ended = max([end, *(one[2] for one in met)])
            if ended <= progress.of[side]:
                lost.append((time, event))
            else:
                live = [one for one in live if one not in met]
                rows = [[each for one in met for each in one[3][n]] for n in range(2)]
                rows[side].append(event)
                live.append((event.key, begun, ended, [sorted(row, key=_number) for row in rows]))
        passed = progress.goes_on(side, event)
        due = sorted((one for one in live if one[2] <= passed), key=_place)
        live = [one for one in live if one[2] > passed]
        for _, begun, ended, rows in due:
            window = rx.Window(int(begun * SECOND), int(ended * SECOND))
            kept += [(time, one) for one in results([(window, *rows)])]
    return kept, lost


def _number(event: Event) -> int:
    return event.number


def _place(session: tuple[str, float, float, list[list[Event]]]) -> tuple[float, ...]:
    """By their ends, then by what came first on the left, then on the right."""
    return session[2], *(min(map(_number, rows), default=math.inf) for rows in session[3])


@model_of("KeyedStream.join")
@pytest.mark.parametrize("name", WINDOWS)
@given(inputs=two, lateness=latenesses, how=st.sampled_from(HOWS))
@examples(25)
def test_what_is_late_for_a_join(
    name: str, inputs: tuple[Timeline, Timeline], lateness: int, how: Any
) -> None:
    late = rx.SideOutput[Event]("late")
    left, right = (keyed(one, lateness) for one in inputs)
    stream = left.join(right, window=WINDOWS[name], how=how, late=late)
    kept, lost, _ = in_windows(WINDOWS[name], inputs, lateness, lambda held: joined(held, how))
    assert outcome(stream, late) == (kept, lost)


@model_of("KeyedStream.join", "KeyedStream.cogroup")
@given(inputs=two, lateness=latenesses)
@examples(25)
def test_what_is_late_for_sessions(inputs: tuple[Timeline, Timeline], lateness: int) -> None:
    late = rx.SideOutput[Event]("late")
    left, right = (keyed(one, lateness) for one in inputs)
    stream = left.join(right, window=rx.Session(GAP), how="full", late=late)
    assert outcome(stream, late) == in_sessions(inputs, lateness, lambda held: joined(held, "full"))
    groups = left.cogroup(right, window=rx.Session(GAP), late=late)
    assert outcome(groups, late) == in_sessions(inputs, lateness, grouped)


@model_of("KeyedStream.cogroup")
@given(inputs=two, lateness=latenesses)
@examples(25)
def test_what_is_late_for_groups(inputs: tuple[Timeline, Timeline], lateness: int) -> None:
    late = rx.SideOutput[Event]("late")
    window = WINDOWS["sliding"]
    left, right = (keyed(one, lateness) for one in inputs)
    kept, lost, _ = in_windows(window, inputs, lateness, grouped)
    assert outcome(left.cogroup(right, window=window, late=late), late) == (kept, lost)


@model_of("KeyedStream.join", "KeyedStream.cogroup")
@given(inputs=two, lateness=latenesses, allowed=st.integers(1, 6))
@examples(25)
def test_what_is_too_late_for_windows_that_wait(
    inputs: tuple[Timeline, Timeline], lateness: int, allowed: int
) -> None:
    """What comes while they wait is in what they gave last."""
    late = rx.SideOutput[Event]("late")
    window = WINDOWS["sliding"]
    left, right = (keyed(one, lateness) for one in inputs)
    options: Any = {"window": window, "allowed_lateness": allowed, "late": late}
    _, lost, rows = in_windows(window, inputs, lateness, lambda held: joined(held, "full"), allowed)
    given, refused = outcome(left.join(right, how="full", **options), late)
    assert refused == lost
    standing: Counter[str] = Counter()
    for _, row in given:
        standing[repr(row._replace(pane=rx.Pane()))] += -1 if row.pane.retracted else 1
    assert +standing == Counter(map(repr, rows))
    _, lost, groups = in_windows(window, inputs, lateness, grouped, allowed)
    given, refused = outcome(left.cogroup(right, **options), late)
    assert refused == lost
    last = {(row.key, row.window): row._replace(pane=rx.Pane()) for _, row in given}
    assert sorted(map(repr, last.values())) == sorted(map(repr, groups))


def near(
    inputs: Sequence[Timeline], lateness: int, before: int, after: int, how: str
) -> tuple[Told, Told]:
    """Pairs as soon as both are there, and what stays alone when the other side tells."""
    progress = Progress(2, lateness)
    keeps = how in ("left", "full"), how in ("right", "full")
    reach = after, before
    held: list[list[Event]] = [[], []]
    alone: list[tuple[int, Event]] = []
    kept: Told = []
    lost: Told = []
    for time, side, event in ticks(inputs):
        if event is not None and event.time < progress.of[side]:
            lost.append((time, event))
        elif event is not None:
            low, high = (before, after) if side == 0 else (after, before)
            met = [
                one
                for one in held[1 - side]
                if one.key == event.key and event.time - low <= one.time <= event.time + high
            ]
            kept += [(time, (event, one) if side == 0 else (one, event)) for one in met]
            alone = [each for each in alone if each[0] == side or each[1] not in met]
            alone += [(side, event)] if keeps[side] and not met else []
            held[side].append(event)
        progress.goes_on(side, event)
        over = [one for one in alone if one[1].time + reach[one[0]] < progress.of[1 - one[0]]]
        alone = [one for one in alone if one not in over]
        kept += [(time, (one, None) if at == 0 else (None, one)) for at, one in over]
    return kept, lost


@model_of("KeyedStream.interval_join")
@given(
    inputs=two,
    lateness=latenesses,
    interval=st.tuples(st.integers(-2, 6), st.integers(-2, 6)).filter(lambda pair: sum(pair) >= 0),
    how=st.sampled_from(HOWS),
)
@examples(50)
def test_what_is_late_for_an_interval_join(
    inputs: tuple[Timeline, Timeline], lateness: int, interval: tuple[int, int], how: Any
) -> None:
    late = rx.SideOutput[Event]("late")
    before, after = interval
    left, right = (keyed(one, lateness) for one in inputs)
    stream = left.interval_join(right, before=before, after=after, how=how, late=late)
    given, refused = outcome(stream, late)
    kept, lost = near(inputs, lateness, before, after, how)
    assert refused == lost
    assert Counter(given) == Counter(kept)


class Watch(rx.KeyedProcess[str, Event, tuple[Any, ...]]):
    """Counts the events of each key, and rings three seconds after each."""

    seen = rx.ValueState(0)

    def on_item(self, item: Event, context: rx.ProcessContext[str]) -> Iterator[tuple[Any, ...]]:
        assert not context.late
        self.seen += 1
        context.set_timer(context.after(3))
        yield context.key, self.seen, item.number

    def on_timer(self, time: int, context: rx.ProcessContext[str]) -> Iterator[tuple[Any, ...]]:
        yield context.key, self.seen, time // SECOND


@model_of("KeyedStream.process")
@given(events=arrivals(), lateness=latenesses)
@examples(40)
def test_what_is_late_for_a_handler(events: Timeline, lateness: int) -> None:
    progress = Progress(1, lateness)
    seen: Counter[str] = Counter()
    timers: list[tuple[int, str]] = []
    kept: Told = []
    lost: Told = []
    for time, _, event in ticks([events]):
        if event is not None and event.time < progress.of[0]:
            lost.append((time, event))
        elif event is not None:
            seen[event.key] += 1
            kept.append((time, (event.key, seen[event.key], event.number)))
            timer = event.time + 3, event.key
            timers += [timer] * (timer not in timers)
        passed = progress.goes_on(0, event)
        for timer in sorted((one for one in timers if one[0] <= passed), key=lambda one: one[0]):
            timers.remove(timer)
            kept.append((time, (timer[1], seen[timer[1]], timer[0])))
    late = rx.SideOutput[Event]("late")
    stream = keyed(events, lateness).process(Watch, late=late)
    assert outcome(stream, late) == (kept, lost)
