"""A budget of memory for the state of keyed handlers: what was not used for long is on disk."""

from __future__ import annotations

import reprlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from reactive.levels import VALUES as SAVED
from reactive.levels import Pieces, dumps, pieces, saved_pieces
from reactive.spilled_keys import Spilled, SpilledKeys, pickled

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.state import States

_EVICTED_AT_ONCE: Final = 64
_OVERHEAD_BYTES: Final = 250
_BYTES_A_PICKLED_BYTE: Final = 3
_SAMPLES: Final = 64
_PICKLED_BYTES_A_PIECE: Final = 4096


class StateBudget:
    """Which keys are in memory, and which are on disk; each is in one of the two.

    Keys that are used are young. Those to go are taken from the old ones, and when there are none
    left, the young are the old ones: of two generations, the one that was not used for longer.

    A key takes a dozen times what its number takes on disk, or as much as a long text does; nobody
    can tell at a reasonable price. It is taken to be three times its pickle, and what the
    dictionaries take, and the mean of that is of what was seen lately.
    """

    def __init__(self, context: Context, memory: int, states: States) -> None:
        self._context = context
        self._memory = memory
        self._states = states
        self._spilled = SpilledKeys(context.settings.spill_directory)
        self._young: set[Any] = set()
        self._old: set[Any] = set()
        # Who wants no changes gets snapshots, or nothing.
        self._tracks = context.keeps_changes
        self._ages = states.age
        self._generation = 1
        self._frozen = 0
        self._size = float(_OVERHEAD_BYTES)
        self._samples = 0
        self._pieces_to_sample = 0
        self.unsaved: set[Any] = set()
        """The keys in memory that a checkpoint under way is still to save."""

    @property
    def in_memory(self) -> int:
        """How many keys are known without a look at the disk."""
        return len(self._young) + len(self._old)

    @property
    def on_disk(self) -> int:
        """How many keys are on disk."""
        return self._spilled.count

    def fetch(self, keys: Iterable[Any]) -> None:
        """Have these keys in memory: they are about to be used."""
        young, old = self._young, self._old
        used = [key for key in dict.fromkeys(keys) if key not in young]
        if not used:
            return
        unknown = [key for key in used if key not in old]
        if unknown and self._spilled.count:
            with self._disk():
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
            with self._disk():
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
            self._sample(last)
        if not self._tracks:
            self._states.changed.clear()
        most = max(1, int(self._memory / self._size))
        while (excess := self.in_memory - most) > 0:
            self._evict(min(excess, _EVICTED_AT_ONCE))
            yield

    def _sample(self, key: Any) -> None:
        self._pieces_to_sample -= 1
        if self._pieces_to_sample > 0:
            return
        try:
            size = len(dumps((key, self._states.saved(key))))
        except Exception:
            # It is told to be the key's fault once it has to go.
            return
        self._pieces_to_sample = size // _PICKLED_BYTES_A_PIECE
        self._learn(size)

    def _learn(self, size: int) -> None:
        self._samples = min(self._samples + 1, _SAMPLES)
        size = size * _BYTES_A_PICKLED_BYTE + _OVERHEAD_BYTES
        self._size += (size - self._size) / self._samples

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
            data = self._pickled(key, held)
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
            self._learn(sum(len(row[1]) for row in rows) // len(rows))
            with self._disk():
                self._spilled.put(rows)

    def _pickled(self, key: Any, held: Any) -> bytes:
        try:
            return pickled(key, held)
        except Exception as error:
            raise TypeError(
                f"{self._context.where()} has more state than the {self._memory:,} bytes of "
                f"rx.Settings(state_memory=...), and that of the key {reprlib.repr(key)} cannot be "
                f"put on disk, for it does not pickle ({error}); keep plain values, or objects of "
                "classes that are defined in a module, in it, or give it more memory"
            ) from error

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
        with self._disk():
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
            with self._disk():
                found = self._spilled.take_note(self._frozen)
            if found:
                yield pieces(SAVED, [(key, save(key, states=held)) for key, held, _ in found])
            elif not self.unsaved and not early:
                break
        self._frozen = 0

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            where = self._context.settings.spill_directory or "the directory for temporary files"
            error.add_note(
                f"{self._context.where()} has the state of {self.on_disk:,} keys in {where}; "
                "rx.Settings(spill_directory=...) says another place, and with a larger "
                "state_memory= it needs less"
            )
            raise

    def close(self) -> None:
        """Give the disk back."""
        self._spilled.close()
