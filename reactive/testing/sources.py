"""Sources that behave badly on purpose.

All of them work on any event loop, and take no real time on a virtual one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from operators.creating import from_source
from reactive.endpoint import Reader, Source
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal
from reactive.testing.scripts import Pause, ScriptStep, scripted_source

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")


def failing_source(items: Iterable[T], error: Exception, at: int | None = None) -> Stream[T]:
    """Gives the first `at` of the items, by default all, then fails with `error`.

    Emits the items before the failure as one chunk. Raises `error`, the same object in every run.

    ```python
    failing_source([1, 2, 3], OSError("gone"), at=2)
    ```
    """
    if at is not None and at < 0:
        raise ValueError(f"failing_source fails at item 0 or later, not {at}")
    before = list(items)[:at]
    script: list[ScriptStep[T]] = [Chunk(before)] if before else []
    return scripted_source([*script, error], name="failing_source")


def slow_source(items: Iterable[T], delay: float) -> Stream[T]:
    """Gives each item `delay` seconds of the loop's clock after it was asked for, and completes.

    ```python
    slow_source(range(3), delay=60)
    ```
    """
    if delay < 0:
        raise ValueError(f"slow_source needs a delay of 0 seconds or more, not {delay}")
    script = [step for item in items for step in (Pause(delay), Chunk([item]))]
    return scripted_source(script, name="slow_source")


@dataclass(frozen=True)
class _StubbornSource(Source[Any]):
    items: tuple[Any, ...]
    seconds: float
    ignored: int

    @property
    def label(self) -> str:
        return "stubborn_source"

    def reader(self, context: Context) -> Reader[Any]:
        return _StubbornReader(self)


class _StubbornReader(Reader[Any]):
    def __init__(self, source: _StubbornSource) -> None:
        self._items = list(source.items)
        self._seconds = source.seconds
        self._ignores = source.ignored

    async def read(self, limit: int) -> Signal[Any] | None:
        if self._items:
            items, self._items = self._items[:limit], self._items[limit:]
            return Chunk(items)
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if self._ignores == 0:
                    await asyncio.sleep(self._seconds)
                    raise
                self._ignores -= 1

    async def close(self) -> None:
        await asyncio.sleep(self._seconds)


def stubborn_source(items: Iterable[T], seconds: float = 5.0, *, ignored: int = 0) -> Stream[T]:
    """Gives the items, then goes on in silence and refuses to stop quickly.

    A cancelled read takes `seconds` of the loop's clock to give up, after it has ignored `ignored`
    cancellations; closing takes `seconds` more. Never completes.

    ```python
    stubborn_source([1, 2, 3], seconds=30)
    ```
    """
    return from_source(_StubbornSource(tuple(items), seconds, ignored))
