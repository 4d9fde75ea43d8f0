"""Tasks owned by one part of a run: none of them outlives `close`."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from reactive.log import log_event

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
HOLD_SECONDS = 3.0


class Tasks:
    """Starts tasks and, at `close`, cancels them and waits until every one has ended.

    Cancellation is delivered once, as asyncio does, so that `finally: await ...` in user code
    runs undisturbed, however long that takes; a warning tells who keeps the end waiting.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._cleaning: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task, unless it is cleaning up already: a cancellation would break into that."""
        if task not in self._cancelled and task not in self._cleaning:
            self._cancelled.add(task)
            task.cancel()

    def cleaning(self, task: asyncio.Task[Any] | None = None) -> None:
        """Say that a task, by default the current one, is done but for its cleanup, and not to be
        cancelled."""
        task = task or asyncio.current_task()
        if task in self._tasks:
            self._cleaning.add(task)

    def cleaned(self, task: asyncio.Task[Any] | None) -> None:
        """Say that a task goes on to something else after its cleanup."""
        if task is not None:
            self._cleaning.discard(task)

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
            task.add_done_callback(self._forget)
            task.add_done_callback(on_done)
        else:
            task.add_done_callback(self._collect)
        return task

    def own(self, task: asyncio.Task[Any]) -> None:
        """Take on a task that reports its failures by other ways."""
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        for tasks in (self._tasks, self._cancelled, self._cleaning):
            tasks.discard(task)

    def _collect(self, task: asyncio.Task[Any]) -> None:
        self._forget(task)
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


def shielded() -> AbstractContextManager[object]:
    """A shield from anyio's cancel scopes around the caller, which cancel again and again. Where
    nobody has imported anyio there is none."""
    anyio = sys.modules.get("anyio")
    scope: AbstractContextManager[object]
    scope = nullcontext() if anyio is None else anyio.CancelScope(shield=True)
    return scope


@types.coroutine
def uninterrupted(
    work: Coroutine[Any, Any, T], patience: float = HOLD_SECONDS
) -> Generator[Any, Any, T]:
    """Await cleanup in this very task, holding back a cancellation until it is done.

    Cleanup has to run in the task that did the work (cancel scopes and task groups in user code
    insist on it), so `asyncio.shield`, which needs another task, does not serve. A time limit
    inside the cleanup cancels the task just as an outsider does. anyio's say so, and are let
    through, since `shielded` keeps those from outside away; nothing tells asyncio's apart, so a
    cancellation is held for `patience` seconds of the loop's clock and then let through.
    """
    loop = asyncio.get_running_loop()
    held: asyncio.CancelledError | None = None
    until = 0.0
    try:
        waiting = work.send(None)
        while True:
            try:
                if waiting is None:
                    yield None
                elif not waiting.done():
                    waiting._asyncio_future_blocking = False
                    yield from _shadow(waiting, None if held is None else until)
            except asyncio.CancelledError as error:
                if held is None:
                    until = loop.time() + patience
                held = error
                if "cancel scope" in str(error):
                    until = 0.0
            if held is not None and loop.time() >= until:
                delivered, held = held, None
                waiting = work.throw(delivered)
            elif waiting is None or waiting.done():
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


def _shadow(future: asyncio.Future[Any], until: float | None) -> Generator[Any, Any, None]:
    """Wait for a future, or until a time, without letting a cancellation reach the future."""
    loop = future.get_loop()
    shadow: asyncio.Future[None] = loop.create_future()

    def release(_: object = None) -> None:
        if not shadow.done():
            shadow.set_result(None)

    timer = None if until is None else loop.call_at(until, release)
    future.add_done_callback(release)
    try:
        yield from shadow
    finally:
        future.remove_done_callback(release)
        if timer is not None:
            timer.cancel()
