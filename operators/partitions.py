"""The work of `event_time` with partitions, and with strategies that are asked about each item."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from copy import deepcopy
from heapq import heapify, heappush, heapreplace
from typing import TYPE_CHECKING, Any, Final

from operators.advancing import NEVER, EventTimeStep
from operators.checking import refuse_awaitable
from operators.watermarks import WatermarkStrategy
from reactive.errors import OverflowFailure
from reactive.levels import GONE, VALUES, Changes, Kept, pieces
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from operators.event_time import AssignTimes
    from reactive.context import Context

_NOBODY: Final = object()


class _Partition:
    """How far one partition has come, as its own copy of the strategy tells."""

    __slots__ = ("active", "changed", "high", "low", "number", "seen", "strategy")

    def __init__(self, strategy: WatermarkStrategy[Any], number: int) -> None:
        self.strategy = strategy
        self.number = number
        self.high = NEVER
        self.low = NEVER
        self.seen = 0.0
        self.active = False
        self.changed = True

    def held(self) -> tuple[int, Any, int, int]:
        """A picklable copy, behind the number that says when it came."""
        return self.number, self.strategy.snapshot(), self.high, self.low


class PartitionedStep(EventTimeStep):
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
        self._gone: set[Hashable] = set()
        if operator.partition is not None:
            gauges = context.meter.gauges
            gauges["partitions"] = lambda: len(self._partitions) - len(self._resting)

    def _take(self, items: list[Any], out: list[Signal[Any]]) -> None:
        items, times, failed = self._reading.read(items)
        self._place(items, times, out)
        if failed is not None:
            raise failed

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
                partition.changed = True
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
            # In batch nothing is held back, and to forget one means little.
            oldest = next(iter(partitions if self._context.batch else self._resting), _NOBODY)
            if oldest is _NOBODY:
                raise OverflowFailure(
                    f"{self._context.where()}: {key!r} would be one more than "
                    f"{self._operator.partition_limit:,} active partitions; raise "
                    "`partition_limit`, or give a shorter `idle`, after which they make room"
                )
            del partitions[oldest]
            self._gone.add(oldest)
            self._resting.pop(oldest, None)
        self._numbers += 1
        partition = partitions[key] = _Partition(deepcopy(self._operator.strategy), self._numbers)
        self._activate(key, partition)
        return partition

    def _activate(self, key: Hashable, partition: _Partition) -> None:
        partition.active, partition.seen = True, self._seen
        self._resting.pop(key, None)
        if not self._context.batch:
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
        return max((each.low for each in self._partitions.values()), default=NEVER)

    def _held(self) -> Any:
        return {key: each.held() for key, each in self._partitions.items()}

    def _take_back(self, held: dict[Hashable, Any]) -> None:
        for key, (number, state, high, low) in sorted(held.items(), key=lambda pair: pair[1][0]):
            partition = self._new(key)
            partition.strategy.restore(state)
            partition.high, partition.low = high, low
            partition.number = self._numbers = number
        self._rebuild(self._partitions.values())

    def changes(self) -> Any:
        if self._operator.partition is None:
            return self.snapshot()
        changed = [pair for pair in self._partitions.items() if pair[1].changed]
        there = [(key, each.held()) for key, each in changed]
        for _, each in changed:
            each.changed = False
        gone = [(key, None) for key in self._gone.difference(self._partitions)]
        self._gone.clear()
        made = pieces(VALUES, there) + pieces(GONE, gone)
        return Changes(self._said, {"partitions": iter([made])})

    def restore(self, state: Any) -> None:
        if not isinstance(state, Kept):
            super().restore(state)
            return
        super().restore((state.shared, state.sections["partitions"]))
        # Those that make room for others while they are put back are gone from checkpoints, too.
        for each in self._partitions.values():
            each.changed = False
