"""Subject: pushing items into pipelines."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from parts import Kept

import reactive as rx
from reactive.testing.plugin import VirtualTime


async def pushed(subject: rx.Subject[int], count: int) -> None:
    for number in range(count):
        await subject.send(number)
    subject.close()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_sent_comes_out() -> None:
    subject: rx.Subject[int] = rx.Subject()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pushed(subject, 5000))
        given = tasks.create_task(subject.map(lambda x: x + 1).collect())
    assert given.result() == list(range(1, 5001))


async def test_what_is_pushed_before_any_run_waits_for_the_first() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=10)
    for number in range(5):
        subject.send_nowait(number)
    await subject.send(5)
    subject.close()
    assert await subject.collect() == [0, 1, 2, 3, 4, 5]
    assert await subject.collect() == []


async def test_send_waits_for_room(virtual_time: VirtualTime) -> None:
    subject: rx.Subject[int] = rx.Subject(limit=3)
    sent: list[int] = []

    async def send() -> None:
        for number in range(10):
            await subject.send(number)
            sent.append(number)
        subject.close()

    sending = asyncio.ensure_future(send())
    await settled()
    assert sent == [0, 1, 2]
    slow = Kept(delay=1)
    await rx.run(subject.to(slow), settings=rx.Settings(chunk=1))
    assert slow.items == list(range(10))
    await sending


async def test_every_run_that_reads_gets_every_item_and_the_slowest_sets_the_pace(
    virtual_time: VirtualTime,
) -> None:
    subject: rx.Subject[int] = rx.Subject(limit=2)
    fast, slow = Kept(), Kept(delay=1)
    settings = rx.Settings(chunk=1, edge=1)
    async with (
        rx.start(subject.to(fast), settings=settings) as one,
        rx.start(subject.to(slow), settings=settings) as two,
    ):
        await settled()
        await pushed(subject, 20)
        await one.wait()
        await two.wait()
    assert fast.items == slow.items == list(range(20))
    assert virtual_time.now >= 20


async def test_a_later_run_gets_what_is_pushed_from_then_on() -> None:
    subject: rx.Subject[int] = rx.Subject()
    first, second = Kept(), Kept()
    async with rx.start(subject.to(first)) as one:
        await subject.send(1)
        await settled()
        async with rx.start(subject.to(second)) as two:
            await settled()
            await subject.send(2)
            subject.close()
            await two.wait()
        await one.wait()
    assert (first.items, second.items) == ([1, 2], [2])


async def test_after_the_last_run_left_items_wait_for_the_next() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=5)
    subject.send_nowait(1)
    assert await subject.take(1).collect() == [1]
    subject.send_nowait(2)
    await subject.send(3)
    subject.close()
    assert await subject.collect() == [2, 3]


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [("drop_oldest", [5, 6, 7]), ("drop_newest", [0, 1, 2]), ("latest", [7])],
)
async def test_send_nowait_follows_the_overflow_policy(overflow: Any, expected: list[int]) -> None:
    subject: rx.Subject[int] = rx.Subject(3, overflow=overflow)
    for number in range(8):
        subject.send_nowait(number)
    subject.close()
    assert await subject.collect() == expected


@pytest.mark.parametrize("overflow", ["backpressure", "fail"])
async def test_send_nowait_without_room_fails(overflow: Any) -> None:
    subject: rx.Subject[int] = rx.Subject(2, overflow=overflow, name="orders")
    subject.send_nowait(1)
    subject.send_nowait(2)
    with pytest.raises(rx.OverflowFailure, match=r"orders is full \(2 items\)"):
        subject.send_nowait(3)
    subject.close()
    assert await subject.collect() == [1, 2]


async def test_failing_comes_after_what_was_pushed() -> None:
    subject: rx.Subject[int] = rx.Subject()
    subject.send_nowait(1)
    error = OSError("gone")
    subject.fail(error)
    given = []
    with pytest.raises(OSError, match="gone") as caught:
        async for item in subject:
            given.append(item)  # noqa: PERF401
    assert given == [1]
    assert caught.value is error
    with pytest.raises(OSError, match="gone"):
        await subject.collect()


async def test_pushing_after_the_end_is_refused() -> None:
    subject: rx.Subject[int] = rx.Subject(name="orders")
    subject.close()
    subject.close()
    subject.fail(OSError("too late"))
    with pytest.raises(rx.StreamClosedError, match="orders was closed; make a new Subject"):
        await subject.send(1)
    with pytest.raises(rx.StreamClosedError, match="orders was closed"):
        subject.send_nowait(1)
    assert await subject.collect() == []


async def test_closing_while_a_sender_waits_refuses_its_item() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=1)
    await subject.send(1)
    waiting = asyncio.ensure_future(subject.send(2))
    await settled()
    subject.close()
    assert await subject.collect() == [1]
    with pytest.raises(rx.StreamClosedError):
        await waiting


async def test_a_cancelled_send_pushes_nothing() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=1)
    await subject.send(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await subject.send(2)
    subject.close()
    assert await subject.collect() == [1]


async def test_a_run_that_leaves_lets_waiting_senders_go_on_to_the_next() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=1)
    settings = rx.Settings(chunk=1)
    async with subject.open(settings) as items:
        await subject.send(1)
        assert await anext(items) == 1
        await subject.send(2)
        waiting = asyncio.ensure_future(subject.send(3))
        await settled()
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60)
    subject.close()
    # What the run that left had not taken is gone with it; what was not pushed yet is not.
    assert await subject.collect() == [3]


async def test_a_drained_run_takes_what_was_pushed_and_no_more(virtual_time: VirtualTime) -> None:
    subject: rx.Subject[int] = rx.Subject(limit=3)
    kept, later = Kept(delay=1), Kept()
    sent: list[int] = []

    async def produce() -> None:
        for number in range(30):
            await subject.send(number)
            sent.append(number)
            await asyncio.sleep(0.5)

    producing = asyncio.ensure_future(produce())
    async with rx.start(subject.to(kept), settings=rx.Settings(chunk=1, edge=1)) as run:
        await asyncio.sleep(5)
        await run.stop(drain=True)
    async with rx.start(subject.to(later)) as run:
        await producing
        subject.close()
        await run.wait()
    assert kept.items + later.items == list(range(30))
    assert len(kept.items) < 30


async def test_pushing_while_a_run_drains_keeps_for_the_next(virtual_time: VirtualTime) -> None:
    subject: rx.Subject[int] = rx.Subject(limit=3)
    kept = Kept(delay=10)
    async with rx.start(subject.to(kept)) as run:
        await asyncio.sleep(1)
        subject.send_nowait(1)
        await asyncio.sleep(1)
        stopping = asyncio.ensure_future(run.stop(drain=True))
        await asyncio.sleep(1)
        subject.send_nowait(2)
        await subject.send(3)
        await stopping
    subject.close()
    assert kept.items == [1]
    assert await subject.collect() == [2, 3]


async def test_sending_from_other_threads() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=4)

    def produce(start: int) -> None:
        for number in range(start, start + 100):
            subject.send_from_thread(number)

    async with asyncio.TaskGroup() as tasks:
        given = tasks.create_task(subject.collect())
        await asyncio.gather(*[asyncio.to_thread(produce, start) for start in (0, 1000)])
        subject.close()
    assert sorted(given.result()) == [*range(100), *range(1000, 1100)]
    assert [item for item in given.result() if item < 1000] == list(range(100))


async def test_a_thread_that_finds_no_room_in_time_has_pushed_nothing() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=1)
    subject.send_nowait(1)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(subject.send_from_thread, 2, 0.01)
    subject.close()
    with pytest.raises(rx.StreamClosedError):
        await asyncio.to_thread(subject.send_from_thread, 3)
    assert await subject.collect() == [1]


async def test_the_loops_own_thread_would_wait_for_itself() -> None:
    subject: rx.Subject[int] = rx.Subject()
    with pytest.raises(RuntimeError, match=r"use await subject\.send\(item\)"):
        subject.send_from_thread(1)


def test_a_subject_made_outside_a_loop_belongs_to_the_one_that_reads_it() -> None:
    subject: rx.Subject[int] = rx.Subject()
    with pytest.raises(RuntimeError, match="send_from_thread needs a Subject"):
        subject.send_from_thread(1)

    async def main() -> list[int]:
        reading = asyncio.ensure_future(subject.collect())
        await settled()
        await asyncio.to_thread(subject.send_from_thread, 5)
        subject.close()
        return await reading

    assert asyncio.run(main()) == [5]


async def test_many_threads_may_push_at_once() -> None:
    subject: rx.Subject[int] = rx.Subject(limit=2)
    start = threading.Barrier(8)

    def produce(number: int) -> None:
        start.wait(10)
        subject.send_from_thread(number)

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert sorted(await subject.take(8).collect()) == list(range(8))
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)


def test_wrong_arguments_are_refused_at_once() -> None:
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit must be at least 1"):
            rx.Subject(limit)
    for wrong in ("3", 1.5, None):
        with pytest.raises(TypeError, match="limit must be a whole number"):
            rx.Subject(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="overflow must be one of"):
        rx.Subject(1, overflow="block")  # type: ignore[arg-type]


def test_a_subject_does_not_pickle() -> None:
    import cloudpickle

    with pytest.raises(TypeError, match="a Subject belongs to one program and does not pickle"):
        cloudpickle.dumps(rx.Subject[int]())
    with pytest.raises(TypeError, match="does not pickle"):
        cloudpickle.dumps(rx.Subject[int]().map(str))


async def test_depth_and_drops_are_measured() -> None:
    subject: rx.Subject[int] = rx.Subject(3, overflow="drop_oldest", name="orders")
    gate = asyncio.Event()

    async def wait(x: int) -> int:
        await gate.wait()
        return x

    async with rx.start(subject.map(wait).to(Kept())) as run:
        await settled()
        for number in range(9):
            subject.send_nowait(number)
        reading = run.metrics()["orders"]
        assert reading.gauges["depth"] == 3
        assert reading.gauges["limit"] == 3
        assert reading.counters["dropped"] == 6
        gate.set()
        subject.close()
        await run.wait()
