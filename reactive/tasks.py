"""Tasks owned by one part of a run: none of them outlives `close`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

RECANCEL_SECONDS = 1.0


class Tasks:
    """Starts tasks and, at `close`, cancels them and waits until every one has ended.

    Cancellation is delivered once, as asyncio does, so that `finally: await ...` in user code
    runs undisturbed; a task that swallowed it and goes on is cancelled again every second.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []

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
            task.cancel()
        while self._tasks:
            try:
                _, stubborn = await asyncio.wait(self._tasks, timeout=RECANCEL_SECONDS)
            except asyncio.CancelledError as error:
                interrupted = error
                continue
            for task in stubborn:
                task.cancel()
        errors, self._errors = self._errors, []
        if interrupted is not None:
            for error in errors:
                interrupted.add_note(f"while closing: {error!r}")
            raise interrupted
        raise_together(errors)


def raise_together(errors: list[BaseException]) -> None:
    """Raise a single error as it is, several as a group, none not at all."""
    unique = list({id(error): error for error in errors}.values())
    if len(unique) == 1:
        raise unique[0]
    if unique:
        raise BaseExceptionGroup("several parts failed", unique)
