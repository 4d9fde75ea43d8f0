"""Stages that run inner streams each in a task of its own: merged, switched, or one or none."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import TYPE_CHECKING, Any

from operators.inner import Progress, inner_puller, make_inner, timed
from reactive.chain import Edge, let_others_run
from reactive.channel import Channel, Waker
from reactive.errors import ChannelClosed
from reactive.graph import Node
from reactive.operator import Puller, Stage
from reactive.signals import Barrier, Chunk, Control, Signal
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

_SIGNALS_BETWEEN_CHECKS = 32

Outer = tuple[Any, int | None]
"""An item of the outer stream with its time."""


class InnerStream:
    """An outer item with the inner stream that is made of it, waiting to begin or under way."""

    def __init__(self, item: Any, time: int | None) -> None:
        self.item = item
        self.time = time
        self.task: asyncio.Task[None] | None = None
        self.left = False


class InnerTasksStage(Stage[Any]):
    """Runs inner streams in tasks that give into one bounded channel, control signals included.

    What is read from the outer stream when, and which inner stream begins or is left, is up to
    `_take`. A barrier passes when no inner stream runs, and nothing is read before it has.
    """

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        self._fn = fn
        self._context = context
        self._name = f"reactive {context.name}"
        self._waker = Waker()
        self._tasks = Tasks()
        self._output: Channel[Any] = Channel(
            context.settings.edge, name=context.name, waker=self._waker
        )
        self._progress = Progress(self._give_control)
        self._items: deque[Outer] = deque()
        self._running: dict[InnerStream, None] = {}
        self._fence: Barrier | None = None
        self._fence_given = False
        self._outer_ended = False
        self._failed = False
        self._closing = False
        self._cleanup_failure: BaseException | None = None

    async def open(self) -> None:
        self._edge.share(self._waker)
        self._context.meter.gauges["running"] = lambda: len(self._running)

    @property
    def _edge(self) -> Edge:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        return edge

    @abstractmethod
    def _take(self) -> None:
        """Read what is wanted of the outer stream, and begin inner streams."""

    async def read(self) -> Signal[Any] | None:
        limit = self._context.settings.chunk
        while True:
            if not self._failed:
                self._take()
                self._pass_fence()
            signal = self._output.poll(limit)
            if self._context.overdue():
                await let_others_run()
            if signal is not None:
                if type(signal) is Barrier:
                    self._fence, self._fence_given = None, False
                return signal
            if self._outer_ended and not self._running and not self._items:
                return None
            await self._waker.wait()

    def _pass_fence(self) -> None:
        if self._fence is not None and not self._fence_given and self._may_pass_fence():
            self._fence_given = True
            self._output.admit(self._fence)

    def _may_pass_fence(self) -> bool:
        return not self._running

    def _read_outer(self) -> bool:
        """Take what is on the outer edge; False when there is nothing to take now."""
        if self._outer_ended or self._fence is not None:
            return False
        try:
            signal = self._edge.poll()
        except Exception as error:
            self._fail(error)
            return False
        if signal is None:
            if self._edge.ended:
                self._outer_ended = True
                self._progress.outer_ended()
            return False
        if type(signal) is Chunk:
            self._context.meter.items_in += len(signal.items)
            times: Iterable[int | None] = signal.times or repeat(None, len(signal.items))
            self._items.extend(zip(signal.items, times, strict=True))
            self._progress.outer_gave_items(signal.times is not None)
        elif type(signal) is Barrier:
            self._fence = signal
        else:
            self._progress.outer_gave(signal)
        return True

    def _prepare(self, item: Any, time: int | None) -> InnerStream:
        """Hold back what would make an outer item's inner stream late."""
        inner = InnerStream(item, time)
        self._progress.began(inner)
        return inner

    def _begin(self, inner: InnerStream) -> None:
        """Start an inner stream."""
        try:
            node = make_inner(self._fn, inner.item, self._context)
        except Exception as error:
            self._fail(error)
            return
        self._running[inner] = None
        inner.task = self._tasks.spawn(self._run(inner, node), name=self._name)
        inner.task.add_done_callback(lambda _: self._ended(inner))

    def _ended(self, inner: InnerStream) -> None:
        del self._running[inner]
        self._progress.ended(inner)
        self._waker.wake()

    async def _run(self, inner: InnerStream, node: Node) -> None:
        puller = inner_puller(node, self._context)
        failure: BaseException | None = None
        try:
            await puller.open()
            await self._forward(inner, puller)
        except BaseException as error:
            failure = error
        self._tasks.cleaning()
        try:
            await puller.close()
        except Exception as error:
            failure = self._cleanup_failure = _both(failure, error)
        if failure is not None:
            self._settle(failure)

    async def _forward(self, inner: InnerStream, puller: Puller[Any]) -> None:
        progress, context = self._progress, self._context
        count = 0
        while (signal := await puller.read()) is not None:
            if inner.left:
                return
            if type(signal) is Chunk:
                progress.inner_gave_items(inner)
                try:
                    await self._output.send(timed(signal, inner.time))
                except ChannelClosed:
                    return
            elif type(signal) is not Barrier:
                progress.inner_gave(inner, signal)
            await context.flush()
            # Most wait after a few signals by themselves, and there may be very many of them.
            count += 1
            if count % _SIGNALS_BETWEEN_CHECKS == 0 and context.overdue():
                await let_others_run()

    def _settle(self, failure: BaseException) -> None:
        """A failure of an inner stream is the failure of this one, and the first one counts; what
        cannot be delivered is raised when everything is closed."""
        if isinstance(failure, Exception) and not self._closing:
            if not self._failed:
                self._fail(failure)
                return
            if failure is not self._cleanup_failure:
                return
        raise failure

    def _fail(self, error: Exception) -> None:
        """Fail after what was given before."""
        self._failed = self._outer_ended = True
        self._output.fail(error)

    def _give_control(self, control: Control) -> None:
        if not self._failed and not self._closing:
            self._output.admit(control)

    async def close(self) -> None:
        self._closing = True
        self._output.close()
        await self._tasks.close()
        failure = self._output.unreceived_failure
        if failure is not None and failure is self._cleanup_failure:
            raise failure

    def snapshot(self) -> Any:
        return self._progress.snapshot()

    def restore(self, state: Any) -> None:
        self._progress.restore(state)


