"""The ways to run: iterate, open, await, and jobs."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactive.chain import let_others_run
from reactive.checkpoint import Checkpoint, as_checkpoint
from reactive.context import Mode, Settings, with_mode
from reactive.delivery import check_acknowledging, check_delivery
from reactive.errors import CheckpointError, EmptyStreamError, PlanError
from reactive.execution import Execution, pull_items
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.metrics import OperatorMetrics, Progress, read_meter
from reactive.plan import JobPlan, make_plan
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    import os

    from reactive.coordinator import Coordinator
    from reactive.stream import Job

T_co = TypeVar("T_co", covariant=True)

_SLICE_SECONDS = 0.0005


def _execution(node: Node, settings: Settings | None, mode: Mode | None) -> Execution:
    """A run of a graph whose items the caller takes."""
    settings = with_mode(settings, mode)
    plan = make_plan([JobPlan(node)], mode=settings.mode)
    check_acknowledging(plan)
    return Execution(plan, settings)


async def iterate(
    node: Node, settings: Settings | None = None, mode: Mode | None = None
) -> AsyncGenerator[Any, None]:
    """Run a graph in the consumer's task and give its items one by one."""
    execution = _execution(node, settings, mode)
    now = asyncio.get_running_loop().time
    size = 1
    try:
        await execution.open()
        while (items := await pull_items(execution)) is not None:
            position = 0
            while position < len(items):
                whole = position == 0 and size >= len(items)
                piece = items if whole else items[position : position + size]
                position += len(piece)
                before = now()
                for item in piece:
                    yield item
                took = now() - before
                if took > 2 * _SLICE_SECONDS:
                    size = max(1, int(len(piece) * _SLICE_SECONDS / took))
                elif took < _SLICE_SECONDS and len(piece) >= size:
                    size *= 2
                if execution.fairness.overdue():
                    await let_others_run()
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            _warn_if_abandoned(node)
        await execution.close_after(error)
        raise
    await execution.close()


def _warn_if_abandoned(node: Node) -> None:
    """Warn when it is the garbage collector, not the consumer, that closes an iteration."""
    task = asyncio.current_task()
    coroutine = None if task is None else task.get_coro()
    if type(coroutine).__name__ != "async_generator_athrow":
        return
    where = f" ({node.location})" if node.location is not None else ""
    warnings.warn(
        f"the iteration over {node.label}{where} was left before its end and only closed when it "
        "was collected; use `async with stream.open() as items`",
        ResourceWarning,
        stacklevel=2,
    )


class OpenStream(Generic[T_co]):
    """The async context manager of `Stream.open()`: gives the iterator, closes it at the end."""

    def __init__(
        self, node: Node, settings: Settings | None = None, mode: Mode | None = None
    ) -> None:
        self._node = node
        self._settings = with_mode(settings, mode)
        self._items: AsyncGenerator[Any, None] | None = None

    async def __aenter__(self) -> AsyncIterator[T_co]:
        if self._items is not None:
            raise PlanError("this open() was already entered; call stream.open() for each run")
        self._items = iterate(self._node, self._settings)
        return self._items

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._items is not None
        try:
            await self._items.aclose()
        except Exception as second:
            if error is None or not isinstance(error, Exception):
                raise
            raise ExceptionGroup("failed, and cleanup failed too", [error, second]) from None


async def collect(
    node: Node, settings: Settings | None = None, mode: Mode | None = None
) -> list[Any]:
    """Run a graph to its end and return its items."""
    execution = _execution(node, settings, mode)
    result: list[Any] = []
    try:
        await execution.open()
        while (items := await pull_items(execution)) is not None:
            result += items
    except BaseException as error:
        await execution.close_after(error)
        raise
    await execution.close()
    return result


async def take_single(node: Node) -> Any:
    """Run a graph that gives one item and return that item."""
    items = await collect(node)
    if not items:
        raise EmptyStreamError(f"{node.label} ({node.location}) gave no item to await")
    return items[0]


