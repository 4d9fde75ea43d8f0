"""The pipeline of the demo: the same function for the live sockets and for the recorded file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import orjson

import reactive as rx

Key: TypeAlias = tuple[str, str]
"""A carrier and an airport, by their codes."""


class Flight(NamedTuple):
    """What the pipeline needs of a line; `delay` is None when the flight was cancelled."""

    carrier: str
    origin: str
    delay: int | None


class Total(NamedTuple):
    """Departures so far, and the sum of their delays in minutes: exact in any order."""

    departures: int
    minutes: int

    @property
    def mean(self) -> float:
        return self.minutes / self.departures


Board: TypeAlias = Mapping[Key, Total]
"""The totals of every carrier at every airport; never changed in place."""

NOTHING = Total(0, 0)
EMPTY: Board = {}
BAD: rx.SideOutput[rx.DeadLetter[bytes]] = rx.SideOutput("bad lines")


def departures(lines: rx.Stream[bytes]) -> rx.Stream[Board]:
    """The running departures and delays of every carrier at every airport, one board a flight.

    Lines that are no flights go to `BAD`; cancelled flights never left and do not count.
    """
    return (
        lines.map(parse, on_error=BAD)
        .named("parse")
        .filter(lambda flight: flight.delay is not None)
        .named("departed")
        .map(keyed)
        .named("by carrier and airport")
        .scan(add, EMPTY)
        .named("totals")
    )


def parse(line: bytes) -> Flight:
    """One line of JSON; an error says what is wrong with it."""
    record: Any = orjson.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"a flight is an object, not {type(record).__name__}")
    carrier, origin, delay = record.get("carrier"), record.get("origin"), record.get("delay")
    if not isinstance(carrier, str) or not isinstance(origin, str):
        raise ValueError("carrier and origin must be there and be texts")
    if delay is not None and type(delay) is not int:
        raise ValueError(f"delay must be whole minutes or null, not {delay!r}")
    return Flight(carrier, origin, delay)


def keyed(flight: Flight) -> tuple[Key, int]:
    """A departed flight under its carrier and airport."""
    assert flight.delay is not None
    return (flight.carrier, flight.origin), flight.delay


def add(board: Board, departure: tuple[Key, int]) -> Board:
    """The board with one more departure."""
    key, delay = departure
    count, minutes = board.get(key, NOTHING)
    return {**board, key: Total(count + 1, minutes + delay)}
