"""journal: on disk before it goes on, read again after a crash, and no burden to downstream."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cases_journaling import folder
from catalogue import model_of
from feeds import Feed, check, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import operators.journal_stage as journal_stage
import reactive as rx
from connectors import journal
from reactive.errors import JournalError, PlanError
from reactive.execution import Execution
from reactive.journal_files import segments
from reactive.plan import JobPlan, make_plan
from reactive.signals import IDLE, AnySignal, Barrier, Chunk, Watermark
from reactive.testing import scripted_source

Kept = dict[str, Any]


@dataclass(frozen=True)
class Once(rx.Source[Any]):
    """A source that cannot give again what it gave: exactly these signals, then the end."""

    script: tuple[Any, ...]
    ends: bool = True

    @property
    def bounded(self) -> bool:
        return self.ends

    def reader(self, context: rx.Context) -> rx.Reader[Any]:
        return _OnceReader(self)


class _OnceReader(rx.Reader[Any]):
    def __init__(self, source: Once) -> None:
        self._left = list(source.script)
        self._ends = source.ends

    async def read(self, limit: int) -> Any:
        if self._left:
            return self._left.pop(0)
        if not self._ends:
            await asyncio.Event().wait()
        return None


def once(*script: Any, ends: bool = True) -> rx.Stream[Any]:
    return rx.from_source(Once(script, ends))


def one_by_one(items: Iterable[Any]) -> list[Chunk[Any]]:
    return [Chunk([item]) for item in items]


@asynccontextmanager
async def running(
    stream: rx.Stream[Any], restored: Kept | None = None, kept: dict[int, Kept] | None = None
) -> AsyncIterator[Execution]:
    """A run that keeps states at barriers, by epoch, as one with checkpoints does."""
    kept = {} if kept is None else kept

    def keep(barrier: Barrier, states: Any) -> None:
        kept.setdefault(barrier.epoch, {}).update(states)

    plan = make_plan([JobPlan(stream.node)])
    execution = Execution(plan, keeper=keep, restored=restored)
    try:
        await execution.open()
        yield execution
    finally:
        await execution.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens on disk or in a task."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def read_until(execution: Execution, last: AnySignal | None = None) -> list[Any]:
    """The items before a control signal, or before the end."""
    items: list[Any] = []
    while (signal := await execution.read()) is not None and signal != last:
        if isinstance(signal, Chunk):
            items += signal.items
    return items


@model_of("journal")
@given(feeds(), st.booleans(), st.sampled_from([200, 10_000]))
@examples(15)
async def test_it_changes_nothing(feed: Feed, pickled: bool, segment_bytes: int) -> None:
    def journaled(stream: rx.Stream[Any]) -> rx.Stream[Any]:
        return stream.journal(
            folder() / "j",
            serializer="pickle" if pickled else "plain",
            start="beginning",
            sync_every=0,
            segment_bytes=segment_bytes,
            limit_bytes=20_000,
            retain_bytes=1_000,
            retain_seconds=60,
        )

    await check(journaled, feed, lambda pairs: pairs)


@given(feeds())
@examples(15)
async def test_all_comes_from_the_disk_as_it_came_from_memory(feed: Feed) -> None:
    """Behind by everything, but for barriers, which do not wait, and idleness, which is over."""
    path = folder() / "j"
    first = await signals(feed.stream.journal(path))
    again = await signals(once().journal(path))
    assert pairs(again) == pairs(first)
    marks = [signal for signal in controls(first) if isinstance(signal, Watermark)]
    assert controls(again) == marks


async def test_items_are_the_same_objects(tmp_path: Path) -> None:
    item = {"a": 1}
    [given] = await once(Chunk([item])).journal(tmp_path / "j").collect()
    assert given is item


async def test_nothing_goes_on_before_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    gate, fsync = threading.Event(), os.fsync
    armed = False

    def slow(descriptor: int) -> None:
        if armed:
            gate.wait()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    async with once(Chunk([1]), ends=False).journal(tmp_path / "j").open() as items:
        armed = True
        waiting = asyncio.ensure_future(anext(items))
        try:
            await asyncio.sleep(0.2)
            assert not waiting.done()
        finally:
            armed = False
            gate.set()
        assert await waiting == 1


async def test_one_sync_serves_all_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, fsync = 0, os.fsync

    def counted(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    items = list(range(2000))
    stream = once(*one_by_one(items)).journal(tmp_path / "j", sync_every=0.05)
    assert await stream.collect() == items
    assert calls < 200


async def test_a_failing_sync_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, failing = os.fsync, False

    def maybe(descriptor: int) -> None:
        if failing:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", maybe)
    more = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2
        await asyncio.Event().wait()

    given: list[int] = []
    with pytest.raises(OSError, match="Input/output error") as failure:
        async with rx.from_async_iterable(numbers()).journal(tmp_path / "j").open() as items:
            async for item in items:
                given.append(item)
                failing = True
                more.set()
    assert given == [1]
    assert "what it had not synced went no further" in failure.value.__notes__[0]
    failing = False
    # What was lost is not known: it may be there, and nothing else.
    assert await once().journal(tmp_path / "j").collect() in ([1], [1, 2])


async def test_what_fails_upstream_comes_after_what_came_before(tmp_path: Path) -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise LookupError("three")
        return item

    given: list[int] = []
    with pytest.raises(LookupError, match="three"):
        await once(Chunk([1, 2, 3])).map(fail).journal(tmp_path / "j").tap(given.append).collect()
    assert given == [1, 2]


async def test_an_item_that_cannot_be_kept_comes_after_those_before_it(tmp_path: Path) -> None:
    given: list[Any] = []
    with pytest.raises(TypeError, match=r"give \(3,\) back as \[3\]") as failure:
        await once(Chunk([1, 2, (3,), 4])).journal(tmp_path / "j").tap(given.append).collect()
    assert given == [1, 2]
    assert "journal" in failure.value.__notes__[0]


@pytest.mark.parametrize(
    ("serializer", "items"),
    [
        ("plain", [b"a", "b", {"c": [1, None]}, 2.5]),
        ("pickle", [(1, 2), {3}, b"4", object]),
        ((lambda item: str(item).encode(), int), [1, 22, 333]),
    ],
)
async def test_serializers(tmp_path: Path, serializer: Any, items: list[Any]) -> None:
    path = tmp_path / "j"
    assert await once(Chunk(items)).journal(path, serializer=serializer).collect() == items
    assert await once().journal(path, serializer=serializer).collect() == items
    assert await journal.read(path, serializer=serializer).collect() == items


async def test_pickles_are_not_loaded_unless_that_was_asked_for(tmp_path: Path) -> None:
    await once(Chunk([(1, 2)])).journal(tmp_path / "j", serializer="pickle").collect()
    with pytest.raises(JournalError, match="if you trust who wrote it"):
        await once().journal(tmp_path / "j").collect()


async def test_without_a_checkpoint_it_begins_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert await once(Chunk([1, 2])).journal(path).collect() == [1, 2]
    assert await once(Chunk([3])).journal(path).collect() == [1, 2, 3]
    assert await once(Chunk([4])).journal(path, start="end").collect() == [4]
    assert await once().journal(path).collect() == [1, 2, 3, 4]


async def test_without_a_checkpoint_what_upstream_gives_again_is_not_given_twice(
    tmp_path: Path,
) -> None:
    source = rx.from_iterable([1, 2])
    assert await source.journal(tmp_path / "j").collect() == [1, 2]
    assert await source.journal(tmp_path / "j").collect() == [1, 2]
    assert await source.journal(tmp_path / "j", start="beginning").collect() == [1, 2] * 3


async def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "j"
    kept: dict[int, Kept] = {}
    before = once(Chunk([1, 2]), Barrier(1), Chunk([3]), Barrier(2), Chunk([4, 5]))
    async with running(before.journal(path), kept=kept) as run:
        assert await read_until(run) == [1, 2, 3, 4, 5]
    for epoch, rest in ((2, [4, 5]), (1, [3, 4, 5])):
        async with running(once(Chunk([6])).journal(path, start="end"), kept[epoch]) as run:
            # What came in after the checkpoint cannot be had again but from here.
            given = await read_until(run)
        assert given[: len(rest)] == rest
        assert given[-1] == 6


async def test_it_is_cut_at_the_checkpoint_where_upstream_gives_the_rest_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j"
    kept: dict[int, Kept] = {}
    script = [Chunk([1, 2]), Barrier(1), Chunk([3]), Chunk([4])]
    async with running(scripted_source(script).journal(path), kept=kept) as run:
        assert await read_until(run) == [1, 2, 3, 4]
    async with running(scripted_source([Chunk([3, 4])]).journal(path), kept[1]) as run:
        assert await read_until(run) == [3, 4]
    assert await journal.read(path).collect() == [1, 2, 3, 4]


async def test_event_times_watermarks_and_the_place_of_a_checkpoint_between_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j"
    kept: dict[int, Kept] = {}
    script = (Chunk([1], [10]), Watermark(10), Barrier(1), Watermark(20), IDLE, Chunk([2], [21]))
    async with running(once(*script).journal(path), kept=kept) as run:
        await read_until(run)
    async with running(once(Watermark(15), Watermark(30)).journal(path), kept[1]) as run:
        given = [signal async for signal in _signals(run)]
    assert given == [Watermark(20), Chunk([2], [21]), Watermark(30)]


async def _signals(execution: Execution) -> AsyncIterator[AnySignal]:
    while (signal := await execution.read()) is not None:
        yield signal


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left on disk alone begins soon."""
    monkeypatch.setattr(journal_stage, "_WAITING_BYTES", 500)