@dataclass(frozen=True, slots=True)
class Report:
    """How a run of jobs went: seconds of the loop's clock, and every operator's counters."""

    seconds: float
    operators: tuple[OperatorMetrics, ...]

    def __getitem__(self, name: str) -> OperatorMetrics:
        for operator in self.operators:
            if operator.name == name:
                return operator
        known = ", ".join(operator.name for operator in self.operators)
        raise KeyError(f"no operator named {name!r} in this run; there are: {known}")


@dataclass(frozen=True, slots=True)
class RegionState:
    """What one task of a run is doing: `waiting for ...`, `working`, `blocked by ...`, `done`."""

    name: str
    state: str


class Run:
    """Jobs under way, from `rx.start`: look at them, wait for them, stop them."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._coordinator = execution.coordinator
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._seconds: float | None = None

    @property
    def running(self) -> bool:
        """Whether any part has not ended."""
        return self._execution.running

    @property
    def failed(self) -> bool:
        """Whether a job has failed; `wait` or leaving the block raises why."""
        return self._execution.failed.is_set()

    def metrics(self) -> Report:
        """Every operator's counters now."""
        seconds = self._seconds if self._seconds is not None else self._loop.time() - self._started
        meters = tuple(read_meter(meter) for meter in self._execution.meters.values())
        return Report(seconds, meters)

    def progress(self) -> list[Progress]:
        """How far every source has been read, and how far the operators have come that have to go
        through something as a whole, such as a sort that merges. Where the size is known there
        are a `fraction`, and `remaining`, the seconds that the rest takes."""
        names = list(self._execution.plan.names.values())
        places = {name: place for place, name in enumerate(names)}
        meters = [meter for meter in self._execution.meters.values() if meter.progress is not None]
        meters.sort(key=lambda meter: places.get(meter.name, len(names)))
        told = (meter.progress() for meter in meters if meter.progress is not None)
        return [each for each in told if each is not None]

    def regions(self) -> list[RegionState]:
        """What every task of the run is doing now: who waits for whom."""
        return [RegionState(region.name, region.state) for region in self._execution.regions]

    async def wait(self) -> Report:
        """Wait until all jobs have completed; raises as soon as one fails, stopping the others."""
        await self._execution.join()
        if self._execution.failed.is_set():
            await self._finish()
        return self.metrics()

    @property
    def committed(self) -> int | None:
        """The number of the last epoch that this run has committed; None before the first, and in
        a run without checkpoints."""
        return None if self._coordinator is None else self._coordinator.committed

    async def checkpoint(self, name: str | None = None) -> int:
        """Take a checkpoint now, and give the number of its epoch once it is committed. With a
        name it is a savepoint, which is kept until it is deleted. `PlanError` in a run without
        `checkpoint=`."""
        taken = self._needs_coordinator("checkpoint()").take(name)
        await self._execution.either(taken)
        if not taken.done():
            await self._finish()
            raise CheckpointError("the run ended before the checkpoint was taken")
        return taken.result()

    def _needs_coordinator(self, what: str) -> Coordinator:
        if self._coordinator is None:
            raise PlanError(
                f"{what} needs a run with checkpoints: "
                'rx.start(job, checkpoint=rx.Checkpoint("state.db"))'
            )
        return self._coordinator

    async def stop(self, *, drain: bool = True, savepoint: bool | str = False) -> Report:
        """End the run. With `drain`, sources take no more, and everything already taken flows
        through to the sinks, which make their output final; without, everything is cancelled
        and unfinished output discarded. Returns when all is closed; raises what failed.

        In a run with checkpoints, a drain ends with a last checkpoint in place of the end of the
        input: open windows stay open and output stays as it was committed, for the next run to go
        on with. With `savepoint`, that checkpoint is kept until it is deleted, under the name
        given, or one with the time."""
        if savepoint is not False:
            if not drain:
                raise ValueError("a savepoint is taken by draining: stop(savepoint=...) alone")
            name = time.strftime("%Y-%m-%dT%H:%M:%S") if savepoint is True else savepoint
            self._needs_coordinator("stop(savepoint=...)").take(name)
        if drain and not self._execution.closing:
            await self._drain()
        await self._finish()
        return self.metrics()

    async def _drain(self) -> None:
        execution, coordinator = self._execution, self._coordinator
        if coordinator is not None:
            coordinator.stop()
            await execution.either(asyncio.ensure_future(coordinator.done.wait()))
        else:
            execution.stop()
        if coordinator is None or coordinator.all_ended:
            await execution.join()

    async def _finish(self) -> None:
        try:
            await self._execution.close()
        finally:
            if self._coordinator is not None:
                await self._coordinator.close()
            if self._seconds is None:
                self._seconds = self._loop.time() - self._started


