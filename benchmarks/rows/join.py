"""Pairs of the events of two streams that have a key and a window of a second in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, reduce
from operator import attrgetter
from typing import Any

from benchmarks import events, loops
from benchmarks.events import DatedEvent, Event, key_of, time_of, value_of
from benchmarks.model import (
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    faster,
    median_column,
    per_item_column,
    within,
)

OURS, BY_HAND, BYTEWAX = "reactive", "hand-written dict-of-lists loop", "bytewax"
SIZE = 1


@lru_cache(maxsize=1)
def others(count: int) -> list[Event]:
    """The right side: the same moments with other keys."""
    chance = random.Random(11)
    return [
        (time, f"key {chance.randrange(events.KEYS)}", value)
        for time, _, value in events.events(count)
    ]


def dated(given: Sequence[Event]) -> list[DatedEvent]:
    """For libraries that want datetimes: made before the clock runs."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [(epoch + timedelta(microseconds=time), key, value) for time, key, value in given]


def timed(work: Callable[[], list[int]]) -> Outcome:
    """How many pairs there are and a sum over them, without the making of the events."""
    before = loops.now()
    totals = work()
    return Outcome(totals, {"seconds": loops.now() - before})


def add(totals: list[int], pair: tuple[Any, Any]) -> list[int]:
    left, right = pair
    totals[0] += 1
    totals[1] += value_of(left) * value_of(right)
    return totals


def ours(settings: Settings) -> Outcome:
    return _ours(settings, "stream")


def ours_in_batch(settings: Settings) -> Outcome:
    return _ours(settings, "batch")


def _ours(settings: Settings, mode: Any) -> Outcome:
    import reactive as rx

    sides = events.events(settings["count"]), others(settings["count"])

    async def main() -> list[int]:
        left, right = (
            rx.from_iterable(side)
            .event_time(time_of, unit="us", lateness=events.LATENESS)
            .key_by(key_of)
            for side in sides
        )
        joined = left.join(right, window=rx.Tumbling(SIZE))
        totals = joined.map(attrgetter("value")).reduce(add, [0, 0])
        (total,) = await totals.collect(mode=mode)
        return total

    return timed(lambda: loops.run(main()))


def by_hand(settings: Settings) -> Outcome:
    sides = events.events(settings["count"]), others(settings["count"])
    size = SIZE * 1_000_000

    def work() -> list[int]:
        held: list[dict[tuple[int, str], list[Event]]] = [{}, {}]
        for side, cells in zip(sides, held, strict=True):
            for event in side:
                time = time_of(event)
                at = (time - time % size, key_of(event))
                rows = cells.get(at)
                if rows is None:
                    cells[at] = [event]
                else:
                    rows.append(event)
        left, right = held
        totals = [0, 0]
        for at, rows in left.items():
            partners = right.get(at)
            if partners is not None:
                for one in rows:
                    for other in partners:
                        add(totals, (one, other))
        return totals

    return timed(work)


def bytewax(settings: Settings) -> Outcome:
    from benchmarks.peers.bytewax_joins import joined

    sides = [dated(events.events(settings["count"])), dated(others(settings["count"]))]
    return timed(lambda: reduce(add, joined(*sides, SIZE, events.LATENESS), [0, 0]))


ROW = Row(
    name="join",
    title="two streams of 1,000 keys joined in tumbling windows of event time, as many pairs as "
    "events of one",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant("reactive, in batch", ours_in_batch, "ours", "reactive"),
        Contestant(BY_HAND, by_hand, "by hand"),
        Contestant(BYTEWAX, bytewax, module="bytewax", share=0.02),
    ),
    bars=(
        within("within 1.2x of a hand-written dict-of-lists loop", OURS, BY_HAND, 1.2),
        faster("at least 10x faster than bytewax", OURS, BYTEWAX, 10),
    ),
    columns=(median_column(), per_item_column("an event of one side"), beside_column(OURS)),
    full={"count": 1_000_000},
    quick={"count": 200_000},
    warm={"count": 5_000},
    notes=(
        "bytewax gets datetimes made before the clock runs, and a fiftieth of the events; its "
        "time is scaled up.",
    ),
)
