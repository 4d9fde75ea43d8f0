"""Pipelines of RxPY on timelines, in the virtual time of its own scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import reactivex
from reactivex.notification import OnCompleted, OnError, OnNext
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.testing.coldobservable import ColdObservable
from reactivex.testing.recorded import Recorded
from timelines import ERROR, Timeline

from reactive.testing import End, Failure, Item
from reactive.testing.marbles import Event

UNTIL = 60.5
"""When all runs are over."""


def cold(timeline: Timeline, scheduler: VirtualTimeScheduler) -> reactivex.Observable[Any]:
    """A stream that gives these events at their times, counted from each subscription."""
    return ColdObservable(scheduler, list(map(_message, timeline)))


def _message(event: Event[Any]) -> Recorded[Any]:
    if isinstance(event, Item):
        return Recorded(event.time, OnNext(event.value))
    if isinstance(event, Failure):
        return Recorded(event.time, OnError(event.error))
    return Recorded(event.time, OnCompleted())


def note(stream: reactivex.Observable[Any], scheduler: VirtualTimeScheduler) -> list[Event[Any]]:
    """Subscribe, and give the list in which what comes is noted with its time."""
    events: list[Event[Any]] = []

    def now() -> float:
        return VirtualTimeScheduler.to_seconds(scheduler.now)

    stream.subscribe(
        lambda item: events.append(Item(now(), item)),
        lambda error: events.append(Failure(now(), error)),
        lambda: events.append(End(now())),
        scheduler=scheduler,
    )
    return events


def rx_gives(build: Callable[..., Any], inputs: Sequence[Timeline]) -> list[Event[Any]]:
    """What a pipeline of RxPY gives, and when."""
    scheduler = VirtualTimeScheduler()
    events = note(build(*(cold(each, scheduler) for each in inputs)), scheduler)
    scheduler.advance_to(UNTIL)
    return events


def plain(event: Event[Any]) -> tuple[Any, ...]:
    """What is compared: times to a tenth of a millisecond, and of errors that they are those of an
    input."""
    time = round(event.time, 4)
    if isinstance(event, Item):
        return time, "item", event.value
    if isinstance(event, End):
        return time, "end"
    return time, "failure", event.error is ERROR
