"""The pipeline of the demo: the same function for the live sockets and for the recorded file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import orjson

import reactive as rx

HOUR = 3600
ON_TIME_SECONDS = 1800
"""By how much flights may leave late before what they change counts as late."""
KEPT_SECONDS = 48 * HOUR
"""How long a complete hour takes in late flights; the longest delay of the year was 22 hours."""
EARLY = 10
"""Departures from one early pane of an hour to the next."""


class Flight(NamedTuple):
    """What the pipeline needs of a line; `delay` is None when the flight was cancelled."""

    origin: str
    scheduled: datetime
    delay: int | None


class Total(NamedTuple):
    """The departures of an hour, and the sum of their delays in minutes: exact in any order."""

    departures: int
    minutes: int

    @property
    def mean(self) -> float:
        return self.minutes / self.departures


Pane: TypeAlias = rx.Windowed[str, rx.Row]
"""One airport's hour so far: `departures` and `minutes`."""

BAD: rx.SideOutput[rx.DeadLetter[bytes]] = rx.SideOutput("bad lines")
TOO_LATE: rx.SideOutput[Flight] = rx.SideOutput("too late")


def departures(lines: rx.Stream[bytes]) -> rx.Stream[Pane]:
    """Departures and delays of every airport and hour of the schedule, in event time.

    Flights are told as they leave, so one that leaves late comes after others that were scheduled
    after it. An hour gives an early pane with every few departures, one on time when the watermark
    says that it is complete, and a late one for each flight that leaves after that. In batch it
    gives one pane, equal to the last of these.

    Lines that are no flights go to `BAD`; cancelled flights never left and do not count.
    """
    return (
        lines.map(parse, on_error=BAD)
        .named("parse")
        .filter(lambda flight: flight.delay is not None)
        .named("departed")
        .event_time(
            lambda flight: flight.scheduled,
            lateness=ON_TIME_SECONDS,
            partition=lambda flight: flight.origin,
            every=60,
        )
        .named("schedule")
        .key_by(lambda flight: flight.origin)
        .window(
            rx.Tumbling(HOUR),
            trigger=rx.AfterWatermark(early=rx.AfterCount(EARLY), late=rx.AfterCount(1)),
            accumulation="accumulating",
            allowed_lateness=KEPT_SECONDS,
            late=TOO_LATE,
        )
        .aggregate(departures=rx.count(), minutes=rx.sum(minutes))
        .named("hours")
    )


def parse(line: bytes) -> Flight:
    """One line of JSON; an error says what is wrong with it."""
    record: Any = orjson.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"a flight is an object, not {type(record).__name__}")
    origin, scheduled, delay = record.get("origin"), record.get("scheduled"), record.get("delay")
    if not isinstance(origin, str) or not isinstance(scheduled, str):
        raise ValueError("origin and scheduled must be there and be texts")
    if delay is not None and type(delay) is not int:
        raise ValueError(f"delay must be whole minutes or null, not {delay!r}")
    return Flight(origin, datetime.fromisoformat(scheduled), delay)


def minutes(flight: Flight) -> int:
    """The delay of a departed flight."""
    assert flight.delay is not None
    return flight.delay
