"""One execution of a plan: its channels, regions and tasks, and their orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reactive.chain import Fairness
from reactive.channel import Channel, Waker
from reactive.context import Context, Mode, Settings, with_mode
from reactive.debloating import Writes
from reactive.errors import CheckpointError, PlanError
from reactive.graph import Node
from reactive.log import log_event
from reactive.metrics import Meter
from reactive.plan import NESTED_PULLS, EdgePlan, JobPlan, Plan, RegionPlan, make_plan
from reactive.region import Region
from reactive.side_entry import SideEntry
from reactive.signals import Barrier, Chunk, Signal
from reactive.tasks import Tasks, raise_together, shielded, uninterrupted

if TYPE_CHECKING:
    from reactive.coordinator import Coordinator

NESTED_RUNS = 100
"""The most runs within each other; what makes more of them most likely never stops doing so."""

_PULLS_OF_A_RUN = 4
"""How many stages' worth of call stack a nested run takes."""


class Execution:
    """Runs a plan once.

    At most one job has no sink: its items are pulled by the caller, in the caller's own task,
    with `read`. Everything else runs in tasks owned here. A nested execution reports to the
    operator that runs it.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings | None = None,
        parent: Context | None = None,
        *,
        keeper: Callable[[Barrier, Mapping[str, Any]], None] | None = None,
        restored: Mapping[str, Any] | None = None,
        coordinator: Coordinator | None = None,
        keeps_changes: bool = False,
    ) -> None:
        self.plan = plan
        self.coordinator = coordinator
        """Who takes checkpoints of it; None where nobody does, or where those of what is around it
        wait for its end."""
        self._keeper = keeper
        self.keeps_changes: bool = keeps_changes or coordinator is not None
        """Whether what has changed since the barrier before is enough for who keeps states."""
        self._restored = dict(restored or {})
        self.settings: Settings = with_mode(settings, plan.resolved.mode)
        self.parent = parent
        around = None if parent is None or parent.region is None else parent.region.execution
        self.around: Execution | None = around
        self.prefix: str = ""
        """What is put before the names of operators, for what runs within another."""
        if around is not None and parent is not None:
            self.prefix = f"{around.prefix}{parent.name}/"
        self._passed: Barrier | None = None
        self._kept_at: dict[str, Barrier] = {}
        self.level: int = 0 if around is None else around.level + 1
        self.pulls: int = plan.pulls
        if around is not None and not plan.apart:
            self.pulls = around.pulls_with(plan)
        if parent is not None and self.level > NESTED_RUNS:
            raise PlanError(
                f"{parent.where()} would run a stream within {NESTED_RUNS} others that run each "
                "within the one before; make the items of a recursion with unfold or expand, and "
                "try again with one retry"
            )
        self.meters: dict[str, Meter] = {}
        self.closing = False
        self.stopping = False
        self.awaited = False
        self.regions: list[Region] = []
        self.failed = asyncio.Event()
        self.nested: set[Execution] = set()
        self.fairness: Fairness = (
            Fairness(self.settings.slice_seconds) if around is None else around.fairness
        )
        self._channels: dict[EdgePlan, Channel[Any]] = {}
        self._writes: dict[JobPlan, Writes] = {}
        self._side_entries: dict[Node, SideEntry] = {}
        self._failures: list[BaseException] = []
        self._unread: dict[str, int] = {}
        self._pauses: set[Waker] = set()
        self._tasks = Tasks()
        self._caller: Region | None = None
        self._closed = False

    async def open(self) -> None:
        """Start the tasks and get the caller's region ready."""
        for planned in self.plan.regions:
            self.regions.append(Region(self, planned))
        if self.stopping:
            self.stop()
        for region in self.regions:
            job = region.plan.job
            if job is None:
                self._tasks.spawn(region.drive(), name=f"reactive {region.name}")
            elif job.sink is None:
                self._caller = region
            else:
                context = self._sink_context(job, region)
                writer = job.sink.writer(context)
                self._tasks.spawn(
                    region.drive_sink(writer, context), name=f"reactive {context.name}"
                )
        if self._caller is not None:
            await self._caller.puller.open()
        if self.coordinator is not None and self.around is None:
            self.meters["checkpoints"] = self.coordinator.meter
            drive = self.coordinator.drive(self.note_failure, self.committed)
            self._tasks.spawn(drive, name="reactive checkpoints")

    async def read(self) -> Signal[Any] | None:
        """The next signal for the caller."""
        caller = self._caller
        assert caller is not None
        signal = await caller.puller.read()
        if caller.unsent:
            await caller.flush()
        if type(signal) is Barrier:
            self._passed = signal
        return signal

    def has_passed(self, barrier: Barrier) -> bool:
        """Whether a barrier has left a run already that this one is, or is within, or the operator
        that runs this one, with what another run gave."""
        if self._passed == barrier:
            return True
        around, parent = self.around, self.parent
        if around is None or parent is None:
            return False
        return around._kept_at.get(parent.name) == barrier or around.has_passed(barrier)

    async def join(self) -> None:
        """Wait until every job has ended, or the first has failed."""
        await self.either(asyncio.ensure_future(self._tasks.join()))

    async def either(self, done: asyncio.Future[Any]) -> None:
        """Wait until something is done, which is cancelled otherwise, or a job has failed."""
        self.awaited = True
        failed = asyncio.ensure_future(self.failed.wait())
        try:
            await asyncio.wait((done, failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.awaited = False
            for waiter in (done, failed):
                waiter.cancel()
            await asyncio.wait((done, failed))

    def pulls_with(self, nested: Plan) -> int:
        """How many stages are pulled within each other with a nested run at the deepest place."""
        return self.pulls + _PULLS_OF_A_RUN + nested.pulls

    @property
    def running(self) -> bool:
        """Whether any task of this execution has not ended."""
        return len(self._tasks) > 0

    def stop(self) -> None:
        """Ask every source to take no more; what was taken flows to the end."""
        self.stopping = True
        for region in self.regions:
            region.stop()
        for nested in self.nested:
            nested.stop()
        for waker in self._pauses:
            waker.wake()

    async def pause(self, until: float, name: str) -> Barrier | None:
        """See `Context.pause`; `name` is the operator that waits."""
        waker = Waker()
        coordinator = self.coordinator
        self._pauses.add(waker)
        if coordinator is not None:
            coordinator.pauses.add(waker)
        try:
            while not self.stopping:
                barrier = None if coordinator is None else coordinator.under_way
                if barrier is not None and not (
                    self._kept_at.get(name) == barrier or self.has_passed(barrier)
                ):
                    assert coordinator is not None
                    coordinator.parts.drop(f"{self.prefix}{name}/")
                    return barrier
                if not await waker.wait(until):
                    break
        finally:
            self._pauses.discard(waker)
            if coordinator is not None:
                coordinator.pauses.discard(waker)
        return None

    async def close(self) -> None:
        """Stop everything and wait for it; then raise failures that reached nobody."""
        if self._closed:
            return
        self._closed = self.closing = True
        try:
            with shielded():
                await uninterrupted(self._close())
        finally:
            self._report_unread()
            if self.around is not None:
                self.around.nested.discard(self)

    async def _close(self) -> None:
        failures = self._failures
        if self._caller is not None:
            try:
                await self._caller.puller.close()
            except Exception as error:
                failures.append(error)
            self._caller.sides.end()
        try:
            await self._tasks.close()
        except Exception as error:
            failures.append(error)
        for region in self.regions:
            failure = region.cleanup_failure
            if failure is not None and any(
                outlet.unreceived_failure is failure for outlet in region.outlets
            ):
                failures.append(failure)
        raise_together(failures)

    async def close_after(self, error: BaseException) -> None:
        """Close because of `error`, which the caller raises next; a failing cleanup joins it."""
        try:
            await self.close()
        except asyncio.CancelledError:
            raise
        except BaseException as second:
            if second is error or isinstance(error, GeneratorExit):
                if second is not error:
                    raise
                return
            if not isinstance(error, Exception):
                error.add_note(f"cleanup failed too: {second!r}")
                log_event("error", "cleanup_failed", error=repr(second))
                return
            others = [e for e in _members(second) if e is not error]
            if others:
                raise BaseExceptionGroup(
                    "failed, and cleanup failed too", [error, *others]
                ) from None

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel one region's task, unless that was done before."""
        self._tasks.cancel(task)

    def cleaning(self) -> None:
        """The current region's task has only its cleanup left: it is not to be cancelled."""
        self._tasks.cleaning()

    def note_failure(self, failure: BaseException) -> None:
        """A failure that no receiver gets in band."""
        self._failures.append(failure)
        self.failed.set()
        if not self.closing and not self.awaited:
            log_event("error", "run_failed", error=repr(failure))

    def region_name(self, planned: RegionPlan) -> str:
        """What to call a region: after its last operator, or its job."""
        if planned.nodes or planned.job is None:
            return self.plan.names[planned.root]
        return self.plan.job_names[planned.job]

    def channel(self, edge: EdgePlan) -> Channel[Any]:
        """The channel of a planned edge, made on first use."""
        channel = self._channels.get(edge)
        if channel is None:
            channel = self._channels[edge] = Channel(
                self.settings.edge if edge.limit is None else edge.limit,
                overflow=edge.overflow,
                size=len if edge.in_bytes else None,
                name=edge.name,
            )
            self._debloat(channel, lambda region: edge in region.inputs)
            meter = self.meter(edge.name)
            meter.gauges["depth"] = lambda: channel.depth
            meter.gauges["limit"] = lambda: channel.limit
            meter.totals["dropped"] = lambda: channel.dropped
        return channel

    def side_entry(self, node: Node) -> SideEntry:
        """Where a side output of this run is entered."""
        entry = self._side_entries.get(node)
        if entry is None:
            channel: Channel[Any] = Channel(self.settings.edge, name=self.plan.names[node])
            self._debloat(channel, lambda region: node in region.nodes)
            entry = SideEntry(channel, self.plan.side_feeders[node])
            self._side_entries[node] = entry
        return entry

    def _debloat(self, channel: Channel[Any], leads_into: Callable[[RegionPlan], bool]) -> None:
        """With checkpoints, no barrier is to wait for long behind what is on an edge."""
        if self.coordinator is not None:
            jobs = [region.job for region in self.plan.regions if leads_into(region)]
            channel.debloat(None if jobs[0] is None else self.writes(jobs[0]))

    def writes(self, job: JobPlan) -> Writes:
        """How long the sink of a job takes, in a run with checkpoints."""
        return self._writes.setdefault(job, Writes())

    def foreign_side(self, node: Node, context: Context) -> Callable[[Any], None]:
        """Where side items go that this plan does not read: to the run around it, or nowhere,
        counted."""
        if self.parent is not None:
            return self.parent.side(node)

        def count(_: Any) -> None:
            context.meter.count("unread")
            self.count_unread(node.operator.label, 1)

        return count

    @property
    def keeps(self) -> bool:
        """Whether the state of operators is kept when a barrier passes them."""
        return self._keeper is not None

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """Keep what operators, by their names, hold at a barrier."""
        if self._keeper is not None:
            self._kept_at.update(dict.fromkeys(states, barrier))
            self._keeper(barrier, states)

    def committed(self, epoch: int) -> None:
        """Tell the stages that a checkpoint is durable and no earlier one will be continued."""
        for region in self.regions:
            for stage in region.stages:
                stage.committed(epoch)
        for nested in self.nested:
            nested.committed(epoch)

    def restore(self, name: str, restore: Callable[[Any], None]) -> None:
        """Let an operator go on from what it held in the run that this one continues."""
        # Given out once: what is run again later begins anew.
        state = self._restored.pop(name, None)
        if state is None:
            if self.coordinator is not None:
                self.coordinator.parts.begins_anew(self.prefix + name)
            return
        try:
            restore(state)
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"the state of operator {self.prefix}{name} does not fit what it is now "
                f'({error}); give it another name to start it afresh (.named("..."))'
            ) from error

    def restored_states(self, prefix: str) -> dict[str, Any]:
        """The same for all operators whose names begin so; the names come without it."""
        names = [name for name in self._restored if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._restored.pop(name) for name in names}

    def count_unread(self, name: str, amount: int) -> None:
        """Items of a side output that nobody reads."""
        self._unread[name] = self._unread.get(name, 0) + amount

    def _report_unread(self) -> None:
        for name, amount in self._unread.items():
            log_event(
                "warning",
                "side_output_not_read",
                side_output=name,
                items=amount,
                fix=f"run a job that reads it: rx.run(job, {name}.to(sink))",
            )
        self._unread.clear()

    def meter(self, name: str) -> Meter:
        """The counters under a name; a nested run counts under its operator's name."""
        if self.parent is not None and self.around is not None:
            return self.around.meter(f"{self.parent.name}/{name}")
        meter = self.meters.get(name)
        if meter is None:
            meter = self.meters[name] = Meter(name)
        return meter

    def context(self, node: Node, region: Region) -> Context:
        """What the operator of a node is told."""
        name = self.plan.names[node]
        return Context(name, node.location, self.settings, self.meter(name), region)

    def _sink_context(self, job: JobPlan, region: Region) -> Context:
        name = self.plan.job_names[job]
        return Context(name, job.location, self.settings, self.meter(name), region)


def nested_execution(node: Node, context: Context, *, barriers: bool) -> Execution:
    """A run of `node` inside the operator of `context`, with the same settings. With `barriers`,
    the operator hands on those that come out of it, so its sources take part in checkpoints."""
    # What is made at run time may turn out to be endless, which batch of all around it does not
    # forbid: it may be cut short there.
    mode: Mode = "auto" if context.batch else "stream"
    around = None if context.region is None else context.region.execution
    coordinator = around.coordinator if around is not None and barriers else None
    checkpoints = coordinator is not None
    plan = make_plan([JobPlan(node)], mode=mode, checkpoints=checkpoints)
    if around is None:
        return Execution(plan, context.settings, context)
    if around.pulls_with(plan) > NESTED_PULLS:
        plan = make_plan([JobPlan(node)], apart=True, mode=mode, checkpoints=checkpoints)
    prefix = f"{context.name}/"

    def keep(barrier: Barrier, states: Mapping[str, Any]) -> None:
        around.keep(barrier, {prefix + name: state for name, state in states.items()})

    execution = Execution(
        plan,
        context.settings,
        context,
        keeper=keep if around.keeps else None,
        restored=around.restored_states(prefix),
        coordinator=coordinator,
    )
    if coordinator is not None:
        coordinator.begins(execution.prefix, execution.has_passed)
    execution.stopping = around.stopping
    around.nested.add(execution)
    return execution


async def pull_items(execution: Execution) -> list[Any] | None:
    """The items of the next chunk for the caller; None at the end."""
    while (signal := await execution.read()) is not None:
        if type(signal) is Chunk:
            return signal.items
    return None


def _members(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [member for each in error.exceptions for member in _members(each)]
    return [error]
