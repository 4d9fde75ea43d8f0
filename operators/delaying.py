"""The work of delay, delay_each and rate_limit: every item, later."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import refuse_awaitable
from operators.quieting import seconds_for
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged
from reactive.signals import Barrier, Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

_MADE_UP_SECONDS = 0.05
"""How much a late timer may have lost of a rate for it to be made up."""


def check_amount(operator: str, what: str, amount: float, *, zero: bool = False) -> None:
    """Refuse a number that makes no sense."""
    if not isinstance(amount, (int, float)) or isinstance(amount, bool):
        raise TypeError(f"{operator} needs a number as `{what}`, not {amount!r}")
    if not (math.isfinite(amount) and (amount > 0 or (zero and amount == 0))):
        least = "of 0 or more" if zero else "above 0"
        raise ValueError(f"{operator} needs a `{what}` {least}, not {amount}")


@dataclass(frozen=True)
class Delay(Staged):
    """`delay`."""

    seconds: float
    limit: int

    def details(self) -> dict[str, object]:
        return {"seconds": f"{self.seconds:g}", "limit": f"{self.limit:,} items"}

    def stage(self, context: Context) -> Stage[Any]:
        return _DelayStage(self, context)


class _DelayStage(Stage[Any]):
    """What is on its way waits in a line, control signals among the items. A barrier does not
    wait, since the line is in the snapshot."""

    def __init__(self, operator: Delay, context: Context) -> None:
        self._seconds = operator.seconds
        self._limit = operator.limit
        self._context = context
        self._clock = asyncio.get_running_loop().time
        self._line: deque[tuple[float, Signal[Any]]] = deque()
        self._count = 0
        self._rest: Chunk[Any] | None = None
        self._ended = False
        self._failure: Exception | None = None

    @property
    def _edge(self) -> Edge:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        return edge

    async def open(self) -> None:
        self._context.meter.gauges["waiting"] = lambda: self._count

    async def read(self) -> Signal[Any] | None:
        line = self._line
        while True:
            now = self._clock()
            if self._rest is not None and self._count < self._limit:
                self._admit(self._rest, now)
            if line and line[0][0] <= now:
                return self._pop()
            if self._failure is not None:
                raise self._failure
            due = line[0][0] if line else None
            if self._ended and due is None:
                return None
            if self._ended or self._count >= self._limit:
                await Waker().wait(due)
                return self._pop()
            try:
                signal = await self._edge.read(due)
            except Exception as error:
                # What is due at this very moment leaves first.
                self._failure = error
                continue
            if signal is None:
                if not self._edge.ended:
                    return self._pop()
                self._ended = True
            elif type(signal) is Chunk:
                self._context.meter.items_in += len(signal.items)
                self._admit(signal, self._clock())
            elif isinstance(signal, Barrier):
                return signal
            else:
                line.append((self._clock() + self._seconds, signal))

    def _admit(self, chunk: Chunk[Any], now: float) -> None:
        """Put as much in line as there is room for; the rest waits for room."""
        room = self._limit - self._count
        self._rest = None
        if len(chunk.items) > room:
            chunk, self._rest = chunk.split(room)
        self._count += len(chunk.items)
        self._line.append((now + self._seconds, chunk))

    def _pop(self) -> Signal[Any]:
        _, signal = self._line.popleft()
        if type(signal) is Chunk:
            self._count -= len(signal.items)
        return signal

    def snapshot(self) -> Any:
        now = self._clock()
        return [(due - now, signal) for due, signal in self._line]

    def restore(self, state: Any) -> None:
        now = self._clock()
        self._line.extend((now + left, signal) for left, signal in state)
        self._count = sum(len(one.items) for _, one in self._line if isinstance(one, Chunk))


@dataclass(frozen=True)
class DelayEach(Staged):
    """`delay_each`."""

    concurrent: ClassVar[bool] = False
    simple: ClassVar[bool] = True

    seconds: float | Callable[[Any], float]

    def details(self) -> dict[str, object]:
        return {"seconds": "by item" if callable(self.seconds) else f"{self.seconds:g}"}

    def stage(self, context: Context) -> Stage[Any]:
        return _DelayEachStage(self.seconds, context)


class _PacedStage(Stage[Any]):
    """Takes items from what its input gave, and asks for more when there are none left. A barrier
    finds nothing held: it comes behind the items."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clock = asyncio.get_running_loop().time
        self._chunk: Chunk[Any] = Chunk([])
        self._next = 0

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        if self._context.overdue():
            await let_others_run()
        while self._next == len(self._chunk.items):
            signal = await self.inputs[0].read()
            if type(signal) is not Chunk:
                return signal
            self._context.meter.items_in += len(signal.items)
            self._chunk, self._next = signal, 0
        return await self._give()

    async def _give(self) -> Chunk[Any]:
        """The next items, when it is time for them."""
        raise NotImplementedError

    def _take(self, end: int) -> Chunk[Any]:
        """The items up to a place."""
        start, self._next = self._next, end
        times = self._chunk.times
        return Chunk(self._chunk.items[start:end], None if times is None else times[start:end])


