"""A simulated world for runs with checkpoints: what crashes leave behind, and faults on purpose.

A `World` is what outlives a process: the state store and what sinks have written. A `Life` is one
process in it, which begins, is disturbed, and ends. Everything random comes from one seed, and all
of it runs on virtual time, in one thread.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, Literal, TypeVar

from reactive.context import Context
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal
from reactive.store import Epoch, Save, Snapshot, Store, StoreWorker
from reactive.testing.memory_store import MemoryStore
from reactive.testing.observing import LawBroken
from reactive.testing.virtual_time import VirtualTimeLoop

T = TypeVar("T")

IDLE_SECONDS = 500.0


class InjectedFault(OSError):
    """What a simulated disk, peer or store fails with."""


class ShufflingLoop(VirtualTimeLoop):
    """A virtual-time loop on which tasks that are ready at once take their turns in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.chance: random.Random | None = None

    def _begin_round(self) -> bool:
        due = super()._begin_round()
        ready: Any = self._ready  # type: ignore[attr-defined]
        if self.chance is not None and len(ready) > 1:
            places = [place for place, handle in enumerate(ready) if _is_turn(handle)]
            handles = [ready[place] for place in places]
            self.chance.shuffle(handles)
            for place, handle in zip(places, handles, strict=True):
                ready[place] = handle
        return due


def _is_turn(handle: Any) -> bool:
    """Whether it is a task that goes on; what was asked for by `call_soon` keeps its order."""
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


@dataclass
class World:
    """What is durable: nothing here goes with a process."""

    store: MemoryStore = field(default_factory=lambda: MemoryStore("simulated"))
    ledgers: list[Ledger] = field(default_factory=list)


@dataclass
class Ledger:
    """What a transactional sink has outside: staged epochs, and visible ones, each once."""

    staged: dict[int, list[Any]] = field(default_factory=dict)
    epochs: dict[int, list[Any]] = field(default_factory=dict)
    finished: bool = False

    @property
    def items(self) -> list[Any]:
        """What can be seen."""
        return [item for epoch in sorted(self.epochs) for item in self.epochs[epoch]]


@dataclass(frozen=True)
class Fault:
    """The `number`-th call of a kind fails, with or without having had its effect."""

    call: str
    number: int
    after: bool

    def __str__(self) -> str:
        return f"{self.call} {self.number} fails {'after' if self.after else 'before'} its effect"


class Life:
    """One process: its calls to the world take time, may fail, and count for nothing once it is
    dead."""

    def __init__(
        self, world: World, chance: random.Random | None = None, fault: Fault | None = None
    ) -> None:
        self.world = world
        self.dead = False
        self.calls: Counter[str] = Counter()
        self.failed: str | None = None
        self.lost_epoch: int | None = None
        self.store = _LifeStore(self)
        self._chance = chance
        self._fault = fault
        self._patience = 0.0 if chance is None else chance.choice((0.0, 0.01, 0.5, 5.0))
        self.idle_at = 0
        """The read of a source before which nothing comes for long."""

    async def pause(self) -> None:
        """Let some turns of the loop pass, or some time."""
        chance = self._chance
        if chance is None:
            return
        luck = chance.random()
        if luck < 0.3:
            for _ in range(chance.randint(1, 4)):
                await asyncio.sleep(0)
        elif luck < 0.6:
            await asyncio.sleep(chance.random() * self._patience)

    async def idle(self) -> None:
        """Now and then nothing comes for long."""
        if self.calls["source read"] == self.idle_at - 1:
            await asyncio.sleep(IDLE_SECONDS)

    def size(self, most: int) -> int:
        """How many items to give at once."""
        return most if self._chance is None else self._chance.randint(1, most)

    def begin(self, call: str) -> bool:
        """A call is made; fails if it is to, and tells whether it is to fail after its effect."""
        if self.dead:
            raise asyncio.CancelledError
        self.calls[call] += 1
        fault = self._fault
        if fault is None or fault.call != call or fault.number != self.calls[call]:
            return False
        if not fault.after:
            self.fail(call)
        return True

    def fail(self, call: str) -> None:
        """The fault of this life."""
        self.failed = call
        raise InjectedFault(28, f"simulated: {self._fault}")

    async def call(self, name: str, effect: Callable[[], T]) -> T:
        """Something outside: it takes time, has its effect, and takes time to say so."""
        await self.pause()
        fails = self.begin(name)
        result = effect()
        await self.pause()
        if fails:
            self.fail(name)
        return result


