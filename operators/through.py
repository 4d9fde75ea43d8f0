"""through: a user's own async generator in the middle of a pipeline."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, ParamSpec, TypeVar

from operators.checking import check_callable, is_async
from operators.reading import AsyncIteration
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node
from reactive.operator import Puller, Stage, Staged
from reactive.pullers import close_all
from reactive.signals import Chunk, Control, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

P = ParamSpec("P")
U = TypeVar("U")
X = TypeVar("X")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Through(Staged):
    """`through`."""

    concurrent: ClassVar[bool] = False
    forgets: ClassVar[str] = "what the generator has taken and not given yet"

    transform: Callable[[AsyncIterator[Any]], AsyncIterable[Any]]
    upstream: Node

    def stage(self, context: Context) -> Stage[Any]:
        return _ThroughStage(self, context)


_SET_ASIDE: Final = object()


@types.coroutine
def _set_aside() -> Generator[Any, None, None]:
    """Go back to whoever drives the transform, and on from here when it does so again."""
    yield _SET_ASIDE


class _Driven:
    """What gives the next item of a transform, run in the task of the stage. It is set aside while
    it waits for an item of upstream and there is a control signal to be passed on first."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work: Any = work.__await__()

    @types.coroutine
    def go_on(self, error: BaseException | None = None) -> Generator[Any, Any, Any]:
        """The item, or `_SET_ASIDE`. With `error`, that is raised where it stands."""
        sent: Any = None
        try:
            while True:
                waiting = self._work.send(sent) if error is None else self._work.throw(error)
                if waiting is _SET_ASIDE:
                    return _SET_ASIDE
                sent, error = None, None
                try:
                    sent = yield waiting
                except BaseException as raised:
                    error = raised
        except StopIteration as given:
            return given.value


