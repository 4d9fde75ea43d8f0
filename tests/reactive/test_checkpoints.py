"""Checkpoints as a user meets them: savepoints, pipelines that have changed, errors, the end."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from recovery import Ledger, LedgerSink, Ticks

import reactive as rx
from connectors import memory
from reactive.errors import CheckpointError, DamagedError
from reactive.signals import Chunk
from reactive.sqlite_store import SqliteStore
from reactive.store import Save
from reactive.testing.plugin import VirtualTime


def total(before: int, n: int) -> int:
    return before + n


def sums(count: int = 20) -> list[int]:
    return [n * (n + 1) // 2 for n in range(count)]


def numbers(count: int = 20) -> rx.Stream[int]:
    return rx.from_source(Ticks(count, 1.0))


def totals(name: str = "total") -> rx.Stream[int]:
    return numbers().scan(total, 0).named(name)


async def cut_after(seconds: float, checkpoint: rx.Checkpoint, *jobs: rx.Job) -> None:
    """Run for so long, and stop at once."""
    async with rx.start(*jobs, checkpoint=checkpoint, mode="stream") as run:
        await asyncio.sleep(seconds)
        await run.stop(drain=False)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def test_a_path_is_enough(virtual_time: VirtualTime, store: Path) -> None:
    ledger = Ledger()
    report = await rx.run(totals().to(LedgerSink(ledger)), checkpoint=store)
    assert ledger.items == sums()
    assert report["checkpoints"].counters["epochs"] >= 2
    assert mode_of(store) == 0o600


async def test_a_run_that_was_complete_is_not_run_again(
    virtual_time: VirtualTime, store: Path
) -> None:
    ledger, reads = Ledger(), list[int]()
    job = numbers().tap(reads.append).to(LedgerSink(ledger))
    await rx.run(job, checkpoint=store)
    await rx.run(job, checkpoint=store)
    assert reads == ledger.items == list(range(20))
    assert ledger.finished == 2


async def test_restore_none_starts_afresh(virtual_time: VirtualTime, store: Path) -> None:
    ledger = Ledger()
    await rx.run(totals().to(LedgerSink(ledger)), checkpoint=store)
    await rx.run(
        totals().to(LedgerSink(again := Ledger())), checkpoint=rx.Checkpoint(store, restore=None)
    )
    assert again.items == sums()
    await rx.run(totals().to(LedgerSink(again)), checkpoint=store)
    assert again.items == sums()


async def test_a_drain_leaves_windows_open(virtual_time: VirtualTime, store: Path) -> None:
    ledger = Ledger()
    windows = numbers().event_time(lambda n: n).window(rx.Tumbling(10)).aggregate(rx.count())
    job = windows.map(lambda result: result.value).to(LedgerSink(ledger))
    async with rx.start(job, checkpoint=store, mode="stream") as run:
        await asyncio.sleep(5.5)
        await run.stop()
    assert ledger.items == []
    await rx.run(job, checkpoint=store, mode="stream")
    assert ledger.items == [10, 10]


async def test_savepoints_are_gone_on_from_by_name(virtual_time: VirtualTime, store: Path) -> None:
    ledger = Ledger()
    job = totals().to(LedgerSink(ledger))
    async with rx.start(job, checkpoint=rx.Checkpoint(store, every=1, retain=1)) as run:
        await asyncio.sleep(5.5)
        number = await run.checkpoint("before the change")
        await asyncio.sleep(5)
        await run.stop(drain=False)
    reader = SqliteStore(store)
    reader.open(reading=True)
    assert [epoch.name for epoch in reader.epochs() if epoch.name] == ["before the change"]
    assert number in [epoch.number for epoch in reader.epochs()]
    reader.close()
    again = Ledger({epoch: items for epoch, items in ledger.epochs.items() if epoch <= number})
    named = rx.Checkpoint(store, restore="before the change")
    await rx.run(totals().to(LedgerSink(again)), checkpoint=named)
    assert again.items == sums()


async def test_stop_takes_a_savepoint(virtual_time: VirtualTime, store: Path) -> None:
    async with rx.start(totals().to(LedgerSink(Ledger())), checkpoint=store) as run:
        await asyncio.sleep(3.5)
        await run.stop(savepoint="release")
    with pytest.raises(CheckpointError, match=r"has no epoch 'relaese'; there are: 1, release"):
        await rx.run(
            totals().to(LedgerSink(Ledger())), checkpoint=rx.Checkpoint(store, restore="relaese")
        )


async def test_savepoints_need_checkpoints(virtual_time: VirtualTime) -> None:
    async with rx.start(totals().to(LedgerSink(Ledger()))) as run:
        with pytest.raises(rx.PlanError, match=r"checkpoint=rx\.Checkpoint\("):
            await run.checkpoint()
        await run.stop(drain=False)


async def test_operators_come_and_go_by_name(virtual_time: VirtualTime, store: Path) -> None:
    checkpoint, ledger = rx.Checkpoint(store, every=1), Ledger()
    await cut_after(8.5, checkpoint, totals().to(LedgerSink(ledger)))
    assert ledger.items == sums(8)
    changed = numbers().distinct().named("new").scan(total, 0).named("total").map(lambda n: -n)
    await cut_after(4.5, checkpoint, changed.to(LedgerSink(ledger)))
    assert ledger.items == sums(8) + [-n for n in sums(12)[8:]]
    with structlog.testing.capture_logs() as logs:
        await rx.run(
            numbers().map(lambda n: n).to(LedgerSink(ledger)), checkpoint=checkpoint, mode="stream"
        )
    assert ledger.items[12:] == list(range(12, 20))
    dropped = {entry["operator"] for entry in logs if entry["event"] == "state_dropped"}
    assert {"total", "new"} <= dropped


@pytest.mark.parametrize(
    "changed",
    [
        lambda: numbers().batch(2).named("total"),
        lambda: (
            numbers().event_time(lambda n: n).window(rx.Tumbling(5)).aggregate(rx.count())
        ).named("total"),
    ],
)
async def test_state_that_does_not_fit_is_refused_before_anything_runs(
    virtual_time: VirtualTime, store: Path, changed: Callable[[], rx.Stream[Any]]
) -> None:
    checkpoint = rx.Checkpoint(store, every=1)
    await cut_after(3.5, checkpoint, totals().to(LedgerSink(Ledger())))
    before = bytes_of(store)
    with pytest.raises(CheckpointError, match=r"the operator 'total' was scan, and is \w+.* now"):
        await rx.run(changed().to(LedgerSink(Ledger())), checkpoint=checkpoint, mode="stream")
    assert bytes_of(store) == before


async def test_windows_of_another_size_do_not_fit(virtual_time: VirtualTime, store: Path) -> None:
    def windows(seconds: float) -> rx.Job:
        timed = numbers().event_time(lambda n: n).window(rx.Tumbling(seconds))
        return timed.aggregate(rx.count()).named("w").to(LedgerSink(Ledger()))

    checkpoint = rx.Checkpoint(store, every=1)
    async with rx.start(windows(10), checkpoint=checkpoint, mode="stream") as run:
        await asyncio.sleep(3.5)
        await run.stop()
    with pytest.raises(CheckpointError, match="the operator 'w' was"):
        await rx.run(windows(5), checkpoint=checkpoint, mode="stream")
    await rx.run(windows(10), checkpoint=checkpoint, mode="stream")


async def test_nobody_guesses_whose_state_it_is(virtual_time: VirtualTime, store: Path) -> None:
    checkpoint = rx.Checkpoint(store, every=1)
    await cut_after(3.5, checkpoint, numbers().scan(total, 0).to(LedgerSink(Ledger())))
    two = numbers().scan(total, 0).scan(total, 0).to(LedgerSink(Ledger()))
    with pytest.raises(CheckpointError, match=r"'scan'.*there were 1 scan .* now there are 2"):
        await rx.run(two, checkpoint=checkpoint, mode="stream")


async def test_state_that_does_not_pickle_is_named(virtual_time: VirtualTime, store: Path) -> None:
    bad = numbers().scan(lambda _, n: lambda: n, None).named("odd").map(lambda _: 0)
    with pytest.raises(CheckpointError, match="the state of operator odd cannot be saved"):
        await rx.run(bad.to(LedgerSink(Ledger())), checkpoint=rx.Checkpoint(store, every=1.6))


class _Full(SqliteStore):
    saves = 0

    def save(self, save: Save) -> None:
        self.saves += 1
        if self.saves == 3:
            raise OSError(28, "No space left on device")
        super().save(save)


async def test_what_was_not_saved_is_not_committed(virtual_time: VirtualTime, store: Path) -> None:
    ledger = Ledger()
    with pytest.raises(OSError, match="No space left"):
        await rx.run(
            totals().to(LedgerSink(ledger)), checkpoint=rx.Checkpoint(_Full(store), every=2.5)
        )
    assert list(ledger.epochs) == [1, 2]
    assert ledger.prepared == [1, 2, 3]
    await rx.run(totals().to(LedgerSink(ledger)), checkpoint=store)
    assert ledger.items == sums()


class Told(rx.Source[int]):
    """Hears what is committed."""

    bounded = True

    def __init__(self) -> None:
        self.committed: list[int] = []

    def reader(self, context: rx.Context) -> rx.Reader[int]:
        return _ToldReader(self)


class _ToldReader(rx.Reader[int]):
    def __init__(self, source: Told) -> None:
        self._source = source
        self._given = 0

    async def read(self, limit: int) -> rx.Signal[int] | None:
        await asyncio.sleep(1)
        if self._given == 5:
            return None
        self._given += 1
        return Chunk([self._given])

    def position(self) -> int:
        return self._given

    def committed(self, position: int) -> None:
        self._source.committed.append(position)


async def test_sources_hear_what_is_committed(virtual_time: VirtualTime, store: Path) -> None:
    told = Told()
    job = rx.from_source(told).to(LedgerSink(Ledger()))
    await rx.run(job, checkpoint=rx.Checkpoint(store, every=1.6))
    assert told.committed == [0, 1, 3, 5]


async def test_a_barrier_passes_the_steps_behind_a_source_that_is_waited_for(
    virtual_time: VirtualTime, store: Path
) -> None:
    ledger = Ledger()
    slow = rx.from_source(Ticks(5, 100.0)).event_time(float).key_by(lambda n: n % 2)
    sums = slow.window(rx.Tumbling(10)).aggregate(rx.sum()).map(lambda pane: pane.value)
    job = sums.to(LedgerSink(ledger))
    checkpoint = rx.Checkpoint(store, every=1e6)
    async with rx.start(job, checkpoint=checkpoint, mode="stream") as run:
        await asyncio.sleep(350)
        assert [region.state for region in run.regions()] == [
            "waiting for ticks",
            "waiting for map -> ledgersink",
        ]
        before = virtual_time.now
        await run.checkpoint()
        assert virtual_time.now == before
        await run.stop(drain=False)
    await rx.run(job, checkpoint=checkpoint, mode="stream")
    assert sorted(ledger.items) == [4, 6]


async def test_one_run_at_a_time(virtual_time: VirtualTime, store: Path) -> None:
    job = totals().to(LedgerSink(Ledger()))
    async with rx.start(job, checkpoint=store) as run:
        with pytest.raises(CheckpointError, match=rf"another run .*process {os.getpid()}"):
            await rx.run(job, checkpoint=store)
        await run.stop(drain=False)
    await rx.run(job, checkpoint=store)


def damage(store: Path, epoch: int) -> None:
    with sqlite3.connect(store) as database:
        (data,) = database.execute(
            "SELECT data FROM parts WHERE epoch = ? AND owner LIKE 'source%'", (epoch,)
        ).fetchone()
        changed = bytes([data[0] ^ 1]) + data[1:]
        database.execute(
            "UPDATE parts SET data = ? WHERE epoch = ? AND owner LIKE 'source%'", (changed, epoch)
        )
    database.close()


async def test_a_damaged_epoch_is_not_used(virtual_time: VirtualTime, store: Path) -> None:
    checkpoint, ledger = rx.Checkpoint(store, every=1), Ledger()
    await cut_after(5.5, checkpoint, totals().to(LedgerSink(ledger)))
    newest = max(ledger.epochs)
    damage(store, newest)
    del ledger.epochs[newest]
    with structlog.testing.capture_logs() as logs:
        await rx.run(totals().to(LedgerSink(ledger)), checkpoint=checkpoint, mode="stream")
    assert ledger.items == sums()
    events = [entry["event"] for entry in logs]
    assert "epoch_damaged" in events
    assert "later_epochs_discarded" in events


async def test_nothing_is_guessed_where_all_is_damaged(
    virtual_time: VirtualTime, store: Path
) -> None:
    checkpoint = rx.Checkpoint(store, every=1, retain=1)
    await cut_after(5.5, checkpoint, totals().to(LedgerSink(Ledger())))
    with sqlite3.connect(store) as database:
        database.execute("UPDATE parts SET digest = x'00'")
    database.close()
    with pytest.raises(DamagedError, match=rf"{re.escape(str(store))}: epoch \d is damaged"):
        await rx.run(totals().to(LedgerSink(Ledger())), checkpoint=checkpoint, mode="stream")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 0}, "every must be above 0 seconds"),
        ({"retain": 0}, "retain must be at least 1"),
        ({"delivery": "twice"}, "delivery must be one of 'at most once'"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rx.Checkpoint("state.db", **wrong)


async def test_a_store_is_a_path(virtual_time: VirtualTime) -> None:
    with pytest.raises(TypeError, match=r'rx\.Checkpoint\("state\.db", every=10\), or a path'):
        await rx.run(totals().to(LedgerSink(Ledger())), checkpoint=3)  # type: ignore[arg-type]


def test_the_plan_of_a_run_with_checkpoints_is_another(store: Path) -> None:
    job = totals().map(abs).to(memory.call(print))
    assert str(job.explain()).startswith("1 region,")
    told = str(job.explain(checkpoint=rx.Checkpoint(store, every=5)))
    assert told.startswith("2 regions,")
    assert "a checkpoint every 5 s; an edge with backpressure holds no more than is taken" in told
    assert job.explain(checkpoint=store).mermaid().count("subgraph") == 2
    assert not store.exists()
    with pytest.raises(rx.PlanError, match="delivery='exactly once' was asked for"):
        job.explain(checkpoint=rx.Checkpoint(store, delivery="exactly once"))
