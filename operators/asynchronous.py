"""`map` beside or on the event loop: awaited calls, threads, processes."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import copy_context
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from operators.calling import AsyncCall, Calling
from operators.checking import check_count, check_plain, giving_awaitables, is_async
from operators.ordering import AsCompleted, Call, InOrder, Order, PerKey
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.operator import Operator, Stage, Staged
from reactive.policy import Handler, bind_policy, describe_policy, policy_sides
from reactive.signals import Chunk, Signal
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from operators.workers import ProcessWorkers
    from reactive.context import Context


def check_concurrency(concurrency: int | None) -> None:
    """Refuse a concurrency that would let nothing through."""
    if concurrency is None:
        return
    if not isinstance(concurrency, int) or isinstance(concurrency, bool):
        raise TypeError(f"concurrency must be a whole number, not {concurrency!r}")
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")


@dataclass(frozen=True)
class Ordering:
    """Which results wait for which: all for those before them, none, or those of one key."""

    ordered: bool = True
    by: Callable[[Any], Hashable] | None = None
    buffer: int | None = None

    def check(self) -> None:
        """Refuse what contradicts itself, where the pipeline is described."""
        if self.by is not None:
            check_plain("map (by)", self.by)
        if self.buffer is not None:
            check_count("map (buffer)", self.buffer)
        if not self.ordered and self.by is not None:
            raise ValueError(
                "map(by=...) gives results in order within each key and ordered=False in none at "
                "all; leave one out"
            )
        if not self.ordered and self.buffer is not None:
            raise ValueError(
                "map(buffer=...) is for results that wait for others, and with ordered=False none "
                "do; leave one out"
            )

    def details(self, concurrency: int) -> dict[str, object]:
        """For `Operator.details`."""
        if not self.ordered:
            return {"results": "as completed"}
        order = "ordered" if self.by is None else "ordered by key"
        return {"results": order, "buffer": self._room(concurrency)}

    def _room(self, concurrency: int) -> int:
        return concurrency if self.buffer is None else self.buffer

    def start(self, concurrency: int) -> Order:
        """The order of one run."""
        if self.by is not None:
            return PerKey(self.by, self._room(concurrency))
        return InOrder(concurrency + self._room(concurrency)) if self.ordered else AsCompleted()


def concurrent_map(
    fn: Callable[..., Any],
    concurrency: int | None,
    on: str,
    ordering: Ordering,
    calling: Calling,
    on_error: object,
) -> Operator:
    """The operator for a `map` that does not fuse."""
    if on != "loop":
        if is_async(fn):
            raise TypeError(f'map(on="{on}") takes a plain function; {fn!r} is async')
        concurrency = concurrency or os.cpu_count() or 1
        return ConcurrentMap(fn, concurrency, on, ordering, calling, on_error)
    if concurrency is None or concurrency == 1:
        return AwaitedMap(fn, calling, on_error)
    return ConcurrentMap(fn, concurrency, on, ordering, calling, on_error)


@dataclass(frozen=True)
class AwaitedMap(Staged):
    """`map` of an async function, one item at a time, in the region's own task."""

    concurrent: ClassVar[bool] = False
    simple: ClassVar[bool] = True

    fn: Callable[..., Any]
    calling: Calling
    on_error: Any

    @property
    def label(self) -> str:
        return "map"

    def details(self) -> dict[str, object]:
        terms = self.calling.details()
        return {"awaits": "one at a time", **terms, **describe_policy(self.on_error)}

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def stage(self, context: Context) -> Stage[Any]:
        return _AwaitedMapStage(self, context)