class _Items(AsyncIterator[Any]):
    """Upstream's items, one by one; control signals are put aside for the stage to pass on."""

    def __init__(self, puller: Puller[Any], context: Context) -> None:
        self._puller = puller
        self._context = context
        self._items: deque[Any] = deque()
        self._ended = False
        self._waiting = False
        self.controls: deque[Control] = deque()
        self.driver: asyncio.Task[Any] | None = None
        """The task in which this can be set aside, for control signals to be passed on."""
        self.again: Callable[[], AsyncIterator[Any]] | None = None
        """Where it may be iterated again after its end: what makes the iterator for that."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self if self.again is None or not self._ended else self.again()

    async def __anext__(self) -> Any:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            if self._waiting:
                raise RuntimeError(
                    f"{self._context.where()}: the items were asked for the next one while they "
                    "were waiting for it; to use them twice, use the stream twice"
                )
            self._waiting = True
            try:
                signal = await self._read()
            except Exception:
                self._ended = True
                raise
            finally:
                self._waiting = False
            if signal is None:
                self._ended = True
            elif type(signal) is Chunk:
                self._context.meter.items_in += len(signal.items)
                self._items.extend(signal.items)
            else:
                self.controls.append(signal)
                if self.driver is not None and self.driver is asyncio.current_task():
                    await self._let_pass()
        return self._items.popleft()

    async def _let_pass(self) -> None:
        self._waiting = True
        try:
            await _set_aside()
        finally:
            self._waiting = False

    async def _read(self) -> Signal[Any] | None:
        return await self._puller.read()


class _Stopping(Exception):
    """The run was asked to take no more, and upstream to begin again."""


class _FurtherRun(_Items):
    """The items of upstream run anew, whose control signals nobody waits for."""

    def __init__(self, stage: _ThroughStage, puller: Puller[Any], context: Context) -> None:
        super().__init__(puller, context)
        self._stage = stage
        self._opened = False

    async def _read(self) -> Signal[Any] | None:
        if not self._opened:
            if self._context.stopping():
                raise _Stopping
            self._opened = True
            await self._puller.open()
        self.controls.clear()
        return await self._puller.read()

    async def aclose(self) -> None:
        """Close that run."""
        self._ended = True
        self._items.clear()
        await self._puller.close()
        self._stage.further.discard(self._puller)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class _ThroughStage(Stage[Any]):
    def __init__(self, operator: Through, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._output: AsyncIteration | None = None
        self._next: Callable[[], Awaitable[Any]] | None = None
        self._under_way: _Driven | None = None
        self._held: Signal[Any] | None = None
        self._ended = False
        self.further: set[Puller[Any]] = set()

    async def open(self) -> None:
        # Asked for once and not with every item, since it takes longer than the rest of `read`.
        self._task = _current_task()
        await self.inputs[0].open()
        self._items = _Items(self.inputs[0], self._context)
        try:
            made = self._operator.transform(self._items)
            self._output = AsyncIteration(made, fresh=True)
        except Exception as error:
            annotate(error, self._context)
            raise
        if self._output.iterator is not made:
            # A stream, as aiostream's operators make, and not an iterator: they may iterate
            # their source again, where a generator that does so wants what is left.
            self._items.again = self._run_again

    def _run_again(self) -> AsyncIterator[Any]:
        puller = self._context.nested(self._operator.upstream)
        self.further.add(puller)
        return _FurtherRun(self, puller, self._context)

    async def read(self) -> Signal[Any] | None:
        controls = self._items.controls
        if self._held is not None and not controls:
            held, self._held = self._held, None
            return held
        if controls:
            return controls.popleft()
        if self._ended:
            return None
        if self._task.done():
            self._task = _current_task()
        task = self._task
        cancellations = task.cancelling()
        try:
            if self._next is None:
                assert self._output is not None
                self._next = await self._output.begin()
            item = await self._following(task)
            if item is _SET_ASIDE:
                return controls.popleft()
            chunk: Signal[Any] | None = Chunk([item])
        except (StopAsyncIteration, _Stopping):
            self._ended, chunk = True, None
        except Exception as error:
            annotate(error, self._context)
            raise
        if task.cancelling() > cancellations and task is _current_task():
            # The generator swallowed a cancellation, as asyncio.wait_for does before 3.12 when
            # what it waits for comes at that moment; it still counts.
            raise asyncio.CancelledError
        if controls:
            self._held = chunk
            return controls.popleft()
        return chunk

    async def _following(self, task: asyncio.Task[Any]) -> Any:
        assert self._next is not None
        self._items.driver = task
        if self._under_way is None:
            self._under_way = _Driven(self._next())
        driven, self._under_way = self._under_way, None
        item = await driven.go_on()
        if item is _SET_ASIDE:
            self._under_way = driven
        return item

    async def close(self) -> None:
        try:
            await self._leave()
        finally:
            await self._close()

    async def _leave(self) -> None:
        """Cancel the transform where it was set aside: it cannot be closed within that."""
        driven, self._under_way = self._under_way, None
        if driven is not None:
            self._items.driver = None
            try:
                await driven.go_on(asyncio.CancelledError())
            except (asyncio.CancelledError, StopAsyncIteration):
                pass

    async def _close(self) -> None:
        output = [] if self._output is None else [self._output]
        await close_all([*output, *self.further])


@dataclass(frozen=True)
class _Bound:
    """A transform with its further arguments, in a form that pickles."""

    transform: Callable[..., AsyncIterable[Any]]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, items: AsyncIterator[Any]) -> AsyncIterable[Any]:
        return self.transform(items, *self.args, **self.kwargs)


class Extending(Blueprint[T_co]):
    """pipe, through: the user's own operators."""

    __slots__ = ()

    def pipe(
        self,
        fn: Callable[Concatenate[Stream[T_co], P], X],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> X:
        """Call `fn(stream, ...)` and give its result: put a function of streams in a chain.

        ```text
        --1--2--3--|
        pipe(lambda numbers: numbers.map(lambda x: x * x))
        --1--4--9--|
        ```

        Describes only; nothing runs. Emits, backpressures, completes and loses as the stream that
        `fn` gives.

        ```python
        def squares(numbers: rx.Stream[int]) -> rx.Stream[int]:
            return numbers.map(lambda x: x * x)

        rx.range(3).pipe(squares)
        ```
        """
        check_callable("pipe", fn)
        return fn(self, *args, **kwargs)  # type: ignore[arg-type]

    def through(
        self,
        transform: Callable[Concatenate[AsyncIterator[T_co], P], AsyncIterable[U]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Stream[U]:
        """Send the items through an async generator of one's own.

        ```text
        --1--2--3--|
        through(every_other)
        --1-----3--|
        ```

        Emits what the generator yields, one item at a time. Backpressures by not asking it for
        more; the generator is iterated and closed in one task. Completes when it returns, and
        closes upstream. Event times are not carried over; control signals pass after the item
        given last. Raises what it raises, with a note naming the operator.

        `transform` may be any function from an async iterator, and further arguments, to an async
        iterable. So operators of aiostream (extra `aiostream`) go into the middle of a pipeline as
        they are: `through(aiostream.stream.chunks, 3)`, `through(aiostream.pipe.chunks(3))` or
        `through(lambda items: aiostream.stream.chunks(items, 3) | aiostream.pipe.take(2))`. What
        they give is entered and closed as a context; an operator that iterates its source
        again, as `cycle` does, runs upstream again. Streams among the further arguments run by
        themselves: `run.stop()` does not drain them.

        ```python
        async def every_other(items):
            async for item in items:
                yield item
                await anext(items, None)

        rx.range(5).through(every_other)
        ```
        """
        check_callable("through", transform)
        if is_async(transform):
            raise TypeError(
                f"through needs an async generator function, `async def` with `yield`, and "
                f"{transform!r} is a coroutine function"
            )
        bound = transform if not args and not kwargs else _Bound(transform, args, kwargs)
        return self._then(Through(bound, self._node))
