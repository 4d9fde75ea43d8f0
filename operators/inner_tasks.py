"""Stages that run inner streams each in a task of its own: merged, switched, or one or none."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import MISSING
from operators.inner import InnerStream, InnerStreams, inner_streams, timed
from operators.inner_iterables import InnerIterable
from operators.inner_pipelines import PolledChain
from operators.inner_progress import Progress
from reactive.chain import Edge, FedChain, let_others_run
from reactive.channel import Channel, Waker
from reactive.errors import ChannelClosed
from reactive.operator import Puller, Stage
from reactive.pullers import close_all
from reactive.signals import Barrier, Chunk, Control, Signal
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

_SIGNALS_BETWEEN_CHECKS = 32


class InnerTasksStage(Stage[Any]):
    """Runs inner streams in tasks that give into one bounded channel, control signals included.

    Which inner stream begins when, and which one is left, is up to the kinds of it. One that has
    nothing to wait for needs no task. A task whose inner stream has ended goes on with the next.
    A barrier passes when no inner stream runs, and nothing is read before it has.
    """

    merges: ClassVar[bool] = False
    """Whether inner streams run side by side. Then those whose sources can be polled need no task,
    and async iterables share one for as long as they do not wait."""

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        self._context = context
        self._name = f"reactive {context.name}"
        self._waker = Waker()
        self._tasks = Tasks()
        self._output: Channel[Any] = Channel(
            context.settings.edge, name=context.name, waker=self._waker
        )
        self._progress = Progress(self._give_control)
        self._streams = InnerStreams(fn, context, self._output.admit, self._progress)
        self._items: deque[InnerStream] = deque()
        self._ready: deque[InnerStream] = deque()
        self._running: dict[InnerStream, None] = {}
        # Whether a task sees to what follows, and whether the last inner stream that ended waited.
        self._taking = self._waiting = False
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
    def _next(self, in_task: bool) -> InnerStream | None:
        """Read what is wanted of the outer stream; the next inner stream to begin in a task, the
        one that asks or a new one."""

    async def read(self) -> Signal[Any] | None:
        limit = self._context.settings.chunk
        while True:
            while not self._taking and (inner := self._following()) is not None:
                alone = self.merges and not self._waiting
                self._taking = alone and type(inner.puller) is InnerIterable
                self._spawn(inner)
            if self._ready and not self._failed:
                self._serve()
            self._pass_fence()
            signal = self._output.poll(limit)
            over = self._outer_ended and not self._running and not self._items
            if self._streams.region.unsent:
                await self._streams.region.flush()
            paused, self._streams.overdue = self._streams.overdue, False
            if paused or self._context.overdue():
                await let_others_run()
            if signal is not None:
                if type(signal) is Barrier:
                    self._fence, self._fence_given = None, False
                return signal
            if over:
                return None
            if not paused:
                await self._waker.wait()

    def _pass_fence(self) -> None:
        if self._failed or self._fence is None or self._fence_given:
            return
        if self._may_pass_fence():
            self._fence_given = True
            self._output.admit(self._fence)

    def _may_pass_fence(self) -> bool:
        return not self._running and not self._items

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
            self._items.extend(inner_streams(signal))
            self._progress.outer_gave_items(signal.times is not None)
        elif type(signal) is Barrier:
            self._fence = signal
        else:
            self._progress.outer_gave(signal)
        return True

    def _following(self, in_task: bool = False) -> InnerStream | None:
        """The inner stream that is to begin in a task now, if one is."""
        while not (self._failed or self._closing):
            try:
                inner = self._next(in_task)
                if inner is not None:
                    self._running[inner] = None
                    if self.merges and isinstance(inner.puller, PolledChain):
                        self._attend_to(inner, inner.puller)
                        continue
            except Exception as error:
                self._fail(error)
                return None
            return inner
        return None

    def _attend_to(self, inner: InnerStream, chain: PolledChain) -> None:
        """Run an inner stream whenever its source has something, which takes no task: there may be
        very many of them, and they wake up together."""

        def wake() -> None:
            if not inner.ready:
                inner.ready = True
                self._ready.append(inner)
                self._waker.wake()

        chain.begin(wake)
        wake()

    def _serve(self) -> None:
        """Run the inner streams that have something."""
        # Not even those that stand in line starve by this: what is polled has a source in common,
        # which waits for all that it feeds.
        room = min(self._output.limit, self._context.settings.chunk) - self._output.depth
        try:
            for inner in self._streams.serve(self._ready, room):
                self._ended(inner)
        except Exception as error:
            self._fail(error)

    @property
    def _room(self) -> int:
        """How much what is run on the spot may give: nothing while others stand in line."""
        if self._output.waiting_senders:
            return 0
        return min(self._output.limit, self._context.settings.chunk) - self._output.depth

    def _spawn(self, inner: InnerStream) -> None:
        inner.task = self._tasks.spawn(self._work(inner), name=self._name)
        inner.task.add_done_callback(lambda _: self._check_begun(inner))

    def _check_begun(self, inner: InnerStream) -> None:
        """Close an inner stream whose task was cancelled before it began."""
        if inner in self._running:
            assert inner.puller is not None
            self._tasks.spawn(inner.puller.close(), name=self._name)
            self._ended(inner)

    async def _work(self, inner: InnerStream) -> None:
        """Run an inner stream, and then those that follow."""
        task = inner.task
        following: InnerStream | None = inner
        while following is not None:
            inner = following
            inner.task = task
            try:
                await self._run(inner)
            finally:
                self._ended(inner)
            if inner.left:
                return
            if self._context.overdue():
                await let_others_run()
            following = self._following(in_task=True)
            self._taking = self.merges and following is not None
            self._waker.wake()

    def _come_to_wait(self, inner: InnerStream) -> None:
        """A task is about to wait: those that follow need tasks of their own."""
        if not inner.waited:
            inner.waited = self._waiting = True
            self._taking = False
            self._waker.wake()

    def _ended(self, inner: InnerStream) -> None:
        del self._running[inner]
        self._waiting = inner.waited
        self._taking = False
        self._progress.ended(inner)
        self._waker.wake()

    async def _run(self, inner: InnerStream) -> None:
        puller = inner.puller
        assert puller is not None
        failure: BaseException | None = None
        try:
            if type(puller) is InnerIterable:
                await self._forward_items(inner, puller)
            else:
                self._come_to_wait(inner)
                await puller.open()
                await self._forward(inner, puller)
        except BaseException as error:
            failure = error
        if type(puller) is not InnerIterable or not puller.is_closed:
            self._come_to_wait(inner)
            self._tasks.cleaning(inner.task)
            try:
                await puller.close()
            except Exception as error:
                failure = self._cleanup_failure = _both(failure, error)
            self._tasks.cleaned(inner.task)
        if failure is not None:
            self._settle(failure)

    async def _forward(self, inner: InnerStream, puller: Puller[Any]) -> None:
        count = 0
        while (signal := await puller.read()) is not None:
            if inner.left or not await self._give(inner, signal):
                return
            # Most wait after a few signals by themselves, and there may be very many of them.
            count += 1
            if count % _SIGNALS_BETWEEN_CHECKS == 0 and self._context.overdue():
                await let_others_run()

    async def _forward_items(self, inner: InnerStream, iterable: InnerIterable) -> None:
        """The same for one that tells when it comes to wait: no other needs a task until then."""
        count = 0
        while not iterable.ended:
            if not iterable.waits and (item := iterable.at_once()) is not MISSING:
                signal: Signal[Any] | None = Chunk([item])
            elif iterable.waits:
                self._come_to_wait(inner)
                signal = await iterable.wait()
            else:
                return
            if signal is None or inner.left or not await self._give(inner, signal):
                return
            count += 1
            if count % _SIGNALS_BETWEEN_CHECKS == 0 and self._context.overdue():
                self._come_to_wait(inner)
                await let_others_run()

    async def _give(self, inner: InnerStream, signal: Signal[Any]) -> bool:
        """Hand on what an inner stream gave, waiting for room; False where nobody takes it."""
        progress, output, region = self._progress, self._output, self._streams.region
        if type(signal) is Chunk:
            progress.inner_gave_items(inner)
            chunk = timed(signal, inner.time)
            try:
                rest = chunk if output.waiting_senders else output.admit(chunk)
                if rest is not None:
                    self._come_to_wait(inner)
                    await output.send(rest)
            except ChannelClosed:
                return False
        elif type(signal) is not Barrier:
            progress.inner_gave(inner, signal)
        if region.unsent:
            self._come_to_wait(inner)
            await region.flush()
        return True

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
        polled = [inner.puller for inner in self._running if inner.task is None]
        await self._tasks.close()
        await close_all([puller for puller in polled if puller is not None])
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

    merges: ClassVar[bool] = True

    def __init__(self, fn: Callable[[Any], Any] | None, concurrency: int, context: Context) -> None:
        super().__init__(fn, context)
        self._concurrency = concurrency

    def _next(self, in_task: bool) -> InnerStream | None:
        while self._items or self._read_outer():
            if not self._items:
                continue
            full = self._room <= 0 and not self._output.waiting_senders
            if full or len(self._running) >= self._concurrency:
                return None
            inner = self._streams.take(self._items, self._room, in_task)
            if inner is not None or self._streams.overdue:
                return inner
        return None


class ExhaustMapStage(InnerTasksStage):
    """One inner stream; outer items that come while it runs are dropped. One that waits for nothing
    takes no time, though others may be let in meanwhile: until it has ended nothing comes."""

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        super().__init__(fn, context)
        self._cut_short: InnerStream | None = None

    def _next(self, in_task: bool) -> InnerStream | None:
        while True:
            inner = self._cut_short
            if inner is not None:
                ended = self._streams.go_on(inner, self._room)
                if not ended and self._streams.overdue:
                    return None
                self._cut_short = None
                if not ended:
                    self._drop()
                    return inner
                self._ended(inner)
            if self._items and not self._running:
                if self._output.depth:
                    # It leaves first: the next one is to have room enough to come to its end.
                    return None
                inner = self._streams.take(self._items, self._room)
                if inner is not None and self._streams.overdue and type(inner.puller) is FedChain:
                    self._cut_short = inner
                    self._running[inner] = None
                    self._waker.wake()
                    return None
                if inner is not None:
                    self._drop()
                    return inner
                if self._items:
                    return None
            self._drop()
            if not self._read_outer():
                return None

    def _drop(self) -> None:
        if self._items:
            self._context.meter.count("dropped", len(self._items))
            self._items.clear()


class SwitchMapStage(InnerTasksStage):
    """The inner stream of the latest outer item; the one before is left, and closed first."""

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        super().__init__(fn, context)
        self._current: InnerStream | None = None

    def _next(self, in_task: bool) -> InnerStream | None:
        while self._read_outer():
            if self._items:
                self._switch()
        current = self._current
        if current is None or current.puller is not None or self._running:
            return None
        if self._streams.begin(current, self._room):
            self._current = None
            self._progress.ended(current)
            return None
        return current

    def _switch(self) -> None:
        """Make the newest outer item the current one."""
        skipped, current = len(self._items) - 1, self._current
        self._current = self._items.pop()
        self._streams.hold(self._current)
        self._items.clear()
        self._leave()
        if current is not None and current.puller is None:
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
            self._current = InnerStream(*current)
            self._streams.hold(self._current)
