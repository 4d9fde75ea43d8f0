"""Random transcripts against Beam's trigger driver, which runs within the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from window_runs import SECOND, Step, ToList, caused_by

import reactive as rx
from operators.triggers import Default

pytest.importorskip("apache_beam", exc_type=ImportError)

from apache_beam.transforms import trigger as beam_trigger
from apache_beam.transforms import window as beam_window
from apache_beam.transforms.core import Windowing
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import PaneInfoTiming, WindowedValue

FOR_EVER = 10**7
"""The driver forgets no windows: nothing is too late."""

TIMINGS = {
    PaneInfoTiming.EARLY: "early",
    PaneInfoTiming.ON_TIME: "on time",
    PaneInfoTiming.LATE: "late",
}
STAMPS = {
    "end": beam_window.TimestampCombiner.OUTPUT_AT_EOW,
    "earliest": beam_window.TimestampCombiner.OUTPUT_AT_EARLIEST,
    "latest": beam_window.TimestampCombiner.OUTPUT_AT_LATEST,
}

Action = tuple[str, int]
Pane = tuple[Any, ...]


def counts() -> st.SearchStrategy[Any]:
    return st.integers(1, 4).map(rx.AfterCount)


def triggers() -> st.SearchStrategy[Any]:
    """Triggers without a clock. The default one stands alone: within others the driver forgets
    when to ask it."""
    leaves = st.one_of(counts(), st.just(rx.AfterWatermark()))
    composed: st.SearchStrategy[Any] = st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(rx.Repeatedly),
            st.builds(rx.AfterAny, inner, inner),
            st.builds(rx.AfterAll, inner, inner),
            # The driver asks what comes second only after another item.
            st.builds(rx.AfterEach, counts(), st.one_of(counts(), counts().map(rx.Repeatedly))),
            st.builds(rx.AfterWatermark, counts(), st.one_of(st.none(), counts())),
        ),
        max_leaves=4,
    )
    return st.one_of(st.just(Default()), composed, composed)


def asks_once(trigger: rx.Trigger) -> bool:
    """Whether at most one part of it waits for the end of the window: for several of them the
    driver sets several timers, and gives as many results."""
    return str(trigger).count("AfterWatermark") <= 1


def of_beam(trigger: rx.Trigger) -> Any:
    match trigger:
        case rx.AfterCount(count):
            return beam_trigger.AfterCount(count)
        case rx.Repeatedly(inner):
            return beam_trigger.Repeatedly(of_beam(inner))
        case rx.AfterWatermark(early, late):
            return beam_trigger.AfterWatermark(
                None if early is None else of_beam(early), None if late is None else of_beam(late)
            )
        case rx.AfterAny() | rx.AfterAll() | rx.AfterEach():
            kind = getattr(beam_trigger, type(trigger).__name__)
            return kind(*map(of_beam, trigger.triggers))
    return beam_trigger.DefaultTrigger()


def actions() -> st.SearchStrategy[list[Action]]:
    """Items with their times, and watermarks that only rise, at halves of seconds."""
    items = st.tuples(st.just("item"), st.integers(0, 40))
    steps = st.tuples(st.just("watermark"), st.integers(1, 20))
    return st.lists(st.one_of(items, items, items, steps), max_size=25)


def by_beam(
    windows: Any, trigger: Any, accumulation: str, stamp: str, script: Sequence[Action]
) -> list[list[Pane]]:
    mode = getattr(beam_trigger.AccumulationMode, accumulation.upper())
    windowing = Windowing(windows, trigger, mode, STAMPS[stamp], FOR_EVER)
    driver = beam_trigger.GeneralTriggerDriver(windowing, None)
    state = beam_trigger.InMemoryUnmergedState()
    watermark: Any = MIN_TIMESTAMP
    caused: list[list[Pane]] = []
    low = 0
    for number, (action, amount) in enumerate(script):
        values: list[Any] = []
        if action == "item":
            at = Timestamp(amount)
            assigned = windows.assign(windows.AssignContext(at, number))
            bundle = [WindowedValue(number, at, assigned)]
            values += driver.process_elements(state, bundle, watermark, watermark)
        else:
            low += amount
            watermark = Timestamp(low + 0.5)
        while fired := state.get_and_clear_timers(watermark):
            for window, (name, domain, time, _) in fired:
                values += driver.process_timer(window, name, domain, time, state)
        caused.append([pane_of_beam(value) for value in values])
    return caused


def pane_of_beam(value: Any) -> Pane:
    (window,) = value.windows
    pane = value.pane_info
    return (
        window.start.micros,
        window.end.micros,
        tuple(sorted(value.value)),
        TIMINGS[pane.timing],
        pane.index,
        pane.is_last,
        value.timestamp.micros // 1000,
    )


def by_us(
    windows: rx.WindowAssigner,
    trigger: rx.Trigger,
    accumulation: Any,
    stamp: Any,
    script: Sequence[Action],
) -> list[list[Pane]]:
    steps: list[Step] = []
    low = 0
    for number, (action, amount) in enumerate(script):
        if action == "item":
            steps.append(rx.Chunk([number], [amount * SECOND]))
        else:
            low += amount
            steps.append(rx.Watermark(low * SECOND + SECOND // 2))
    caused = caused_by(
        steps,
        lambda stream: stream.window(
            windows,
            trigger=trigger,
            accumulation=accumulation,
            allowed_lateness=FOR_EVER,
            timestamp=stamp,
        ).aggregate(ToList()),
    )
    return [
        [
            (
                result.window.start,
                result.window.end,
                tuple(sorted(result.value)),
                result.pane.timing,
                result.pane.index,
                result.pane.last,
                time // 1000,
            )
            for result, time in results
        ]
        for results in caused[: len(steps)]
    ]


WINDOWS: dict[str, tuple[rx.WindowAssigner, Callable[[], Any]]] = {
    "tumbling": (rx.Tumbling(10), lambda: beam_window.FixedWindows(10)),
    "sliding": (rx.Sliding(10, every=5), lambda: beam_window.SlidingWindows(10, 5)),
    "sessions": (rx.Session(5), lambda: beam_window.Sessions(5)),
}


@pytest.mark.parametrize("windows", WINDOWS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    trigger=triggers().filter(asks_once),
    accumulation=st.sampled_from(["discarding", "accumulating"]),
    stamp=st.sampled_from(["end", "earliest", "latest"]),
    script=actions(),
)
@example(
    trigger=rx.AfterAll(rx.AfterWatermark(), rx.Repeatedly(rx.AfterCount(1))),
    accumulation="discarding",
    stamp="end",
    script=[("item", 0), ("watermark", 10), ("item", 0)],
)
def test_random_transcripts(
    windows: str, trigger: rx.Trigger, accumulation: str, stamp: str, script: list[Action]
) -> None:
    ours, of_theirs = WINDOWS[windows]
    theirs = by_beam(of_theirs(), of_beam(trigger), accumulation, stamp, script)
    mine = by_us(ours, trigger, accumulation, stamp, script)
    assert [sorted(panes) for panes in mine] == [sorted(panes) for panes in theirs]
