"""creating: streams from values, iterables, clocks and other streams."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Never, TypeVar, overload

from operators.checking import check_callable, check_plain, check_seconds
from operators.reading import (
    AsyncIterableReader,
    AsyncIteration,
    IterableReader,
    QueueReader,
    SequenceReader,
    ThreadedIterableReader,
)
from reactive.endpoint import Reader, Source
from reactive.errors import SourceConsumedError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint, as_stream, stream_of
from reactive.operator import Puller, SourceOperator, Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


def from_source(source: Source[T]) -> Stream[T]:
    """A stream that reads a `Source`: how connectors and one's own sources come in.

    Emits what the source's reader gives. Completes when the reader ends; closes the reader.

    ```python
    rx.from_source(MySource(address))
    ```
    """
    if not isinstance(source, Source):
        raise TypeError(f"from_source needs a reactive.endpoint.Source, not {source!r}")
    return stream_of(SourceOperator(source))


class _Once:
    """Remembers whether a one-shot iterable was already taken."""

    def __init__(self) -> None:
        self.taken = False

    def take(self, what: object) -> None:
        if self.taken:
            raise SourceConsumedError(
                f"{type(what).__name__} can be iterated only once and a run has already done so; "
                "pass a collection, or make it anew with rx.defer(lambda: ...)"
            )
        self.taken = True


@dataclass(frozen=True)
class _IterableSource(Source[Any]):
    title: ClassVar[str] = "from_iterable"

    iterable: Iterable[Any]
    thread: bool
    once: _Once | None = field(default=None, compare=False)
    """Of an iterator, which serves one run."""

    @property
    def bounded(self) -> bool:
        # A generator may be endless, and nothing tells.
        return isinstance(self.iterable, Sized)

    @property
    def replayable(self) -> bool:
        return isinstance(self.iterable, Sequence)

    @property
    def label(self) -> str:
        return self.title

    def details(self) -> dict[str, object]:
        return {"thread": True} if self.thread else {}

    def reader(self, context: Context) -> Reader[Any]:
        items = items_at_hand(self)
        if items is not None:
            return SequenceReader(items)
        return (ThreadedIterableReader if self.thread else IterableReader)(self._iterator, context)

    def _iterator(self) -> Any:
        iterator = iter(self.iterable)
        if iterator is self.iterable and self.once is not None:
            self.once.take(self.iterable)
        return iterator


def items_at_hand(source: Source[Any]) -> Sequence[Any] | None:
    """The items of a source that has them all in memory."""
    # By its type, which is told faster: inner streams are made by the thousands.
    if type(source) in _ITERABLES and not source.thread:  # type: ignore[attr-defined]
        iterable = source.iterable  # type: ignore[attr-defined]
        if isinstance(iterable, (tuple, list, builtins.range)):
            return iterable
    return None


class _OfSource(_IterableSource):
    title = "of"


class _RangeSource(_IterableSource):
    title = "range"


@dataclass(frozen=True)
class AsyncIterableSource(Source[Any]):
    """What `from_async_iterable` reads."""

    iterable: AsyncIterable[Any]
    once: _Once = field(default_factory=_Once, compare=False)

    @property
    def label(self) -> str:
        return "from_async_iterable"

    def reader(self, context: Context) -> Reader[Any]:
        return AsyncIterableReader(self._iteration)

    def _iteration(self) -> AsyncIteration:
        iteration = AsyncIteration(self.iterable)
        if iteration.iterator is self.iterable:
            self.once.take(self.iterable)
        return iteration


@dataclass(frozen=True)
class _QueueSource(Source[Any]):
    queue: asyncio.Queue[Any]

    @property
    def label(self) -> str:
        return "from_queue"

    def reader(self, context: Context) -> Reader[Any]:
        return QueueReader(self.queue)


def of(*items: T) -> Stream[T]:
    """The given items.

    ```text
    of(1, 2)
    (12|)
    ```

    Emits them at once, as downstream takes them, and completes.

    ```python
    rx.of(1, 2, 3)
    ```
    """
    return stream_of(SourceOperator(_OfSource(items, False)))


def from_iterable(iterable: Iterable[T], *, thread: bool = False) -> Stream[T]:
    """The items of any iterable, taken lazily.

    ```text
    from_iterable(["a", "b"])
    (ab|)
    ```

    Emits items as downstream takes them; reads ahead by no more than it has given so far and no
    more than a chunk (1,024 items). Completes when the iterable does; a generator is closed.
    An iterator, which can be read only once, serves one run: a second raises
    `SourceConsumedError`. With `thread=True` the iterable is iterated in a thread of its own, so
    that one that blocks does not hold the event loop; a `next()` that never returns cannot be
    interrupted: the run then leaves its (daemon) thread behind after a second, with a warning.
    Raises what the iterable raises, after the items before it.

    ```python
    rx.from_iterable(range(10))
    ```
    """
    if not isinstance(iterable, Iterable):
        hint = (
            "use rx.from_async_iterable"
            if isinstance(iterable, AsyncIterable)
            else "pass a list, a generator, or anything with __iter__"
        )
        raise TypeError(f"from_iterable cannot iterate {type(iterable).__name__}; {hint}")
    once = _Once() if isinstance(iterable, Iterator) else None
    return stream_of(SourceOperator(_IterableSource(iterable, thread, once)))


def from_async_iterable(iterable: AsyncIterable[T] | asyncio.Queue[T]) -> Stream[T]:
    """The items of any async iterable: a generator, an aiostream stream, or an asyncio queue.

    ```text
    from_async_iterable(rx.interval(2).take(2))
    --0-(1|)
    ```

    Emits each item as it comes, of a queue all that are waiting. Asks for the next one only when
    downstream wants it. Completes when the iterable does; a queue completes when it is shut down
    (Python 3.13) and is otherwise endless. It is iterated and closed in one task. An iterator
    serves one run: a second raises `SourceConsumedError`. Raises what the iterable raises.

    ```python
    queue: asyncio.Queue[int] = asyncio.Queue()
    rx.from_async_iterable(queue)
    ```
    """
    if isinstance(iterable, asyncio.Queue):
        return stream_of(SourceOperator(_QueueSource(iterable)))
    if not isinstance(iterable, AsyncIterable):
        hint = "; use rx.from_iterable" if isinstance(iterable, Iterable) else ""
        raise TypeError(
            f"from_async_iterable cannot iterate {type(iterable).__name__} with `async for`{hint}"
        )
    return stream_of(SourceOperator(AsyncIterableSource(iterable)))


def range(start: int, stop: int | None = None, step: int = 1) -> Stream[int]:
    """Whole numbers, as Python's `range`.

    ```text
    range(3)
    (012|)
    ```

    Emits them as downstream takes them, and completes. `ValueError` for a step of 0.

    ```python
    rx.range(10)
    ```
    """
    first, last = (0, start) if stop is None else (start, stop)
    numbers = builtins.range(first, last, step)
    return stream_of(SourceOperator(_RangeSource(numbers, False)))


@dataclass(frozen=True)
class _IntervalSource(Source[int]):
    period: float
    first: float
    single: bool = False

    @property
    def bounded(self) -> bool:
        return self.single

    @property
    def label(self) -> str:
        return "timer" if self.single else "interval"

    def details(self) -> dict[str, object]:
        return {"after" if self.single else "every": f"{self.first:g} s"}

    def reader(self, context: Context) -> Reader[int]:
        return _IntervalReader(self)


class _IntervalReader(Reader[int]):
    def __init__(self, source: _IntervalSource) -> None:
        self._source = source
        self._given = -1

    async def open(self) -> None:
        self._start = asyncio.get_running_loop().time() + self._source.first

    async def read(self, limit: int) -> Signal[int] | None:
        source = self._source
        if source.single and self._given == 0:
            return None
        tick = self._given + 1
        now = asyncio.get_running_loop().time()
        if not source.single:
            missed = int((now - self._start) / source.period)
            tick = max(tick, missed)
        due = self._start + tick * source.period
        await asyncio.sleep(max(0.0, due - now))
        self._given = tick
        return Chunk([tick])


def interval(period: float) -> Stream[int]:
    """Count up from 0, one number every `period` seconds of the loop's clock.

    ```text
    interval(3)
    ---0--1--2--
    ```

    Emits the first number after one period; ticks do not drift. Never completes. Ticks that pass
    while downstream is busy are lost: the number tells how many periods have gone by.
    `ValueError` for a period not above 0.

    ```python
    rx.interval(1.0).take(3)
    ```
    """
    check_seconds("interval", "a period", period)
    return stream_of(SourceOperator(_IntervalSource(period, period)))


def timer(delay: float) -> Stream[int]:
    """The number 0 after `delay` seconds of the loop's clock.

    ```text
    timer(3)
    ---(0|)
    ```

    Emits once and completes. `ValueError` for a negative delay.

    ```python
    rx.interval(1.0).take_until(rx.timer(10))
    ```
    """
    check_seconds("timer", "a delay", delay, zero=True)
    return stream_of(SourceOperator(_IntervalSource(0.0, delay, single=True)))


@dataclass(frozen=True)
class _Unfolding:
    """Iterates the results of `unfold`, anew each time."""

    seed: Any
    fn: Callable[[Any], tuple[Any, Any] | None]

    def __iter__(self) -> Any:
        state = self.seed
        while (made := self.fn(state)) is not None:
            item, state = made
            yield item


class _UnfoldSource(_IterableSource):
    title = "unfold"


def unfold(seed: S, fn: Callable[[S], tuple[T, S] | None]) -> Stream[T]:
    """Make items from a state: `fn(state)` gives an item and the next state, or None to end.

    ```text
    unfold(1, lambda n: (n, n * 2) if n < 9 else None)
    (1248|)
    ```

    Emits items as downstream takes them. Completes when `fn` gives None. Raises what `fn` raises.

    ```python
    rx.unfold(1, lambda n: (n, n * 2) if n < 1000 else None)
    ```
    """
    check_plain("unfold", fn)
    return stream_of(SourceOperator(_UnfoldSource(_Unfolding(seed, fn), False)))


def empty() -> Stream[Never]:
    """No items: completes at once.

    ```text
    empty()
    |
    ```

    ```python
    rx.empty()
    ```
    """
    return stream_of(SourceOperator(_EmptySource((), False)))


class _EmptySource(_IterableSource):
    title = "empty"


_ITERABLES = frozenset((_IterableSource, _OfSource, _RangeSource, _EmptySource))


@dataclass(frozen=True)
class _NeverSource(Source[Any]):
    @property
    def label(self) -> str:
        return "never"

    def reader(self, context: Context) -> Reader[Any]:
        return _NeverReader()


class _NeverReader(Reader[Any]):
    async def read(self, limit: int) -> Signal[Any] | None:
        await asyncio.get_running_loop().create_future()
        return None


def never() -> Stream[Never]:
    """No items and no end.

    ```text
    never()
    ------
    ```

    ```python
    rx.never()
    ```
    """
    return stream_of(SourceOperator(_NeverSource()))


@dataclass(frozen=True)
class _FailSource(Source[Any]):
    error: Exception

    @property
    def bounded(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "fail"

    def reader(self, context: Context) -> Reader[Any]:
        return _FailReader(self.error)


class _FailReader(Reader[Any]):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def read(self, limit: int) -> Signal[Any] | None:
        raise self._error


def fail(error: Exception) -> Stream[Never]:
    """No items: fails at once with the given exception.

    ```text
    fail(ValueError())
    #
    ```

    ```python
    rx.fail(ValueError("no"))
    ```
    """
    if not isinstance(error, Exception):
        raise TypeError(f"fail needs an exception, not {error!r}")
    return stream_of(SourceOperator(_FailSource(error)))


@dataclass(frozen=True)
class Defer(Staged):
    """`defer` and `using`: a stream made when the run gets to it."""

    concurrent: ClassVar[bool] = False
    resumes: ClassVar[bool] = True

    factory: Callable[..., Any]
    resource: Callable[[], Any] | None = None

    @property
    def label(self) -> str:
        return "defer" if self.resource is None else "using"

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return False

    def stage(self, context: Context) -> Stage[Any]:
        return _DeferStage(self, context)


class _DeferStage(Stage[Any]):
    def __init__(self, operator: Defer, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._manager: Any = None
        self._failure: BaseException | None = None
        self._inner: Puller[Any] | None = None

    async def open(self) -> None:
        try:
            await self._open()
        except Exception as error:
            annotate(error, self._context)
            self._failure = error
            raise

    async def _open(self) -> None:
        operator = self._operator
        args: list[Any] = []
        if operator.resource is not None:
            manager = operator.resource()
            if isinstance(manager, AbstractAsyncContextManager):
                args = [await manager.__aenter__()]
            elif isinstance(manager, AbstractContextManager):
                args = [manager.__enter__()]
            else:
                raise TypeError(
                    f"using needs a function that gives a context manager, not {manager!r}"
                )
            self._manager = manager
        made = operator.factory(*args)
        # A terminal, such as `count`, is a stream that could be awaited as well.
        if isinstance(made, Awaitable) and not isinstance(made, Blueprint):
            made = await made
        self._inner = self._context.nested(as_stream(made).node)
        await self._inner.open()

    async def read(self) -> Signal[Any] | None:
        assert self._inner is not None
        try:
            return await self._inner.read()
        except BaseException as error:
            self._failure = error
            raise

    async def close(self) -> None:
        inner, self._inner = self._inner, None
        manager, self._manager = self._manager, None
        try:
            if inner is not None:
                await inner.close()
        except Exception as error:
            self._failure = self._failure or error
            raise
        finally:
            failure = self._failure
            why = (None, None, None) if failure is None else (type(failure), failure, None)
            if isinstance(manager, AbstractAsyncContextManager):
                await manager.__aexit__(*why)
            elif manager is not None:
                manager.__exit__(*why)


def defer(factory: Callable[[], Stream[T] | Awaitable[Stream[T]]]) -> Stream[T]:
    """A stream that `factory` makes anew for each run, when the run gets to it.

    ```text
    defer(lambda: rx.timer(3))
    ---(0|)
    ```

    Emits what the made stream gives, and completes with it. `factory` may be async. Raises what
    it raises.

    ```python
    rx.defer(lambda: rx.from_iterable(open_feed()))
    ```
    """
    check_callable("defer", factory)
    return stream_of(Defer(factory))


@overload
def using(
    resource: Callable[[], AbstractContextManager[R]], factory: Callable[[R], Stream[T]]
) -> Stream[T]: ...


@overload
def using(
    resource: Callable[[], AbstractAsyncContextManager[R]], factory: Callable[[R], Stream[T]]
) -> Stream[T]: ...


def using(resource: Callable[[], Any], factory: Callable[[Any], Stream[T]]) -> Stream[T]:
    """A stream over a resource that is entered when the run gets to it and left at its end.

    ```text
    using(connect, lambda connection: rx.interval(3).take(2))
    -----0--(1|)
    ```

    Here `connect` is an async context manager that takes two seconds to enter.

    Emits what the made stream gives, and completes with it. The resource is left after the made
    stream was closed: at the end, when downstream takes no more, or on its failure, which is
    raised even if the resource says it is handled. Raises what either raises.

    ```python
    rx.using(lambda: open("log.txt"), rx.from_iterable)
    ```
    """
    check_callable("using", resource)
    check_callable("using", factory)
    return stream_of(Defer(factory, resource))
