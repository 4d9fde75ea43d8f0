"""Takes the checkpoints of one run: barriers go out, answers come in, one epoch at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reactive.chain import Fairness, let_others_run
from reactive.channel import Waker
from reactive.checkpoint import Checkpoint
from reactive.epoch_parts import EpochParts
from reactive.errors import CheckpointError
from reactive.log import log_event
from reactive.metrics import Meter
from reactive.restoring import Restored, find_epoch, restore
from reactive.signals import Barrier
from reactive.store import open_store

if TYPE_CHECKING:
    from reactive.committing import Committing
    from reactive.plan import Plan
    from reactive.pump import Pump

_PATIENCE_SECONDS = 30.0
_SLICE_SECONDS = 0.002
_FIRST = 0.25
"""What part of the time between epochs comes before the first: a run that is killed again and
again, a little later each time than an epoch would be, goes on nevertheless."""


class Coordinator:
    """Makes epochs of what sources, operators and sinks say.

    An epoch begins with a barrier behind what every open source has given. It is complete when
    the barrier has come to every sink, or its input has ended; then everything that the barrier
    passed on its way has been kept. It is saved, and only then do the sinks commit it, and the
    sources hear that it is.
    """

    def __init__(self, checkpoint: Checkpoint, plan: Plan) -> None:
        self._checkpoint = checkpoint
        self._plan = plan
        self._store = open_store(checkpoint.store)
        self._worker = self._store.worker()
        self._time = asyncio.get_running_loop().time
        self._fairness = Fairness(_SLICE_SECONDS)
        self._waker = Waker()
        self._jobs = set(plan.job_names.values())
        self._pumps: dict[Pump, None] = {}
        self._sinks: dict[str, Committing] = {}
        self._ended: set[str] = set()
        self._ended_sources: dict[str, Any] = {}
        self._barrier: Barrier | None = None
        self._last = False
        self._answers: dict[str, tuple[Any, bool]] = {}
        self._passed: list[tuple[Pump, Any]] = []
        self.pauses: set[Waker] = set()
        """Operators that wait with no source open, and may give a barrier themselves."""
        self._complete = asyncio.Event()
        self._asked: float | None = None
        self._names: set[str | None] = set()
        self._wanted: list[tuple[str | None, asyncio.Future[int]]] = []
        self._stopping = False
        self._epoch = 0
        self._begun: set[str] = set()
        self.done = asyncio.Event()
        """Set when no epoch will follow: all input has ended, or the run was stopped."""
        self.all_ended = False
        """Whether the last epoch has all that there is."""
        self.committed: int | None = None
        """The last epoch that this run has committed."""
        self.restored = Restored()
        self.parts: EpochParts
        self.meter = Meter("checkpoints")
        self.meter.counts_in = self.meter.counts_out = False

    async def open(self) -> None:
        """Open the store and find out where to go on; nothing of the pipeline runs yet."""
        await self._worker.run(self._store.open)
        snapshot = await self._worker.run(find_epoch, self._store, self._checkpoint.restore)
        epochs = await self._worker.run(self._store.epochs)
        newest = self._epoch = epochs[-1].number if epochs else 0
        self._names = {epoch.name for epoch in epochs}
        self.parts = EpochParts(self._plan)
        if snapshot is None:
            return
        self.restored = await self._worker.run(restore, snapshot, self._plan, self._store.title)
        number = snapshot.epoch.number
        if number < newest:
            await self._worker.run(self._store.rewind, number)
            log_event("warning", "later_epochs_discarded", store=self._store.title, after=number)
            self._epoch = number
        self.parts.go_on_from(snapshot)
        self._ended_sources = dict(self.restored.ended_sources)
        if self.restored.ended:
            self.all_ended = True
            self.done.set()
            log_event("info", "run_was_complete", store=self._store.title, epoch=number)
        else:
            log_event("info", "run_goes_on", store=self._store.title, epoch=number)

    async def close(self) -> None:
        """Let go of the store. What is being saved is finished before."""
        try:
            await self._worker.run(self._store.close)
        finally:
            await self._worker.close()
        self._refuse_wanted()

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """What operators hold, as the barrier passes them."""
        if barrier == self._barrier:
            for name, state in states.items():
                self.parts.keep_operator(name, state)

    def opened(self, pump: Pump) -> None:
        """A source begins; it takes part in the epoch that is under way."""
        self._pumps[pump] = None
        self._ended_sources.pop(pump.name, None)
        if self._stopping:
            pump.stop()
        if self._barrier is not None and not pump.too_late_for(self._barrier):
            pump.inject(self._barrier)

    def closed(self, pump: Pump, position: Any, *, ended: bool) -> None:
        """A source has given all it will."""
        self._pumps.pop(pump, None)
        if ended:
            self._ended_sources[pump.name] = position

    def source_passed(self, pump: Pump, barrier: Barrier, position: Any) -> None:
        """A source has put a barrier behind what it gave, which ends at `position`."""
        if barrier == self._barrier:
            self.parts.keep_source(pump.name, position, ended=False)
            self._passed.append((pump, position))

    def begins(self, prefix: str, has_passed: Callable[[Barrier], bool]) -> None:
        """A run within an operator begins. The first one goes on where that of an earlier run was;
        those after it begin anew, whatever the one before has held and read."""
        if prefix not in self._begun:
            self._begun.add(prefix)
            return
        for known in (self._ended_sources, self.restored.positions):
            for name in [name for name in known if name.startswith(prefix)]:
                del known[name]
        if self._barrier is not None and not has_passed(self._barrier):
            self.parts.drop(prefix)

    @property
    def under_way(self) -> Barrier | None:
        """The barrier of the epoch that is being taken."""
        return self._barrier

    def is_taking(self, barrier: Barrier) -> bool:
        """Whether an epoch is under way."""
        return barrier == self._barrier

    def attach(self, sink: Committing) -> None:
        """A sink takes part, from before its first item."""
        self._sinks[sink.name] = sink

    def answer(self, sink: Committing, epoch: int, token: Any, *, ended: bool) -> None:
        """A sink has prepared an epoch, behind the barrier or all of its input."""
        if self._barrier is None or epoch != self._barrier.epoch:
            return
        self._answers[sink.name] = token, ended
        if self._answers.keys() >= self._jobs:
            self._complete.set()

    async def next_epoch(self, sink: Committing) -> int | None:
        """For a sink whose input has ended: the next epoch to prepare, as soon as there is one;
        None when it may finish."""
        self._ended.add(sink.name)
        if self._ended >= self._jobs:
            self._waker.wake()
        while not self.done.is_set():
            if self._barrier is not None and sink.name not in self._answers:
                return self._barrier.epoch
            await sink.turn.wait()
        return None

    def ask(self, within: float) -> None:
        """Somebody waits for a commit: begin the next epoch in so many seconds at the latest."""
        due = self._time() + within
        if self._asked is None or due < self._asked:
            self._asked = due
            self._waker.wake()

    def take(self, name: str | None = None) -> asyncio.Future[int]:
        """Take an epoch that begins from now on; its number, once it is committed. With a name it
        is a savepoint."""
        if name is not None:
            if name in self._names:
                raise CheckpointError(
                    f"{self._store.title}: there is a savepoint {name!r} already; delete it, or "
                    "give this one another name"
                )
            self._names.add(name)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._wanted.append((name, future))
        if self.done.is_set():
            self._refuse_wanted()
        self._waker.wake()
        return future

    def _refuse_wanted(self) -> None:
        for _, future in self._wanted:
            if not future.done():
                future.set_exception(CheckpointError("the run ended before a checkpoint was taken"))
                future.exception()

    def stop(self) -> None:
        """Let the sources take no more, and take a last epoch behind what they have taken."""
        self._stopping = True
        for pump in self._pumps:
            pump.stop()
        self._waker.wake()

    async def drive(
        self, fail: Callable[[BaseException], None], committed: Callable[[int], None]
    ) -> None:
        """Take epochs until there is nothing more to keep; `committed` gets the oldest that is
        kept still."""
        try:
            every = self._checkpoint.every
            due = self._time() + every * _FIRST
            while not self.done.is_set():
                await self._due(due)
                due = self._time() + every
                committed(await self._take())
            self._refuse_wanted()
        except Exception as error:
            fail(error)

    async def _due(self, time: float) -> None:
        """Wait until the next epoch is to begin."""
        while not self._stopping and not self._wanted and not self._ended >= self._jobs:
            due = time if self._asked is None else min(time, self._asked)
            if self._time() >= due or not await self._waker.wait(due):
                break
        self._asked = None

    async def _take(self) -> int:
        began = self._time()
        self._epoch += 1
        barrier = self._barrier = Barrier(self._epoch)
        self._last = self._stopping
        wanted, self._wanted = self._wanted, []
        self._complete.clear()
        self._answers.clear()
        self._passed.clear()
        self.parts.begin(barrier.epoch)
        for name, position in self._ended_sources.items():
            self.parts.keep_source(name, position, ended=True)
        for pump in list(self._pumps):
            pump.inject(barrier)
        for waker in self.pauses:
            waker.wake()
        for name in self._ended:
            self._sinks[name].turn.wake()
        await self._completed(barrier)
        await self._commit(barrier, wanted)
        self._barrier = None
        self._note(began)
        return await self._worker.run(self._store.tidy, self._checkpoint.retain)

    async def _completed(self, barrier: Barrier) -> None:
        """Wait for all sinks; say so if that takes long."""
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._complete.wait()
                return
            except TimeoutError:
                log_event(
                    "warning",
                    "checkpoint_waits",
                    epoch=barrier.epoch,
                    seconds=_PATIENCE_SECONDS,
                    sinks=sorted(self._jobs - self._answers.keys()),
                    fix="an operator before them has not let the barrier pass: calls, inner "
                    "streams and pauses under way have to end first",
                )

    async def _commit(
        self, barrier: Barrier, wanted: list[tuple[str | None, asyncio.Future[int]]]
    ) -> None:
        ended = all(ended for _, ended in self._answers.values())
        for name, (token, over) in self._answers.items():
            self.parts.keep_sink(name, token, ended=over)
        await self.parts.complete(self._pause)
        title = next((name for name, _ in wanted if name is not None), None)
        save = self.parts.save(time.time(), ended=ended, name=title)
        await self._worker.run(self._store.save, save)
        self.parts.saved(save)
        self._size = sum(len(part.data) for part in save.parts)
        for name, sink in self._sinks.items():
            await sink.commit(barrier.epoch, self._answers[name][0])
        self.committed = barrier.epoch
        for pump, position in self._passed:
            pump.committed(position)
        for _, future in wanted:
            if not future.done():
                future.set_result(barrier.epoch)
        self.all_ended = ended
        if ended or self._last:
            self.done.set()
            for name in self._ended:
                self._sinks[name].turn.wake()

    async def _pause(self) -> None:
        if self._fairness.overdue():
            await let_others_run()

    def _note(self, began: float) -> None:
        meter = self.meter
        now = self._time()
        meter.count("epochs")
        size, seconds, epoch = self._size, now - began, self._epoch
        meter.gauges["epoch"] = lambda: epoch
        meter.gauges["seconds"] = lambda: seconds
        meter.gauges["bytes"] = lambda: size
        meter.gauges["age"] = lambda: self._time() - now
