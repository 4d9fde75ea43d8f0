"""memory: iterables in; lists, functions and queues out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import reactive as rx
from reactive.endpoint import Sink, Writer
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.signals import Chunk

T = TypeVar("T")


def read(items: Iterable[T]) -> rx.Stream[T]:
    """The items of an iterable: the same as `rx.from_iterable(items)`.

    Emits items as downstream takes them and completes with the iterable.

    ```python
    numbers = memory.read([1, 2, 3])
    ```
    """
    return rx.from_iterable(items)


def append(target: list[T]) -> Sink[T]:
    """A sink that appends every item to a list.

    Never backpressures. What was appended before a failure stays there. The list is gone with the
    process; a run that goes on from a checkpoint in the same one appends again what came since.

    ```python
    kept: list[int] = []
    await rx.run(rx.of(1, 2).to(memory.append(kept)))
    ```
    """
    if not isinstance(target, list):
        raise TypeError(f"memory.append needs a list, not {target!r}")
    return _ListSink(target)


@dataclass(frozen=True)
class _ListSink(Sink[Any]):
    target: list[Any]

    @property
    def label(self) -> str:
        return "append"

    def writer(self, context: Context) -> Writer[Any]:
        return _ListWriter(self.target)


class _ListWriter(Writer[Any]):
    def __init__(self, target: list[Any]) -> None:
        self._target = target

    async def write(self, chunk: Chunk[Any]) -> None:
        self._target += chunk.items


def call(fn: Callable[[T], Awaitable[object]] | Callable[[T], object]) -> Sink[T]:
    """A sink that calls a function with every item, one at a time, awaiting an async one.

    Backpressures while the function runs. Raises what it raises, with a note naming the sink;
    the items before it have been handled. A run that goes on from a checkpoint calls it again with
    the items since then: at least once. Where each must count once, let the function know an item
    by its key, or write a sink with the two-phase commit that `Writer` has.

    ```python
    await rx.run(rx.of(1, 2).to(memory.call(print)))
    ```
    """
    if not callable(fn):
        raise TypeError(f"memory.call needs a function, not {fn!r}")
    return _CallSink(fn)


@dataclass(frozen=True)
class _CallSink(Sink[Any]):
    fn: Callable[[Any], object]

    @property
    def label(self) -> str:
        return "call"

    def writer(self, context: Context) -> Writer[Any]:
        return _CallWriter(self.fn, context)


class _CallWriter(Writer[Any]):
    def __init__(self, fn: Callable[[Any], object], context: Context) -> None:
        self._fn = fn
        self._context = context

    async def write(self, chunk: Chunk[Any]) -> None:
        for item in chunk.items:
            result = self._fn(item)
            if inspect.isawaitable(result):
                await result
            if self._context.overdue():
                await asyncio.sleep(0)


def put(queue: asyncio.Queue[T]) -> Sink[T]:
    """A sink that puts every item into an asyncio queue.

    Backpressures while the queue is full. What is in the queue is not part of a checkpoint: an item
    that was put counts as written, and those since the last checkpoint are put again by the run
    that goes on from it. Says nothing to the queue's readers at the end: put a
    last item of your own (`stream.concat(rx.of(DONE))`), or shut the queue down.

    ```python
    queue: asyncio.Queue[int] = asyncio.Queue(10)
    await rx.run(rx.of(1, 2).to(memory.put(queue)))
    ```
    """
    if not isinstance(queue, asyncio.Queue):
        raise TypeError(f"memory.put needs an asyncio.Queue, not {queue!r}")
    return _QueueSink(queue)


@dataclass(frozen=True)
class _QueueSink(Sink[Any]):
    queue: asyncio.Queue[Any]

    @property
    def label(self) -> str:
        return "put"

    def details(self) -> dict[str, object]:
        return {"limit": f"{self.queue.maxsize} items"} if self.queue.maxsize else {}

    def writer(self, context: Context) -> Writer[Any]:
        return _QueueWriter(self.queue)


class _QueueWriter(Writer[Any]):
    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue

    async def write(self, chunk: Chunk[Any]) -> None:
        for item in chunk.items:
            await self._queue.put(item)
