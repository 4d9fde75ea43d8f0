"""through: a user's own async generator in the middle of a pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

from operators.mapping import check_callable, is_async
from operators.reading import AsyncIteration
from reactive.fuse import annotate
from reactive.graph import Blueprint
from reactive.operator import Puller, Stage, Staged
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

    transform: Callable[[AsyncIterator[Any]], AsyncIterator[Any]]

    def stage(self, context: Context) -> Stage[Any]:
        return _ThroughStage(self.transform, context)


class _Items(AsyncIterator[Any]):
    """Upstream's items, one by one; control signals are put aside for the stage to pass on."""

    def __init__(self, puller: Puller[Any], context: Context) -> None:
        self._puller = puller
        self._context = context
        self._items: deque[Any] = deque()
        self._ended = False
        self.controls: deque[Control] = deque()

    async def __anext__(self) -> Any:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            try:
                signal = await self._puller.read()
            except Exception:
                self._ended = True
                raise
            if signal is None:
                self._ended = True
            elif type(signal) is Chunk:
                self._context.meter.items_in += len(signal.items)
                self._items.extend(signal.items)
            else:
                self.controls.append(signal)
        return self._items.popleft()


class _ThroughStage(Stage[Any]):
    def __init__(
        self, transform: Callable[[AsyncIterator[Any]], AsyncIterator[Any]], context: Context
    ) -> None:
        self._transform = transform
        self._context = context
        self._output: AsyncIteration | None = None
        self._held: Signal[Any] | None = None
        self._ended = False

    async def open(self) -> None:
        await self.inputs[0].open()
        self._items = _Items(self.inputs[0], self._context)
        try:
            self._output = AsyncIteration(self._transform(self._items))
        except Exception as error:
            annotate(error, self._context)
            raise

    async def read(self) -> Signal[Any] | None:
        controls = self._items.controls
        if self._held is not None and not controls:
            held, self._held = self._held, None
            return held
        if controls:
            return controls.popleft()
        if self._ended:
            return None
        assert self._output is not None
        try:
            chunk: Signal[Any] | None = Chunk([await self._output.next()])
        except StopAsyncIteration:
            self._ended, chunk = True, None
        except Exception as error:
            annotate(error, self._context)
            raise
        if controls:
            self._held = chunk
            return controls.popleft()
        return chunk

    async def close(self) -> None:
        if self._output is not None:
            await self._output.close()


@dataclass(frozen=True)
class _Bound:
    """A transform with its further arguments, in a form that pickles."""

    transform: Callable[..., AsyncIterator[Any]]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
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

        Describes only; nothing runs.

        ```python
        def squares(numbers: rx.Stream[int]) -> rx.Stream[int]:
            return numbers.map(lambda x: x * x)

        rx.range(3).pipe(squares)
        ```
        """
        return fn(self, *args, **kwargs)  # type: ignore[arg-type]

    def through(
        self,
        transform: Callable[Concatenate[AsyncIterator[T_co], P], AsyncIterator[U]],
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
        return self._then(Through(bound))
