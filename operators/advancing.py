"""The work of `event_time`: times set on items, and watermarks at places among them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from heapq import heapify, heappush, heapreplace
from operator import length_hint
from typing import TYPE_CHECKING, Any, ClassVar, Final

from operators.checking import refuse_awaitable
from operators.timestamps import LAST, Reading, Unit, wall_clock
from operators.watermarks import BoundedOutOfOrderness, WatermarkStrategy
from reactive.errors import OverflowFailure
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.operator import Step, Stepwise
from reactive.policy import bind_policy, describe_policy, policy_sides
from reactive.signals import IDLE, Chunk, Signal, Watermark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reactive.context import Context

_NEVER: Final = -(2**63)
_FOREVER: Final = 2**63
_PROMPT_SECONDS = 0.005
_MOMENT_SECONDS = 0.001
_TICKS_AN_IDLE = 60


@dataclass(frozen=True)
class AssignTimes(Stepwise):
    """`event_time`."""

    fn: Callable[[Any], Any]
    unit: Unit | None
    strategy: WatermarkStrategy[Any]
    every: float
    partition: Callable[[Any], Hashable] | None
    partition_limit: int
    future: float | None
    on_error: Any

    @property
    def label(self) -> str:
        return "event_time"

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {"watermark": self.strategy.label}
        if not self.strategy.exact:
            shown["every"] = f"{self.every:g} s"
        if self.partition is not None:
            shown["limit"] = f"{self.partition_limit} partitions"
        if self.future is not None:
            shown["future"] = f"{self.future:g} s"
        return {**shown, **describe_policy(self.on_error)}

    @property
    def trails(self) -> int | None:
        """By how much the watermark trails the latest time, where that is all of the strategy."""
        strategy = self.strategy
        return strategy.microseconds if type(strategy) is BoundedOutOfOrderness else None

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def step(self, context: Context) -> Step[Any, Any]:
        return self._step(None, context)

    def _step(self, idle: float | None, context: Context) -> Step[Any, Any]:
        if self.trails is not None and self.partition is None:
            return _TrailingStep(self, self.trails, idle, context)
        return _PartitionedStep(self, idle, context)


@dataclass(frozen=True)
class TimedAssignTimes(AssignTimes):
    """The same with an eye on the clock, for when nothing comes."""

    timed: ClassVar[bool] = True

    idle: float

    def details(self) -> dict[str, object]:
        return {**super().details(), "idle": f"after {self.idle:g} s"}

    def step(self, context: Context) -> Step[Any, Any]:
        return self._step(None if context.batch else self.idle, context)


class _EventTimeStep(Step[Any, Any]):
    """Sets times, says watermarks, and knows what it is to be idle.

    Time waited for input counts as idle, and not the time that downstream takes: where the timer
    is seen to late, what came meanwhile is taken in first.
    """

    def __init__(self, operator: AssignTimes, idle: float | None, context: Context) -> None:
        self._context = context
        handler = bind_policy(operator.on_error, context)
        self._reading = Reading(operator.fn, operator.unit, operator.future, handler, context)
        self._granule = 1 if operator.strategy.exact else max(1, round(operator.every * 1_000_000))
        self._said = _NEVER
        self._idle = idle
        self._time = asyncio.get_running_loop().time
        self._seen = self._time()
        self._looked: float | None = None
        self._since: float | None = None
        self._base = _NEVER
        if idle is not None:
            self.deadline = self._seen + idle

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        meter = self._context.meter
        meter.items_in += len(chunk.items)
        if self._idle is not None:
            self._seen = self._time()
            if self._since is not None or self.deadline is None:
                self._since = self._looked = None
                self.deadline = self._seen + self._idle
        try:
            items, times, failed = self._reading.read(chunk.items)
            self._place(items, times, out)
            if failed is not None:
                raise failed
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            if self._said != _NEVER and "watermark" not in meter.gauges:
                meter.gauges["watermark"] = lambda: self._said / 1e6
                meter.gauges["lag"] = lambda: wall_clock() - self._said / 1e6
            meter.items_out += sum(len(one.items) for one in out if type(one) is Chunk)

    def _place(self, items: list[Any], times: list[int], out: list[Signal[Any]]) -> None:
        """Give the items, and after each that raises it, the watermark."""
        raise NotImplementedError

    def _say(self, low: int, out: list[Signal[Any]]) -> None:
        if low > self._said:
            self._said = low
            out.append(Watermark(low))

    def _next(self) -> int:
        """The watermark from which on to tell it; in batch none is told before the end."""
        if self._context.batch:
            return _FOREVER
        if self._said == _NEVER:
            return _NEVER + 1
        return (self._said // self._granule + 1) * self._granule

    def _count(self, out_of_order: int, late: int) -> None:
        if out_of_order:
            self._context.meter.count("out_of_order", out_of_order)
        if late:
            self._context.meter.count("late", late)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        """Those of the times that this replaces say nothing any more."""

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        idle, due = self._idle, self.deadline
        assert idle is not None and due is not None
        if self._looked is None and now - due > _PROMPT_SECONDS:
            self._looked = now
            self.deadline = now + _MOMENT_SECONDS
            return
        moment = due if self._looked is None else self._looked
        self._looked = None
        tick = max(idle / _TICKS_AN_IDLE, self._granule / 1e6)
        if self._since is not None:
            if self._base == _NEVER:
                self.deadline = None
                return
            passed = round((moment - self._since) * 1_000_000)
            self._say(min(self._base + passed, LAST), out)
            self._raised()
            out.append(IDLE)
            self.deadline = moment + tick
        elif self._seen + idle <= moment:
            self._since = moment
            self._base = max(self._highest(), self._said)
            self._rest(math.inf, [])
            self._say(self._base, out)
            self._raised()
            out.append(IDLE)
            self.deadline = None if self._base == _NEVER else moment + tick
        else:
            resting = self._rest(moment - idle, out)
            self.deadline = min(self._seen + idle, max(resting + idle, moment + tick))

    def _highest(self) -> int:
        """The watermark where nothing holds another back."""
        raise NotImplementedError

    def _raised(self) -> None:
        """The clock raised the watermark."""

    def _rest(self, before: float, out: list[Signal[Any]]) -> float:
        """Let the partitions rest that had no item after this loop time; gives the time of the
        one that has waited longest of the others."""
        return math.inf

    def snapshot(self) -> Any:
        return self._said, self._held()

    def restore(self, state: Any) -> None:
        self._said, held = state
        self._take_back(held)

    def _held(self) -> Any:
        raise NotImplementedError

    def _take_back(self, held: Any) -> None:
        raise NotImplementedError


class _TrailingStep(_EventTimeStep):
    """One watermark, some time behind the latest item."""

    def __init__(
        self, operator: AssignTimes, lateness: int, idle: float | None, context: Context
    ) -> None:
        super().__init__(operator, idle, context)
        self._lateness = lateness
        self._high = _NEVER
        self._threshold = _FOREVER if context.batch else _NEVER

    def _place(self, items: list[Any], times: list[int], out: list[Signal[Any]]) -> None:
        high, threshold, said = self._high, self._threshold, self._said
        start = out_of_order = late = 0
        left = iter(times)
        for time in left:
            if time < high:
                out_of_order += 1
                if time < said:
                    late += 1
            else:
                high = time
                if time >= threshold:
                    # Cheaper than to count along, as this is seldom.
                    end = len(times) - length_hint(left)
                    out.append(Chunk(items[start:end], times[start:end]))
                    said = self._said = time - self._lateness
                    out.append(Watermark(said))
                    threshold = self._next() + self._lateness
                    start = end
        self._high, self._threshold = high, threshold
        self._count(out_of_order, late)
        if start == 0 and items:
            out.append(Chunk(items, times))
        elif start < len(items):
            out.append(Chunk(items[start:], times[start:]))

    def _highest(self) -> int:
        return _NEVER if self._high == _NEVER else self._high - self._lateness

    def _raised(self) -> None:
        if self._said != _NEVER:
            self._high = max(self._high, self._said + self._lateness)
            self._threshold = self._next() + self._lateness

    def _held(self) -> Any:
        return self._high

    def _take_back(self, held: Any) -> None:
        self._high = held
        if self._said != _NEVER:
            self._threshold = self._next() + self._lateness


class _Partition:
    """How far one partition has come, as its own copy of the strategy tells."""

    __slots__ = ("active", "high", "low", "number", "seen", "strategy")

    def __init__(self, strategy: WatermarkStrategy[Any], number: int) -> None:
        self.strategy = strategy
        self.number = number
        self.high = _NEVER
        self.low = _NEVER
        self.seen = 0.0
        self.active = False


class _PartitionedStep(_EventTimeStep):
    """The lowest of the watermarks of the active partitions; without partitions, of one.

    `_lows` is a heap of active partitions by what they last were known to be at; only the one on
    top is looked at, which is the lowest when it says where it is now.
    """

    def __init__(self, operator: AssignTimes, idle: float | None, context: Context) -> None:
        super().__init__(operator, idle, context)
        self._operator = operator
        self._partitions: dict[Hashable, _Partition] = {}
        self._resting: dict[Hashable, _Partition] = {}
        self._lows: list[tuple[int, int, _Partition]] = []
        self._numbers = 0
        self._asked = False
        if operator.partition is not None:
            gauges = context.meter.gauges
            gauges["partitions"] = lambda: len(self._partitions) - len(self._resting)

    def _place(self, items: list[Any], times: list[int], out: list[Signal[Any]]) -> None:
        key_of, trails = self._operator.partition, self._operator.trails
        partitions, seen = self._partitions, self._seen
        said, threshold = self._said, self._next()
        kept: list[Any] = []
        kept_times: list[int] = []
        out_of_order = late = 0
        key: Hashable = None
        try:
            for item, time in zip(items, times, strict=True):
                try:
                    if key_of is not None:
                        key = key_of(item)
                    partition = partitions.get(key) or self._new(key)
                    if trails is None:
                        low = partition.strategy.on_item(item, time)
                    else:
                        low = time - trails
                except Exception as error:
                    settled = self._reading.settle(item, error)
                    if settled is None:
                        continue
                    time = settled
                    if key_of is not None:
                        key = key_of(item)
                    partition = partitions.get(key) or self._new(key)
                    low = partition.strategy.on_item(item, time)
                partition.seen = seen
                if not partition.active:
                    self._activate(key, partition)
                kept.append(item)
                kept_times.append(time)
                if time < partition.high:
                    out_of_order += 1
                else:
                    partition.high = time
                if time < said:
                    late += 1
                if low is not None and low > partition.low:
                    partition.low = low
                    if low >= threshold and partition is self._lows[0][2]:
                        lowest = self._lowest()
                        if lowest >= threshold and lowest > said:
                            out.append(Chunk(kept, kept_times))
                            kept, kept_times = [], []
                            self._say(lowest, out)
                            said, threshold = lowest, self._next()
        finally:
            self._count(out_of_order, late)
            if kept:
                out.append(Chunk(kept, kept_times))

    def _new(self, key: Hashable) -> _Partition:
        partitions = self._partitions
        if not self._asked:
            refuse_awaitable(key)
            self._asked = True
        if key not in partitions and len(partitions) >= self._operator.partition_limit:
            if not self._resting:
                raise OverflowFailure(
                    f"{self._context.where()}: {key!r} would be one more than "
                    f"{self._operator.partition_limit:,} active partitions; raise "
                    "`partition_limit`, or give a shorter `idle`, after which they make room"
                )
            oldest = next(iter(self._resting))
            del self._resting[oldest], partitions[oldest]
        self._numbers += 1
        partition = partitions[key] = _Partition(deepcopy(self._operator.strategy), self._numbers)
        self._activate(key, partition)
        return partition

    def _activate(self, key: Hashable, partition: _Partition) -> None:
        partition.active, partition.seen = True, self._seen
        self._resting.pop(key, None)
        heappush(self._lows, (partition.low, partition.number, partition))

    def _lowest(self) -> int:
        lows = self._lows
        while True:
            known, number, partition = lows[0]
            if partition.low == known:
                return known
            heapreplace(lows, (partition.low, number, partition))

    def _rest(self, before: float, out: list[Signal[Any]]) -> float:
        active = [each for each in self._partitions.items() if each[1].active]
        active.sort(key=lambda each: each[1].seen)
        for key, partition in active:
            if partition.seen > before:
                break
            partition.active = False
            self._resting[key] = partition
        self._rebuild(partition for _, partition in active if partition.active)
        if self._lows and (lowest := self._lowest()) >= self._next():
            self._say(lowest, out)
        return min((each.seen for _, _, each in self._lows), default=math.inf)

    def _rebuild(self, active: Iterable[_Partition]) -> None:
        self._lows = [(each.low, each.number, each) for each in active]
        heapify(self._lows)

    def _highest(self) -> int:
        return max((each.low for each in self._partitions.values()), default=_NEVER)

    def _held(self) -> Any:
        return [
            (key, each.strategy.snapshot(), each.high, each.low)
            for key, each in self._partitions.items()
        ]

    def _take_back(self, held: Any) -> None:
        for key, state, high, low in held:
            partition = self._new(key)
            partition.strategy.restore(state)
            partition.high, partition.low = high, low
        self._rebuild(self._partitions.values())
