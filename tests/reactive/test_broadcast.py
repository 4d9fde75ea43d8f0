"""Broadcast: several senders, one order for every receiver."""

from __future__ import annotations

import asyncio

import pytest

import reactive as rx
from reactive.broadcast import Broadcast
from reactive.channel import Channel


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def receivers(broadcast: Broadcast[int]) -> tuple[Channel[int], Channel[int]]:
    """One that has little room and one that has much."""
    narrow, wide = Channel[int](1), Channel[int](100)
    broadcast.add(narrow)
    broadcast.add(wide)
    return narrow, wide


async def taken(channel: Channel[int]) -> list[int]:
    """Everything that a receiver has been sent, and what senders wait to send to it."""
    items: list[int] = []
    while isinstance(chunk := channel.poll(100), rx.Chunk):
        items += chunk.items
        await settled()
    return items


async def test_no_sender_overtakes_one_that_waits() -> None:
    broadcast: Broadcast[int] = Broadcast("prices", "")
    narrow, wide = receivers(broadcast)
    await broadcast.send(rx.Chunk([0]))
    sending = [asyncio.ensure_future(broadcast.send(rx.Chunk([1])))]
    await settled()
    assert narrow.poll(1) == rx.Chunk([0])
    with pytest.raises(rx.OverflowFailure, match="nobody was sent this"):
        broadcast.send_nowait([9])
    sending.append(asyncio.ensure_future(broadcast.send(rx.Chunk([2]))))
    await settled()
    assert await taken(narrow) == [1, 2]
    assert await taken(wide) == [0, 1, 2]
    await asyncio.gather(*sending)
    broadcast.send_nowait([3])
    assert await taken(narrow) == [3]


async def test_every_sender_that_waits_is_told_of_the_end() -> None:
    broadcast: Broadcast[int] = Broadcast("prices", "")
    narrow, wide = receivers(broadcast)
    sending = [asyncio.ensure_future(broadcast.send(rx.Chunk([number]))) for number in range(4)]
    await settled()
    broadcast.end()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), *[rx.StreamClosedError] * 3]
    assert await taken(narrow) == [0]
    assert await taken(wide) == [0, 1]
    assert narrow.ended and wide.ended


async def test_a_chunk_with_more_than_there_is_room_for_comes_in_pieces() -> None:
    broadcast: Broadcast[int] = Broadcast("prices", "")
    narrow, wide = receivers(broadcast)
    sending = asyncio.ensure_future(broadcast.send(rx.Chunk([*range(5)], [*range(5)])))
    await settled()
    assert wide.depth == 5
    assert narrow.poll(10) == rx.Chunk([0], [0])
    await settled()
    assert await taken(narrow) == [1, 2, 3, 4]
    await sending