@dataclass(frozen=True, eq=False)
class SimulatedSource(Source[Any]):
    """Items that can be read again from any position, whose reads may take time and fail."""

    items: Sequence[Any]
    life: Life

    @property
    def bounded(self) -> bool:
        return True

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "simulated_source"

    def reader(self, context: Context) -> Reader[Any]:
        return _SimulatedReader(self.items, self.life)


class _SimulatedReader(Reader[Any]):
    def __init__(self, items: Sequence[Any], life: Life) -> None:
        self._items = items
        self._life = life
        self._next = 0
        self._taken: list[Any] = []
        self._reading = False
        self._committed = 0
        self._closed = False

    async def open(self) -> None:
        await self._life.call("source open", lambda: None)

    async def read(self, limit: int) -> Signal[Any] | None:
        self._reading = True
        try:
            if not self._taken:
                await self._take(limit)
            # It may be interrupted while it has taken something, and keeps it.
            await self._life.pause()
            taken, self._taken = self._taken, []
        finally:
            self._reading = False
        return Chunk(taken) if taken else None

    async def _take(self, limit: int) -> None:
        life = self._life
        await life.pause()
        await life.idle()
        fails = life.begin("source read")
        taken = self._items[self._next : self._next + life.size(min(limit, 6))]
        if fails:
            life.fail("source read")
        self._taken = list(taken)
        self._next += len(taken)

    def position(self) -> int:
        # Within a read it is not to be asked for, and misleads.
        return self._next if self._reading else self._next - len(self._taken)

    async def seek(self, position: int) -> None:
        def move() -> None:
            self._next = self._committed = position

        await self._life.call("source seek", move)

    def committed(self, position: int) -> None:
        if self._life.dead:
            return
        if not self._committed <= position <= self._next:
            raise LawBroken(
                f"a source at {self._next} of which {self._committed} were committed is told "
                f"that {position} are"
            )
        self._committed = position
        saved = max(epoch.number for epoch in self._life.world.store.epochs())
        for number, ledger in enumerate(self._life.world.ledgers):
            if saved not in ledger.epochs:
                raise LawBroken(f"a source hears of epoch {saved}, not committed by sink {number}")

    async def close(self) -> None:
        if self._closed:
            raise LawBroken("a reader is closed twice")
        self._closed = True
        await self._life.pause()


@dataclass(frozen=True, eq=False)
class SimulatedSink(Sink[Any]):
    """A transactional sink that writes to a ledger."""

    ledger: Ledger
    life: Life

    @property
    def replayed(self) -> Literal["transactional"]:
        return "transactional"

    @property
    def label(self) -> str:
        return "simulated_sink"

    def writer(self, context: Context) -> Writer[Any]:
        return _SimulatedWriter(self.ledger, self.life)