class _DelayEachStage(_PacedStage):
    def __init__(self, seconds: float | Callable[[Any], float], context: Context) -> None:
        super().__init__(context)
        self._seconds = seconds

    async def _give(self) -> Chunk[Any]:
        seconds = self._seconds
        if callable(seconds):
            item = self._chunk.items[self._next]
            seconds = seconds_for("delay_each", seconds, item, self._context)
        if seconds:
            await asyncio.sleep(seconds)
        return self._take(self._next + 1)


@dataclass(frozen=True)
class RateLimit(Staged):
    """`rate_limit`."""

    concurrent: ClassVar[bool] = False

    rate: float
    burst: float
    weight: Callable[[Any], float] | None

    def details(self) -> dict[str, object]:
        weighed = {} if self.weight is None else {"weight": "by item"}
        return {"rate": f"{self.rate:g} a second", "burst": f"{self.burst:g}", **weighed}

    def stage(self, context: Context) -> Stage[Any]:
        return _RateLimitStage(self, context)


class _RateLimitStage(_PacedStage):
    """A bucket of `burst` tokens that gains `rate` a second and was full at `_since`; `_spent` is
    what was taken after that. Times are computed from these two alone, so that rounding does not
    add up."""

    def __init__(self, operator: RateLimit, context: Context) -> None:
        super().__init__(context)
        self._rate = operator.rate
        self._burst = operator.burst
        self._weight = operator.weight
        self._since = self._clock()
        self._spent: float = 0
        self._lag = 0.0
        self._ahead: float | None = None
        self._failure: Exception | None = None

    async def _give(self) -> Chunk[Any]:
        if self._failure is not None:
            raise self._failure
        weight = self._weigh(self._next)
        now, due = self._clock(), self._due(weight)
        if due > now:
            await Waker().wait(due)
            now = max(due, self._clock())
            # What a late timer lost counts as not lost, else every wait would slow the rate.
            self._lag = min(now - due, _MADE_UP_SECONDS)
        when = max(due, now - self._lag)
        if when > self._since + self._spent / self._rate:
            self._since, self._spent = when, 0
        spend = self._spend_one_each if self._weight is None else self._spend
        return self._take(spend(weight, now))

    def _due(self, weight: float) -> float:
        """When the bucket has enough; full is enough for any weight, which may leave a debt."""
        needed = min(weight, self._burst)
        return self._since + (self._spent - self._burst + needed) / self._rate

    def _spend(self, weight: float, now: float) -> int:
        """How far the tokens go. The first item has what it needs."""
        end, count = self._next, len(self._chunk.items)
        while True:
            self._spent += weight
            end += 1
            if end == count or self._context.overdue():
                return end
            try:
                weight = self._weigh(end)
            except Exception as error:
                # The items before it leave first.
                self._failure = error
                return end
            if self._due(weight) > now:
                self._ahead = weight
                return end

    def _spend_one_each(self, weight: float, now: float) -> int:
        """The same where every item takes one token."""
        since, rate = self._since, self._rate
        lacks = self._spent - self._burst + min(weight, self._burst)
        others = range(1, len(self._chunk.items) - self._next)
        count = 1 + bisect_right(others, now, key=lambda taken: since + (lacks + taken) / rate)
        self._spent += count
        return self._next + count

    def _weigh(self, index: int) -> float:
        """The weight of an item, asked for once."""
        if self._weight is None:
            return 1
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        try:
            weight = self._weight(self._chunk.items[index])
            if type(weight) not in (int, float) or not 0 <= weight < math.inf:
                refuse_awaitable(weight)
                check_amount("rate_limit", "weight", weight, zero=True)
        except Exception as error:
            annotate(error, self._context)
            raise
        return weight

    def snapshot(self) -> Any:
        return max(0.0, self._spent - (self._clock() - self._since) * self._rate)

    def restore(self, state: Any) -> None:
        self._spent = state
