"""What an operator holds by key, so that a checkpoint writes only what has changed, and waits for
no one.

At a barrier what has changed since the one before is set aside as it is, at once, however much it
is. It is pickled later, a little at a time. What comes for a key meanwhile is pickled first.
"""

from __future__ import annotations

import pickle
import reprlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import field
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar

from reactive.fast_dataclasses import dataclass
from reactive.keys import key_group

K = TypeVar("K", bound=Hashable)

Pieces: TypeAlias = Iterator[list[tuple[int, bytes]]]
"""Groups of keys, each with a pickle for some of its keys; every step of it does a little."""

_AT_ONCE = 512
_ABSENT: Final = object()

VALUES: Final = "values"
PICKLED: Final = "pickled"
GONE: Final = "gone"

_NOT_PICKLED: Final = "what changed before the last barrier was not pickled yet"


class Levels(dict[K, Any]):
    """A dictionary of what has changed since the last barrier; what has not is behind it.

    Who looks for a key gets it from the dictionary, and if it is not there from `recall`, which
    brings it there, since it is about to be changed.
    """

    __slots__ = ("_base", "_early", "_frozen", "_gone", "_ready")

    def __init__(self, base: dict[K, Any] | None = None) -> None:
        super().__init__()
        self._base: dict[K, Any] = {} if base is None else base
        self._frozen: dict[K, Any] = {}
        self._early: list[tuple[K, bytes]] = []
        self._ready: list[list[tuple[int, bytes]]] = []
        # Before the first barrier no checkpoint has a key that could be gone from it.
        self._gone: set[K] | None = None if base is None else set()

    @classmethod
    def changed(cls, held: Mapping[K, Any]) -> Levels[K]:
        """What is held, all of which a checkpoint is to write."""
        levels: Levels[K] = cls({})
        levels.update(held)
        return levels

    def recall(self, key: K, default: Any = None) -> Any:
        """What the key has that did not change since the barrier; `default` if nothing."""
        if self._frozen and key in self._frozen:
            held = self._frozen.pop(key)
            self._early.append((key, dumps(held)))
        elif self._base and key in self._base:
            held = self._base.pop(key)
        else:
            return default
        self[key] = held
        return held

    def find(self, key: K, default: Any = None) -> Any:
        """What the key has, wherever it is."""
        held = self.get(key, _ABSENT)
        return self.recall(key, default) if held is _ABSENT else held

    def forget(self, key: K) -> None:
        """Take out a key that was found."""
        del self[key]
        if self._gone is not None:
            self._gone.add(key)

    def everything(self) -> Iterator[tuple[K, Any]]:
        """All keys with what they have."""
        return chain(self._base.items(), self._frozen.items(), self.items())

    def count(self) -> int:
        """How many keys have something."""
        return len(self._base) + len(self._frozen) + len(self)

    def free(self) -> Iterator[int]:
        """Let go of everything, a little at a time: to free a million accumulators at once takes as
        long as to give them. What a checkpoint is still to save stays until then."""
        for held in (self, self._base):
            while len(held) > _AT_ONCE:
                for _ in range(_AT_ONCE):
                    held.popitem()
                yield _AT_ONCE

    def gather(self) -> Iterator[int]:
        """Bring everything into the dictionary, a little at a time."""
        yield from self.settle()
        base = self._base
        while base:
            self.update([base.popitem() for _ in range(min(_AT_ONCE, len(base)))])
            yield _AT_ONCE

    def freeze(self) -> tuple[Levels[K], Pieces]:
        """The dictionary to go on with, and what has changed up to here, to be pickled. That has
        to be done before it is asked for again."""
        if self._frozen or self._early or self._ready:
            raise RuntimeError(_NOT_PICKLED)
        after: Levels[K] = Levels(self._base)
        after._frozen = self
        gone, self._gone = self._gone or set(), None
        gone.difference_update(self)
        return after, after._pieces(gone)

    def settle(self) -> Iterator[int]:
        """Pickle what is still to be pickled, a little at a time: from then on `everything` can be
        gone through with pauses."""
        while self._unsaved():
            self._ready.append(self._some())
            yield _AT_ONCE

    def _unsaved(self) -> bool:
        """Whether there is more to be pickled of what changed before the barrier."""
        return bool(self._frozen)

    def _some(self) -> list[tuple[int, bytes]]:
        frozen = self._frozen
        pairs = [frozen.popitem() for _ in range(min(_AT_ONCE, len(frozen)))]
        self._base.update(pairs)
        return pieces(VALUES, pairs)

    def _pieces(self, gone: set[K]) -> Pieces:
        early, ready = self._early, self._ready
        while ready or self._unsaved():
            yield ready.pop() if ready else self._some()
        while early:
            some, early[:] = early[:_AT_ONCE], early[_AT_ONCE:]
            yield pieces(PICKLED, some)
        keys = list(gone)
        for start in range(0, len(keys), _AT_ONCE):
            yield pieces(GONE, [(key, None) for key in keys[start : start + _AT_ONCE]])


