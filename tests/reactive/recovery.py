"""Runs that are cut off again and again, and go on from what they have committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import reactive as rx
from reactive.endpoint import Sink, Writer
from reactive.signals import Chunk


@dataclass
class Ledger:
    """What a sink outside of the process would have: committed epochs, each once."""

    epochs: dict[int, list[Any]] = field(default_factory=dict)
    prepared: list[int] = field(default_factory=list)
    finished: int = 0

    @property
    def items(self) -> list[Any]:
        return [item for epoch in sorted(self.epochs) for item in self.epochs[epoch]]


class LedgerWriter(Writer[Any]):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._items: list[Any] = []

    async def recover(self, epoch: int, token: Any) -> None:
        late = [known for known in self._ledger.epochs if known > epoch]
        assert not late, f"epochs {late} were committed and are not in the store"
        await super().recover(epoch, token)

    async def write(self, chunk: Chunk[Any]) -> None:
        self._items += chunk.items

    async def prepare(self, epoch: int) -> Any:
        items, self._items = self._items, []
        self._ledger.prepared.append(epoch)
        return items

    async def commit(self, epoch: int, token: Any) -> None:
        assert self._ledger.epochs.setdefault(epoch, token) == token

    async def finish(self) -> None:
        self._ledger.finished += 1


@dataclass(frozen=True, eq=False)
class LedgerSink(Sink[Any]):
    """Writes to a ledger."""

    ledger: Ledger

    @property
    def replayed(self) -> Literal["transactional"]:
        return "transactional"

    def writer(self, context: rx.Context) -> Writer[Any]:
        return LedgerWriter(self.ledger)


@dataclass(frozen=True)
class Ticks(rx.Source[int]):
    """Numbers from 0, one every so many seconds, that can be read again from any of them."""

    count: int
    every: float

    @property
    def bounded(self) -> bool:
        return True

    @property
    def replayable(self) -> bool:
        return True

    def reader(self, context: rx.Context) -> rx.Reader[int]:
        return _TickReader(self)


class _TickReader(rx.Reader[int]):
    def __init__(self, ticks: Ticks) -> None:
        self._ticks = ticks
        self._next = 0

    async def read(self, limit: int) -> rx.Signal[int] | None:
        if self._next == self._ticks.count:
            return None
        await asyncio.sleep(self._ticks.every)
        self._next += 1
        return Chunk([self._next - 1])

    def position(self) -> int:
        return self._next

    async def seek(self, position: int) -> None:
        self._next = position


async def run_to_the_end(
    store: Path | rx.Checkpoint,
    make: Callable[[], Sequence[rx.Job]],
    cuts: Sequence[tuple[float, bool]],
    every: float = 1.0,
    mode: Literal["stream", "batch"] = "stream",
) -> int:
    """Run the jobs, each time cut off after so many seconds, by a drain or at once; the last time
    to the end. Gives how many runs that took."""
    checkpoint = store if isinstance(store, rx.Checkpoint) else rx.Checkpoint(store, every=every)
    for number, (seconds, drain) in enumerate(cuts, 1):
        async with rx.start(*make(), checkpoint=checkpoint, mode=mode) as run:
            try:
                async with asyncio.timeout(seconds):
                    await run.wait()
                    return number
            except TimeoutError:
                await run.stop(drain=drain)
    await rx.run(*make(), checkpoint=checkpoint, mode=mode)
    return len(cuts) + 1
