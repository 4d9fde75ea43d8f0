"""A checkpoint store that lives as long as its object: for tests that stop and go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactive.errors import CheckpointError
from reactive.store import Epoch, Part, Save, Snapshot, Store, StoreWorker

T = TypeVar("T")


class MemoryStore(Store):
    """Keeps epochs in memory, for the runs of one process that are given the same store.

    Nothing blocks and no thread is started, so that runs on virtual time take no real time. It
    keeps what a store on disk would: pickles, and of state held by key only what has changed.

    ```python
    from reactive.testing import MemoryStore

    store = MemoryStore()
    job = rx.range(5).scan(lambda total, n: total + n, 0).to(memory.call(print))
    await rx.run(job, checkpoint=rx.Checkpoint(store))
    assert store.epochs()[-1].ended
    ```
    """

    def __init__(self, title: str = "memory") -> None:
        self._title = title
        self._saves: dict[int, Save] = {}
        self._parts: dict[tuple[str, int], list[tuple[int, Part]]] = {}
        self._opened = False

    @property
    def title(self) -> str:
        return self._title

    def worker(self) -> StoreWorker:
        return CallAtOnce()

    def open(self, *, reading: bool = False) -> None:
        if reading:
            return
        if self._opened:
            raise CheckpointError(
                f"{self.title}: another run uses this checkpoint store; stop that one first, or "
                "give this run a store of its own"
            )
        self._opened = True

    def epochs(self) -> list[Epoch]:
        return [self._epoch(save) for _, save in sorted(self._saves.items())]

    def _epoch(self, save: Save) -> Epoch:
        size = sum(len(part.data) for part in save.parts)
        return Epoch(save.number, save.created, save.ended, save.name, size)

    def load(self, number: int) -> Snapshot:
        save = self._save_of(number)
        parts: dict[str, dict[int, list[bytes]]] = {name: {} for name in save.owners}
        for (name, group), chain in self._parts.items():
            if name not in save.owners:
                continue
            since = save.owners[name].since
            for epoch, part in chain:
                if not since <= epoch <= number:
                    continue
                if part.complete or group not in parts[name]:
                    parts[name][group] = [part.data]
                else:
                    parts[name][group].append(part.data)
        return Snapshot(self._epoch(save), dict(save.owners), parts)

    def _save_of(self, number: int) -> Save:
        if number not in self._saves:
            raise CheckpointError(f"{self.title}: has no epoch {number}")
        return self._saves[number]

    def save(self, save: Save) -> None:
        if save.number in self._saves:
            raise CheckpointError(f"{self.title}: epoch {save.number} was saved before")
        if save.name is not None and any(save.name == old.name for old in self._saves.values()):
            raise CheckpointError(f"{self.title}: there is a savepoint {save.name!r} already")
        self._saves[save.number] = save
        for part in save.parts:
            self._parts.setdefault((part.owner, part.group), []).append((save.number, part))

    def tidy(self, retain: int) -> int:
        unnamed = [number for number, save in sorted(self._saves.items()) if save.name is None]
        for number in unnamed[:-retain]:
            del self._saves[number]
        self._drop_unneeded()
        return min(self._saves, default=0)

    def _drop_unneeded(self) -> None:
        oldest = min(self._saves, default=0)
        for chain in self._parts.values():
            starts = [
                place
                for place, (epoch, part) in enumerate(chain)
                if part.complete and epoch <= oldest
            ]
            del chain[: starts[-1] if starts else 0]

    def rewind(self, number: int) -> None:
        self._save_of(number)
        for later in [epoch for epoch in self._saves if epoch > number]:
            del self._saves[later]
        for chain in self._parts.values():
            chain[:] = [(epoch, part) for epoch, part in chain if epoch <= number]

    def delete(self, number: int) -> None:
        self._save_of(number)
        del self._saves[number]
        self._drop_unneeded()

    def close(self) -> None:
        self._opened = False


class CallAtOnce:
    """Makes the calls of a store where they are asked for, since none of them waits."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call it."""
        return function(*arguments)

    async def close(self) -> None:
        """There is nothing to wait for."""
