"""How often an item is in the output: said of every path, and refused where it is not enough."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from recovery import Ledger, LedgerSink, Ticks

import reactive as rx
from connectors import files, http, memory, sqlite, tcp
from reactive.delivery import paths
from reactive.plan import make_plan
from reactive.stream import Job

REPLAYED = rx.from_source(Ticks(10, 1.0))
SOCKET = tcp.listen("127.0.0.1", 0)
TABLE = sqlite.write("rows.db", "rows")
CALLED = memory.call(print)
BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")


async def own(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


def deliveries(*jobs: Job) -> list[tuple[str, str, str | None]]:
    plan = make_plan([job.planned for job in jobs])
    return [(path.source, path.sink, path.delivery) for path in paths(plan)]


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (REPLAYED.to(TABLE), "exactly once"),
        (REPLAYED.to(CALLED), "at least once"),
        (SOCKET.to(TABLE), "at most once"),
        (SOCKET.to(CALLED), "at most once"),
        (SOCKET.journal("received").map(len).to(TABLE), "exactly once"),
        (SOCKET.map(len).journal("received").to(CALLED), "at least once"),
        (http.listen(port=0).to(TABLE), "at most once"),
        (http.listen(port=0, ack="commit").map(str).to(TABLE), "exactly once"),
        (tcp.listen("127.0.0.1", 0, ack="commit").map(int).to(TABLE), "exactly once"),
        (http.ingest(ack="commit").stream.to(CALLED), "at least once"),
        (REPLAYED.through(own).to(TABLE), "at most once"),
        (REPLAYED.through(own).to(CALLED), None),
        (SOCKET.journal("received").through(own).to(TABLE), "at most once"),
        (REPLAYED.retry().scan(lambda total, n: total + n, 0).to(TABLE), "exactly once"),
        (SOCKET.retry().to(TABLE), "at most once"),
        (tcp.listen("127.0.0.1", 0, ack="commit").map(int).retry().to(TABLE), None),
        (http.listen(port=0, ack="commit").map(str).restart().scan(max, "").to(CALLED), None),
    ],
)
def test_of_a_source_a_path_and_a_sink(job: Job, expected: str | None) -> None:
    ((_, _, delivery),) = deliveries(job)
    assert delivery == expected


def test_of_every_source_and_every_sink() -> None:
    merged = REPLAYED.named("ticks").merge(SOCKET.named("socket").map(len))
    assert deliveries(merged.to(TABLE), merged.filter(bool).to(CALLED)) == [
        ("ticks", "sqlite.write", "exactly once"),
        ("socket", "sqlite.write", "at most once"),
        ("ticks", "call", "at least once"),
        ("socket", "call", "at most once"),
    ]


def test_of_a_side_output_by_what_feeds_it() -> None:
    parsed = SOCKET.named("socket").map(int, on_error=BAD)
    assert ("socket", "call", "at most once") in deliveries(parsed.to(TABLE), BAD.to(CALLED))


def test_a_stream_taken_twice_is_one_path() -> None:
    twice = REPLAYED.merge(REPLAYED.map(lambda n: -n), REPLAYED.filter(bool))
    assert len(deliveries(twice.to(TABLE))) == 1


def test_explain_says_why_and_what_to_do() -> None:
    text = str(SOCKET.buffer(10, overflow="drop_oldest").sample(1).map(len).to(TABLE).explain())
    (line,) = [line for line in text.splitlines() if "->" in line and "sqlite.write: at" in line]
    assert line == (
        "  tcp.listen -> sqlite.write: at most once: tcp.listen cannot be read again; left out on "
        'purpose by buffer, sample; add ack="commit" to it, or .journal("folder") right behind it'
    )
    text = str(http.listen(port=0, ack="commit").to(TABLE).explain())
    assert "sent again by who had no answer, and taken once where it has an Idempotency-Key" in text
    assert 'add ack="commit" to it, or .journal' in str(http.listen(port=0).to(TABLE).explain())
    assert "delivery, in" not in str(REPLAYED.explain())


@pytest.mark.parametrize(
    ("job", "wanted", "says"),
    [
        (SOCKET.to(TABLE), "exactly once", "tcp.listen -> sqlite.write: at most once"),
        (SOCKET.to(TABLE), "at least once", '.journal("folder") right behind it'),
        (REPLAYED.to(CALLED), "exactly once", "use a transactional sink"),
        (REPLAYED.through(own).to(CALLED), "at most once", "no guarantee"),
    ],
)
async def test_more_than_a_path_can_give_is_refused(
    tmp_path: Path, job: Job, wanted: Any, says: str
) -> None:
    checkpoint = rx.Checkpoint(tmp_path / "state.db", delivery=wanted)
    with pytest.raises(rx.PlanError, match=re.escape(says)):
        await rx.run(job, checkpoint=checkpoint)
    assert not (tmp_path / "state.db").exists()


async def test_what_is_enough_runs(tmp_path: Path) -> None:
    ledger = Ledger()
    checkpoint = rx.Checkpoint(tmp_path / "state.db", delivery="exactly once")
    await rx.run(rx.range(5).to(LedgerSink(ledger)), checkpoint=checkpoint)
    assert ledger.items == [0, 1, 2, 3, 4]
    (tmp_path / "in.txt").write_text("a\nb\n")
    copy = files.read_lines(tmp_path / "in.txt").to(files.write_lines(tmp_path / "out.txt"))
    checkpoint = rx.Checkpoint(tmp_path / "copy.db", delivery="exactly once")
    await rx.run(copy, checkpoint=checkpoint)
    assert (tmp_path / "out.txt").read_text() == "a\nb\n"
