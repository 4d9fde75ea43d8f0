"""Events for the rows of windows: a thousand keys, one in a hundred out of order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

Event: TypeAlias = tuple[int, str, int]
"""When it happened, in microseconds since 1970, its key and its value."""
DatedEvent: TypeAlias = tuple[datetime, str, int]

KEYS = 1_000
SPACING = 1_000
START = 1_700_000_040_000_000
"""The beginning of a minute."""
MOST_LATE = 3_000_000
LATENESS = 5
SIZE = 60
GAP = 3

Totals: TypeAlias = list[int]
"""How many windows of keys there were, and the sums of what they counted and summed up."""


def time_of(event: Event) -> int:
    return event[0]


def key_of(event: Event) -> str:
    return event[1]


def value_of(event: Event) -> int:
    return event[2]


@lru_cache(maxsize=1)
def events(count: int) -> Sequence[Event]:
    """The same ones every time."""
    chance = random.Random(7)
    result = []
    for number in range(count):
        time = START + number * SPACING
        if chance.random() < 0.01:
            time = max(START, time - chance.randrange(MOST_LATE))
        result.append((time, f"key {chance.randrange(KEYS)}", number % 7))
    return result


@lru_cache(maxsize=1)
def dated_events(count: int) -> Sequence[DatedEvent]:
    """For libraries that want datetimes: made before the clock runs."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        (epoch + timedelta(microseconds=time), key, value) for time, key, value in events(count)
    ]
