"""memory: lists, functions and queues as sinks."""

from __future__ import annotations

import asyncio

import pytest

import reactive as rx
from connectors import memory


async def test_a_list_takes_every_item() -> None:
    kept: list[int] = []
    await rx.run(memory.read(range(5)).to(memory.append(kept)))
    assert kept == [0, 1, 2, 3, 4]


async def test_a_function_is_called_in_order_and_an_async_one_awaited() -> None:
    calls: list[object] = []

    async def later(item: int) -> None:
        await asyncio.sleep(0)
        calls.append(("later", item))

    await rx.run(rx.of(1, 2).to(memory.call(calls.append)), rx.of(3).to(memory.call(later)))
    assert sorted(calls, key=str) == [("later", 3), 1, 2]


async def test_a_failing_function_names_the_sink() -> None:
    handled: list[int] = []

    def handle(item: int) -> None:
        handled.append(6 // (3 - item))

    with pytest.raises(ZeroDivisionError) as caught:
        await rx.run(rx.range(10).to(memory.call(handle)))
    assert handled == [2, 3, 6]
    assert caught.value.__notes__[0].startswith("in operator call (")


@pytest.mark.virtual_time
async def test_a_full_queue_holds_the_pipeline_back() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(2)
    async with rx.start(rx.range(10).to(memory.put(queue))) as run:
        await asyncio.sleep(0.01)
        assert queue.full()
        assert [await queue.get() for _ in range(10)] == list(range(10))
        await run.wait()


def test_wrong_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="needs a list"):
        memory.append(())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs a function"):
        memory.call(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"needs an asyncio\.Queue"):
        memory.put([])  # type: ignore[arg-type]
