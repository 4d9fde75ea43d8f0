"""The sources of the testing kit, run by the real engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import reactive as rx
from reactive.context import Context, Settings
from reactive.metrics import Meter
from reactive.signals import Chunk, Watermark
from reactive.testing import (
    ContractError,
    Pause,
    Probe,
    SinkProbe,
    chunked,
    failing_source,
    record,
    scripted_source,
    slow_source,
    stubborn_source,
)

pytestmark = pytest.mark.virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def context() -> Context:
    return Context("test", None, Settings(), Meter("test"))


async def test_a_script_is_followed_signal_by_signal() -> None:
    script: list[Any] = [Chunk([1, 2, 3], [10, 20, 30]), Pause(5), Watermark(30), Pause(), rx.IDLE]
    source: Any = scripted_source(script).node.operator
    reader = source.source.reader(context())
    await reader.open()
    assert await reader.read(2) == Chunk([1, 2], [10, 20])
    position = reader.position()
    assert await reader.read(2) == Chunk([3], [30])
    assert (await reader.read(2), now()) == (Watermark(30), 5.0)
    assert await reader.read(2) == rx.IDLE
    assert await reader.read(2) is None
    again = source.source.reader(context())
    await again.open()
    await again.seek(position)
    assert await again.read(2) == Chunk([3], [30])


async def test_a_cancelled_pause_goes_on_where_it_was() -> None:
    source: Any = scripted_source([Pause(10), Chunk([1])]).node.operator
    reader = source.source.reader(context())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await reader.read(1)
    assert await reader.read(1) == Chunk([1])
    assert now() == 10.0


async def test_a_script_without_an_end_goes_on_in_silence() -> None:
    recording = await record(scripted_source([Chunk([1])], ends=False), until=1000)
    assert recording.items == [1] and len(recording.events) == 1


async def test_a_failing_source() -> None:
    error = OSError("gone")
    assert await failing_source([1, 2, 3], error, at=2).recover(rx.of(0)).collect() == [1, 2, 0]
    with pytest.raises(OSError, match="gone") as caught:
        await failing_source([1, 2, 3], error).collect()
    assert caught.value is error
    with pytest.raises(OSError, match="gone"):
        await failing_source([], error).collect()
    with pytest.raises(ValueError, match="item 0 or later"):
        failing_source([1], error, at=-1)


async def test_a_slow_source() -> None:
    assert str(await record(slow_source("abc", 2))) == "--a-b-(c|)"
    with pytest.raises(ValueError, match="0 seconds or more"):
        slow_source([1], -1)


async def test_a_stubborn_source_takes_its_time_to_stop() -> None:
    stream = stubborn_source([1, 2], seconds=30)
    async with stream.open() as items:
        assert await anext(items) == 1
    assert now() == 30.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await stream.collect()
    assert now() == 30.0 + 10 + 30 + 30


async def test_a_stubborn_source_ignores_cancellation() -> None:
    task = asyncio.create_task(stubborn_source([1], seconds=1, ignored=2).collect())
    for _ in range(3):
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 5.0


class TestProbe:
    async def test_it_counts(self) -> None:
        probe = Probe([1, 2, 3])
        stream = probe.stream.map(lambda x: x + 1)
        assert await stream.collect() == [2, 3, 4]
        assert (probe.opens, probe.reads, probe.closes, probe.items) == (1, 2, 1, 3)
        assert await asyncio.gather(stream.collect(), stream.collect()) == [[2, 3, 4], [2, 3, 4]]
        assert (probe.opens, probe.closes, probe.items) == (3, 3, 9)
        probe.check()

    async def test_it_wraps_streams_and_sources(self) -> None:
        assert await Probe(rx.range(3)).stream.collect() == [0, 1, 2]
        assert Probe(rx.range(3)).stream.node.operator.label == "range"
        with pytest.raises(TypeError, match="not a pipeline"):
            Probe(rx.range(3).map(str))

    async def test_an_open_reader_is_found(self) -> None:
        probe = Probe([1, 2, 3])
        async with probe.stream.open() as items:
            await anext(items)
            assert probe.active == 1
            with pytest.raises(ContractError, match="1 of 1 that were opened were not closed"):
                probe.check()
        probe.check()

    async def test_a_drain_is_counted(self) -> None:
        probe = Probe(scripted_source([Chunk([1])], ends=False))
        sink = SinkProbe[int]()
        async with rx.start(probe.stream.to(sink.sink)) as run:
            await asyncio.sleep(1)
            await run.stop(drain=True)
        assert (probe.stops, sink.items, sink.finishes) == (1, [1], 1)

    @pytest.mark.parametrize(
        ("calls", "complaint"),
        [
            (["read"], r"read\(\) was called on a reader that is made"),
            (["open", "open"], r"open\(\) was called on a reader that is open"),
            (["open", "read", "read", "read"], "that is at its end"),
            (["open", "close", "close"], r"close\(\) was called on a reader that is closed"),
            (["open", "close", "read"], r"read\(\) was called on a reader that is closed"),
        ],
    )
    async def test_calls_that_the_contract_forbids(self, calls: list[str], complaint: str) -> None:
        probe = Probe([1])
        operator: Any = probe.stream.node.operator
        reader = operator.source.reader(context())
        *good, bad = calls
        actions = {"open": reader.open, "close": reader.close, "read": lambda: reader.read(10)}
        for call in good:
            await actions[call]()
        with pytest.raises(ContractError, match=complaint):
            await actions[bad]()
        with pytest.raises(ContractError, match=complaint):
            probe.check()

    async def test_overlapping_calls(self) -> None:
        probe = Probe(scripted_source([], ends=False))
        operator: Any = probe.stream.node.operator
        reader = operator.source.reader(context())
        await reader.open()
        task = asyncio.create_task(reader.read(1))
        await asyncio.sleep(1)
        with pytest.raises(ContractError, match=r"close\(\) was called while read\(\) was under"):
            await reader.close()
        task.cancel()

    async def test_a_reader_that_gives_too_much(self) -> None:
        class Reader(rx.Reader[int]):
            async def read(self, limit: int) -> rx.Signal[int] | None:
                return Chunk([1] * (limit + 1))

        class Source(rx.Source[int]):
            def reader(self, context: Context) -> rx.Reader[int]:
                return Reader()

        with pytest.raises(ContractError, match="gave a chunk of 1025 items"):
            await Probe(Source()).stream.collect()


class TestSinkProbe:
    async def test_it_keeps_and_counts(self) -> None:
        probe = SinkProbe[int]()
        await rx.run(rx.range(3000).to(probe.sink))
        assert probe.items == list(range(3000))
        assert probe.writes >= 3
        assert (probe.opens, probe.finishes, probe.closes) == (1, 1, 1)
        probe.check()

    async def test_a_failing_stream_does_not_finish_it(self) -> None:
        probe = SinkProbe[int]()
        with pytest.raises(OSError, match="gone"):
            await rx.run(failing_source([1], OSError("gone")).to(probe.sink))
        assert (probe.items, probe.finishes, probe.closes) == ([1], 0, 1)

    async def test_calls_that_the_contract_forbids(self) -> None:
        probe = SinkProbe[int]()
        writer = probe.sink.writer(context())
        with pytest.raises(ContractError, match="that is made"):
            await writer.write(Chunk([1]))
        await writer.open()
        with pytest.raises(ContractError, match="empty chunk"):
            await writer.write(Chunk([]))
        await writer.finish()
        with pytest.raises(ContractError, match="that is finished"):
            await writer.write(Chunk([1]))
        await writer.close()
        with pytest.raises(ContractError, match="that is closed"):
            await writer.close()
        assert len(probe.violations) == 4


def test_cutting_into_chunks() -> None:
    assert list(chunked([1, 2, 3, 4], [1, 2])) == [Chunk([1]), Chunk([2, 3]), Chunk([4])]
    assert list(chunked([1, 2], [5, 5])) == [Chunk([1, 2])]
    assert list(chunked([], [1])) == []


def test_the_kit_names_what_it_offers() -> None:
    import reactive.testing

    for name in dir(reactive.testing):
        assert getattr(reactive.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = reactive.testing.nothing
