"""windowing: items by windows of their event time, and results for each window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args

from operators.aggregates import Aggregator
from operators.assigners import WindowAssigner
from operators.checking import check_seconds
from operators.panes import Accumulation, Panes, Result, Stamp, Windowing
from operators.triggers import Default, Trigger, check_trigger
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node
from reactive.operator import Step, Stepwise
from reactive.policy import side_node
from reactive.signals import Chunk, Signal, Watermark
from reactive.windows import Windowed

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

_RESULTS_AT_ONCE = 512


@dataclass(frozen=True)
class Aggregate(Stepwise):
    """`aggregate` of windows."""

    key: Callable[[Any], Any] | None
    windowing: Windowing
    aggregator: Aggregator[Any, Any, Any]
    late: Node | None = None

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def step(self, context: Context) -> Step[Any, Any]:
        return _AggregateStep(self, context)


@dataclass(frozen=True)
class TimedAggregate(Aggregate):
    """The same with a trigger that looks at the clock."""

    timed: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "aggregate"


class _AggregateStep(Step[Any, Windowed[Any, Any]]):
    def __init__(self, operator: Aggregate, context: Context) -> None:
        self._key = operator.key
        self._uses_time = operator.windowing.assigner.uses_time
        self._timed = True
        self._context = context
        self._late = None if operator.late is None else context.side(operator.late)
        loop = asyncio.get_running_loop()
        self._panes = Panes(operator.windowing, operator.aggregator, loop.time)
        context.meter.gauges["windows"] = lambda: sum(map(len, self._panes.live.values()))
        self._giving: Iterator[list[Result]] | None = None
        self._then: Watermark | None = None

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        times: Iterable[int] | None = chunk.times
        self._timed = times is not None
        if times is None and not self._uses_time:
            times = repeat(0, len(chunk.items))
        if times is None:
            raise TypeError(
                f"{self._context.where()}: an item without event time, {chunk.items[0]!r}, came "
                "to a window; put .event_time(...) before it"
            )
        results: list[Result] = []
        key, add = self._key, self._panes.add
        try:
            for item, time in zip(chunk.items, times, strict=True):
                if not add(None if key is None else key(item), item, time, results):
                    self._context.meter.count("late")
                    if self._late is not None:
                        self._late(item)
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            self._give(results, out)
            self.deadline = self._panes.deadline

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        self._giving, self._then = self._panes.on_watermark(watermark.time), watermark
        self.resume(out)

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._giving, self._then = self._panes.on_end(), None
        self.resume(out)

    def resume(self, out: list[Signal[Any]]) -> None:
        assert self._giving is not None
        results: list[Result] = []
        for some in self._giving:
            results += some
            if len(results) >= _RESULTS_AT_ONCE:
                self.busy = True
                self._give(results, out)
                return
        self._give(results, out)
        self.busy = False
        self.deadline = self._panes.deadline
        if self._then is None:
            self.done = True
        else:
            out.append(self._then)

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        results: list[Result] = []
        self._panes.on_clock(now, results)
        self._give(results, out)
        self.deadline = self._panes.deadline

    def _give(self, results: list[Result], out: list[Signal[Any]]) -> None:
        if results:
            times = [time for _, time in results] if self._timed else None
            out.append(Chunk([result for result, _ in results], times))

    def snapshot(self) -> Any:
        return self._timed, self._panes.snapshot()

    def restore(self, state: Any) -> None:
        self._timed, panes = state
        self._panes.restore(panes)


def _give(results: list[Result], out: list[Signal[Any]]) -> None:
    if results:
        out.append(Chunk([result for result, _ in results], [time for _, time in results]))


class WindowedStream(Generic[K, T]):
    """A stream cut into windows; `aggregate` makes a stream of results of it."""

    __slots__ = ("_key", "_late", "_stream", "_windowing")

    def __init__(
        self,
        stream: Blueprint[T],
        key: Callable[[T], K] | None,
        windowing: Windowing,
        late: Node | None,
    ) -> None:
        self._stream = stream
        self._key = key
        self._windowing = windowing
        self._late = late

    def aggregate(self, aggregator: Aggregator[T, Any, R]) -> Stream[Windowed[K, R]]:
        """One result for each pane of each window."""
        kind = TimedAggregate if self._windowing.trigger.uses_clock else Aggregate
        return self._stream._then(kind(self._key, self._windowing, aggregator, self._late))


def windowed(
    stream: Blueprint[T],
    key: Callable[[T], K] | None,
    assigner: WindowAssigner,
    trigger: Trigger | None,
    accumulation: Accumulation,
    allowed_lateness: float,
    late: object,
    stamp: Stamp,
) -> WindowedStream[K, T]:
    """Check the arguments of `window`, and describe it."""
    if not isinstance(assigner, WindowAssigner):
        raise TypeError(f"window needs windows such as rx.Tumbling(60), not {assigner!r}")
    if trigger is not None:
        check_trigger("window", trigger)
    if accumulation not in get_args(Accumulation):
        known = ", ".join(map(repr, get_args(Accumulation)))
        raise ValueError(f"accumulation must be one of {known}, not {accumulation!r}")
    if stamp not in get_args(Stamp):
        known = ", ".join(map(repr, get_args(Stamp)))
        raise ValueError(f"timestamp must be one of {known}, not {stamp!r}")
    check_seconds("window", "`allowed_lateness`", allowed_lateness, zero=True)
    side = None if late is None else side_node(late)
    if late is not None and side is None:
        raise TypeError(f"late must be a rx.SideOutput, not {late!r}")
    windowing = Windowing(assigner, trigger or Default(), accumulation, allowed_lateness, stamp)
    return WindowedStream(stream, key, windowing, side)
