"""What the diagrams of the docstrings use besides what every diagram may."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import reactive as rx


async def every_other(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item
        await anext(items, None)


@asynccontextmanager
async def connect() -> AsyncIterator[None]:
    """Takes two seconds."""
    await asyncio.sleep(2)
    yield


class Quiet(rx.KeyedProcess[str, str, str]):
    """Tells of keys of which nothing has come for three seconds."""

    def on_item(self, item: str, context: rx.ProcessContext[str]) -> None:
        context.set_clock_timer(3)

    def on_clock_timer(self, context: rx.ProcessContext[str]) -> Iterator[str]:
        yield f"{context.key}?"


NAMES: dict[str, Any] = {
    "operator": operator,
    "every_other": every_other,
    "connect": connect,
    "Quiet": Quiet,
}