class _SimulatedWriter(Writer[Any]):
    def __init__(self, ledger: Ledger, life: Life) -> None:
        self._ledger = ledger
        self._life = life
        self._items: list[Any] = []
        self._calling = ""
        self._recovered = self._finished = False

    async def _call(self, name: str, effect: Callable[[], T]) -> T:
        if self._calling:
            raise LawBroken(f"{name} is called within {self._calling}")
        self._calling = name
        try:
            return await self._life.call(name, effect)
        finally:
            self._calling = ""

    async def open(self) -> None:
        await self._call("sink open", lambda: None)

    async def recover(self, epoch: int, token: Any) -> None:
        def settle() -> None:
            ledger = self._ledger
            late = [known for known in ledger.epochs if known > epoch]
            if late:
                raise LawBroken(f"epochs {late} are visible, and the run goes on from {epoch}")
            if epoch:
                self._show(epoch, token)
            for other in [other for other in ledger.staged if other != epoch]:
                del ledger.staged[other]
            self._recovered = True

        await self._call("sink recover", settle)

    async def write(self, chunk: Chunk[Any]) -> None:
        if not self._recovered or self._finished:
            raise LawBroken("written to before recover, or after finish")

        def take() -> None:
            self._items += chunk.items

        await self._call("sink write", take)

    async def prepare(self, epoch: int) -> Any:
        def stage() -> int:
            items, self._items = self._items, []
            self._ledger.staged[epoch] = items
            return len(items)

        return await self._call("sink prepare", stage)

    async def commit(self, epoch: int, token: Any) -> None:
        life = self._life
        if not life.dead and epoch not in [known.number for known in life.world.store.epochs()]:
            raise LawBroken(f"epoch {epoch} is committed, and was not saved")
        if life.lost_epoch is not None and epoch >= life.lost_epoch:
            raise LawBroken(f"epoch {epoch} is committed after saving {life.lost_epoch} failed")
        await self._call("sink commit", lambda: self._show(epoch, token))

    def _show(self, epoch: int, token: Any) -> None:
        ledger = self._ledger
        if epoch in ledger.epochs:
            return
        if epoch not in ledger.staged:
            if token:
                raise LawBroken(f"epoch {epoch}, with {token} items, is not there to be committed")
            return
        if len(ledger.staged[epoch]) != token:
            raise LawBroken(f"epoch {epoch} has {len(ledger.staged[epoch])} items, not {token}")
        ledger.epochs[epoch] = ledger.staged.pop(epoch)

    async def finish(self) -> None:
        def end() -> None:
            self._ledger.finished = self._finished = True
            if self._items:
                raise LawBroken(f"finished with {self._items} in no epoch")

        await self._call("sink finish", end)

    async def close(self) -> None:
        await self._life.pause()


class _LifeStore(Store):
    """The store of the world, as one process has it open."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._store = life.world.store

    @property
    def title(self) -> str:
        return self._store.title

    def worker(self) -> StoreWorker:
        return _LifeWorker(self._life)

    def open(self, *, reading: bool = False) -> None:
        """The one before is gone, closed or not."""

    def epochs(self) -> list[Epoch]:
        return self._store.epochs()

    def load(self, number: int) -> Snapshot:
        return self._store.load(number)

    def save(self, save: Save) -> None:
        self._store.save(save)

    def tidy(self, retain: int) -> int:
        return self._store.tidy(retain)

    def rewind(self, number: int) -> None:
        self._store.rewind(number)

    def delete(self, number: int) -> None:
        self._store.delete(number)

    def close(self) -> None:
        pass


class _LifeWorker:
    """Makes calls as a thread would: in order, and not interrupted once asked for."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._last: asyncio.Task[Any] | None = None

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        task = asyncio.ensure_future(self._after(self._last, function, arguments))
        self._last = task
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait((task,))
        return task.result()

    async def _after(
        self, before: asyncio.Task[Any] | None, function: Callable[..., T], arguments: Any
    ) -> T:
        if before is not None:
            await asyncio.wait((before,))
        name = f"store {function.__name__.strip('_')}"
        try:
            return await self._life.call(name, lambda: function(*arguments))
        except InjectedFault:
            if name == "store save":
                self._life.lost_epoch = arguments[0].number
            raise

    async def close(self) -> None:
        while self._last is not None and not self._last.done():
            await asyncio.wait((self._last,))
