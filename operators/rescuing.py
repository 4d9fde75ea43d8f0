"""rescuing: what to do when a stream fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from operators.mapping import check_plain
from reactive.backoff import Backoff
from reactive.graph import Blueprint, Node, as_stream, boundedness, stream_of, walk
from reactive.inlets import Rising
from reactive.log import log_event
from reactive.operator import Puller, Stage, Staged
from reactive.signals import Chunk, Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

ErrorTypes = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True)
class Retry(Staged):
    """`retry`."""

    concurrent: ClassVar[bool] = False

    template: Node
    backoff: Backoff
    on: ErrorTypes
    upstream_bounded: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return self.upstream_bounded

    def nested(self) -> Sequence[Node]:
        return (self.template,)

    def details(self) -> dict[str, object]:
        attempts = self.backoff.attempts
        return {"again": "for ever" if attempts is None else f"up to {attempts} times"}

    def stage(self, context: Context) -> Stage[Any]:
        return _RetryStage(self, context)


class _RetryStage(Stage[Any]):
    def __init__(self, operator: Retry, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._attempt: Puller[Any] | None = None
        self._delays: Iterator[float] | None = None
        self._rising = Rising()

    async def read(self) -> Signal[Any] | None:
        while True:
            try:
                if self._attempt is None:
                    self._attempt = self._context.nested(self._operator.template)
                    await self._attempt.open()
                signal = await self._attempt.read()
            except self._operator.on as error:
                await self._wait_after(error)
                if self._context.stopping():
                    return None
                continue
            if type(signal) is Chunk:
                self._delays = None
            if self._rising.passes(signal):
                return signal

    async def _wait_after(self, error: Exception) -> None:
        if self._delays is None:
            self._delays = self._operator.backoff.delays()
        delay = next(self._delays, None)
        if delay is None:
            raise error
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await uninterrupted(attempt.close())
        self._context.meter.count("retries")
        log_event(
            "warning", "retrying", operator=self._context.name, error=repr(error), seconds=delay
        )
        await asyncio.sleep(delay)

    async def close(self) -> None:
        if self._attempt is not None:
            await self._attempt.close()


@dataclass(frozen=True)
class Recover(Staged):
    """`recover`."""

    concurrent: ClassVar[bool] = False

    fallback: Node | Callable[[Exception], Any]
    on: ErrorTypes
    fallback_bounded: bool = True

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return all(inputs) and self.fallback_bounded

    def nested(self) -> Sequence[Node]:
        return (self.fallback,) if isinstance(self.fallback, Node) else ()

    def stage(self, context: Context) -> Stage[Any]:
        return _RecoverStage(self, context)


class _RecoverStage(Stage[Any]):
    def __init__(self, operator: Recover, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._started = False
        self._fallback: Puller[Any] | None = None
        self._rising = Rising()

    async def read(self) -> Signal[Any] | None:
        while not self._rising.passes(signal := await self._read()):
            pass
        return signal

    async def _read(self) -> Signal[Any] | None:
        if self._fallback is not None:
            return await self._fallback.read()
        source = self.inputs[0]
        try:
            if not self._started:
                self._started = True
                await source.open()
            return await source.read()
        except self._operator.on as error:
            await uninterrupted(source.close())
            fallback = self._operator.fallback
            if not isinstance(fallback, Node):
                fallback = as_stream(fallback(error)).node
            self._context.meter.count("recoveries")
            log_event("warning", "recovering", operator=self._context.name, error=repr(error))
            self._fallback = self._context.nested(fallback)
        await self._fallback.open()
        return await self._fallback.read()

    async def close(self) -> None:
        if self._fallback is not None:
            await self._fallback.close()


def _check_types(operator: str, on: object) -> None:
    """Refuse what `except` could not name, or what would catch a cancellation."""
    for kind in on if isinstance(on, tuple) else (on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"{operator}: `on` needs exception types such as OSError, not {on!r}")


class Rescuing(Blueprint[T_co]):
    """retry, recover. For single items, see `on_error` of each operator."""

    __slots__ = ()

    def retry(
        self, backoff: Backoff | int | None = None, *, on: ErrorTypes = Exception
    ) -> Stream[T_co]:
        """Run everything upstream again when it fails, after a pause.

        ```text
        --1--2--#
        --1--2--3--|
        retry(rx.Backoff(initial=1, jitter=0))
        --1--2-----1--2--3--|
        ```

        Emits what upstream gives, each attempt from its beginning: items given before a failure
        come again. Pauses as the `Backoff` says (a number is its `attempts`), in seconds of the
        loop's clock; an item resets it. Completes with upstream. Each attempt is a run of its
        own, fully closed before the next. Raises the last error when attempts are used up, and
        at once what is not an instance of `on`.

        ```python
        rx.from_async_iterable(feed).retry(rx.Backoff(initial=0.5, attempts=5))
        ```
        """
        if backoff is None:
            backoff = Backoff()
        elif isinstance(backoff, int) and not isinstance(backoff, bool):
            backoff = Backoff(attempts=backoff)
        elif not isinstance(backoff, Backoff):
            raise TypeError(f"retry needs a rx.Backoff or a number of attempts, not {backoff!r}")
        _check_types("retry", on)
        return stream_of(Retry(self._node, backoff, on, is_bounded(self._node)))

    def recover(
        self,
        fallback: Stream[U] | Callable[[Exception], Stream[U]],
        *,
        on: ErrorTypes = Exception,
    ) -> Stream[T_co | U]:
        """Go on with another stream when this one fails.

        ```text
        --1--2--#
        a--b|           fallback
        recover(fallback)
        --1--2--a--b|
        ```

        Emits what upstream gave, then what `fallback` gives; `fallback` may be a function of the
        error. It is opened only then, after upstream was closed. Completes with upstream, or
        with the fallback. Raises the fallback's failure, and at once what is not an instance of
        `on`. Loses nothing that was given before the failure.

        ```python
        rx.of("1", "x").map(int).recover(rx.of(0))
        ```
        """
        _check_types("recover", on)
        if isinstance(fallback, Blueprint):
            return self._then(Recover(fallback.node, on, is_bounded(fallback.node)))
        check_plain("recover", fallback)
        return self._then(Recover(fallback, on))


def is_bounded(root: Node) -> bool:
    """Whether a graph ends by itself."""
    return boundedness(walk([root]))[root]
