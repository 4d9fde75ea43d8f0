"""Only type-checked: what is shared, sent and followed keeps its type."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

import reactive as rx
from reactive.hub import Subscription

numbers = rx.range(10)


def sharing() -> None:
    assert_type(numbers.share(), rx.Stream[int])
    assert_type(numbers.share(limit=5, overflow="latest").map(lambda x: str(x)), rx.Stream[str])
    assert_type(numbers.replay(3), rx.Stream[int])
    assert_type(numbers.replay(seconds=60).map(lambda x: x + 1.5), rx.Stream[float])


async def hubs() -> None:
    hub = rx.Hub[int](limit=10)
    assert_type(hub, rx.Hub[int])
    assert_type(hub.subscribe(overflow="drop_oldest"), Subscription[int])
    assert_type(hub.subscribe(limit=3).map(lambda x: [x]), rx.Stream[list[int]])
    assert_type(hub.filter(lambda x: x > 1), rx.Stream[int])
    assert_type(numbers.to(hub), rx.Job)
    assert_type(hub.subscribers, int)
    await hub.send(1)
    hub.send_nowait(2)
    hub.send_nowait("3")  # type: ignore[arg-type]
    rx.of("a").to(hub)  # type: ignore[arg-type]
    async with hub.subscribe().open() as items:
        assert_type(items, AsyncIterator[int])


async def latest() -> None:
    level = rx.Latest(1.5)
    assert_type(level, rx.Latest[float])
    assert_type(level.value, float)
    assert_type(level.update(lambda celsius: celsius + 1), float)
    assert_type(await level.wait_for(lambda celsius: celsius > 20), float)
    assert_type(level.map(lambda celsius: round(celsius)), rx.Stream[int])
    assert_type(rx.of(1.5).to(level), rx.Job)
    level.set("hot")  # type: ignore[arg-type]
    empty = rx.Latest[str | None]()
    assert_type(empty.value, str | None)