@pytest.mark.usefixtures("small_memory")
async def test_a_slow_reader_holds_nobody_back_and_gets_all(tmp_path: Path) -> None:
    items = list(range(5000))
    taken = 0

    def count(item: int) -> int:
        nonlocal taken
        taken += 1
        return item

    source = once(*one_by_one(items)).map(count)
    async with source.journal(tmp_path / "j", segment_bytes=10_000).open() as given:
        got = [await anext(given)]
        await until(lambda: taken == len(items))
        got += [item async for item in given]
    assert got == items


async def test_memory_is_flat_while_the_journal_grows(tmp_path: Path) -> None:
    count, size = 40_000, 2_000

    async def records() -> AsyncIterator[bytes]:
        for number in range(count):
            yield number.to_bytes(8, "little") * (size // 8)

    number = 0
    tracemalloc.start()
    try:
        async with rx.from_async_iterable(records()).journal(tmp_path / "j").open() as given:
            first = await anext(given)
            assert first[:8] == bytes(8)
            await until(lambda: _size(tmp_path / "j") >= count * size)
            async for item in given:
                number += 1
                assert int.from_bytes(item[:8], "little") == number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == count - 1
    assert peak < count * size * 0.7


def _size(path: Path) -> int:
    total = 0
    for file in path.glob("*.journal"):
        with suppress(FileNotFoundError):  # deleted meanwhile
            total += file.stat().st_size
    return total


@pytest.mark.usefixtures("small_memory")
async def test_a_checkpoint_does_not_wait_for_what_is_only_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "j"
    items = list(range(3000))
    kept: dict[int, Kept] = {}
    stream = once(*one_by_one(items), Barrier(1), Chunk([-1])).journal(path)
    async with running(stream, kept=kept) as run:
        before: list[Any] = []
        while not before:
            if isinstance(signal := await run.read(), Chunk):
                before += signal.items
        await until(lambda: _records(path) > len(items))
        before += await read_until(run, Barrier(1))
        after = await read_until(run)
    assert len(before) < len(items) // 2
    assert before + after == [*items, -1]
    async with running(once().journal(path), kept[1]) as run:
        assert await read_until(run) == after


def _records(path: Path) -> int:
    from reactive.journal_files import end_of

    return end_of(str(path))


async def test_a_journal_as_large_as_it_may_be_holds_upstream_back(tmp_path: Path) -> None:
    path = tmp_path / "j"
    items = [bytes([number % 250]) * 1000 for number in range(500)]
    stream = once(*one_by_one(items)).journal(path, segment_bytes=5_000, limit_bytes=20_000)
    sizes = []
    async with stream.open() as given:
        got = []
        async for item in given:
            got.append(item)
            sizes.append(_size(path))
            if len(got) % 50 == 0:
                await asyncio.sleep(0.02)
    assert got == items
    # A segment may be written to beyond its size by what comes in at once.
    assert max(sizes) < 30_000


async def test_what_is_committed_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script: list[Any] = []
    for epoch in range(1, 6):
        script += [*one_by_one([b"%d" % epoch * 300] * 4), Barrier(epoch)]
    kept: dict[int, Kept] = {}
    stream = once(*script, ends=False).journal(path, segment_bytes=500, sync_every=0)
    async with running(stream, kept=kept) as run:
        await read_until(run, Barrier(5))
        assert segments(str(path))[0] == 0
        run.committed(3)
        await until(lambda: segments(str(path))[0] > 0)
        assert segments(str(path))[0] <= kept[3][_name(run)]["given"]
    async with running(once().journal(path), kept[3]) as run:
        assert len(await read_until(run)) == 8
    with pytest.raises(JournalError, match="the checkpoint needs the records 4 to 4"):
        async with running(once().journal(path), kept[1]) as run:
            pass


def _name(run: Execution) -> str:
    return next(name for name in run.meters if name.startswith("journal"))


async def test_full_between_checkpoints_it_lets_the_barrier_come(tmp_path: Path) -> None:
    """All went on and only a commit is missing to make room, whose barrier is behind what waits."""
    path = tmp_path / "j"
    items = [b"x" * 1000] * 60
    script = [*one_by_one(items[:30]), Barrier(1), *one_by_one(items[30:]), Barrier(2)]
    stream = once(*script).journal(path, segment_bytes=2_000, limit_bytes=8_000, sync_every=0)
    got = 0
    async with running(stream) as run:
        async for signal in _signals(run):
            if isinstance(signal, Barrier):
                run.committed(signal.epoch)
            elif isinstance(signal, Chunk):
                got += len(signal)
    assert got == len(items)
    assert segments(str(path))[0] > 0


async def test_another_journal_than_that_of_the_checkpoint_is_refused(tmp_path: Path) -> None:
    kept: dict[int, Kept] = {}
    async with running(once(Chunk([1]), Barrier(1)).journal(tmp_path / "j"), kept=kept) as run:
        await read_until(run)
    with pytest.raises(JournalError, match="not the journal that the checkpoint was taken with"):
        async with running(once().journal(tmp_path / "other"), kept[1]):
            pass


async def test_a_journal_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    kept: dict[int, Kept] = {}
    async with running(once(Chunk([1]), Barrier(1)).journal(path), kept=kept) as run:
        await read_until(run)
    [file] = path.glob("*.journal")
    os.truncate(file, 45)
    with pytest.raises(JournalError, match="needs the records 1 to 1, and the journal has 0 to 0"):
        async with running(once().journal(path), kept[1]):
            pass


async def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    stream = once(Chunk([1]), ends=False).journal(tmp_path / "j")
    async with stream.open() as items:
        assert await anext(items) == 1
        with pytest.raises(JournalError, match="only one run may at a time") as refused:
            await stream.collect()
        assert "journal" in refused.value.__notes__[0]


async def test_sources_that_can_and_cannot_replay_are_not_mixed_before_it(tmp_path: Path) -> None:
    both = rx.from_iterable([1]).merge(once(Chunk([2])))
    assert sorted(await both.journal(tmp_path / "j").collect()) == [1, 2]
    with pytest.raises(PlanError, match=r"from_iterable can give again .* what once cannot"):
        async with running(both.journal(tmp_path / "j")):
            pass


async def test_what_was_taken_in_is_kept_when_the_run_is_left(tmp_path: Path) -> None:
    path = tmp_path / "j"
    items = list(range(1000))
    async with once(*one_by_one(items), ends=False).journal(path).open() as given:
        assert await anext(given) == 0
        await until(lambda: _records(path) >= 10)
    again = await journal.read(path).collect()
    assert again == items[: len(again)]
    assert len(again) >= 10


async def test_left_early_it_closes_what_it_read_from(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await once(*one_by_one(range(100))).journal(path).collect()
    assert await once(ends=False).journal(path).take(3).collect() == [0, 1, 2]


def test_what_explain_says(tmp_path: Path) -> None:
    stream = once().journal("in", limit_bytes=2**30, retain_seconds=60)
    text = str(stream.explain())
    assert "journal (path: in, start: beginning, sync_every: 0.01 s" in text
    assert "limit_bytes: 1,073,741,824, retain_seconds: 60" in text
    assert "after a crash: replayed to its end" in text
    replayed = str(rx.from_iterable([1]).journal("in").explain())
    assert "start: end" in replayed
    assert "after a crash: cut at the checkpoint" in replayed


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: s.journal(b"j"), TypeError, "path as text"),
        (lambda s: s.journal(""), ValueError, "is empty"),
        (lambda s: s.journal("j", serializer="xml"), TypeError, "pair of functions"),
        (lambda s: s.journal("j", serializer=(str, 1)), TypeError, "pair of functions"),
        (lambda s: s.journal("j", start=3), ValueError, '"beginning" or the "end"'),
        (lambda s: s.journal("j", sync_every=-1), ValueError, "needs `sync_every` of 0 seconds"),
        (
            lambda s: s.journal("j", retain_seconds=float("nan")),
            ValueError,
            "needs `retain_seconds`",
        ),
        (lambda s: s.journal("j", segment_bytes=0), ValueError, "at least 1"),
        (
            lambda s: s.journal("j", limit_bytes=1000),
            ValueError,
            "segment_bytes=250 there are four",
        ),
    ],
)
def test_bad_parameters(
    make: Callable[[rx.Stream[Any]], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(once())
