"""What an operator holds by key, of which what was not used for long is on disk."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import merge
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from operators.keeping import Keeping
from operators.state_memory import EVICTED_AT_ONCE, DiskErrors, StateSizes, to_disk
from reactive.levels import VALUES, Levels, Pieces, pieces
from reactive.spilled_keys import Spilled, SpilledKeys, SpilledSection

if TYPE_CHECKING:
    from reactive.context import Context

K = TypeVar("K", bound=Hashable)

PAUSE: Final = 512
"""What a step of work with the disk counts for, in items."""

ITEMS_AT_ONCE: Final = 128
"""How many items come before what is too much is put on disk."""

LEFT_OVER: Final = 1024
"""How much more may be left in memory of what is on disk than there is in memory."""

_ABSENT: Final = object()


class Keeper(Protocol):
    """Who knows what is held, and has more to remember of what is in memory."""

    def next_look(self, held: Any) -> int | None:
        """The watermark at which what a key holds has to be looked at."""

    def come(self, held: Any) -> None:
        """It is in memory from now on."""

    def gone(self, held: Any) -> None:
        """It is on disk from now on: what is left of it here is of no use."""


class Room:
    """The memory that all the levels of one operator share."""

    def __init__(self, context: Context, memory: int, keeper: Keeper | None = None) -> None:
        self.context = context
        self.keeper = keeper
        self.keys = SpilledKeys(context.settings.spill_directory)
        self.disk = DiskErrors(context, self.keys)
        self.sizes = StateSizes(memory)
        # Who wants no changes gets snapshots, or nothing.
        self.tracks = context.keeps_changes
        self._levels: dict[int, SpilledLevels[Any]] = {}
        context.meter.gauges["keys_in_memory"] = lambda: self.in_memory
        context.meter.gauges["keys_on_disk"] = lambda: self.keys.count

    def levels(self, base: dict[Any, Any] | None = None) -> SpilledLevels[Any]:
        """New ones."""
        levels: SpilledLevels[Any] = SpilledLevels(self, self.keys.section(), base)
        self.take_in(levels)
        return levels

    def filled(self, held: dict[Any, Any], *, changed: bool) -> SpilledLevels[Any]:
        """Levels with what an earlier run held, which is taken out bit by bit; `changed` if a
        checkpoint is to write all of it."""
        levels = self.levels({})
        target = levels if changed else levels._base
        while held:
            for _ in range(min(EVICTED_AT_ONCE, len(held))):
                key, value = held.popitem()
                target[key] = value
                if self.keeper is not None:
                    self.keeper.come(value)
            for _ in self.trim():
                pass
        return levels

    def take_in(self, levels: SpilledLevels[Any]) -> None:
        """Count what these hold."""
        self._levels[id(levels)] = levels

    def let_go(self, levels: SpilledLevels[Any]) -> None:
        """Do not any more."""
        del self._levels[id(levels)]

    @property
    def in_memory(self) -> int:
        """How many keys are in memory."""
        return sum(levels.in_memory for levels in self._levels.values())

    def trim(self) -> Iterator[int]:
        """Put on disk what is too much, some at a time."""
        young = next((each for each in reversed(self._levels.values()) if each), None)
        if young is not None:
            last = next(reversed(young))
            self.sizes.sample(lambda: (last, young[last]))
        most = self.sizes.most
        while (excess := self.in_memory - most) > 0:
            some = min(excess, EVICTED_AT_ONCE)
            if any(levels.evict(some) for levels in self._levels.values()):
                yield PAUSE
            else:
                for levels in list(self._levels.values()):
                    yield from levels.age()

    def close(self) -> None:
        """Give the disk back."""
        self.keys.close()


class SpilledLevels(Levels[K]):
    """Levels whose keys are in the dictionary, where the young ones are, among the `_old` ones,
    among those that have not changed since the last barrier, or on disk.

    When there are none left to be put on disk, the young are the old ones: of two generations, the
    one that was not used for longer goes. A row on disk says between which barriers its key
    changed, or 0 where a checkpoint has it.
    """

    __slots__ = ("_changed", "_disk", "_frozen_old", "_generation", "_old", "_room", "_to_save")

    def __init__(self, room: Room, disk: SpilledSection, base: dict[K, Any] | None = None) -> None:
        super().__init__(base)
        self._room = room
        self._disk = disk
        self._old: dict[K, Any] = {}
        self._frozen_old: dict[K, Any] = {}
        self._generation = 1
        self._changed = 0
        self._to_save = 0

    @property
    def in_memory(self) -> int:
        """How many keys are in memory."""
        held = len(self) + len(self._old) + len(self._base)
        return held + len(self._frozen) + len(self._frozen_old)

    @property
    def on_disk(self) -> int:
        """How many are not."""
        return self._disk.count

    @property
    def due(self) -> int | None:
        """Before this time nothing that is on disk has to be looked at."""
        return self._disk.due

    def recall(self, key: K, default: Any = None) -> Any:
        if self._frozen_old and key in self._frozen_old:
            # Where those are that are saved before they are used.
            self._frozen[key] = self._frozen_old.pop(key)
        held = self._old.pop(key, _ABSENT)
        if held is _ABSENT:
            held = super().recall(key, _ABSENT)
        if held is not _ABSENT:
            self[key] = held
            return held
        if self._disk.count:
            with self._room.disk:
                found = self._disk.take_one(key)
            if found:
                self._bring(found)
                return self[key]
        return default

    def look(self, until: int) -> bool:
        """Have some keys in memory of which something is to be looked at by then; whether there
        were any."""
        with self._room.disk:
            found = self._disk.take_over(until)
        self._bring(found)
        return bool(found)

    def _bring(self, found: list[Spilled]) -> None:
        keeper = self._room.keeper
        for key, held, generation in found:
            if generation == self._generation:
                self._changed -= 1
            elif generation:
                self._to_save -= 1
                self._frozen[key] = held
                super().recall(key)
            if keeper is not None:
                keeper.come(held)
            self[key] = held

    def age(self) -> Iterator[int]:
        """The young are the old ones now."""
        old = self._old
        while self:
            old.update([self.popitem() for _ in range(min(PAUSE, len(self)))])
            yield PAUSE

    def evict(self, most: int) -> bool:
        """Put some keys on disk that were not used for long; whether there were any."""
        room, now = self._room, self._generation
        keeper = room.keeper
        rows: list[tuple[Any, bytes, int | None, int]] = []
        for part, generation in (
            (self._base, 0),
            (self._old, now),
            (self._frozen, now - 1),
            (self._frozen_old, now - 1),
        ):
            while part and len(rows) < most:
                key, held = part.popitem()
                data = to_disk(room.context, key, held)
                due = None if keeper is None else keeper.next_look(held)
                rows.append((key, data, due, generation if room.tracks else 0))
                if keeper is not None:
                    keeper.gone(held)
                if not room.tracks or not generation:
                    continue
                if generation == now:
                    self._changed += 1
                    if self._gone is not None:
                        self._gone.discard(key)
                else:
                    self._to_save += 1
        if rows:
            room.sizes.learn(sum(len(row[1]) for row in rows) // len(rows))
            with room.disk:
                self._disk.put(rows)
        return bool(rows)

    def here(self) -> Iterator[tuple[K, Any]]:
        """All keys in memory with what they have."""
        return chain(
            super().everything(),
            self._old.items(),
            self._frozen_old.items(),
        )

    def everything(self) -> Iterator[tuple[K, Any]]:
        return chain(self.here(), self.there())

    def there(self) -> Iterator[tuple[K, Any]]:
        """All keys on disk, by their hash."""
        with self._room.disk:
            for key, held, _ in self._disk.everything():
                yield key, held

    def count(self) -> int:
        return self.in_memory + self._disk.count

    def free(self) -> Iterator[int]:
        yield from self.settle()
        yield from super().free()
        while self._old:
            for _ in range(min(PAUSE, len(self._old))):
                self._old.popitem()
            yield PAUSE
        self._room.let_go(self)
        for _ in self._disk.clear():
            yield PAUSE

    def freeze(self) -> tuple[SpilledLevels[K], Pieces]:
        if self._unsaved() or self._early or self._ready:
            raise RuntimeError("what changed before the last barrier was not pickled yet")
        after: SpilledLevels[K] = SpilledLevels(self._room, self._disk, self._base)
        after._frozen, after._frozen_old = self, self._old
        after._generation = self._generation + 1
        after._to_save = self._changed
        gone = {key for key in self._gone or () if key not in self and key not in self._old}
        self._room.let_go(self)
        self._room.take_in(after)
        return after, after._pieces(gone)

    def _unsaved(self) -> bool:
        return bool(self._frozen or self._frozen_old or self._to_save)

    def _some(self) -> list[tuple[int, bytes]]:
        if not self._frozen:
            if not self._frozen_old:
                return self._noted()
            self._frozen, self._frozen_old = self._frozen_old, {}
        return super()._some()

    def _noted(self) -> list[tuple[int, bytes]]:
        """What changed before the barrier, and is on disk."""
        with self._room.disk:
            found = self._disk.take_note(self._generation - 1)
        self._to_save -= len(found)
        return pieces(VALUES, [(key, held) for key, held, _ in found])


class Spilling(Keeping):
    """What keeps a part of what it holds on disk."""

    _away = 0

    def __init__(self, room: Room, *parts: Any) -> None:
        self.room = room
        room.keeper = self
        super().__init__(*parts)

    def held(
        self, by_key: dict[Any, Any] | None = None, *, changed: bool = False
    ) -> SpilledLevels[Any]:
        if by_key is None:
            return self.room.levels()
        # They come, as if they had been on disk.
        self._away += sum(map(self.windows_in, by_key.values()))
        return self.room.filled(by_key, changed=changed)

    def next_look(self, held: Any) -> int | None:
        """The watermark at which what a key holds has to be looked at."""
        return None

    def windows_in(self, held: Any) -> int:
        """How many windows a key has."""
        return 1

    def come(self, held: Any) -> None:
        self._away -= self.windows_in(held)
        super().come(held)

    def gone(self, held: Any) -> None:
        """It is on disk from now on."""
        self._away += self.windows_in(held)

    def windows(self, levels: Levels[Any]) -> int:
        """How many windows all keys have, of which those on disk need not be read."""
        assert isinstance(levels, SpilledLevels)
        return sum(self.windows_in(held) for _, held in levels.here()) + self._away

    def trim(self) -> Iterator[int]:
        """Put on disk what is too much."""
        return self.room.trim()


Run: TypeAlias = Iterator[tuple[Any, Any]]
"""Keys with what they have, in the order of their hashes."""


def by_hash(levels: Levels[Any], runs: list[Run]) -> Iterator[int]:
    """Put all that levels hold among these runs, a little at a time: to sort what is in memory at
    once would hold the event loop."""
    assert isinstance(levels, SpilledLevels)
    yield from levels.settle()
    pairs = levels.here()
    while some := list(islice(pairs, PAUSE)):
        some.sort(key=_hash_of_key)
        runs.append(iter(some))
        yield PAUSE
    runs.append(levels.there())


def same_hash(runs: list[Run]) -> Iterator[Iterator[tuple[Any, Any]]]:
    """The keys of one hash after the other, with what they have in each of the runs, which are in
    the order in which they are given here."""
    for _, same in groupby(merge(*runs, key=_hash_of_key), _hash_of_key):
        yield same


def _hash_of_key(pair: tuple[Any, Any]) -> int:
    return hash(pair[0])