class Starting:
    """The async context manager of `rx.start`."""

    def __init__(
        self, jobs: tuple[Job, ...], settings: Settings, checkpoint: Checkpoint | None
    ) -> None:
        planned = [job.planned for job in jobs]
        self._plan = make_plan(planned, mode=settings.mode, checkpoints=checkpoint is not None)
        if checkpoint is None:
            check_acknowledging(self._plan)
        elif checkpoint.delivery is not None:
            check_delivery(self._plan, checkpoint.delivery)
        self._settings = settings
        self._checkpoint = checkpoint
        self._coordinator: Coordinator | None = None
        self._execution: Execution | None = None
        self._run: Run | None = None

    async def __aenter__(self) -> Run:
        if self._execution is not None:
            raise PlanError("these jobs were already started; call rx.start(...) for each run")
        if self._checkpoint is None:
            self._execution = Execution(self._plan, self._settings)
            self._run = Run(self._execution)
            await self._execution.open()
            return self._run
        from reactive.coordinator import Coordinator

        coordinator = self._coordinator = Coordinator(self._checkpoint, self._plan)
        try:
            await coordinator.open()
            self._execution = Execution(
                self._plan,
                self._settings,
                keeper=coordinator.keep,
                restored=coordinator.restored.states,
                coordinator=coordinator,
            )
            self._run = Run(self._execution)
            await self._execution.open()
        except BaseException:
            await coordinator.close()
            raise
        return self._run

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._execution is not None
        assert self._run is not None
        try:
            if error is not None:
                await self._execution.close_after(error)
                return
            try:
                await self._run.stop(drain=True)
            except BaseException as failure:
                await self._execution.close_after(failure)
                raise
        finally:
            if self._coordinator is not None:
                await uninterrupted(self._coordinator.close())


def start(
    *jobs: Job,
    settings: Settings | None = None,
    mode: Mode | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
) -> Starting:
    """Run jobs beside the code of an `async with` block, which is given a `Run`.

    Leaving the block stops them with a drain; an exception in the block cancels them. A job that
    fails while the block runs is logged at once, stops nothing in the block, and is raised by
    `run.wait()`, `run.stop()` or on leaving. Embedding installs no signal handlers. `mode` is that
    of `Settings`: `"auto"`, `"stream"` or `"batch"`, where a `PlanError` tells what never ends.
    With `checkpoint`, an `rx.Checkpoint` or a path, the run goes on where an earlier one was.

    ```python
    async with rx.start(job) as run:
        report = await run.wait()
    ```
    """
    check_jobs("start", jobs)
    return Starting(jobs, with_mode(settings, mode), as_checkpoint(checkpoint))


async def run(
    *jobs: Job,
    settings: Settings | None = None,
    mode: Mode | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
) -> Report:
    """Run jobs together until all have completed, and report.

    A stream used by several of them executes once and feeds each. When one fails, the others are
    cancelled and the error is raised; several at once form an `ExceptionGroup`. Cancelling
    closes everything before it returns. `mode` and `checkpoint` are as for `start`.

    ```python
    report = await rx.run(rx.range(3).map(str).to(files.write_lines("numbers.txt")))
    ```
    """
    check_jobs("run", jobs)
    async with start(*jobs, settings=settings, mode=mode, checkpoint=checkpoint) as running:
        return await running.wait()


def check_jobs(caller: str, jobs: tuple[object, ...]) -> None:
    """Refuse what is no job, with the fix."""
    from reactive.stream import Job

    if not jobs:
        raise TypeError(f"rx.{caller} needs at least one job: stream.to(sink)")
    for job in jobs:
        if not isinstance(job, Job):
            raise TypeError(
                f"rx.{caller} needs jobs, not {job!r}; make one with stream.to(sink), or take "
                "the items yourself with `async for` or `await stream.collect()`"
            )
