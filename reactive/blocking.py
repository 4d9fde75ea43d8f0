"""One thread for the blocking calls of one part of a run, gone when `close` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class BlockingWorker:
    """Runs blocking calls in order, in one thread of its own, started by the first call.

    A call that has begun cannot be interrupted: cancelling the waiter leaves it running, later
    calls come after it, and `close` waits for it. Shared pools are not used: a disk that hangs
    must not take their threads from others.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._calls: set[asyncio.Future[Any]] = set()

    def submit(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Start a call, or put it in line; the future outlives a cancelled waiter."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        loop = asyncio.get_running_loop()
        call: asyncio.Future[T] = loop.run_in_executor(self._executor, function, *arguments)
        self._calls.add(call)
        call.add_done_callback(self._forget)
        return call

    def _forget(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()

    async def run(
        self,
        function: Callable[..., T],
        *arguments: Any,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """Call in the thread and wait for the result.

        `undo` gets the result of a call whose waiter was cancelled, to release what it acquired;
        `close` returns after that.
        """
        call = self.submit(function, *arguments)
        try:
            return await finished(call)
        except asyncio.CancelledError:
            if undo is not None:
                call.add_done_callback(lambda done: _undo(done, undo))
            raise

    async def close(self) -> None:
        """Wait for what was started, then end the thread."""
        try:
            while self._calls:
                await asyncio.wait(self._calls)
        finally:
            executor, self._executor = self._executor, None
            if executor is not None:
                executor.shutdown(wait=not self._calls)


def _undo(call: asyncio.Future[T], undo: Callable[[T], object]) -> None:
    if not call.cancelled() and call.exception() is None:
        undo(call.result())


async def finished(call: asyncio.Future[T]) -> T:
    """Wait for a call without cancelling it when the waiter is cancelled."""
    await asyncio.wait((call,))
    return call.result()