class _AwaitedMapStage(Stage[Any]):
    """Each result leaves as soon as it is there: a chunk never waits for the next call."""

    def __init__(self, operator: AwaitedMap, context: Context) -> None:
        self._call = operator.calling.bind(giving_awaitables("map", operator.fn), context)
        self._context = context
        self._handler = bind_policy(operator.on_error, context)
        self._items: list[Any] = []
        self._times: list[int] | None = None
        self._next = 0

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        while True:
            while self._next < len(self._items):
                index = self._next
                self._next += 1
                item = self._items[index]
                try:
                    result = await self._call(item)
                except Exception as error:
                    if self._handler is None:
                        annotate(error, self._context)
                        raise
                    result = _handle(self._handler, item, error, self._context)
                    if not self._handler.replaces:
                        await self._context.flush()
                        if self._context.overdue():
                            await let_others_run()
                        continue
                times = self._times
                return Chunk([result], None if times is None else [times[index]])
            if self._context.overdue():
                await let_others_run()
            signal = await self.inputs[0].read()
            if type(signal) is not Chunk:
                return signal
            self._context.meter.items_in += len(signal.items)
            self._items, self._times, self._next = signal.items, signal.times, 0


@dataclass(frozen=True)
class ConcurrentMap(Staged):
    """`map` with several calls under way."""

    fn: Callable[..., Any]
    concurrency: int
    on: str
    ordering: Ordering
    calling: Calling
    on_error: Any

    @property
    def label(self) -> str:
        return "map"

    def details(self) -> dict[str, object]:
        where = {} if self.on == "loop" else {"on": self.on}
        return {
            "concurrency": self.concurrency,
            **self.ordering.details(self.concurrency),
            **where,
            **self.calling.details(),
            **describe_policy(self.on_error),
        }

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def edge_limit(self) -> int | None:
        # One round of calls more, or starting and refilling would take turns for every round.
        return 2 * self.concurrency

    def stage(self, context: Context) -> Stage[Any]:
        return _ConcurrentMapStage(self, context)


def _handle(handler: Handler, item: Any, error: Exception, context: Context) -> Any:
    try:
        return handler.handle(item, error)
    except Exception as failure:
        annotate(failure, context)
        raise


def _attempt(fn: Callable[[Any], Any], item: Any) -> tuple[Any, BaseException | None]:
    """The result or the error: futures do not carry a StopIteration."""
    try:
        return fn(item), None
    except BaseException as error:
        return None, error


def _differs(call: Call, items: list[Any], times: list[int]) -> bool:
    """Whether a result cannot travel with these: one has a time and the others have none."""
    return bool(items) and (call.time is None) is bool(times)


