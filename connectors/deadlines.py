"""One timer for many things that each have the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `expire` with what is not discarded within so many seconds after it was added.

    As all have the same time, those that were added first are over first, and one timer does. A
    timer for every request would be a large part of what the request costs.
    """

    def __init__(self, seconds: float, expire: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, thing: T) -> None:
        """Its time begins."""
        due = self._due[thing] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)

    def discard(self, thing: T) -> None:
        """It needs no more time."""
        self._due.pop(thing, None)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._due:
            thing, due = next(iter(self._due.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                return
            del self._due[thing]
            self._expire(thing)

    def expire_all(self) -> None:
        """The time of all is over."""
        due, self._due = self._due, {}
        for thing in due:
            self._expire(thing)

    def close(self) -> None:
        """Forget all that were added."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
