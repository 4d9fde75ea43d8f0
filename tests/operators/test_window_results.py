"""What windows are made into, of a whole stream and by key, against a model in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from catalogue import model_of
from feeds import examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from test_windowing import (
    ASSIGNERS,
    Event,
    by_windows,
    events,
    feed_of_events,
    in_time,
    keyed,
    sizes,
    spans,
)

import reactive as rx

Results = Callable[[rx.WindowedStream[Any, Event]], rx.Stream[Any]]


def longest(one: Event, other: Event) -> Event:
    return max(one, other, key=lambda event: event[2])


def ranked(events: list[Event]) -> Iterable[int]:
    """None, one or several results of a window."""
    return sorted({value for _, _, value in events})[:-1]


RESULTS: dict[str, tuple[Results, Callable[[list[int]], list[Any]]]] = {
    "aggregate": (
        lambda w: w.aggregate(rx.sum(lambda event: event[2])),
        lambda values: [sum(values)],
    ),
    "aggregate, several": (
        lambda w: w.aggregate(n=rx.count(), most=rx.sum(lambda event: event[2])),
        lambda values: [(len(values), sum(values))],
    ),
    "reduce": (
        lambda w: w.reduce(longest).map(lambda result: result._replace(value=result.value[2])),
        lambda values: [max(values)],
    ),
    "process": (lambda w: w.process(ranked), lambda values: sorted(set(values))[:-1]),
    "to_list": (
        lambda w: w.to_list().map(
            lambda result: result._replace(value=[event[2] for event in result.value])
        ),
        lambda values: [values],
    ),
}


@pytest.mark.parametrize("name", RESULTS)
@model_of(
    "window",
    "WindowedStream.aggregate",
    "WindowedStream.reduce",
    "WindowedStream.process",
    "WindowedStream.to_list",
)
@given(given_events=in_time, cut=sizes, assigner=ASSIGNERS, by_key=st.booleans())
@examples(30)
async def test_results_of_windows(
    name: str, given_events: list[Event], cut: list[int], assigner: Any, by_key: bool
) -> None:
    build, of = RESULTS[name]
    windows, windows_of = assigner
    feed = feed_of_events(given_events, 6, cut)
    windowed = keyed(feed).window(windows) if by_key else feed.stream.window(windows)
    found: dict[Any, list[Any]] = {}
    for at, value in spans(pairs(await signals(build(windowed)))):
        found.setdefault(at, []).append(value)
    if not by_key:
        given_events = [(None, time, value) for _, time, value in given_events]  # type: ignore[misc]
    model = {at: of(values) for at, values in by_windows(given_events, windows_of).items()}
    assert found == {at: values for at, values in model.items() if values}


@model_of("window")
@given(
    given_events=events,
    cut=sizes,
    assigner=st.sampled_from([rx.Tumbling(5), rx.Sliding(6, 2), rx.Session(4), rx.Global()]),
    early=st.none() | st.integers(1, 4),
    accumulation=st.sampled_from(["discarding", "accumulating", "retracting"]),
    allowed_lateness=st.integers(0, 9),
    timestamp=st.sampled_from(["end", "earliest", "latest"]),
)
@examples(60)
async def test_a_stream_is_as_one_key(
    given_events: list[Event],
    cut: list[int],
    assigner: Any,
    early: int | None,
    accumulation: Any,
    allowed_lateness: int,
    timestamp: Any,
) -> None:
    feed = feed_of_events(given_events, 2, cut)
    found: list[Any] = []
    for windowed in (feed.stream, feed.stream.key_by(lambda event: None)):
        late = rx.SideOutput[Event]("late")
        dropped: list[Event] = []
        results = windowed.window(
            assigner,
            trigger=None if early is None else rx.AfterWatermark(early=rx.AfterCount(early)),
            accumulation=accumulation,
            allowed_lateness=allowed_lateness,
            late=late,
            timestamp=timestamp,
        ).to_list()
        given_signals = await signals(results.merge(late.tap(dropped.append).ignore_items()))
        found.append((pairs(given_signals), dropped))
    assert found[0] == found[1]
