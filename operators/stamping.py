"""The work of with_timestamp and with_interval: items with when they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import repeat
from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import bind_plain
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.operator import Inline, Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class WithTimestamp(Inline):
    """`with_timestamp`."""

    clock: Callable[[], Any] | None

    def emit(self, code: Code) -> None:
        if self.clock is not None:
            code.let(f"({bind_plain(code, 'clock', self.clock)}(), {code.item})")
            return
        # A datetime takes far longer to make than the clock to read, and is to the microsecond.
        begin, end, stamp = (code.state(name, "0") for name in ("begin", "end", "stamp"))
        now = code.keep(f"{code.bind('clock', time_ns)}()")
        code.block(
            f"if not {begin} <= {now} < {end}:",
            f"{begin} = {now} - {now} % 1000",
            f"{end} = {begin} + 1000",
            f"{stamp} = {code.bind('now', datetime.now)}({code.bind('utc', UTC)})",
        )
        code.let(f"({stamp}, {code.item})")


@dataclass(frozen=True)
class WithInterval(Staged):
    """`with_interval`: a stage, because it is told when it is opened."""

    concurrent: ClassVar[bool] = False

    def stage(self, context: Context) -> Stage[Any]:
        return _WithIntervalStage(context)


class _WithIntervalStage(Stage[Any]):
    def __init__(self, context: Context) -> None:
        self._context = context
        self._clock = asyncio.get_running_loop().time

    async def open(self) -> None:
        self._before = self._clock()
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        signal = await self.inputs[0].read()
        if type(signal) is not Chunk:
            return signal
        self._context.meter.items_in += len(signal.items)
        now = self._clock()
        pairs = list(zip(repeat(0.0), signal.items))
        pairs[0] = now - self._before, signal.items[0]
        self._before = now
        return Chunk(pairs, signal.times)
