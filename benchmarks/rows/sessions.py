"""Count and sum of each key in sessions: windows that last until nothing comes for a while."""

from __future__ import annotations

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
)
from benchmarks.rows.windows import timed

OURS, BYTEWAX = "reactive", "bytewax"


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    given = events.events(settings["count"])

    async def main() -> Totals:
        results = await (
            rx.from_iterable(given)
            .event_time(time_of, unit="us", lateness=events.LATENESS)
            .key_by(key_of)
            .window(rx.Session(events.GAP))
            .aggregate(n=rx.count(), total=rx.sum(value_of))
            .collect(mode="stream")
        )
        rows = [result.value for result in results]
        return [len(rows), sum(row.n for row in rows), sum(row.total for row in rows)]

    return timed(lambda: loops.run(main()))


def bytewax(settings: Settings) -> Outcome:
    from benchmarks.peers.bytewax_peer import session_totals

    given = events.dated_events(settings["count"])
    return timed(lambda: session_totals(given, events.GAP, events.LATENESS))


ROW = Row(
    name="sessions",
    title="count and sum of 1,000 keys in sessions, 1 % out of order",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(BYTEWAX, bytewax, module="bytewax", share=0.05),
    ),
    bars=(faster("at least 20x faster than bytewax", OURS, BYTEWAX, 20),),
    columns=(median_column(), per_item_column("an event"), beside_column(OURS)),
    full={"count": 1_000_000},
    quick={"count": 200_000},
    warm={"count": 5_000},
    notes=(
        "bytewax gets datetimes made before the clock runs, and a twentieth of the events; its "
        "time is scaled up.",
    ),
)
