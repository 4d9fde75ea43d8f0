"""windowing: items by windows of their event time, and results for each window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    TypeVar,
    get_args,
    overload,
)

from operators.aggregate_code import AggregateCode
from operators.aggregates import Aggregator, NoResult
from operators.assigners import Count, Global, Session, Sliding, Tiling, WindowAssigner
from operators.checking import (
    MISSING,
    bind_plain,
    check_plain,
    check_seconds,
    explain_key,
    refuse_awaitable,
)
from operators.count_windows import Counts
from operators.engines import Engine, Refuse, Results
from operators.panes import Accumulation, Panes, Stamp, Windowing
from operators.rows import Row, one_aggregator
from operators.sessions import Sessions
from operators.tiles import Slices, Tiles
from operators.triggers import AfterWatermark, Default, Trigger, check_trigger
from operators.window_loops import session_loops, tile_loops
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code, annotate
from reactive.graph import Blueprint, Node
from reactive.levels import Changes, Kept
from reactive.operator import Holding, Inline, Step, Stepwise, kind_of_state
from reactive.policy import side_node
from reactive.signals import Chunk, Signal, Watermark
from reactive.windows import EARLIEST, Windowed

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")

_WORK_AT_ONCE = 512


class Engines(NamedTuple):
    """The kinds of engines that there are: those that hold all in memory, or others."""

    tiles: Callable[..., Engine]
    slices: Callable[..., Engine]
    sessions: Callable[..., Engine]
    panes: Callable[..., Engine]
    counts: Callable[..., Engine]


ENGINES: Final = Engines(Tiles, Slices, Sessions, Panes, Counts)


@dataclass(frozen=True)
class Aggregate(Stepwise):
    """`aggregate` of windows."""

    key: Callable[[Any], Any] | None
    windowing: Windowing
    aggregator: Aggregator[Any, Any, Any]
    late: Node | None = None

    @property
    def label(self) -> str:
        return "aggregate"

    def details(self) -> dict[str, object]:
        return describe(self.windowing)

    def holds(self, batch: bool) -> Sequence[Holding]:
        held = "all items" if self.aggregator.whole else "a result so far"
        if type(self.aggregator) is not Items:
            held += f" ({self.aggregator})"
        return [held_in_windows(self.windowing, self.key is not None, held, batch)]

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def without_end(self, batch: bool) -> str | None:
        return 'use mode="stream", in which windows give results on the way' if batch else None

    @property
    def state_kind(self) -> str:
        windowing = self.windowing
        accumulation, stamp = windowing.accumulation, windowing.stamp
        parts = windowing.assigner, windowing.trigger, accumulation, stamp, self.aggregator
        return kind_of_state(self.label, *parts)

    @property
    def spills(self) -> bool:
        windowing = self.windowing
        in_memory = windowing.trigger.uses_clock or windowing.stamp != "end"
        return self.key is not None and not in_memory

    def step(self, context: Context) -> Step[Any, Any]:
        if self.spills and context.settings.state_memory is not None:
            # With it comes sqlite3, which takes a while to import.
            from operators.spilling_windows import SpillingStep

            return SpillingStep(self, context)
        return AggregateStep(self, context)

    def engine(self, context: Context, refuse: Refuse, kinds: Engines = ENGINES) -> Engine:
        """What holds the windows: the quickest that can."""
        windowing, key, aggregator = self.windowing, self.key, self.aggregator
        assigner = windowing.assigner
        if context.batch:
            # All is there before a window is complete: one pane each, of which nothing is late.
            windowing = Windowing(assigner, Default(), stamp=windowing.stamp)
        if isinstance(assigner, Count):
            return kinds.counts(assigner, key, aggregator)
        if gives_once(windowing):
            if isinstance(assigner, Tiling):
                return kinds.tiles(assigner, tile_loops(key, aggregator, context.name), refuse)
            if isinstance(assigner, Sliding) and not aggregator.in_order:
                loops = tile_loops(key, aggregator, context.name)
                return kinds.slices(assigner, aggregator, loops, refuse)
            if type(assigner) is Session:
                each = session_loops(key, aggregator, assigner.length, context.name)
                return kinds.sessions(assigner, each, refuse)
        clock = asyncio.get_running_loop().time
        return kinds.panes(windowing, key, aggregator, refuse, clock)


@dataclass(frozen=True)
class TimedAggregate(Aggregate):
    """The same with a trigger that looks at the clock."""

    timed: ClassVar[bool] = True


def gives_once(windowing: Windowing) -> bool:
    """Whether each window gives one result, when the watermark passes its end, and is over."""
    return (
        windowing.trigger in (Default(), AfterWatermark())
        and windowing.allowed_lateness == 0
        and windowing.stamp == "end"
    )


def describe(windowing: Windowing) -> dict[str, object]:
    """Windows as `explain()` shows them."""
    shown: dict[str, object] = {"windows": windowing.assigner}
    if windowing.trigger != Default():
        shown["trigger"] = windowing.trigger
    if windowing.accumulation != "discarding":
        shown["accumulation"] = windowing.accumulation
    if windowing.allowed_lateness:
        shown["allowed lateness"] = f"{windowing.allowed_lateness:g} s"
    if windowing.trigger.may_lose_data(windowing.allowed_lateness):
        shown["may lose"] = "items that come after the trigger has finished"
    return shown


def held_in_windows(windowing: Windowing, keyed: bool, held: str, batch: bool) -> Holding:
    """What windows hold, and until when."""
    assigner = windowing.assigner
    each = "for each key, " if keyed else ""
    if isinstance(assigner, Count):
        what = f"{each}{held} of {assigner.holds()}"
        if not keyed:
            return Holding(what, f"{assigner.count:,} items at most")
        return Holding(
            what,
            None,
            "a key that does not come again keeps its window; use windows of time, such as "
            "rx.Session(gap), or keys of which there are few",
        )
    what = f"{each}{held} of {assigner.holds()}"
    if batch:
        return Holding(f"{each}{held} of every window", None)
    if isinstance(assigner, Global):
        never = windowing.trigger in (Default(), AfterWatermark())
        what += ", which gives nothing before that" if never else ""
        if not keyed and not held.startswith("all items"):
            return Holding(what, "one")
        return Holding(
            what, None, "use windows that close, such as rx.Tumbling(60) or rx.Session(gap)"
        )
    kept = f"{windowing.allowed_lateness:g} s past its end" if windowing.allowed_lateness else ""
    closes = f"a window is let go when the watermark is {kept or 'past its end'}"
    return Holding(what, f"{closes}{', so it is as many as keys come in that time' * keyed}")


class AggregateStep(Step[Any, Windowed[Any, Any]]):
    """Windows in one run."""

    def __init__(self, operator: Aggregate, context: Context, kinds: Engines = ENGINES) -> None:
        self._context = context
        self._meter = context.meter
        self._late = None if operator.late is None else context.side(operator.late)
        self._engine = operator.engine(context, self._refuse, kinds)
        self._meter.gauges["windows"] = self._engine.live
        self._waits = operator.windowing.stamp != "end"
        self._timed = True
        self._checked = operator.key is None
        self._giving: Iterator[int] = iter(())
        self._then: Watermark | None = None
        self._passed = EARLIEST
        self._out = Results()

    def _refuse(self, item: Any, why: str = "late", /) -> None:
        self._meter.count(why)
        if self._late is not None:
            self._late(item)

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._meter.items_in += len(chunk.items)
        self._timed = chunk.times is not None
        if chunk.times is None and self._engine.uses_time:
            raise TypeError(
                f"{self._context.where()}: {chunk.items[0]!r}, which has no event time, came to "
                "a window; put .event_time(...) before it"
            )
        try:
            self._engine.take(chunk, self._out)
        except Exception as error:
            explain_key(error, self._context)
            annotate(error, self._context)
            raise
        finally:
            self._give(out)
            self.deadline = self._engine.deadline

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        if self._context.batch:
            # What a source says of its times makes nothing late, and completes nothing.
            return
        if not self._engine.advance(watermark.time):
            self._pass_on(watermark, out)
            return
        self._giving = self._engine.on_watermark(watermark.time, self._out)
        self._then = watermark
        self.resume(out)

    def due(self, watermark: int) -> int:
        return self._engine.due(watermark)

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._giving = self._engine.on_end(self._out)
        self._then = None
        self.resume(out)

    def resume(self, out: list[Signal[Any]]) -> None:
        self.busy = True
        try:
            work = 0
            for done in self._giving:
                work += done
                if work >= _WORK_AT_ONCE:
                    return
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            self._give(out)
        self.busy = False
        self.deadline = self._engine.deadline
        if self._then is None:
            self.done = True
        else:
            self._pass_on(self._then, out)

    def _pass_on(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        """Give the watermark; where results can be earlier than the end of their window, only as
        far as none is."""
        if not self._waits:
            out.append(watermark)
        elif (time := self._engine.passed()) > self._passed:
            self._passed = time
            out.append(watermark if time == watermark.time else Watermark(time))

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        try:
            self._engine.on_clock(now, self._out)
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            self._give(out)
            self.deadline = self._engine.deadline

    def _give(self, out: list[Signal[Any]]) -> None:
        results = self._out
        if results.items:
            if not self._checked:
                self._checked = True
                refuse_awaitable(results.items[0].key)
            self._meter.items_out += len(results)
            out.append(Chunk(results.items, results.times if self._timed else None))
            results.items, results.times = [], []

    def snapshot(self) -> Any:
        return self._timed, self._passed, self._engine.snapshot()

    def changes(self) -> Any:
        changes = self._engine.changes()
        if changes is None:
            return self.snapshot()
        return Changes((self._timed, self._passed, changes.shared), changes.sections)

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            self._timed, self._passed, shared = state.shared
            held: Any = Kept(shared, state.sections)
        else:
            self._timed, self._passed, held = state
        self._engine.restore(held)
        self.deadline = self._engine.deadline


@dataclass(frozen=True)
class Items(Aggregator[Any, list[Any], list[Any]]):
    """All items, in the order in which they came."""

    in_order: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    in_place: ClassVar[bool] = True

    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: list[Any], item: Any) -> list[Any]:
        accumulator.append(item)
        return accumulator

    def merge(self, accumulator: list[Any], other: list[Any]) -> list[Any]:
        return accumulator + other

    def result(self, accumulator: list[Any]) -> list[Any]:
        return list(accumulator)

    def create_code(self, code: AggregateCode) -> str:
        return "[]"

    def add_code(self, code: AggregateCode) -> None:
        code.line(f"{code.held}.append({code.item})")


@dataclass(frozen=True)
class Reduce(Aggregator[Any, Any, Any]):
    """`reduce` of windows."""

    in_order: ClassVar[bool] = True

    fn: Callable[[Any, Any], Any]

    def create(self) -> Any:
        return MISSING

    def add(self, accumulator: Any, item: Any) -> Any:
        return item if accumulator is MISSING else self.fn(accumulator, item)

    def merge(self, accumulator: Any, other: Any) -> Any:
        if accumulator is MISSING or other is MISSING:
            return other if accumulator is MISSING else accumulator
        return self.fn(accumulator, other)

    def result(self, accumulator: Any) -> Any:
        if accumulator is MISSING:
            raise NoResult
        return accumulator

    def __str__(self) -> str:
        return "a result"


@dataclass(frozen=True)
class Process(Inline):
    """`process` of windows, of which all items are given at once."""

    loops: ClassVar[int] = 1

    fn: Callable[[list[Any]], Iterable[Any]]

    def emit(self, code: Code) -> None:
        window = code.item
        code.let(f"{bind_plain(code, 'fn', self.fn)}({window}.value)")
        code.loop(code.item)
        code.let(f"{window}._replace(value={code.item})")


class WindowedStream(Generic[K, T]):
    """A stream cut into windows: its methods make a stream of results of it."""

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

    @overload
    def aggregate(self, aggregator: Aggregator[T, Any, R], /) -> Stream[Windowed[K, R]]: ...

    @overload
    def aggregate(self, **aggregators: Aggregator[T, Any, Any]) -> Stream[Windowed[K, Row]]: ...

    def aggregate(
        self, *aggregator: Aggregator[T, Any, Any], **aggregators: Aggregator[T, Any, Any]
    ) -> Stream[Windowed[K, Any]]:
        """Give what an aggregator makes of each window, or a row of what several do, by name.

        ```text
        --1--2--6--7-----|
        window(rx.Count(2)).aggregate(rx.sum()).map(lambda w: w.value)
        -----3-----13----|
        ```

        Emits a `Windowed(key, window, value, pane)` for each pane of each window that an item
        came to, when the trigger says so: by default when the watermark passes the end of the
        window, before that watermark. Holds an accumulator for each key and window that is open.
        Backpressures when downstream does. When the input ends, all windows are complete, and it
        completes when they have been given. Loses items that come too late (see `window`).

        Raises what the aggregator raises. `TypeError` for an item without event time, and for
        what is no aggregator.

        ```python
        orders = rx.of(5, 7).event_time(lambda amount: 0).window(rx.Tumbling(60))
        orders.aggregate(rx.sum())
        orders.aggregate(n=rx.count(), total=rx.sum()).map(lambda w: w.value.total / w.value.n)
        ```
        """
        return self._aggregated(one_aggregator("aggregate", aggregator, aggregators))

    def reduce(self, fn: Callable[[T, T], T]) -> Stream[Windowed[K, T]]:
        """Give what is left of each window's items when `fn(result so far, item)` has combined
        them, beginning with the first.

        ```text
        --2--3--4--5--6--|
        window(rx.Count(2)).reduce(lambda a, b: a * b).map(lambda w: w.value)
        -----6-----20----(6|)
        ```

        ```python
        longest = lambda a, b: a if len(a) >= len(b) else b
        rx.of("a", "bbb", "cc").window(rx.Count(3)).reduce(longest)
        ```

        Emits, backpressures, holds, loses and completes as `aggregate`; a pane without items is
        left out. Where sessions become one, `fn` combines their results. Raises what `fn` raises.
        """
        check_plain("reduce", fn)
        return self._aggregated(Reduce(fn))

    def process(self, fn: Callable[[list[T]], Iterable[R]]) -> Stream[Windowed[K, R]]:
        """Give every result that `fn` makes of all items of a window.

        ```text
        --3--1--2--5-----|
        window(rx.Count(3)).process(lambda items: sorted(items)[:2]).map(lambda w: w.value)
        --------(12)-----(5|)
        ```

        ```python
        rx.of(3, 1, 2).window(rx.Count(3)).process(lambda items: [sorted(items)[1]])
        ```

        Emits a `Windowed` for each result, of the list of items in the order in which they came,
        when a pane is given (see `aggregate`). Backpressures, completes and loses as `aggregate`.
        Holds all items of the open windows: where an aggregator can do it, that takes less. Raises
        what `fn` raises.
        """
        check_plain("process", fn)
        processed: Stream[Windowed[K, R]] = self.to_list()._then(Process(fn))
        return processed

    def to_list(self) -> Stream[Windowed[K, list[T]]]:
        """Give all items of each window as a list, in the order in which they came.

        ```text
        --3--1--2--5-----|
        window(rx.Count(3)).to_list().map(lambda w: w.value)
        --------[312]----([5] |)
        ```

        ```python
        rx.of(3, 1, 2).window(rx.Count(2)).to_list()
        ```

        Emits, backpressures, loses and completes as `aggregate`, but holds all items of the open
        windows.
        """
        return self._aggregated(Items())

    def _aggregated(self, aggregator: Aggregator[T, Any, Any]) -> Stream[Any]:
        kind = TimedAggregate if self._windowing.trigger.uses_clock else Aggregate
        return self._stream._then(kind(self._key, self._windowing, aggregator, self._late))


def windowed(
    stream: Blueprint[T],
    key: Callable[[T], K] | None,
    assigner: WindowAssigner | Count,
    trigger: Trigger | None,
    accumulation: Accumulation,
    allowed_lateness: float,
    late: object,
    stamp: Stamp,
) -> WindowedStream[K, T]:
    """Check the arguments of `window`, and describe it."""
    if not isinstance(assigner, (WindowAssigner, Count)):
        raise TypeError(f"window needs windows such as rx.Tumbling(60), not {assigner!r}")
    if trigger is not None:
        check_trigger("window", trigger)
    for name, value, kind in (
        ("accumulation", accumulation, Accumulation),
        ("timestamp", stamp, Stamp),
    ):
        if value not in get_args(kind):
            known = ", ".join(map(repr, get_args(kind)))
            raise ValueError(f"{name} must be one of {known}, not {value!r}")
    check_seconds("window", "`allowed_lateness`", allowed_lateness, zero=True)
    side = None if late is None else side_node(late)
    if late is not None and side is None:
        raise TypeError(f"late must be a rx.SideOutput, not {late!r}")
    windowing = Windowing(assigner, trigger or Default(), accumulation, allowed_lateness, stamp)
    if isinstance(assigner, Count) and (windowing != Windowing(assigner, Default()) or late):
        raise TypeError(
            f"{assigner!r} has windows that are complete when they have so many items, whatever "
            "the time: leave out trigger, accumulation, allowed_lateness, late and timestamp"
        )
    return WindowedStream(stream, key, windowing, side)
