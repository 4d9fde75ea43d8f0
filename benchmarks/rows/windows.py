"""Count and sum of each key in windows of a minute of event time."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import events, loops
from benchmarks.events import Totals, key_of, time_of, value_of
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

OURS, BY_HAND, BYTEWAX, PATHWAY = "reactive", "hand-written dict loop", "bytewax", "pathway"


def timed(work: Callable[[], Totals]) -> Outcome:
    """Without the making of the events."""
    before = loops.now()
    totals = work()
    return Outcome(totals, {"seconds": loops.now() - before})


def ours(settings: Settings) -> Outcome:
    return _ours(settings, "stream")


def ours_in_batch(settings: Settings) -> Outcome:
    return _ours(settings, "batch")


def _ours(settings: Settings, mode: str) -> Outcome:
    import reactive as rx

    given = events.events(settings["count"])

    async def main() -> Totals:
        results = await (
            rx.from_iterable(given)
            .event_time(time_of, unit="us", lateness=events.LATENESS)
            .key_by(key_of)
            .window(rx.Tumbling(events.SIZE))
            .aggregate(n=rx.count(), total=rx.sum(value_of))
            .collect(mode=mode)  # type: ignore[arg-type]
        )
        rows = [result.value for result in results]
        return [len(rows), sum(row.n for row in rows), sum(row.total for row in rows)]

    return timed(lambda: loops.run(main()))


def by_hand(settings: Settings) -> Outcome:
    given = events.events(settings["count"])
    size = events.SIZE * 1_000_000

    def work() -> Totals:
        totals: dict[tuple[int, str], list[int]] = {}
        for event in given:
            time = time_of(event)
            at = (time - time % size, key_of(event))
            held = totals.get(at)
            if held is None:
                held = totals[at] = [0, 0]
            held[0] += 1
            held[1] += value_of(event)
        rows = totals.values()
        return [len(rows), sum(row[0] for row in rows), sum(row[1] for row in rows)]

    return timed(work)


def bytewax(settings: Settings) -> Outcome:
    from benchmarks.peers.bytewax_peer import tumbling_totals

    given = events.dated_events(settings["count"])
    return timed(lambda: tumbling_totals(given, events.SIZE, events.LATENESS))


def pathway(settings: Settings) -> Outcome:
    from benchmarks.peers.pathway_peer import tumbling_totals

    given = events.dated_events(settings["count"])
    return timed(lambda: tumbling_totals(given, events.SIZE, events.LATENESS))


ROW = Row(
    name="windows",
    title="count and sum of 1,000 keys in tumbling windows of event time, 1 % out of order",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant("reactive, in batch", ours_in_batch, "ours", "reactive"),
        Contestant(BY_HAND, by_hand, "by hand"),
        Contestant(BYTEWAX, bytewax, module="bytewax", share=0.05),
        Contestant(PATHWAY, pathway, module="pathway", share=0.05),
    ),
    bars=(
        within(
            "no slower than a hand-written dict loop that reads time, key and value through the "
            "same functions",
            OURS,
            BY_HAND,
            1.0,
        ),
        faster("at least 35x faster than bytewax", OURS, BYTEWAX, 35),
        faster("at least 70x faster than pathway", OURS, PATHWAY, 70),
    ),
    columns=(median_column(), per_item_column("an event"), beside_column(OURS)),
    full={"count": 1_000_000},
    quick={"count": 200_000},
    warm={"count": 5_000},
    notes=(
        "bytewax and pathway get datetimes made before the clock runs, and a twentieth of the "
        "events; their times are scaled up.",
        "pathway has all rows in a table from the start, which is faster than one by one.",
    ),
)
