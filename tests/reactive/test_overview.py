"""Rows of a run: fused groups, queues, drops, side outputs and what each task is doing."""

from __future__ import annotations

import reactive as rx
from connectors import memory
from reactive.overview import Overview, Row
from reactive.supervision import report_lines

BAD: rx.SideOutput[rx.DeadLetter[str]] = rx.SideOutput("bad")


async def finished(*jobs: rx.Job) -> list[Row]:
    async with rx.start(*jobs) as run:
        await run.wait()
        return Overview(jobs).rows(run)


async def test_operators_fused_together_are_one_row() -> None:
    three = rx.range(10).map(str).map(int).filter(lambda n: n > 5)
    rows = await finished(three.to(memory.append([])))
    assert [(row.name, row.items_in, row.items_out) for row in rows] == [
        ("range", 0, 10),
        ("map ... filter", 10, 4),
        ("append", 4, 0),
    ]
    assert [row.doing for row in rows] == ["", "", "done"]


async def test_what_waits_and_what_was_dropped_stands_at_the_operator_behind_the_edge() -> None:
    seen: list[int] = []
    buffered = rx.range(10).buffer(3, overflow="drop_oldest")
    source, buffer, sink = await finished(buffered.to(memory.append(seen)))
    assert (source.queued, sink.queued) == (None, None)
    assert (buffer.queued, buffer.limit) == (0, 3)
    assert buffer.counters["dropped"] == 10 - len(seen) > 0


async def test_dead_letters_are_counted_and_side_outputs_have_no_row_of_their_own() -> None:
    numbers = rx.of("1", "x", "2", "y").map(int, on_error=BAD)
    rows = await finished(numbers.to(memory.append([])), BAD.to(memory.append([])))
    assert [row.name for row in rows] == ["of", "map", "append", "append-2"]
    assert rows[1].counters == {"dead_letters": 2}
    lines = report_lines(rows, "completed", 1.5)
    assert lines[2] == "map              4          2  dead letters 2"
    assert lines[-1] == "completed in 1.50 s, 2 dead letters"


async def test_runs_inside_an_operator_have_rows_at_the_end() -> None:
    rows = await finished(rx.of(1).retry(rx.Backoff()).to(memory.append([])))
    assert [row.name for row in rows] == ["retry", "append", "retry/of"]
