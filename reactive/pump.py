"""A source in a run with checkpoints: barriers are put behind what it has given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reactive.debloating import Debloating
from reactive.signals import Barrier, Chunk, Signal

if TYPE_CHECKING:
    from reactive.coordinator import Coordinator
    from reactive.pullers import SourcePuller
    from reactive.region import Region


class Pump:
    """Reads a source for its region, and has barriers put behind what it gives.

    A barrier need not interrupt a reader that waits: the steps behind it have nothing to do then,
    all they gave is on the edges, and where the read that waits began is known, so the barrier is
    passed through the steps and put on the edges from outside.

    A source that `listens` while something else is read first is ahead of all epochs until its
    items are asked for: its position in them is the one at which it began to listen.
    """

    def __init__(
        self,
        region: Region,
        source: SourcePuller,
        coordinator: Coordinator,
        name: str,
        *,
        listens: bool = False,
    ) -> None:
        self.name = name
        self._region = region
        self.source = source
        self._coordinator = coordinator
        self._position: Any = None
        self._reading = False
        self._stopping = False
        self._waiting: Barrier | None = None
        self._wanted = asyncio.Event()
        self._passed_over: Barrier | None = None
        self._began: Any = None
        self._open = False
        self._debloating = Debloating(region.execution.settings.chunk)
        if not listens:
            self._wanted.set()

    def too_late_for(self, barrier: Barrier) -> bool:
        """Whether the barrier has left the operator that runs this source already, with what a
        run before this one gave."""
        return self._region.execution.has_passed(barrier)

    def inject(self, barrier: Barrier) -> None:
        """Put a barrier behind what was given so far, or once it stops behind all that was
        taken."""
        if not self._wanted.is_set():
            self._passed_over = barrier
            self._coordinator.source_passed(self, barrier, self._began)
        elif self._reading:
            self._put(barrier)
        else:
            self._waiting = barrier

    def stop(self) -> None:
        """Take no more from outside. In place of the end, barriers come behind what was taken."""
        self._stopping = True
        self._reading = False
        self.source.stop()

    def committed(self, position: Any) -> None:
        """What was given before `position` is durable at every sink."""
        self.source.committed(position)

    def _listen(self) -> None:
        """The source is open: let the reader of its edge go on with what it reads first."""
        self._began = self.source.position()
        for outlet in self._region.outlets:
            outlet.on_demand = self._be_wanted
            outlet.begun = True
            outlet.waker.wake()

    def _be_wanted(self) -> None:
        """The first item is asked for. An epoch that is under way goes before it, where it has not
        come with what was read first."""
        self._wanted.set()
        for outlet in self._region.outlets:
            outlet.on_demand = None
            if self._passed_over is not None and self._coordinator.is_taking(self._passed_over):
                outlet.put_first(self._passed_over)

    def holds_back(self, pending: int) -> bool:
        """Whether what a read that is under way has sent to side outputs is to stay here: a barrier
        may yet come, and the position in it is the one before that read. When that would be too
        much, the barrier waits for the read instead."""
        if not self._reading or self._stopping or not self.source.replayable:
            return False
        if pending <= self._region.execution.settings.edge:
            return True
        self._reading = False
        return False

    def _put(self, barrier: Barrier) -> None:
        self._coordinator.source_passed(self, barrier, self._position)
        self._region.put(barrier)

    def _put_waiting(self) -> None:
        if self._waiting is not None:
            barrier, self._waiting = self._waiting, None
            self._put(barrier)

    async def open(self) -> None:
        """Open the source, which takes part in epochs from now on."""
        await self.source.open()
        if not self._wanted.is_set():
            self._listen()
        self._open = True
        self._coordinator.opened(self)

    async def read(self) -> Signal[Any] | None:
        """What the source gives; None at its end, but not at that of the run."""
        self._position = self.source.position()
        if not self._stopping:
            self._reading = True
            self._put_waiting()
        self.source.most = self._debloating.asks()
        try:
            signal = await self.source.read()
        finally:
            self._reading = False
        if type(signal) is Chunk:
            self._debloating.takes(len(signal.items))
        elif signal is None:
            await self._come_to_end()
        return signal

    async def _come_to_end(self) -> None:
        if self._region.unsent:
            await self._region.flush()
        await self._wanted.wait()
        self._position = self.source.position()
        self._put_waiting()
        if self._stopping:
            self._reading = True
            await asyncio.get_running_loop().create_future()
        self._leave(ended=True)

    def _leave(self, *, ended: bool) -> None:
        if self._open:
            self._open = False
            self._coordinator.closed(self, self._position, ended=ended)

    async def close(self) -> None:
        """Close the source."""
        self._reading = False
        self._leave(ended=False)
        await self.source.close()
