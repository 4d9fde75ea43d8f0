"""`map` beside or on the event loop: awaited calls, threads, processes."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.operator import Operator, Stage, Staged
from reactive.policy import Handler, bind_policy, describe_policy, policy_sides
from reactive.signals import Chunk, Control, Signal
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


def concurrent_map(
    fn: Callable[..., Any],
    concurrency: int | None,
    ordered: bool,
    on: str,
    on_error: object,
    known_async: bool,
) -> Operator:
    """The operator for a `map` that does not fuse."""
    if on not in ("loop", "thread", "process"):
        raise ValueError(f'on must be "loop", "thread" or "process", not {on!r}')
    if on != "loop":
        if known_async:
            raise TypeError(f'map(on="{on}") takes a plain function; {fn!r} is async')
        return ConcurrentMap(fn, concurrency or os.cpu_count() or 1, ordered, on, on_error)
    if concurrency is None or concurrency == 1:
        return AwaitedMap(fn, on_error)
    return ConcurrentMap(fn, concurrency, ordered, on, on_error)


@dataclass(frozen=True)
class AwaitedMap(Staged):
    """`map` of an async function, one item at a time, in the region's own task."""

    concurrent: ClassVar[bool] = False

    fn: Callable[..., Any]
    on_error: Any

    @property
    def label(self) -> str:
        return "map"

    def details(self) -> dict[str, object]:
        return {"awaits": "one at a time", **describe_policy(self.on_error)}

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def stage(self, context: Context) -> Stage[Any]:
        return _AwaitedMapStage(self.fn, self.on_error, context)


class _AwaitedMapStage(Stage[Any]):
    """Each result leaves as soon as it is there: a chunk never waits for the next call."""

    def __init__(self, fn: Callable[..., Any], on_error: Any, context: Context) -> None:
        self._fn = fn
        self._context = context
        self._handler = bind_policy(on_error, context)
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
                    result = await self._fn(item)
                except Exception as error:
                    if self._handler is None:
                        annotate(error, self._context)
                        raise
                    result = _handle(self._handler, item, error, self._context)
                    if not self._handler.replaces:
                        await self._context.flush()
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
    ordered: bool
    on: str
    on_error: Any

    @property
    def label(self) -> str:
        return "map"

    def details(self) -> dict[str, object]:
        order = "ordered" if self.ordered else "as completed"
        where = {} if self.on == "loop" else {"on": self.on}
        return {
            "concurrency": self.concurrency,
            "results": order,
            **where,
            **describe_policy(self.on_error),
        }

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def edge_limit(self) -> int | None:
        return self.concurrency

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


class _Call:
    """An item on its way through the function."""

    __slots__ = ("done", "error", "item", "result", "time")

    def __init__(self, item: Any, time: int | None) -> None:
        self.item = item
        self.time = time
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


def _differs(call: _Call, items: list[Any], times: list[int]) -> bool:
    """Whether a result cannot travel with these: one has a time and the others have none."""
    return bool(items) and (call.time is None) is bool(times)


class _ConcurrentMapStage(Stage[Any]):
    """Keeps up to `concurrency` calls under way, and as many finished ones waiting in order."""

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
        self._line: deque[_Call | Control] = deque()
        self._finished: deque[_Call] = deque()
        self._running = 0
        self._closing = False
        self._items: deque[tuple[Any, int | None]] = deque()
        self._fence: Control | None = None
        self._input_ended = False
        self._input_failure: Exception | None = None
        self._failure: BaseException | None = None
        self._call: Callable[[Any], Awaitable[Any]] = operator.fn

    async def open(self) -> None:
        operator = self._operator
        edge = self._edge
        edge.share(self._waker)
        context = self._context
        context.meter.gauges["in_flight"] = lambda: self._running
        # Threads and processes are imported when used: they are half of what this module costs.
        if operator.on == "thread":
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(operator.concurrency, f"reactive {context.name}")
            self._call = self._call_in_thread
        elif operator.on == "process":
            from operators.workers import ProcessWorkers

            self._workers = ProcessWorkers(operator.fn, operator.concurrency, context.where())
            self._call = self._workers.call

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
            signal = self._give()
            if self._context.overdue():
                await let_others_run()
            if self._handler is not None:
                await self._context.flush()
            if signal is not None:
                return signal
            if self._input_ended and not self._running and not self._items and not self._line:
                if self._input_failure is not None:
                    raise self._input_failure
                return None
            await self._waker.wait()

    def _fill(self) -> None:
        """Start calls while there is room and input."""
        operator = self._operator
        limit = 2 * operator.concurrency if operator.ordered else operator.concurrency
        create_task = asyncio.get_running_loop().create_task
        while self._running < operator.concurrency and len(self._line) < limit:
            if not self._items and not self._take_input():
                return
            if not self._items:
                continue
            item, time = self._items.popleft()
            call = _Call(item, time)
            self._running += 1
            if operator.ordered:
                self._line.append(call)
            self._tasks.own(create_task(self._run(call), name=self._task_name))

    def _take_input(self) -> bool:
        """Take what is on the edge; False when there is nothing to take now."""
        if self._input_ended or self._fence is not None:
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
        elif self._operator.ordered:
            self._line.append(signal)
        else:
            self._fence = signal
        return True

    async def _run(self, call: _Call) -> None:
        try:
            call.result = await self._call(call.item)
        except BaseException as error:
            call.error = error
            if self._closing:
                raise
        call.done = True
        self._finished.append(call)
        self._running -= 1
        self._waker.wake()

    def _give(self) -> Signal[Any] | None:
        """What can leave now, in order where order is kept; a failure leaves after it."""
        items: list[Any] = []
        times: list[int] = []
        try:
            control = self._gather(items, times)
        except BaseException as error:
            if not items:
                raise
            self._failure, control = error, None
        return Chunk(items, times or None) if items else control

    def _gather(self, items: list[Any], times: list[int]) -> Control | None:
        """Add the results that can leave now, or give the control signal that can."""
        if self._operator.ordered:
            line = self._line
            self._finished.clear()
            while line:
                head = line[0]
                if not isinstance(head, _Call):
                    if items:
                        break
                    line.popleft()
                    return head
                if not head.done or _differs(head, items, times):
                    break
                line.popleft()
                self._settle(head, items, times)
        else:
            finished = self._finished
            while finished and not _differs(finished[0], items, times):
                self._settle(finished.popleft(), items, times)
            if not items and self._fence is not None and not self._running and not self._items:
                fence, self._fence = self._fence, None
                self._waker.wake()
                return fence
        return None

    def _settle(self, call: _Call, items: list[Any], times: list[int]) -> None:
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
