"""One region at run time: its pullers, its outlets, and the task that drives them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactive.chain import Chain, Edge, let_others_run
from reactive.channel import Channel, Waker
from reactive.committing import Committing
from reactive.context import Context
from reactive.endpoint import Writer
from reactive.errors import ChannelClosed, StreamClosedError
from reactive.fuse import annotate
from reactive.fused import FusedStep
from reactive.graph import Node
from reactive.log import log_event
from reactive.operator import (
    Buffered,
    Inline,
    Puller,
    SideOperator,
    SourceOperator,
    Stage,
    Staged,
    Stepwise,
)
from reactive.plan import EdgePlan, RegionPlan
from reactive.pullers import ReaderPuller, SourcePuller, StagePuller, close_all
from reactive.pump import Pump
from reactive.side_outlets import SideOutlets
from reactive.signals import Barrier, Chunk, Signal
from reactive.steps import make_steps

if TYPE_CHECKING:
    from reactive.execution import Execution

_PATIENCE_SECONDS = 10.0


class Region:
    """A region of one run."""

    def __init__(self, execution: Execution, plan: RegionPlan) -> None:
        self.execution = execution
        self.plan = plan
        self.name = execution.region_name(plan)
        self.state = "not started"
        self.sources: dict[ReaderPuller, None] = {}
        self.stages: list[Stage[Any]] = []
        self.outlets = [execution.channel(edge) for edge in plan.outputs]
        self.cleanup_failure: BaseException | None = None
        self.sides = SideOutlets(self)
        self._pump: Pump | None = None
        self._demand = Waker()
        self._task: asyncio.Task[Any] | None = None
        self._abandoned = False
        self._stall_reported = False
        self._interruption: BaseException | None = None
        for edge, outlet in zip(plan.outputs, self.outlets, strict=True):
            outlet.on_demand = self._on_demand
            outlet.on_close = self._on_close
            if edge.discarded is not None:
                outlet.on_drop = self._dropper(edge.discarded, edge)
        self.puller = self._build(plan.root) if plan.nodes else self._edge(plan.job, 0)

    def side(self, node: Node, context: Context) -> Callable[[Any], None]:
        """How an operator of this region sends to a side output."""
        return self.sides.sender(node, context)

    @property
    def unsent(self) -> bool:
        """Whether items wait to leave by side outputs."""
        return self.sides.unsent

    def _dropper(self, side: Node, edge: EdgePlan) -> Callable[[list[Any]], None]:
        assert edge.consumer is not None
        send = self.side(side, self.context(edge.consumer))

        def on_drop(items: list[Any]) -> None:
            for item in items:
                send(item)

        return on_drop

    async def flush(self) -> None:
        """Hand on what was sent to side outputs."""
        if self._pump is None or not self._pump.holds_back(self.sides.most_pending):
            await self.sides.flush()

    def _blocked_by(self, outlet: Channel[Any]) -> None:
        """This region waits for room in an edge. If the receiver of that waits for something
        else, so do, for now, the receivers of what comes into here."""
        if outlet.relaxed:
            for edge in self.plan.inputs:
                self.execution.channel(edge).relax()

    def put(self, barrier: Barrier) -> None:
        """Put a barrier on every edge, behind all that was sent, while the source is waited for."""
        if isinstance(self.puller, Chain):
            self.puller.pass_through(barrier)
        for outlet in self.outlets:
            if not outlet.closed:
                outlet.admit(barrier)
        self.sides.passes(barrier)

    def _build(self, node: Node) -> Puller[Any]:
        """The puller that gives what `node` gives."""
        steps: list[Node] = []
        head: Puller[Any] | None = None
        while isinstance(node.operator, (Inline, Stepwise)):
            steps.append(node)
            if (node, 0) in self.execution.plan.edges:
                head = self._edge(node, 0)
                break
            node = node.inputs[0]
        if head is None:
            head = self._build_head(node)
        if not steps:
            return head
        operators = [(each.operator, self.context(each)) for each in reversed(steps)]
        made = make_steps(operators, self.execution.restore)
        source = head.source if isinstance(head, Pump) else head
        if isinstance(source, SourcePuller):
            source.feeds_a_loop = isinstance(made[0][0], FusedStep)
        return Chain(head, made, self.execution.fairness, self)

    def _build_head(self, node: Node) -> Puller[Any]:
        operator = node.operator
        context = self.context(node)
        if isinstance(operator, SourceOperator):
            puller = SourcePuller(operator.source, context, self)
            self.sources[puller] = None
            if (coordinator := self.execution.coordinator) is not None:
                name = self.execution.prefix + context.name
                puller.begins = coordinator.restored.position(name)
                listens = any(edge.listening for edge in self.plan.outputs)
                self._pump = Pump(self, puller, coordinator, name, listens=listens)
                return self._pump
            return puller
        if isinstance(operator, SideOperator):
            channel = self.execution.side_entry(node).channel
            return Edge(channel, self.execution.settings.chunk, self)
        if isinstance(operator, Buffered):
            context.meter.counts_in = context.meter.counts_out = False
            return self._edge(node, 0)
        if isinstance(operator, Staged):
            inputs = [
                self._edge(node, index)
                if (node, index) in self.execution.plan.edges
                else self._build(upstream)
                for index, upstream in enumerate(node.inputs)
            ]
            stage = operator.stage(context)
            self.stages.append(stage)
            self.execution.restore(context.name, stage.restore)
            return StagePuller(stage, inputs, context, self)
        raise TypeError(f"{type(operator).__name__} follows none of the operator contracts")

    def _edge(self, consumer: Any, index: int) -> Edge:
        edge = self.execution.plan.edges[consumer, index]
        channel = self.execution.channel(edge)
        return Edge(channel, self.execution.settings.chunk, self, listening=edge.listening)

    @property
    def keeps(self) -> bool:
        """Whether the state of operators is kept when a barrier passes them."""
        return self.execution.keeps

    @property
    def keeps_changes(self) -> bool:
        """Whether what has changed since the barrier before is enough."""
        return self.execution.keeps_changes

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """Keep what operators, by their names, hold at a barrier."""
        self.execution.keep(barrier, states)

    def nested(self, node: Node, context: Context) -> Puller[Any]:
        """A run of another graph inside one of this region's operators."""
        from reactive.execution import nested_execution

        return nested_execution(node, context, barriers=True)

    def context(self, node: Node) -> Context:
        """What an operator of this region is told."""
        return self.execution.context(node, self)

    def _on_demand(self) -> None:
        for outlet in self.outlets:
            outlet.on_demand = None
        self._demand.wake()

    def _on_close(self) -> None:
        if all(outlet.closed for outlet in self.outlets) and not self._abandoned:
            self._abandoned = True
            if self._task is not None:
                self.execution.cancel(self._task)

    def stop(self) -> None:
        """Ask the sources of this region to take no more."""
        for source in list(self.sources):
            source.stop()

    async def drive(self) -> None:
        """The task of a region whose output goes to other regions.

        It starts with the first demand, so that what is never asked for is never opened, ends
        when all its receivers have gone, and passes its failure on in order with the items.
        """
        failure = await self._guard(self._serve(), self._close())
        self._end(failure)
        self._raise_interruption()

    async def _serve(self) -> None:
        try:
            await self._demand.wait()
            await self.puller.open()
            while (signal := await self.puller.read()) is not None:
                await self._send(signal)
        except ChannelClosed:
            if not self._abandoned:
                raise
        except Exception:
            with suppress(asyncio.CancelledError):
                await self.flush()
            raise
        await self.flush()

    async def _guard(
        self, work: Coroutine[Any, Any, None], cleanup: Coroutine[Any, Any, None]
    ) -> BaseException | None:
        """Do the work, then the cleanup whatever happened; returns what failed. What interrupts
        (a cancellation, the end of the program) is put aside until everything is closed."""
        self._task = asyncio.current_task()
        failure: BaseException | None = None
        try:
            if self._abandoned:
                work.close()
            else:
                await work
        except Exception as error:
            failure = error
        except BaseException as interruption:
            failure = self._cancelled_within(interruption)
            if failure is None:
                self._interruption = interruption
        self._task = None
        self.state = "closing"
        try:
            self.execution.cleaning()
            await cleanup
        except Exception as error:
            failure = self.cleanup_failure = _both(failure, error)
        except BaseException as interruption:
            self._interruption = interruption
        self.state = "done" if failure is None else "failed"
        return failure

    def _cancelled_within(self, interruption: BaseException) -> Exception | None:
        """The failure, if what interrupts is a cancellation of something that user code waited
        for and not of this task: left as it is, that would look like an end."""
        cancelled = isinstance(interruption, asyncio.CancelledError)
        if not cancelled or self._task is None or self._task.cancelling():
            return None
        failure = StreamClosedError(
            f"{self.name}: a function raised CancelledError, and nobody has cancelled the run; "
            "catch it where something that others may cancel is awaited"
        )
        failure.__cause__ = interruption
        return failure

    def check_cancelled(self) -> None:
        """Raise a cancellation of this region's task that user code has swallowed."""
        if self._task is not None and self._task.cancelling():
            raise asyncio.CancelledError

    def _raise_interruption(self) -> None:
        interruption, self._interruption = self._interruption, None
        if interruption is None:
            return
        own = isinstance(interruption, asyncio.CancelledError) and self._abandoned
        if not own or self.execution.closing:
            raise interruption

    async def _send(self, signal: Signal[Any]) -> None:
        """Hand a signal on to every region behind this one, waiting for room."""
        self.check_cancelled()
        if self.unsent:
            await self.flush()
        outlets = self.outlets
        if len(outlets) == 1:
            single = outlets[0]
            rest = single.admit(signal)
            if rest is not None:
                self.state = f"blocked by {single.name}"
                self._blocked_by(single)
                await single.send(rest)
                self.state = "working"
        else:
            await self._broadcast(signal)
        if self.unsent:
            # What an edge has dropped is behind no other chunk.
            await self.flush()
        if type(signal) is Barrier:
            self.sides.passes(signal)
        if self.execution.fairness.overdue():
            await let_others_run()

    async def _broadcast(self, signal: Signal[Any]) -> None:
        """Give every open outlet the signal, each as soon as it has room."""
        rests: list[tuple[Channel[Any], Signal[Any]]] = [
            (outlet, rest)
            for outlet in self.outlets
            if not outlet.closed and (rest := outlet.admit(signal)) is not None
        ]
        while rests:
            self.state = "blocked by " + ", ".join(outlet.name for outlet, _ in rests)
            turns = [outlet.turn() for outlet, _ in rests]
            try:
                done, _ = await asyncio.wait(
                    turns, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                for (outlet, _), turn in zip(rests, turns, strict=True):
                    if not turn.done():
                        outlet.give_up(turn)
            if not done:
                self._report_stall([outlet for outlet, _ in rests])
            rests = [
                (outlet, rest)
                for outlet, waiting in rests
                if not outlet.closed and (rest := outlet.admit(waiting)) is not None
            ]
            self.state = "working"

    def _report_stall(self, full: list[Channel[Any]]) -> None:
        """Branches that are later combined may wait for each other for ever: say so, once."""
        starved = [outlet for outlet in self.outlets if not outlet.closed and not outlet.depth]
        if starved and not self._stall_reported:
            self._stall_reported = True
            log_event(
                "warning",
                "full_branch_holds_back_others",
                stream=self.name,
                full=[outlet.name for outlet in full],
                waiting=[outlet.name for outlet in starved],
                fix="put .buffer(limit) with a larger limit on the full branch",
            )

    async def _close(self) -> None:
        # What is still here after an interruption waits for nobody: no barrier will come.
        self.sides.hand_out()
        if self.unsent:
            await self.flush()
        await self.puller.close()

    def _end(self, failure: BaseException | None) -> None:
        open_outlets = [outlet for outlet in self.outlets if not outlet.closed]
        for outlet in open_outlets:
            if failure is None:
                outlet.end()
            else:
                outlet.fail(failure)
        self.sides.end()
        if failure is not None and not open_outlets:
            self.execution.note_failure(failure)

    async def drive_sink(self, writer: Writer[Any], context: Context) -> None:
        """The task of a region that ends in a sink; what fails is noted on the execution."""
        coordinator = self.execution.coordinator
        if coordinator is None:
            work = self._fill(writer, context)
        else:
            assert self.plan.job is not None
            writes = self.execution.writes(self.plan.job)
            sink = Committing(writer, coordinator, context.name, writes)
            work = self._commit(sink, context)
        failure = await self._guard(work, self._close_sink(writer))
        self.sides.end()
        if failure is not None:
            self.execution.note_failure(failure)
        self._raise_interruption()

    async def _fill(self, writer: Writer[Any], context: Context) -> None:
        await self._noting(writer.open(), context)
        await self.puller.open()
        blocked = f"blocked by {context.name}"
        while (signal := await self.puller.read()) is not None:
            self.check_cancelled()
            if self.unsent:
                await self.flush()
            if type(signal) is Chunk:
                context.meter.items_in += len(signal.items)
                self.state = blocked
                try:
                    await writer.write(signal)
                except Exception as error:
                    annotate(error, context)
                    raise
                self.state = "working"
            if self.execution.fairness.overdue():
                await let_others_run()
        await self._noting(writer.finish(), context)

    async def _commit(self, sink: Committing, context: Context) -> None:
        """The same with checkpoints."""
        await self._noting(sink.open(), context)
        if not sink.ended:
            await self.puller.open()
            while (signal := await self.puller.read()) is not None:
                self.check_cancelled()
                if self.unsent:
                    await self.flush()
                if type(signal) is Chunk:
                    context.meter.items_in += len(signal.items)
                    self.state = f"blocked by {context.name}"
                    await self._noting(sink.write(signal), context)
                    self.state = "working"
                elif type(signal) is Barrier:
                    self.sides.passes(signal)
                    await self._noting(sink.prepare(signal.epoch), context)
                if self.execution.fairness.overdue():
                    await let_others_run()
            if self.unsent:
                await self.flush()
        # Who feeds it, and who is fed, is not to wait for the last epoch.
        await self.puller.close()
        self.sides.end()
        self.state = "waiting for the last checkpoint"
        await self._noting(sink.finish(), context)

    async def _noting(self, work: Awaitable[None], context: Context) -> None:
        """Await something of the sink; what it raises says which sink it was."""
        try:
            await work
        except Exception as error:
            annotate(error, context)
            raise

    async def _close_sink(self, writer: Writer[Any]) -> None:
        if self.unsent:
            await self.flush()
        await close_all([self.puller, writer])


def _both(first: BaseException | None, second: Exception) -> BaseException:
    if first is None or first is second:
        return second
    return BaseExceptionGroup("failed, and cleanup failed too", [first, second])
