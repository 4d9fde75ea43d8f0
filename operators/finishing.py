"""on_complete, on_error, finally_: calls at the end of a stream that do not change it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from operators.conditions import ErrorTypes
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged
from reactive.signals import Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class OnComplete(Staged):
    """`on_complete`."""

    concurrent: ClassVar[bool] = False
    simple: ClassVar[bool] = True

    fn: Callable[[], object]

    def stage(self, context: Context) -> Stage[Any]:
        return _OnCompleteStage(self.fn, context)


@dataclass(frozen=True)
class OnError(Staged):
    """`on_error`."""

    concurrent: ClassVar[bool] = False
    simple: ClassVar[bool] = True

    fn: Callable[[Any], object]
    on: ErrorTypes

    def stage(self, context: Context) -> Stage[Any]:
        return _OnErrorStage(self, context)


@dataclass(frozen=True)
class Finally(Staged):
    """`finally_`."""

    concurrent: ClassVar[bool] = False
    simple: ClassVar[bool] = True

    fn: Callable[[], object]

    def stage(self, context: Context) -> Stage[Any]:
        return _FinallyStage(self.fn, context)


async def _call(context: Context, fn: Callable[..., object], *args: object) -> None:
    """Call the user's function, awaiting what has to be."""
    try:
        result = fn(*args)
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        annotate(error, context)
        raise


async def _also(error: BaseException, work: Awaitable[None], what: str) -> None:
    """Do something because of an error, which the caller raises next; a failure joins it."""
    try:
        await work
    except Exception as second:
        if second is error:
            return
        if isinstance(error, Exception):
            raise ExceptionGroup(f"failed, and {what} failed too", [error, second]) from None
        error.add_note(f"{what} failed too: {second!r}")


class _OnCompleteStage(Stage[Any]):
    def __init__(self, fn: Callable[[], object], context: Context) -> None:
        self._fn = fn
        self._context = context

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        signal = await self.inputs[0].read()
        if signal is None:
            await _call(self._context, self._fn)
        return signal


class _OnErrorStage(Stage[Any]):
    def __init__(self, operator: OnError, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._opened = False

    async def read(self) -> Signal[Any] | None:
        source = self.inputs[0]
        try:
            if not self._opened:
                self._opened = True
                await source.open()
            return await source.read()
        except Exception as error:
            if isinstance(error, self._operator.on):
                await _also(error, _call(self._context, self._operator.fn, error), "on_error")
            raise


class _FinallyStage(Stage[Any]):
    def __init__(self, fn: Callable[[], object], context: Context) -> None:
        self._fn = fn
        self._context = context
        self._due = False

    async def open(self) -> None:
        self._due = True
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        try:
            signal = await self.inputs[0].read()
        except Exception as error:
            await _also(error, uninterrupted(self.close()), "cleanup")
            raise
        if signal is None:
            await uninterrupted(self.close())
        return signal

    async def close(self) -> None:
        """Call it after the input was closed, so that nothing uses what it releases."""
        if not self._due:
            return
        self._due = False
        call = _call(self._context, self._fn)
        try:
            await self.inputs[0].close()
        except BaseException as error:
            await _also(error, call, "finally_")
            raise
        await call
