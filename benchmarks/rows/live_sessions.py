"""Resident memory of a million sessions that are all live at one moment."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import psutil

from benchmarks import loops
from benchmarks.events import START, Event, key_of, time_of, value_of
from benchmarks.model import Bar, Column, Contestant, Outcome, Row, Samples, Settings

OURS, DICT = "reactive", "plain dict of the same accumulators"
GAP = 3600
MEBIBYTE = 1024 * 1024


def events(count: int) -> list[Event]:
    """One of each key, all within the gap."""
    return [(START + number, f"key {number}", number % 7) for number in range(count)]


class Memory:
    """What the process has taken since this was made."""

    def __init__(self) -> None:
        gc.collect()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.taken = 0.0

    def look(self) -> None:
        self.taken = (self._process.memory_info().rss - self._before) / MEBIBYTE


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    given = events(settings["count"])

    async def main() -> Outcome:
        memory = Memory()
        sessions = (
            rx.from_iterable(_then(given, memory.look))
            .event_time(time_of, unit="us", lateness=1)
            .key_by(key_of)
            .window(rx.Session(GAP))
            .aggregate(n=rx.count(), total=rx.sum(value_of))
            .map(lambda session: session.value.total)
        )
        total = await sessions.sum().collect(mode="stream")
        return Outcome(total[0], {"memory": memory.taken})

    return loops.run(main())


def _then(given: list[Event], look: Callable[[], None]) -> Iterator[Event]:
    """The events, and a look at the memory when all of them have been taken in."""
    yield from given
    look()


def plain_dict(settings: Settings) -> Outcome:
    given = events(settings["count"])
    memory = Memory()
    held: dict[str, list[int]] = {}
    for event in given:
        key = key_of(event)
        row = held.get(key)
        if row is None:
            row = held[key] = [0, 0]
        row[0] += 1
        row[1] += value_of(event)
    memory.look()
    return Outcome(sum(row[1] for row in held.values()), {"memory": memory.taken})


def megabytes(samples: Samples, name: str, settings: Settings) -> str:
    value = samples.median(name, "memory")
    return "" if value is None else f"{value:,.4g} MiB"


ROW = Row(
    name="live-sessions",
    title="memory of a million sessions with count and sum, all of them live",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(DICT, plain_dict, "by hand"),
    ),
    bars=(
        Bar(
            "within 2x of the plain dict that holds the same accumulators",
            lambda samples: samples.median(OURS, "memory"),
            lambda samples: _twice(samples.median(DICT, "memory")),
            unit=" MiB",
        ),
    ),
    columns=(Column("memory", megabytes),),
    full={"count": 1_000_000},
    quick={"count": 1_000_000},
    warm=None,
    rounds=3,
    generation=1,
    quick_rounds=1,
    computes=False,
    notes=("Keys and events are there before, and are not counted.",),
)


def _twice(amount: float | None) -> float | None:
    return None if amount is None else 2 * amount
