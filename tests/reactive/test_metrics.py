"""What a run tells of its operators."""

from __future__ import annotations

import asyncio

import pytest

import reactive as rx
from connectors import memory
from reactive.metrics import Meter, read_meter
from reactive.overview import Overview


def test_a_total_is_among_the_counters_once_it_is_not_zero() -> None:
    dropped = 0
    meter = Meter("edge", totals={"dropped": lambda: dropped})
    meter.count("skipped", 2)
    assert read_meter(meter).counters == {"skipped": 2}
    dropped = 3
    assert read_meter(meter).counters == {"skipped": 2, "dropped": 3}


async def test_what_a_subject_drops_is_counted() -> None:
    newest: rx.Subject[int] = rx.Subject(2, overflow="drop_oldest")
    for item in range(5):
        newest.send_nowait(item)
    newest.close()
    kept: list[int] = []
    report = await rx.run(newest.to(memory.append(kept)))
    assert kept == [3, 4]
    assert report["subject"].counters == {"dropped": 3}


@pytest.mark.virtual_time
async def test_what_an_edge_drops_is_shown_in_the_row_behind_it() -> None:
    kept: list[int] = []

    async def keep(item: int) -> None:
        await asyncio.sleep(1)
        kept.append(item)

    job = rx.range(10).buffer(3, overflow="drop_newest").to(memory.call(keep))
    async with rx.start(job) as run:
        report = await run.wait()
        (row,) = [row for row in Overview([job]).rows(run) if row.counters]
    assert 0 < len(kept) < 10
    assert row.counters == report["buffer"].counters == {"dropped": 10 - len(kept)}
    assert row.limit == 3
