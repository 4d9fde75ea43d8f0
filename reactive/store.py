"""What checkpoints are kept in: the contract of stores, and what they are given.

A store holds epochs. An epoch is all that a run needs to go on from one moment: where every source
was, what every operator held, what every sink had prepared. Each of these is a part, known by its
owner. A part is saved whole, or, for state that is held by key, group by group and only those keys
that have changed; the store puts them together again.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

from reactive.errors import CheckpointError
from reactive.fast_dataclasses import dataclass

T = TypeVar("T")

WHOLE: Final = -1
"""In place of a group of keys: what is not held by key."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an epoch: what an owner has in one group of keys, or all it has.

    `data` is a pickle. Where `group` is not `WHOLE`, it is several, one behind the other, of keys
    and what they have or that they have nothing any more (`reactive.levels.put_together`). With
    `complete`, keys that are not in it have nothing, else they have what they had in the epoch
    before.
    """

    owner: str
    group: int
    complete: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose parts they are: what it was, since state of another kind does not fit, and the epoch
    from which on its parts count."""

    kind: str
    since: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is known of an epoch without loading it."""

    number: int
    created: float
    """Seconds since 1970."""
    ended: bool
    """Whether all input had ended, so that there is nothing to go on with."""
    name: str | None = None
    """The name of a savepoint, which is kept until it is deleted."""
    size: int = 0
    """Bytes, as far as they belong to it alone."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An epoch, loaded: what each owner had, WHOLE or by group, as pickles of complete parts."""

    epoch: Epoch
    owners: Mapping[str, Owner]
    parts: Mapping[str, Mapping[int, Sequence[bytes]]]
    """For each owner and group the pickles to put together, the oldest, a complete one, first."""


@dataclass(frozen=True, slots=True)
class Save:
    """An epoch to be saved: the parts that have changed since the one before, and all owners."""

    number: int
    created: float
    ended: bool
    owners: Mapping[str, Owner]
    parts: Sequence[Part] = field(default=())
    name: str | None = None


class StoreWorker(Protocol):
    """Where the calls of a store are made, one after the other."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Make a call, and wait for what it gives; one that has begun is not interrupted."""
        ...

    async def close(self) -> None:
        """Wait for what has begun."""


class Store(ABC):
    """Keeps epochs. All methods block, and are called in one thread that is not the event loop's.

    What goes wrong is a `CheckpointError` that names the store and the fix.
    """

    def worker(self) -> StoreWorker:
        """Where a run makes its calls: in a thread of their own, unless none of them ever waits."""
        from reactive.blocking import BlockingWorker

        return BlockingWorker("reactive checkpoints")

    @property
    @abstractmethod
    def title(self) -> str:
        """What messages call it, such as its path."""

    @abstractmethod
    def open(self, *, reading: bool = False) -> None:
        """Make it ready, and its own: nobody else may save to it until `close`. With `reading`,
        it is only looked at, which others may do at the same time."""

    @abstractmethod
    def epochs(self) -> list[Epoch]:
        """All that are there, the newest last; savepoints among them."""

    @abstractmethod
    def load(self, number: int) -> Snapshot:
        """All of one epoch. `DamagedError` where any of it is not what was saved."""

    @abstractmethod
    def save(self, save: Save) -> None:
        """Save an epoch, all of it or nothing, durably: when this returns, no crash undoes it."""

    @abstractmethod
    def tidy(self, retain: int) -> int:
        """Keep the newest `retain` epochs and all savepoints; let go of what no epoch needs, a
        little at a time. Called after every epoch; gives the number of the oldest that is left."""

    @abstractmethod
    def rewind(self, number: int) -> None:
        """Delete all epochs after this one, which is gone on from."""

    @abstractmethod
    def delete(self, number: int) -> None:
        """Delete an epoch, whatever it is kept for."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Safe to call again, and if `open` failed."""


def find(store: Store, epochs: Sequence[Epoch], wanted: int | str) -> Epoch:
    """The epoch of a number, or the savepoint of a name."""
    for epoch in epochs:
        if epoch.name == wanted or str(epoch.number) == str(wanted):
            return epoch
    there = ", ".join(str(epoch.name or epoch.number) for epoch in epochs) or "none"
    raise CheckpointError(f"{store.title}: has no epoch {wanted!r}; there are: {there}")


def open_store(store: str | os.PathLike[str] | Store) -> Store:
    """A store as `rx.Checkpoint` is told of it; nothing is opened yet."""
    if isinstance(store, Store):
        return store
    if "://" in os.fspath(store):
        from reactive.directory_store import DirectoryStore

        return DirectoryStore(os.fspath(store))
    from reactive.sqlite_store import SqliteStore

    return SqliteStore(store)


def digest(data: bytes) -> bytes:
    """What tells whether data is still what was saved."""
    return blake2b(data, digest_size=12).digest()
