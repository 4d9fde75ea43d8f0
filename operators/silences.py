"""The work of timeout and heartbeat: what to do when nothing comes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import refuse_awaitable
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Node, as_stream
from reactive.inlets import Rising
from reactive.log import log_event
from reactive.operator import Puller, Stage, Staged
from reactive.signals import IDLE, Chunk, Idle, Signal, Watermark
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Timeout(Staged):
    """`timeout`."""

    concurrent: ClassVar[bool] = False
    resumes: ClassVar[bool] = True

    first: float | None
    each: float | None
    total: float | None
    fallback: Node | Callable[[TimeoutError], Any] | None
    fallback_bounded: bool = True

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return all(inputs) and self.fallback_bounded

    def nested(self) -> Sequence[Node]:
        return (self.fallback,) if isinstance(self.fallback, Node) else ()

    def details(self) -> dict[str, object]:
        limits = {"first": self.first, "each": self.each, "total": self.total}
        return {name: f"{limit:g} s" for name, limit in limits.items() if limit is not None}

    def stage(self, context: Context) -> Stage[Any]:
        return _TimeoutStage(self, context)


class _TimeoutStage(Stage[Any]):
    """Pulls upstream in its own task, under a timer that runs only meanwhile: what downstream
    takes is not upstream's, and upstream is closed before a fallback is opened."""

    def __init__(self, operator: Timeout, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._clock = asyncio.get_running_loop().time
        self._total = math.inf if operator.total is None else operator.total
        self._came = False
        self._begin_wait()
        self._opened = False
        self._said: str | None = None
        self._fallback: Puller[Any] | None = None
        self._rising = Rising()

    def _begin_wait(self) -> None:
        """Set what the next item may take."""
        first, each = self._operator.first, self._operator.each
        self._limit = "each" if self._came or first is None else "first"
        limit = each if self._limit == "each" else first
        self._left = math.inf if limit is None else limit

    async def read(self) -> Signal[Any] | None:
        while not self._rising.passes(signal := await self._read()):
            pass
        return signal

    async def _read(self) -> Signal[Any] | None:
        if self._said is not None:
            return await self._read_fallback(self._said)
        begun = self._clock()
        left = min(self._left, self._total)
        timer = asyncio.timeout_at(begun + left if left < math.inf else None)
        try:
            async with timer:
                signal = await self._pull()
        except TimeoutError as error:
            if not timer.expired():
                raise
            return await self._give_up(error)
        waited = self._clock() - begun
        self._total -= waited
        self._left -= waited
        if type(signal) is Chunk:
            self._context.meter.items_in += len(signal.items)
            self._came = True
            self._begin_wait()
        return signal

    async def _pull(self) -> Signal[Any] | None:
        if not self._opened:
            self._opened = True
            await self.inputs[0].open()
        return await self.inputs[0].read()

    async def _give_up(self, cause: TimeoutError) -> Signal[Any] | None:
        operator, where = self._operator, self._context.where()
        if self._total < self._left:
            said = f"{where}: not complete after {operator.total:g} s of waiting (total)"
        elif self._limit == "first":
            said = f"{where}: no item in the first {operator.first:g} s (first)"
        else:
            said = f"{where}: no item for {operator.each:g} s (each)"
        self._context.meter.count("timeouts")
        if operator.fallback is None:
            raise TimeoutError(said) from cause
        await uninterrupted(self.inputs[0].close())
        self._said = said
        log_event("warning", "timed_out", operator=self._context.name, error=said)
        return await self._read_fallback(said)

    async def _read_fallback(self, said: str) -> Signal[Any] | None:
        if self._fallback is None:
            fallback = self._operator.fallback
            if not isinstance(fallback, Node):
                assert fallback is not None
                try:
                    made = fallback(TimeoutError(said))
                    refuse_awaitable(made)
                    fallback = as_stream(made).node
                except Exception as error:
                    annotate(error, self._context)
                    raise
            self._fallback = self._context.nested(fallback)
            await self._fallback.open()
        return await self._fallback.read()

    async def close(self) -> None:
        if self._fallback is not None:
            await self._fallback.close()

    def snapshot(self) -> Any:
        return self._came, self._said, self._rising.snapshot()

    def restore(self, state: Any) -> None:
        self._came, self._said, said = state
        self._rising.restore(said)
        self._begin_wait()


@dataclass(frozen=True)
class Heartbeat(Staged):
    """`heartbeat`."""

    every: float
    item: Any

    def details(self) -> dict[str, object]:
        return {"every": f"{self.every:g} s"}

    def stage(self, context: Context) -> Stage[Any]:
        return _HeartbeatStage(self, context)


class _HeartbeatStage(Stage[Any]):
    """A heartbeat has the latest time that was seen, so that it is never late."""

    def __init__(self, operator: Heartbeat, context: Context) -> None:
        self._every = operator.every
        self._item = operator.item
        self._context = context
        self._clock = asyncio.get_running_loop().time
        self._latest: int | None = None
        self._idle = False
        self._still_idle = False

    async def open(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        self._edge = edge
        self._deadline = self._clock() + self._every

    async def read(self) -> Signal[Any] | None:
        if self._still_idle:
            self._still_idle = False
            return IDLE
        signal = await self._edge.read(self._deadline)
        if signal is None:
            return None if self._edge.ended else self._beat()
        if isinstance(signal, Chunk):
            self._context.meter.items_in += len(signal.items)
            self._deadline = self._clock() + self._every
            self._idle = False
            if signal.times is not None:
                self._see(max(signal.times))
        elif isinstance(signal, Watermark):
            self._idle = False
            self._see(signal.time)
        elif isinstance(signal, Idle):
            self._idle = True
        return signal

    def _see(self, time: int) -> None:
        self._latest = time if self._latest is None else max(time, self._latest)

    def _beat(self) -> Signal[Any]:
        self._deadline = max(self._clock(), self._deadline) + self._every
        # An item ends an idleness, which this one is no sign of.
        self._still_idle = self._idle
        item = self._item
        if callable(item):
            try:
                item = item()
                refuse_awaitable(item)
            except Exception as error:
                annotate(error, self._context)
                raise
        return Chunk([item], None if self._latest is None else [self._latest])

    def snapshot(self) -> Any:
        return self._latest, self._idle

    def restore(self, state: Any) -> None:
        self._latest, self._idle = state
