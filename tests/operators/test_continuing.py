"""`then`: history and live, joined with neither a gap nor a duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from catalogue import model_of
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import files, memory, tcp

JOURNAL = range(30)


@model_of("then")
@given(st.data())
async def test_a_sequence_joins_whatever_the_overlap(data: st.DataObject) -> None:
    history = data.draw(st.integers(0, 30))
    live = data.draw(st.integers(0, history))
    joined = rx.range(history).then(rx.range(live, 30), sequence=lambda n: n)
    assert await joined.collect() == list(JOURNAL)


@model_of("then")
@given(st.data())
async def test_a_key_joins_items_in_any_order(data: st.DataObject) -> None:
    numbers = data.draw(st.permutations(JOURNAL))
    history = data.draw(st.integers(0, 30))
    overlap = data.draw(st.integers(0, history))
    live = data.draw(st.permutations(numbers[history - overlap :]))
    joined = rx.from_iterable(numbers[:history]).then(
        rx.from_iterable(live), key=lambda n: n, remember=max(1, overlap)
    )
    items = await joined.collect()
    assert items[:history] == numbers[:history]
    assert items[history:] == [n for n in live if n in numbers[history:]]


@model_of("then")
@given(st.integers(0, 30))
async def test_a_function_starts_behind_the_last_item(history: int) -> None:
    joined = rx.range(history).then(lambda last: rx.range(0 if last is None else last + 1, 30))
    assert await joined.collect(mode="stream") == list(JOURNAL)


async def test_live_listens_before_the_history_is_opened() -> None:
    """The history connects to the live listener and sends there what it then gives itself."""
    address: asyncio.Future[tcp.Address] = asyncio.get_running_loop().create_future()

    async def history() -> AsyncIterator[int]:
        host, port = await address
        _, writer = await asyncio.open_connection(host, port)
        for number in range(200):
            writer.write(b"%d\n" % number)
            await writer.drain()
            if number < 150:
                yield number
        writer.close()
        await writer.wait_closed()

    live = tcp.listen("127.0.0.1", 0, on_listening=address.set_result).map(int)
    past = rx.from_async_iterable(history()).assume_bounded()
    async with asyncio.timeout(30):
        assert await past.then(live, sequence=lambda n: n).take(200).collect() == [*range(200)]


async def test_what_was_left_out_is_counted() -> None:
    joined = rx.range(10).then(rx.range(4, 12), sequence=lambda n: n).named("joined")
    seen: list[int] = []
    report = await rx.run(joined.to(memory.append(seen)))
    assert seen == list(range(12))
    assert report["joined"].counters["overlap"] == 6


@dataclass(frozen=True)
class Numbers(rx.Source[int]):
    """Numbers up to a stop, or without one; a position is the next number."""

    start: int
    end: int | None

    @property
    def bounded(self) -> bool:
        return self.end is not None

    @property
    def replayable(self) -> bool:
        return True

    def after(self, history: rx.Source[Any]) -> rx.Source[Any]:
        return rx.Sequel(history, self)

    def reader(self, context: rx.Context) -> rx.Reader[int]:
        return NumbersReader(self)


class NumbersReader(rx.Reader[int]):
    def __init__(self, source: Numbers) -> None:
        self._next = source.start
        self._end = source.end

    async def open(self) -> None:
        await asyncio.sleep(0)

    async def read(self, limit: int) -> rx.Signal[int] | None:
        await asyncio.sleep(0)
        count = limit if self._end is None else min(limit, self._end - self._next)
        if not count:
            return None
        self._next += count
        return rx.Chunk(list(range(self._next - count, self._next)))

    def position(self) -> int:
        return self._next

    async def seek(self, position: int) -> None:
        await asyncio.sleep(0)
        self._next = position

    def committed(self, position: int) -> None:
        COMMITTED.append((self._end is not None, position))


COMMITTED: list[tuple[bool, int]] = []
"""What was committed: whether of the history, and up to where."""


def sequel() -> rx.Stream[int]:
    history = rx.from_source(Numbers(0, 100))
    return history.then(rx.from_source(Numbers(-7, None)))


async def test_a_source_of_ones_own_goes_on_where_the_history_ended() -> None:
    assert await sequel().take(250).collect() == list(range(250))


@pytest.mark.parametrize("taken", [0, 40, 100, 130])
async def test_positions_lie_on_either_side(taken: int) -> None:
    operator = sequel().node.operator
    assert isinstance(operator, rx.operator.SourceOperator)
    source = operator.source
    context = rx.Context("numbers", None, rx.Settings(), rx.metrics.Meter("numbers"))
    first, second = source.reader(context), source.reader(context)
    await first.open()
    seen: list[int] = []
    while len(seen) < taken:
        chunk = await first.read(min(20, taken - len(seen)))
        assert isinstance(chunk, rx.Chunk)
        seen += chunk.items
    position = first.position()
    await first.close()
    await second.open()
    await second.seek(position)
    while len(seen) < 300:
        chunk = await second.read(10)
        assert isinstance(chunk, rx.Chunk)
        seen += chunk.items
    await second.close()
    assert seen == list(range(300))


async def test_what_is_committed_is_told_to_the_part_that_gave_it() -> None:
    operator = sequel().node.operator
    assert isinstance(operator, rx.operator.SourceOperator)
    context = rx.Context("numbers", None, rx.Settings(), rx.metrics.Meter("numbers"))
    reader = operator.source.reader(context)
    await reader.open()
    COMMITTED.clear()
    positions = []
    for _ in range(4):
        await reader.read(60)
        positions.append(reader.position())
        reader.committed(positions[0])
        reader.committed(positions[-1])
    await reader.close()
    assert COMMITTED == [
        (True, 60),
        (True, 60),
        (True, 60),
        (True, 100),
        (False, 160),
        (False, 220),
    ]


async def test_a_reading_that_is_cancelled_at_the_seam_goes_on() -> None:
    operator = sequel().node.operator
    assert isinstance(operator, rx.operator.SourceOperator)
    context = rx.Context("numbers", None, rx.Settings(), rx.metrics.Meter("numbers"))
    reader = operator.source.reader(context)
    await reader.open()
    seen: list[int] = []
    turns = 0
    while len(seen) < 200:
        task = asyncio.ensure_future(reader.read(33))
        for _ in range(turns % 9):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            chunk = task.result()
            assert isinstance(chunk, rx.Chunk)
            seen += chunk.items
        turns += 1
    await reader.close()
    assert seen == list(range(len(seen)))


@dataclass(frozen=True)
class Event:
    at: int
    number: int


@pytest.mark.parametrize("way", ["sequence", "key", "function"])
async def test_nothing_is_late_by_the_change(way: str) -> None:
    """Out of order by up to 4 seconds on both sides and across the seam: with that lateness no
    item is late, and the windows are those of the whole."""
    events = [Event(n + (n * 7) % 5 - 4, n) for n in range(300)]
    history, live = rx.from_iterable(events[:150]), rx.from_iterable(events[120:])
    if way == "sequence":
        joined = history.then(live, sequence=lambda event: event.number)
    elif way == "key":
        joined = history.then(live, key=lambda event: event.number)
    else:
        joined = history.then(lambda last: rx.from_iterable(events[last.number + 1 :]))
    late = rx.SideOutput[Any]("late")

    def windows(source: rx.Stream[Event]) -> rx.Stream[Any]:
        return (
            source.event_time(lambda event: event.at, lateness=4, every=0)
            .named("times")
            .window(rx.Tumbling(10), late=late)
            .aggregate(rx.count())
        )

    found: list[Any] = []
    behind: list[Any] = []
    jobs = [windows(joined).to(memory.append(found)), late.to(memory.append(behind))]
    report = await rx.run(*jobs, mode="stream")
    assert behind == []
    assert report["times"].counters.get("late", 0) == 0
    assert report["times"].counters["out_of_order"] > 100
    whole = await windows(rx.from_iterable(events)).collect(mode="batch")
    assert [(w.window, w.value) for w in found] == [(w.window, w.value) for w in whole]


async def test_watermarks_from_before_do_not_go_back() -> None:
    def timed(start: int, stop: int) -> rx.Stream[int]:
        return rx.range(start, stop).event_time(lambda n: n, every=0, idle=None)

    joined = timed(0, 50).then(timed(30, 90), sequence=lambda n: n)
    counted = joined.window(rx.Tumbling(10)).aggregate(rx.count())
    assert [w.value for w in await counted.collect(mode="stream")] == [10] * 9


def test_a_live_stream_that_may_not_listen_first_is_refused() -> None:
    live = rx.interval(1)
    history = rx.range(3)
    concurrent = live.map(_later, concurrency=2)
    timed = live.event_time(lambda n: n)
    for other, name in ((concurrent, "map"), (timed, "event_time"), (live.buffer(3), "buffer")):
        with pytest.raises(rx.PlanError, match=f"{name} is in the way: put it behind then"):
            history.then(other, key=lambda n: n).explain()
    joined = history.then(live.map(float), key=lambda n: n)
    joined.explain()
    with pytest.raises(rx.PlanError, match="used nowhere else; map is in the way"):
        joined.merge(live).explain()
    with pytest.raises(rx.PlanError, match="used nowhere else; range is in the way"):
        history.then(history, key=lambda n: n).explain()


async def _later(n: int) -> int:
    return n


def test_a_history_without_an_end_is_refused() -> None:
    endless = rx.interval(1)
    for made in (
        lambda: endless.then(rx.range(3), key=id),
        lambda: endless.then(rx.range(3), sequence=id),
        lambda: endless.then(lambda last: rx.range(3)),
    ):
        with pytest.raises(rx.PlanError, match="nothing says that 'interval' ends"):
            made()
    endless.take(3).then(rx.range(3), sequence=lambda n: n)


def test_what_makes_no_sense_is_refused() -> None:
    one, two = rx.of(1), rx.of(2)
    with pytest.raises(TypeError, match="not both"):
        one.then(two, key=id, sequence=id)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="starts it behind the last item itself"):
        one.then(lambda last: two, key=id)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="async"):
        one.then(two, key=_later)
    with pytest.raises(TypeError, match="then needs a function"):
        one.then(7)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="at least 1"):
        one.then(two, key=id, remember=0)
    with pytest.raises(rx.PlanError, match="'of' cannot go on where 'of' ends"):
        one.then(two)


async def test_a_function_that_makes_no_stream_is_told_so() -> None:
    with pytest.raises(TypeError, match="expected a Stream, got int") as caught:
        await rx.of(1).then(lambda last: 7).collect()  # type: ignore[call-overload]
    assert any("then" in note for note in caught.value.__notes__)


async def in_legs(stream: rx.Stream[int], folder: Path, waits: Sequence[float]) -> list[int]:
    """What is written by runs that each go on from the checkpoint of the one before."""
    out = folder / "out.txt"
    for wait in waits:
        job = stream.map(str).to(files.write_lines(out, append=True))
        async with rx.start(job, checkpoint=folder / "state.db") as run:
            await asyncio.sleep(wait)
            await run.checkpoint()
            await run.stop()
    return [int(line) for line in out.read_text().split()]


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", ["position", "sequence", "function"])
async def test_a_run_goes_on_from_a_checkpoint_on_either_side(tmp_path: Path, way: str) -> None:
    history = rx.from_source(Numbers(0, 500))
    if way == "position":
        joined = history.then(rx.from_source(Numbers(0, None)))
    elif way == "sequence":
        joined = history.then(rx.from_source(Numbers(400, None)), sequence=lambda n: n)
    else:
        joined = history.then(lambda last: rx.from_source(Numbers(last + 1, None)))
    seen = await in_legs(joined.rate_limit(100), tmp_path, [1.5, 2.5, 3.5, 1.5])
    assert len(seen) > 700
    assert seen == list(range(len(seen)))
