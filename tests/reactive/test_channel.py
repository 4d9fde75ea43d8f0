"""The bounded edge: never over its limit, in order, every policy exact, nothing lost by cancels."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.channel import Channel, Waker
from reactive.signals import Barrier, Chunk, Signal, Watermark
from reactive.testing import run
from reactive.testing.plugin import VirtualTime


async def _received(channel: Channel[Any], limit: int = 1024) -> list[Any]:
    items: list[Any] = []
    while (signal := await channel.receive(limit)) is not None:
        items += signal.items if type(signal) is Chunk else [signal]
    return items


@given(
    limit=st.integers(1, 20),
    shapes=st.lists(st.integers(1, 30), max_size=12),
    take=st.integers(1, 25),
    timed=st.booleans(),
)
def test_order_and_bound_hold_for_any_shapes(
    limit: int, shapes: list[int], take: int, timed: bool
) -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(limit)
        depths: list[int] = []
        got: list[int] = []
        times: list[int] = []

        async def send() -> None:
            number = 0
            for shape in shapes:
                items = list(range(number, number + shape))
                number += shape
                await channel.send(Chunk(items, [10 * i for i in items] if timed else None))
                depths.append(channel.depth)
            channel.end()

        sender = asyncio.create_task(send())
        while (signal := await channel.receive(take)) is not None:
            assert isinstance(signal, Chunk)
            assert 1 <= len(signal) <= take
            got += signal.items
            times += signal.times or []
            depths.append(channel.depth)
        await sender
        assert got == list(range(sum(shapes)))
        assert times == ([10 * i for i in got] if timed else [])
        assert all(0 <= depth <= limit for depth in depths)

    run(main())


@given(st.integers(1, 8), st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_drop_oldest_keeps_the_newest(limit: int, shapes: list[int]) -> None:
    async def main() -> None:
        lost: list[int] = []
        channel: Channel[int] = Channel(limit, overflow="drop_oldest", on_drop=lost.extend)
        number = 0
        for shape in shapes:
            await channel.send(Chunk(list(range(number, number + shape))))
            number += shape
        channel.end()
        kept = await _received(channel)
        assert kept == list(range(number))[-limit:]
        assert lost == list(range(number - len(kept)))
        assert channel.dropped == len(lost)

    run(main())


@given(st.integers(1, 8), st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_drop_newest_keeps_the_oldest(limit: int, shapes: list[int]) -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(limit, overflow="drop_newest")
        number = 0
        for shape in shapes:
            await channel.send(Chunk(list(range(number, number + shape))))
            number += shape
        channel.end()
        kept = await _received(channel)
        assert kept == list(range(number))[:limit]
        assert channel.dropped == number - len(kept)

    run(main())


async def test_what_is_dropped_by_size_does_not_depend_on_the_chunks() -> None:
    words = ["", "aaaa", "bb", "c"]
    for size in (1, 2, 4):
        channel: Channel[str] = Channel(5, overflow="drop_newest", size=len)
        for at in range(0, 4, size):
            await channel.send(Chunk(words[at : at + size], [*range(at, min(at + size, 4))]))
        assert channel.poll(9) == Chunk(["", "aaaa", "c"], [0, 1, 3])
        assert channel.dropped == 1
        large: Channel[str] = Channel(1, size=len)
        assert large.admit(Chunk(["", "aaaa", "bb"])) == Chunk(["bb"])


async def test_latest_keeps_one_item() -> None:
    channel: Channel[int] = Channel(50, overflow="latest")
    for number in range(10):
        await channel.send(Chunk([number, -number]))
    channel.end()
    assert await _received(channel) == [-9]


async def test_fail_delivers_what_fits_and_then_raises() -> None:
    channel: Channel[int] = Channel(3, overflow="fail", name="orders")
    with pytest.raises(rx.OverflowFailure, match="orders is full"):
        await channel.send(Chunk([1, 2, 3, 4]))
    channel.end()
    assert await _received(channel) == [1, 2, 3]


async def test_control_signals_keep_their_place() -> None:
    channel: Channel[int] = Channel(2)
    signals: list[Signal[int]] = [Chunk([1]), Watermark(5), Chunk([2]), Watermark(6), Watermark(7)]
    for signal in signals:
        await channel.send(signal)
    channel.end()
    assert await _received(channel) == [1, Watermark(5), 2, Watermark(6), Watermark(7)]


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
async def test_signals_between_dropped_items_do_not_pile_up(overflow: Any) -> None:
    channel: Channel[int] = Channel(2, overflow=overflow)
    for number in range(1000):
        await channel.send(Chunk([number], [number]))
        await channel.send(Watermark(number))
        if number % 100 == 50:
            await channel.send(rx.Barrier(number))
        await channel.send(rx.IDLE)
    channel.end()
    given = await _received(channel)
    assert [signal for signal in given if isinstance(signal, rx.Barrier)] == [
        rx.Barrier(number) for number in range(50, 1000, 100)
    ]
    assert len(given) <= 24
    assert [signal for signal in given if isinstance(signal, Watermark)][-1] == Watermark(999)
    low = -1
    for signal in given:
        if isinstance(signal, Watermark):
            assert signal.time > low
            low = signal.time
        elif isinstance(signal, int):
            assert signal >= low


async def test_bytes_count_and_a_giant_passes_alone() -> None:
    channel: Channel[bytes] = Channel(10, size=len)
    await channel.send(Chunk([b"12345", b"123"]))
    assert channel.depth == 8
    sending = asyncio.create_task(channel.send(Chunk([b"x" * 50, b"y"])))
    await asyncio.sleep(0)
    assert channel.depth == 8
    first = await channel.receive(10)
    assert first == Chunk([b"12345", b"123"])
    await asyncio.sleep(0)
    second = await channel.receive(10)
    assert second == Chunk([b"x" * 50])
    await sending
    assert await channel.receive(10) == Chunk([b"y"])
    assert channel.depth == 0


async def test_a_failure_comes_after_the_items_and_once() -> None:
    channel: Channel[int] = Channel(5)
    await channel.send(Chunk([1]))
    channel.fail(OSError("gone"))
    assert await channel.receive(5) == Chunk([1])
    with pytest.raises(OSError, match="gone"):
        await channel.receive(5)
    assert await channel.receive(5) is None


async def test_a_receiver_that_goes_wakes_every_sender() -> None:
    channel: Channel[int] = Channel(1)
    await channel.send(Chunk([0]))
    senders = [asyncio.create_task(channel.send(Chunk([n]))) for n in range(5)]
    await asyncio.sleep(0)
    channel.close()
    for result in await asyncio.gather(*senders, return_exceptions=True):
        assert isinstance(result, rx.ChannelClosed)
    with pytest.raises(rx.ChannelClosed):
        channel.offer([1])


async def test_offer_takes_what_fits() -> None:
    channel: Channel[int] = Channel(3)
    assert channel.offer([1, 2]) == 2
    assert channel.room == 1
    assert channel.offer([3, 4]) == 1
    assert channel.offer([5]) == 0


async def test_put_with_backpressure_is_all_or_nothing() -> None:
    channel: Channel[int] = Channel(2)
    channel.put([1])
    with pytest.raises(rx.OverflowFailure):
        channel.put([2, 3])
    assert channel.depth == 1


@pytest.mark.parametrize("seed", range(30))
def test_cancelling_senders_and_receivers_loses_and_repeats_nothing(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        channel: Channel[tuple[int, int]] = Channel(3)
        sent: list[tuple[int, int]] = []
        got: list[tuple[int, int]] = []

        async def send(sender: int) -> None:
            for number in range(50):
                item = (sender, number)
                while True:
                    sending = asyncio.create_task(channel.send(Chunk([item])))
                    await asyncio.wait([sending], timeout=chance.random() * 0.02)
                    if sending.cancel():
                        await asyncio.wait([sending])
                        continue
                    sending.result()
                    sent.append(item)
                    break

        async def receive() -> None:
            while len(got) < 150:
                receiving = asyncio.create_task(channel.receive(chance.randint(1, 4)))
                await asyncio.wait([receiving], timeout=chance.random() * 0.02)
                if receiving.cancel():
                    await asyncio.wait([receiving])
                    continue
                signal = receiving.result()
                assert isinstance(signal, Chunk)
                got.extend(signal.items)
                await asyncio.sleep(chance.random() * 0.01)

        await asyncio.gather(*(send(n) for n in range(3)), receive())
        assert sorted(got) == sorted(sent) == [(s, n) for s in range(3) for n in range(50)]
        for sender in range(3):
            assert [n for s, n in got if s == sender] == list(range(50))
        assert channel.depth == channel.waiting_senders == 0

    run(main())


async def test_a_waker_keeps_a_wake_for_the_next_wait(virtual_time: VirtualTime) -> None:
    waker = Waker()
    waker.wake()
    assert await waker.wait()
    assert not await waker.wait(virtual_time.now + 2)
    assert virtual_time.now == pytest.approx(2)


def test_senseless_limits_and_policies_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Channel(0)
    with pytest.raises(ValueError, match="overflow must be one of"):
        Channel(1, overflow="nope")  # type: ignore[arg-type]


async def test_what_is_before_a_barrier_is_not_dropped_to_where_that_has_passed() -> None:
    lost: list[int] = []
    channel = Channel[int](2, overflow="drop_oldest", on_drop=lost.extend)
    channel.admit(Chunk([1, 2]))
    channel.admit(Barrier(1))
    channel.admit(Chunk([3]))
    channel.admit(Chunk([4, 5]))
    assert lost == [3]
    assert [channel.poll(10) for _ in range(4)] == [
        Chunk([1, 2]),
        Barrier(1),
        Chunk([4, 5]),
        None,
    ]
    assert channel.depth == 0
