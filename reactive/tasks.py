"""Tasks owned by one part of a run: none of them outlives `close`."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from reactive.log import log_event

T = TypeVar("T")

PATIENCE_SECONDS = 10.0


class Tasks:
    """Starts tasks and, at `close`, cancels them and waits until every one has ended.

    Cancellation is delivered once, as asyncio does, so that `finally: await ...` in user code
    runs undisturbed, however long that takes; a warning tells who keeps the end waiting.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task, once: a second cancellation would break into its cleanup."""
        if task not in self._cancelled:
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    def spawn(
        self,
        work: Coroutine[Any, Any, T],
        *,
        name: str,
        on_done: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> asyncio.Task[T]:
        """Start `work`. A failure that nobody looks at is raised by `close`; with `on_done`, the
        caller looks."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        if on_done is not None:
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(on_done)
        else:
            task.add_done_callback(self._collect)
        return task

    def _collect(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def join(self) -> None:
        """Wait until every task has ended by itself."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel all, wait for all, then raise what failed on the way."""
        interrupted: asyncio.CancelledError | None = None
        for task in self._tasks:
            self.cancel(task)
        while self._tasks:
            try:
                _, slow = await asyncio.wait(self._tasks, timeout=PATIENCE_SECONDS)
            except asyncio.CancelledError as error:
                interrupted = error
                continue
            if slow:
                names = sorted(task.get_name() for task in slow)
                log_event("warning", "still_closing", waiting_for=names)
        errors, self._errors = self._errors, []
        if interrupted is not None:
            for failure in errors:
                interrupted.add_note(f"while closing: {failure!r}")
            raise interrupted
        raise_together(errors)


def raise_together(errors: list[BaseException]) -> None:
    """Raise a single error as it is, several as a group, none not at all."""
    unique = list({id(error): error for error in errors}.values())
    if len(unique) == 1:
        raise unique[0]
    if unique:
        raise BaseExceptionGroup("several parts failed", unique)


@types.coroutine
def uninterrupted(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await cleanup in this very task, holding back cancellation until it is done.

    Cleanup has to run in the task that did the work (cancel scopes and task groups in user code
    insist on it), so `asyncio.shield`, which needs another task, does not serve.
    """
    held: asyncio.CancelledError | None = None
    try:
        waiting = work.send(None)
        while True:
            try:
                if waiting is None:
                    yield None
                else:
                    waiting._asyncio_future_blocking = False
                    while not waiting.done():
                        yield from _shadow(waiting)
            except asyncio.CancelledError as error:
                held = error
                continue
            waiting = work.send(None)
    except StopIteration as end:
        if held is not None:
            raise held from None
        result: T = end.value
        return result
    except BaseException as error:
        if held is not None:
            held.add_note(f"while closing: {error!r}")
            raise held from error
        raise


def _shadow(future: asyncio.Future[Any]) -> Generator[Any, Any, None]:
    """Wait for a future without letting a cancellation of the waiter reach it."""
    shadow: asyncio.Future[None] = future.get_loop().create_future()

    def release(_: asyncio.Future[Any]) -> None:
        if not shadow.done():
            shadow.set_result(None)

    future.add_done_callback(release)
    try:
        yield from shadow
    finally:
        future.remove_done_callback(release)