class Tracked(dict[K, Any]):
    """A dictionary that is told of a key before what that has changes, which is never None.

    It is for what is looked at more often than it changes, or has to stay in its order, for which
    there is one dictionary here, and not one behind the other as in `Levels`. What keys have may
    itself be changed. Without `tracks` there are no checkpoints, and so nothing to remember.
    """

    __slots__ = ("_early", "_frozen", "_tracks", "changed")

    def __init__(self, tracks: bool = True) -> None:
        super().__init__()
        self.changed: set[K] = set()
        """The keys that have changed since the last barrier. One that comes for the first time,
        and never goes, may be put here in place of `touch`."""
        self._tracks = tracks
        self._frozen: set[K] = set()
        self._early: list[tuple[K, bytes | None]] = []

    def touch(self, key: K) -> None:
        """What this key has is about to change, to come or to go."""
        if self._tracks:
            self.changed.add(key)
            self.save(key)

    def save(self, key: K) -> None:
        """The same of a change that later checkpoints may do without, since whoever goes on from
        one makes it again: what the key had at the barrier is not to have it, though."""
        if key in self._frozen:
            self._frozen.discard(key)
            held = self.get(key)
            self._early.append((key, None if held is None else dumps(held)))

    def take(self, key: K) -> Any:
        """Take a key out; gives what it had."""
        self.touch(key)
        return self.pop(key)

    def freeze(self) -> Pieces:
        """What has changed up to here, to be pickled before this is asked for again."""
        if self._frozen or self._early:
            raise RuntimeError(_NOT_PICKLED)
        self._frozen, self.changed = self.changed, set()
        return saved_pieces(self._frozen, self.get, self._early)

    def whole(self) -> bytes:
        """All of it, for a snapshot."""
        return dumps(dict(self))

    def load(self, held: dict[K, Any] | bytes, order: Callable[[Any], Any] | None = None) -> None:
        """Begin with this: what all checkpoints amount to, or `whole`, which is in none yet; what
        keys have says their `order`, if that matters."""
        found: dict[K, Any] = pickle.loads(held) if isinstance(held, bytes) else held
        if isinstance(held, bytes) and self._tracks:
            self.changed.update(found)
        if order is None:
            self.update(found)
        else:
            self.update(sorted(found.items(), key=lambda pair: order(pair[1])))


def pieces(
    kind: str, pairs: Iterable[tuple[Any, Any]], of: Callable[[Any], Any] | None = None
) -> list[tuple[int, bytes]]:
    """Keys with what they have, pickled for each group of keys. Where they are numbers of what
    belongs to keys, these are what `of` gives of what is numbered."""
    groups: dict[int, list[tuple[Any, Any]]] = {}
    for pair in pairs:
        key = pair[0] if of is None else of(pair[1])
        groups.setdefault(key_group(key), []).append(pair)
    try:
        return [(group, dumps((kind, each))) for group, each in groups.items()]
    except Exception:
        for key, held in (pair for each in groups.values() for pair in each):
            try:
                dumps((key, held))
            except Exception as error:
                error.add_note(f"for key {reprlib.repr(key)}")
                raise
        raise


def dumps(value: Any) -> bytes:
    """A pickle in the newest form that there is."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def saved_pieces(
    keys: set[K], save: Callable[[K], Any], early: list[tuple[K, bytes | None]]
) -> Pieces:
    """The same for keys that are saved one by one: those of `keys`, which are taken out, and those
    that were pickled `early`, because they were about to change. None is for nothing."""
    while keys or early:
        pickled, early[:] = early[:_AT_ONCE], early[_AT_ONCE:]
        saved = [(key, save(key)) for key in _taken(keys, _AT_ONCE)]
        gone = [(key, None) for key, held in (*pickled, *saved) if held is None]
        yield [
            *pieces(PICKLED, [pair for pair in pickled if pair[1] is not None]),
            *pieces(VALUES, [pair for pair in saved if pair[1] is not None]),
            *pieces(GONE, gone),
        ]


def added_pieces(added: list[tuple[int, Any]], of: Callable[[Any], Any]) -> Pieces:
    """The same for what is only ever added to, each under a number; `of` says the key of each."""
    for start in range(0, len(added), _AT_ONCE):
        yield pieces(VALUES, added[start : start + _AT_ONCE], of)


def _taken(keys: set[K], most: int) -> Iterator[K]:
    for _ in range(min(most, len(keys))):
        yield keys.pop()


def put_together(rows: Iterable[bytes]) -> dict[Any, Any]:
    """What the keys of one group have, from all pickles of it in the order they were made."""
    held: dict[Any, Any] = {}
    for row in rows:
        for kind, pairs in _unpickled(row):
            if kind == VALUES:
                held.update(pairs)
            elif kind == PICKLED:
                held.update((key, pickle.loads(value)) for key, value in pairs)
            else:
                for key, _ in pairs:
                    held.pop(key, None)
    return held


def _unpickled(row: bytes) -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    """Pickles that stand one after the other."""
    from io import BytesIO

    stream, end = BytesIO(row), len(row)
    while stream.tell() < end:
        yield pickle.load(stream)


@dataclass
class Changes:
    """What has changed in an operator between two barriers, as `Step.changes` gives it.

    `shared` is small, and pickled at once. `sections` are sets of keys under names that tell them
    apart; one that is not there any more, such as that of a window that is over, is dropped with
    all its keys. Their pieces are made after the barrier has gone on.
    """

    shared: Any
    sections: Mapping[str, Pieces] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """What `restore` is given by an operator's changes, put together."""

    shared: Any
    sections: Mapping[str, dict[Any, Any]]
