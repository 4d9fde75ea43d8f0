"""A sink in a run with checkpoints: its writer prepares epochs and commits them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reactive.channel import Waker
from reactive.debloating import Writes
from reactive.endpoint import Writer
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.coordinator import Coordinator


class Committing:
    """Calls a writer, one call at a time: epochs are committed while more is written."""

    def __init__(
        self, writer: Writer[Any], coordinator: Coordinator, name: str, writes: Writes
    ) -> None:
        self.name = name
        self._writes = writes
        self._time = asyncio.get_running_loop().time
        self.turn = Waker()
        self._writer = writer
        self._coordinator = coordinator
        self._lock = asyncio.Lock()
        self.ended: bool = coordinator.restored.has_ended(name)
        """Whether an earlier run came to the end of its input."""

    async def open(self) -> None:
        """Open the writer, and let it go on after the last epoch."""
        self._coordinator.attach(self)
        async with self._lock:
            await self._writer.open()
            await self._writer.recover(*self._coordinator.restored.committed(self.name))

    async def write(self, chunk: Chunk[Any]) -> None:
        """Write items, which belong to the next epoch."""
        before = self._time()
        async with self._lock:
            await self._writer.write(chunk)
        self._writes.took(len(chunk.items), self._time() - before)

    async def prepare(self, epoch: int, *, ended: bool = False) -> None:
        """What was written so far belongs to this epoch."""
        async with self._lock:
            token = await self._writer.prepare(epoch)
        self._coordinator.answer(self, epoch, token, ended=ended)

    async def commit(self, epoch: int, token: Any) -> None:
        """The epoch is saved."""
        async with self._lock:
            await self._writer.commit(epoch, token)

    async def finish(self) -> None:
        """No more comes: take part in epochs to the last one, then make the output final."""
        while (epoch := await self._coordinator.next_epoch(self)) is not None:
            await self.prepare(epoch, ended=True)
        if self._coordinator.all_ended:
            async with self._lock:
                await self._writer.finish()
