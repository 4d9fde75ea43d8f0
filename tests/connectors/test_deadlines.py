"""One timer for many things."""

from __future__ import annotations

import asyncio

from connectors.deadlines import Deadlines
from reactive.testing.plugin import VirtualTime


async def test_each_has_its_time(virtual_time: VirtualTime) -> None:
    over: list[tuple[str, float]] = []
    deadlines = Deadlines[str](5.0, lambda name: over.append((name, virtual_time.now)))
    deadlines.add("first")
    await asyncio.sleep(2)
    deadlines.add("done in time")
    deadlines.add("second")
    await asyncio.sleep(2)
    deadlines.discard("done in time")
    await asyncio.sleep(10)
    deadlines.add("third")
    await asyncio.sleep(10)
    assert over == [("first", 5.0), ("second", 7.0), ("third", 19.0)]


async def test_all_at_once(virtual_time: VirtualTime) -> None:
    over: list[str] = []
    deadlines = Deadlines[str](5.0, over.append)
    deadlines.add("one")
    deadlines.add("two")
    deadlines.expire_all()
    assert over == ["one", "two"]
    deadlines.add("three")
    deadlines.close()
    await asyncio.sleep(10)
    assert over == ["one", "two"]
