"""Readers of what lives in memory: sequences, iterables, async iterables, queues."""

from __future__ import annotations

import asyncio
import queue as thread_queue
import threading
import time
import types
from abc import abstractmethod
from collections import deque
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from itertools import islice
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from operators.checking import MISSING
from reactive.channel import Waker
from reactive.endpoint import Extent, Reader, Source
from reactive.log import log_event
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")

_SLOW_SECONDS = 0.0005
_ABANDON_AFTER_SECONDS = 1.0


class PolledReader(Reader[T]):
    """A reader that can also be asked what is there, without waiting."""

    @abstractmethod
    def begin(self, wake: Callable[[], None]) -> None:
        """Open it at once; `wake` is called when there may be something."""

    @abstractmethod
    def poll(self, limit: int) -> Signal[T] | None:
        """What is there now; None if there is nothing, or at the end."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether all of it was given."""

    @abstractmethod
    def finish(self) -> None:
        """Close it at once."""


class PolledSource(Source[T]):
    """A source whose readers can be polled."""

    @abstractmethod
    def reader(self, context: Context) -> PolledReader[T]: ...


class SequenceReader(Reader[T]):
    """Reads a sequence by slices; reads ahead no more than it has given."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items = items
        self._next = 0
        self._size = 1

    async def read(self, limit: int) -> Signal[T] | None:
        start = self._next
        stop = start + min(limit, self._size)
        piece = self._items[start:stop]
        if not piece:
            return None
        self._next = start + len(piece)
        self._size = min(2 * self._size, limit)
        items: Any = piece
        if type(piece) is not list and not self.any_sequence:
            items = list(piece)
        return Chunk(items)

    def extent(self) -> Extent:
        return Extent(self._next, len(self._items), "items")

    def position(self) -> int:
        return self._next

    async def seek(self, position: int) -> None:
        self._next = position


class IterableReader(Reader[T]):
    """Reads an iterator, a few items more each time as long as that is quick."""

    def __init__(self, iterator: Callable[[], Iterator[T]], context: Context) -> None:
        self._make = iterator
        self._iterator: Iterator[T] | None = None
        self._size = 1
        self._given = 0
        self._failure: Exception | None = None

    async def open(self) -> None:
        self._iterator = self._make()

    async def read(self, limit: int) -> Signal[T] | None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        assert self._iterator is not None
        items: list[T] = []
        size = min(limit, self._size)
        before = time.perf_counter()
        try:
            items.extend(islice(self._iterator, size))
        except Exception as error:
            if not items:
                raise
            self._failure = error
        took = time.perf_counter() - before
        if took > 2 * _SLOW_SECONDS:
            self._size = max(1, int(size * _SLOW_SECONDS / took))
        elif took < _SLOW_SECONDS:
            self._size = min(2 * size, limit)
        self._given += len(items)
        return Chunk(items) if items else None

    def position(self) -> int:
        return self._given

    async def seek(self, position: int) -> None:
        assert self._iterator is not None
        while self._given < position:
            step = min(1024, position - self._given)
            self._given += step
            next(islice(self._iterator, step, step), None)
            await asyncio.sleep(0)

    async def close(self) -> None:
        close = getattr(self._iterator, "close", None)
        self._iterator = None
        if callable(close):
            close()


class ThreadedIterableReader(Reader[T]):
    """Reads an iterator in a thread of its own, for iterators that block.

    The thread is asked for a number of items, more each time, and hands over each as soon as it
    has it: one that came is not held back while the next is waited for.
    """

    def __init__(self, iterator: Callable[[], Iterator[T]], context: Context) -> None:
        self._make = iterator
        self._context = context
        self._wanted: thread_queue.SimpleQueue[int] = thread_queue.SimpleQueue()
        self._waker = Waker()
        self._arrived: deque[T] = deque()
        self._asked = 0
        self._size = 1
        self._sleeping = False
        self._closing = False
        self._ended = False
        self._failure: BaseException | None = None
        self._cleanup_failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._work, args=(loop,), name=f"reactive {self._context.name}", daemon=True
        )
        self._thread.start()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        iterator: Iterator[T] | None = None
        try:
            while (count := self._wanted.get()) > 0:
                if iterator is None:
                    iterator = self._make()
                while count > 0 and not self._closing:
                    item = next(iterator)
                    count -= 1
                    self._arrived.append(item)
                    self._wake(loop)
        except StopIteration:
            pass
        except BaseException as error:
            self._failure = error
        self._ended = True
        self._wake(loop)
        try:
            close = getattr(iterator, "close", None)
            if callable(close):
                close()
        except BaseException as error:
            self._cleanup_failure = error

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._sleeping:
            self._sleeping = False
            try:
                loop.call_soon_threadsafe(self._waker.wake)
            except RuntimeError:
                self._closing = True

    async def read(self, limit: int) -> Signal[T] | None:
        arrived = self._arrived
        while not arrived:
            if self._ended and not arrived:
                if self._failure is not None:
                    raise self._failure
                return None
            if self._asked == 0:
                self._asked = min(limit, self._size)
                self._size = 2 * self._asked
                self._wanted.put(self._asked)
            # The thread looks at this after each item, so what comes in between is not missed.
            self._sleeping = True
            if not arrived and not self._ended:
                await self._waker.wait()
            self._sleeping = False
        items = [arrived.popleft() for _ in range(min(limit, len(arrived)))]
        self._asked -= len(items)
        return Chunk(items)

    async def close(self) -> None:
        thread = self._thread
        if thread is None:
            return
        self._closing = True
        self._wanted.put(0)
        until = time.monotonic() + _ABANDON_AFTER_SECONDS
        while thread.is_alive() and time.monotonic() < until:  # noqa: ASYNC110  wakes nobody
            await asyncio.sleep(0.001)
        if thread.is_alive():
            log_event(
                "warning",
                "thread_left_behind",
                operator=self._context.where(),
                reason="the iterable blocks in next() and cannot be interrupted",
            )
        elif self._cleanup_failure is not None:
            raise self._cleanup_failure


class AsyncIteration:
    """One iteration over an async iterable, entered first where its iterator is a context.

    Those of aiostream are. An iterator that a user made and may have entered is only closed;
    `fresh` says that nobody has.
    """

    def __init__(self, iterable: AsyncIterable[Any], *, fresh: bool = False) -> None:
        self.iterator: Any = aiter(iterable)
        own = fresh or self.iterator is not iterable
        self._is_context = own and hasattr(self.iterator, "__aenter__")
        self._entered = False

    async def begin(self) -> Callable[[], Awaitable[Any]]:
        """Enter the context; gives what gives the next item or raises StopAsyncIteration."""
        if self._is_context:
            await self.iterator.__aenter__()
            self._entered = True
        following: Callable[[], Awaitable[Any]] = self.iterator.__anext__
        return following

    async def close(self) -> None:
        """Leave the context, or close the iterator."""
        if self._entered:
            await self.iterator.__aexit__(None, None, None)
        elif (close := getattr(self.iterator, "aclose", None)) is not None:
            await close()


class AsyncIterableReader(Reader[Any]):
    """Reads an async iterator one item at a time: there is no telling whether more is ready."""

    def __init__(self, iteration: Callable[[], AsyncIteration]) -> None:
        self._make = iteration
        self._iteration: AsyncIteration | None = None
        self._next: Callable[[], Awaitable[Any]] | None = None

    async def open(self) -> None:
        self._iteration = self._make()

    async def read(self, limit: int) -> Signal[Any] | None:
        try:
            return Chunk([await self._following()])
        except StopAsyncIteration:
            return None

    async def _following(self) -> Any:
        if self._next is None:
            assert self._iteration is not None
            self._next = await self._iteration.begin()
        return await self._next()

    async def close(self) -> None:
        iteration, self._iteration = self._iteration, None
        if iteration is not None:
            await iteration.close()


class EagerIterableReader(Reader[Any]):
    """The same for items that most likely need not be waited for."""

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterable = iterable
        self._iteration: AsyncIteration | None = None
        self._step: Callable[[], _Step] = self._first
        if type(iterable) is AsyncGeneratorType:
            self._step = iterable.__anext__
        self.begun: tuple[_Step, Any] | None = None
        """What is waited for, if an item is."""
        self.is_over = False
        """Whether it has ended; then there may be something to close, but not of a generator."""

    @property
    def is_generator(self) -> bool:
        """Whether it is an async generator."""
        return type(self._iterable) is AsyncGeneratorType

    def read_at_once(self) -> Any:
        """The next item where there is nothing to wait for. Otherwise it gives `MISSING` and has
        `begun`: then `read` has to follow at once, in the same task. `MISSING` as well at the end.
        """
        step = self._step()
        try:
            self.begun = step, step.send(None)
        except StopIteration as end:
            return end.value
        except StopAsyncIteration:
            self.is_over = True
        return MISSING

    async def _first(self) -> Any:
        self._iteration = iteration = AsyncIteration(self._iterable)
        following = await iteration.begin()

        async def item() -> Any:
            return await following()

        self._step = item
        return await following()

    async def read(self, limit: int) -> Signal[Any] | None:
        assert self.begun is not None
        begun, self.begun = self.begun, None
        try:
            return Chunk([await _go_on(*begun)])
        except StopAsyncIteration:
            self.is_over = True
            return None

    async def close(self) -> None:
        iterable = self._iterable
        if self._iteration is not None:
            await self._iteration.close()
        elif type(iterable) is AsyncGeneratorType:
            await iterable.aclose()


class _Step(Protocol):
    """A coroutine, or a step of an async generator."""

    def send(self, value: Any, /) -> Any: ...

    def throw(self, error: BaseException, /) -> Any: ...


@types.coroutine
def _go_on(step: _Step, waiting: Any) -> Generator[Any, Any, Any]:
    """Await what has begun already and waits for `waiting`."""
    try:
        while True:
            try:
                sent = yield waiting
            except BaseException as error:
                waiting = step.throw(error)
            else:
                waiting = step.send(sent)
    except StopIteration as end:
        return end.value


class QueueReader(Reader[T]):
    """Reads an asyncio queue: waits for one item, takes all that are there."""

    def __init__(self, queue: asyncio.Queue[T]) -> None:
        self._queue = queue
        self._shut_down: type[Exception] = getattr(asyncio, "QueueShutDown", asyncio.QueueEmpty)

    async def read(self, limit: int) -> Signal[T] | None:
        queue = self._queue
        try:
            items = [await queue.get()]
        except self._shut_down:
            return None
        while len(items) < limit:
            try:
                items.append(queue.get_nowait())
            except (asyncio.QueueEmpty, self._shut_down):
                break
        return Chunk(items)
