"""What checkpoints cost a windowed pipeline: the one of the row `windows`, saved every second."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import events, loops
from benchmarks.events import Totals, key_of, time_of, value_of
from benchmarks.model import (
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    beside_column,
    median_column,
    per_item_column,
    within,
)

WITH, WITHOUT = "reactive, a checkpoint every second", "reactive, without"
EVERY = 1.0


def kept(settings: Settings) -> Outcome:
    import reactive as rx

    with tempfile.TemporaryDirectory() as folder:
        return _run(settings, rx.Checkpoint(Path(folder, "state.db"), every=EVERY))


def plain(settings: Settings) -> Outcome:
    return _run(settings, None)


def _run(settings: Settings, checkpoint: object) -> Outcome:
    import reactive as rx
    from connectors import memory

    given = events.events(settings["count"])

    async def main() -> tuple[Totals, int]:
        results: list[rx.Windowed[str, rx.Row]] = []
        totals = (
            rx.from_iterable(given)
            .event_time(time_of, unit="us", lateness=events.LATENESS)
            .key_by(key_of)
            .window(rx.Tumbling(events.SIZE))
            .aggregate(n=rx.count(), total=rx.sum(value_of))
        )
        job = totals.to(memory.append(results))
        report = await rx.run(job, mode="stream", checkpoint=checkpoint)  # type: ignore[arg-type]
        rows = [result.value for result in results]
        taken = report["checkpoints"].counters["epochs"] if checkpoint is not None else 0
        return [len(rows), sum(row.n for row in rows), sum(row.total for row in rows)], taken

    before, cpu = time.perf_counter(), time.process_time()
    totals, taken = loops.run(main())
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    return Outcome(totals, {"seconds": seconds, "cpu": cpu, "checkpoints": taken})


def _taken(samples: Samples, name: str, settings: Settings) -> str:
    value = samples.median(name, "checkpoints")
    return "" if value is None else f"{value:.0f}"


ROW = Row(
    name="checkpoints",
    title="the windows of 1,000 keys, with a checkpoint every second into SQLite",
    contestants=(
        Contestant(WITH, kept, "ours", "reactive"),
        Contestant(WITHOUT, plain, "ours", "reactive"),
    ),
    bars=(within("under 5 % slower than without", WITH, WITHOUT, 1.05),),
    columns=(
        median_column(),
        per_item_column("an event"),
        beside_column(WITH),
        Column("checkpoints", _taken),
    ),
    full={"count": 4_000_000},
    quick={"count": 1_000_000},
    warm={"count": 5_000},
    rounds=7,
    seconds_for_a_contestant=60.0,
    notes=("A last checkpoint, at the end of the input, is among those counted.",),
)
