"""A budget of memory for the state of keyed handlers: what was not used for long is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from operators.state_memory import EVICTED_AT_ONCE, DiskErrors, StateSizes, to_disk
from reactive.levels import VALUES as SAVED
from reactive.levels import Pieces, pieces, saved_pieces
from reactive.spilled_keys import Spilled, SpilledKeys

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.state import States


class StateBudget:
    """Which keys are in memory, and which are on disk; each is in one of the two.

    Keys that are used are young. Those to go are taken from the old ones, and when there are none
    left, the young are the old ones: of two generations, the one that was not used for longer.
    """

    def __init__(self, context: Context, memory: int, states: States) -> None:
        self._context = context
        self._states = states
        self._keys = SpilledKeys(context.settings.spill_directory)
        self._spilled = self._keys.section()
        self._disk = DiskErrors(context, self._keys)
        self._young: set[Any] = set()
        self._old: set[Any] = set()
        # Who wants no changes gets snapshots, or nothing.
        self._tracks = context.keeps_changes
        self._ages = states.age
        self._generation = 1
        self._frozen = 0
        self._sizes = StateSizes(memory)
        self.unsaved: set[Any] = set()
        """The keys in memory that a checkpoint under way is still to save."""

    @property
    def in_memory(self) -> int:
        """How many keys are known without a look at the disk."""
        return len(self._young) + len(self._old)

    @property
    def on_disk(self) -> int:
        """How many keys are on disk."""
        return self._keys.count

    def fetch(self, keys: Iterable[Any]) -> None:
        """Have these keys in memory: they are about to be used."""
        young, old = self._young, self._old
        used = [key for key in dict.fromkeys(keys) if key not in young]
        if not used:
            return
        unknown = [key for key in used if key not in old]
        if unknown and self._spilled.count:
            with self._disk:
                self._load(self._spilled.take(unknown))
        young.update(used)
        old.difference_update(used)

    def knows(self, key: Any) -> bool:
        """Whether a key is in memory, and young."""
        return key in self._young

    def loaded(self, key: Any) -> None:
        """A key has got what it had in an earlier run."""
        self._young.add(key)
        for _ in self.trim(key):
            pass

    def using(self, key_of: Callable[[Any], Any], items: Iterable[Any]) -> Callable[[Any], Any]:
        """Have the keys of items in memory, and a function for the key of each, to be called for
        all of them in order, which sees to it that it is there still."""
        known: list[Any] = []
        try:
            for item in items:
                key = key_of(item)
                hash(key)
                known.append(key)
        except Exception:
            # It is raised again when the items before were handled.
            pass
        self.fetch(known)
        rest = iter(known)
        missing = object()

        def key_in_memory(item: Any) -> Any:
            key = next(rest, missing)
            if key is missing:
                key = key_of(item)
            if key not in self._young:
                self.fetch((key,))
            return key

        return key_in_memory

    def over(self, now: int) -> Iterator[list[Any]]:
        """Have keys in memory of which something is over by now, some at a time, to be forgotten
        there."""
        while True:
            with self._disk:
                found = self._spilled.take_over(now)
            if not found:
                return
            self._load(found)
            keys = [each.key for each in found]
            self._young.update(keys)
            yield keys
            self._young.difference_update(key for key in keys if not self._states.has(key))

    def trim(self, last: Any = None) -> Iterator[None]:
        """Put on disk what is too much, some at a time; `last` is a key that was used."""
        if last in self._young:
            self._sizes.sample(lambda: (last, self._states.saved(last)))
        if not self._tracks:
            self._states.changed.clear()
        most = self._sizes.most
        while (excess := self.in_memory - most) > 0:
            self._evict(min(excess, EVICTED_AT_ONCE))
            yield

    def _evict(self, number: int) -> None:
        states, changed = self._states, self._states.changed
        rows: list[tuple[Any, bytes, int | None, int]] = []
        for _ in range(number):
            if not self._old:
                self._old, self._young = self._young, self._old
            key = self._old.pop()
            held = states.saved(key)
            if not held:
                continue
            data = to_disk(self._context, key, held)
            generation = 0
            if key in changed:
                changed.discard(key)
                generation = self._generation
            elif key in self.unsaved:
                self.unsaved.discard(key)
                generation = self._frozen
            due = states.due(key) if self._ages else None
            rows.append((key, data, due, generation if self._tracks else 0))
            states.drop(key)
        if rows:
            self._sizes.learn(sum(len(row[1]) for row in rows) // len(rows))
            with self._disk:
                self._spilled.put(rows)

    def _load(self, found: Iterable[Spilled]) -> None:
        for key, held, generation in found:
            self._states.load(key, held)
            if not generation:
                continue
            if generation == self._generation:
                self._states.changed.add(key)
            elif generation == self._frozen:
                self.unsaved.add(key)

    def everything(self) -> Iterator[Spilled]:
        """The keys on disk, all of which count as saved from now on."""
        self._generation += 1
        self._frozen = 0
        with self._disk:
            yield from self._spilled.everything()

    def freeze(
        self,
        changed: set[Any],
        save: Callable[..., Any],
        early: list[tuple[Any, bytes | None]],
    ) -> Pieces:
        """What has changed up to here: `changed` in memory, and the rest on disk. `save` gives
        what a key has, with its states if they are on disk."""
        self.unsaved = changed
        self._frozen = self._generation
        self._generation += 1
        return self._pieces(save, early)

    def _pieces(self, save: Callable[..., Any], early: list[tuple[Any, bytes | None]]) -> Pieces:
        # Keys go to and fro meanwhile.
        while True:
            yield from saved_pieces(self.unsaved, save, early)
            with self._disk:
                found = self._spilled.take_note(self._frozen)
            if found:
                yield pieces(SAVED, [(key, save(key, states=held)) for key, held, _ in found])
            elif not self.unsaved and not early:
                break
        self._frozen = 0

    def close(self) -> None:
        """Give the disk back."""
        self._keys.close()