def _both(first: BaseException | None, second: Exception) -> BaseException:
    if not isinstance(first, Exception) or first is second:
        return second
    return ExceptionGroup("failed, and cleanup failed too", [first, second])


class MergeMapStage(InnerTasksStage):
    """Up to `concurrency` inner streams at once; the outer one waits while they run."""

    def __init__(self, fn: Callable[[Any], Any] | None, concurrency: int, context: Context) -> None:
        super().__init__(fn, context)
        self._concurrency = concurrency

    def _take(self) -> None:
        while not self._failed:
            if not self._items:
                if not self._read_outer():
                    return
            elif len(self._running) < self._concurrency:
                self._begin(self._prepare(*self._items.popleft()))
            else:
                return


class ExhaustMapStage(InnerTasksStage):
    """One inner stream; outer items that come while it runs are dropped."""

    def _take(self) -> None:
        while self._read_outer():
            if self._items and not self._running:
                self._begin(self._prepare(*self._items.popleft()))
            if self._items:
                self._context.meter.count("dropped", len(self._items))
                self._items.clear()


class SwitchMapStage(InnerTasksStage):
    """The inner stream of the latest outer item; the one before is left, and closed first."""

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        super().__init__(fn, context)
        self._current: InnerStream | None = None

    def _take(self) -> None:
        while self._read_outer():
            if self._items:
                self._switch()
        if self._current is not None and self._current.task is None and not self._running:
            self._begin(self._current)

    def _switch(self) -> None:
        """Make the newest outer item the current one."""
        skipped, current = len(self._items) - 1, self._current
        self._current = self._prepare(*self._items.pop())
        self._items.clear()
        self._leave()
        if current is not None and current.task is None:
            self._progress.ended(current)
            skipped += 1
        if skipped:
            self._context.meter.count("skipped", skipped)

    def _leave(self) -> None:
        """Let nothing more come of the inner stream before."""
        for inner in self._running:
            inner.left = True
            assert inner.task is not None
            self._tasks.cancel(inner.task)
            self._progress.ended(inner)
        controls: list[Control] = []
        while (signal := self._output.poll(self._context.settings.chunk)) is not None:
            if type(signal) is Chunk:
                self._context.meter.count("dropped", len(signal.items))
            else:
                controls.append(signal)
        for control in controls:
            self._output.admit(control)

    def _ended(self, inner: InnerStream) -> None:
        super()._ended(inner)
        if inner is self._current:
            self._current = None

    def _may_pass_fence(self) -> bool:
        return True

    def snapshot(self) -> Any:
        current = self._current
        return super().snapshot(), None if current is None else (current.item, current.time)

    def restore(self, state: Any) -> None:
        progress, current = state
        super().restore(progress)
        if current is not None:
            self._current = self._prepare(*current)
