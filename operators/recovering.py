"""recover, recover_with: another stream in place of one that failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from operators.conditions import Condition
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node, as_stream
from reactive.inlets import Rising
from reactive.log import log_event
from reactive.operator import Puller, Stage, Staged
from reactive.signals import Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Recover(Staged):
    """`recover`."""

    concurrent: ClassVar[bool] = False

    fallback: Node
    condition: Condition
    fallback_bounded: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return all(inputs) and self.fallback_bounded

    def nested(self) -> Sequence[Node]:
        return (self.fallback,)

    def stage(self, context: Context) -> Stage[Any]:
        return _RecoverStage(self.condition, context, self.fallback)


@dataclass(frozen=True)
class RecoverWith(Staged):
    """`recover_with`."""

    concurrent: ClassVar[bool] = False
    resumes: ClassVar[bool] = True

    fn: Callable[[Any], Any]
    condition: Condition

    def stage(self, context: Context) -> Stage[Any]:
        return _RecoverStage(self.condition, context, self.fn)


class _RecoverStage(Stage[Any]):
    def __init__(
        self, condition: Condition, context: Context, fallback: Node | Callable[[Any], Any]
    ) -> None:
        self._condition = condition
        self._context = context
        self._fallback = fallback
        self._started = self._failed = False
        self._error: Exception | None = None
        self._other: Puller[Any] | None = None
        self._rising = Rising()

    async def read(self) -> Signal[Any] | None:
        while not self._rising.passes(signal := await self._read()):
            pass
        return signal

    async def _read(self) -> Signal[Any] | None:
        if not self._failed:
            source = self.inputs[0]
            try:
                if not self._started:
                    self._started = True
                    await source.open()
                return await source.read()
            except Exception as error:
                if not self._condition.met_in(self._context, error):
                    raise
                await self._leave(source, error)
        if self._other is None:
            self._other = self._context.nested(await self._next_stream())
            await self._other.open()
        return await self._other.read()

    async def _leave(self, source: Puller[Any], error: Exception) -> None:
        try:
            await uninterrupted(source.close())
        except Exception as second:
            if second is not error:
                raise ExceptionGroup("failed, and cleanup failed too", [error, second]) from None
        self._failed, self._error = True, error
        self._context.meter.count("recoveries")
        log_event("warning", "recovering", operator=self._context.name, error=repr(error))

    async def _next_stream(self) -> Node:
        fallback = self._fallback
        if isinstance(fallback, Node):
            return fallback
        try:
            made = fallback(self._error)
            # A terminal, such as `count`, is a stream that could be awaited as well.
            if isinstance(made, Awaitable) and not isinstance(made, Blueprint):
                made = await made
            return as_stream(made).node
        except Exception as failure:
            annotate(failure, self._context)
            raise

    async def close(self) -> None:
        if self._other is not None:
            await self._other.close()

    def snapshot(self) -> Any:
        # Errors need not pickle; one that no function is called with is not kept.
        error = None if isinstance(self._fallback, Node) else self._error
        return self._failed, error, self._rising.snapshot()

    def restore(self, state: Any) -> None:
        self._failed, self._error, said = state
        self._rising.restore(said)