class _ConcurrentMapStage(Stage[Any]):
    """Keeps up to `concurrency` calls under way."""

    def __init__(self, operator: ConcurrentMap, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._handler: Handler | None = bind_policy(operator.on_error, context)
        self._task_name = f"reactive {context.name}"
        self._waker = Waker()
        self._tasks = Tasks()
        self._executor: ThreadPoolExecutor | None = None
        self._calls: set[Future[Any]] = set()
        self._workers: ProcessWorkers | None = None
        self._order = operator.ordering.start(operator.concurrency)
        self._under_way: dict[Call, asyncio.Task[None]] = {}
        self._closing = False
        self._items: deque[tuple[Any, int | None]] = deque()
        self._input_ended = False
        self._input_failure: Exception | None = None
        self._failure: BaseException | None = None

    async def open(self) -> None:
        operator = self._operator
        edge = self._edge
        edge.share(self._waker)
        context = self._context
        context.meter.gauges["in_flight"] = lambda: len(self._under_way)
        call: AsyncCall = giving_awaitables("map", operator.fn)
        # Threads and processes are imported when used: they are half of what this module costs.
        if operator.on == "thread":
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(operator.concurrency, f"reactive {context.name}")
            call = self._call_in_thread
        elif operator.on == "process":
            from operators.workers import ProcessWorkers

            self._workers = ProcessWorkers(operator.fn, operator.concurrency, context.where())
            call = self._workers.call
        self._call = operator.calling.bind(call, context)

    @property
    def _edge(self) -> Edge:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        return edge

    async def _call_in_thread(self, item: Any) -> Any:
        assert self._executor is not None
        call = self._executor.submit(copy_context().run, _attempt, self._operator.fn, item)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        result, error = await asyncio.wrap_future(call)
        if error is not None:
            raise error
        return result

    async def read(self) -> Signal[Any] | None:
        while True:
            if self._failure is not None:
                raise self._failure
            self._fill()
            signal, gone = self._give()
            if self._context.overdue():
                await let_others_run()
            if self._handler is not None:
                await self._context.flush()
            if signal is not None:
                return signal
            if gone:
                continue
            if self._input_ended and not self._items and self._order.empty:
                if self._input_failure is not None:
                    raise self._input_failure
                return None
            await self._waker.wait()

    def _fill(self) -> None:
        """Start calls while there is room and input."""
        order, items, under_way = self._order, self._items, self._under_way
        room = self._operator.concurrency - len(under_way)
        create_task = asyncio.get_running_loop().create_task
        while room > 0:
            call = order.due()
            if call is None:
                if order.full or not (items or self._take_input()):
                    return
                if not items:
                    continue
                call = Call(*items.popleft())
                if not order.admit(call):
                    continue
            room -= 1
            task = create_task(self._run(call), name=self._task_name)
            # A task that begins at once may be done by now.
            if not task.done():
                under_way[call] = task

    def _take_input(self) -> bool:
        """Take what is on the edge; False when there is nothing to take now."""
        if self._input_ended:
            return False
        try:
            signal = self._edge.poll()
        except Exception as error:
            self._input_failure, self._input_ended = error, True
            return False
        if signal is None:
            self._input_ended = self._edge.ended
            return False
        if type(signal) is Chunk:
            self._context.meter.items_in += len(signal.items)
            times: Iterable[int | None] = signal.times or repeat(None, len(signal.items))
            self._items.extend(zip(signal.items, times, strict=True))
        else:
            self._order.control(signal)
        return True

    async def _run(self, call: Call) -> None:
        try:
            call.result = await self._call(call.item)
        except BaseException as error:
            call.error = error
            if self._closing:
                raise
        self._under_way.pop(call, None)
        self._order.finished(call)
        self._waker.wake()

    def _give(self) -> tuple[Signal[Any] | None, bool]:
        """What can leave now; a failure leaves after what was before it. Also whether anything
        has gone, which makes room even if it gave nothing."""
        order = self._order
        items: list[Any] = []
        times: list[int] = []
        signal: Signal[Any] | None = None
        gone = False
        try:
            while (head := order.peek()) is not None:
                if type(head) is not Call:
                    if not items:
                        order.pop()
                        signal = head
                    break
                if _differs(head, items, times):
                    break
                order.pop()
                gone = True
                self._settle(head, items, times)
        except BaseException as error:
            if not items:
                raise
            self._failure = error
        return (Chunk(items, times or None) if items else signal), gone

    def _settle(self, call: Call, items: list[Any], times: list[int]) -> None:
        result = call.result
        if call.error is not None:
            if not isinstance(call.error, Exception):
                raise call.error
            if self._handler is None:
                annotate(call.error, self._context)
                raise call.error
            result = _handle(self._handler, call.item, call.error, self._context)
            if not self._handler.replaces:
                return
        items.append(result)
        if call.time is not None:
            times.append(call.time)

    async def close(self) -> None:
        self._closing = True
        for task in self._under_way.values():
            self._tasks.own(task)
        try:
            await self._tasks.close()
        finally:
            if self._workers is not None:
                await self._workers.close()
            if self._executor is not None:
                executor, self._executor = self._executor, None
                executor.shutdown(wait=False, cancel_futures=True)
                # A call that a thread is in the middle of cannot be interrupted.
                if calls := [asyncio.wrap_future(call) for call in self._calls.copy()]:
                    await asyncio.wait(calls)
                executor.shutdown(wait=True)
