"""A store in a folder of any filesystem that fsspec knows: two objects for each epoch.

`data-N` has the parts that epoch N has written, one behind the other. `epoch-N` is written after
it and lists, for every owner and group, where its parts are, in this epoch's data and those of
earlier ones. An epoch is there when its list is; what no list refers to is deleted.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from reactive.errors import CheckpointError, DamagedError
from reactive.fast_dataclasses import dataclass
from reactive.levels import VALUES, dumps, put_together
from reactive.store import Epoch, Owner, Part, Save, Snapshot, Store, digest

_MARK: Final = b"reactive checkpoint "
_FORMAT: Final = b"1\n"
_DIGEST: Final = 12
_LINKS = 32
_SHORT = 65_536


class Place(NamedTuple):
    """Where a part is: in the data of which epoch, from which byte, how long, and its digest."""

    epoch: int
    start: int
    size: int
    digest: bytes


Chains: TypeAlias = dict[tuple[str, int], list[Place]]


@dataclass(frozen=True)
class _Listing:
    """What is written for an epoch."""

    created: float
    ended: bool
    name: str | None
    owners: Mapping[str, Owner]
    chains: Chains
    size: int


class DirectoryStore(Store):
    """Keeps epochs in a folder, at an address such as `s3://bucket/pipeline`,
    `file:///var/lib/pipeline` or `memory://pipeline` (extra `fsspec`, and what that needs for the
    filesystem).

    Objects are written whole, one after another, so an epoch is there or not. On a local filesystem
    they are synced, and a lock keeps a second run away; elsewhere nothing does: see to it that only
    one run uses the folder. `options` go to the filesystem.

    ```python
    from reactive.directory_store import DirectoryStore

    rx.Checkpoint(DirectoryStore("memory://pipeline"), every=60)
    ```
    """

    def __init__(self, address: str, **options: Any) -> None:
        self._address = address.rstrip("/")
        self._options = options
        self._filesystem: Any = None
        self._folder = ""
        self._local = False
        self._lock: int | None = None
        self._chains: Chains = {}

    @property
    def title(self) -> str:
        return self._address

    def open(self, *, reading: bool = False) -> None:
        try:
            import fsspec
        except ImportError:
            raise CheckpointError(
                f"{self.title}: a store in a folder needs fsspec: "
                'pip install "reactive-pipelines[fsspec]"'
            ) from None
        try:
            with self._explained("opened"):
                self._filesystem, self._folder = fsspec.url_to_fs(self._address, **self._options)
                self._local = type(self._filesystem).__name__ == "LocalFileSystem"
                if not reading:
                    self._own()
                elif not self._filesystem.isdir(self._folder):
                    raise CheckpointError(f"{self.title}: there is no checkpoint store here")
        except BaseException:
            self.close()
            raise

    def _own(self) -> None:
        self._filesystem.makedirs(self._folder, exist_ok=True)
        if self._local:
            self._take_lock()
        for number in reversed(self._numbers()):
            try:
                self._chains = self._list(number).chains
            except DamagedError:
                continue
            break
        self._drop_unneeded()

    def _take_lock(self) -> None:
        Path(self._folder).chmod(0o700)
        self._lock = os.open(
            Path(self._folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._lock, 64, 0).decode("ascii", "replace").strip()
            raise CheckpointError(
                f"{self.title}: another run uses this checkpoint store"
                + (f" (process {owner})" if owner else "")
                + "; stop that one first, or give this run a store of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"{self.title}: cannot be {what} ({error!r}); see to the address, the access and "
                "the room that is left there"
            ) from error

    def _path(self, kind: str, number: int) -> str:
        return f"{self._folder}/{kind}-{number:012d}"

    def _numbers(self, kind: str = "epoch") -> list[int]:
        """The epochs of which there is an object of this kind."""
        filesystem = self._filesystem
        if not filesystem.isdir(self._folder):
            return []
        filesystem.invalidate_cache()
        names = (path.rsplit("/", 1)[-1] for path in filesystem.ls(self._folder, detail=False))
        found = (name.removeprefix(f"{kind}-") for name in names if name.startswith(f"{kind}-"))
        return sorted(int(number) for number in found if number.isdigit())

    def _write(self, path: str, data: bytes) -> None:
        if not self._local:
            self._filesystem.pipe_file(path, data)
            return
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(f"{path}.new").replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _list(self, number: int) -> _Listing:
        data = self._filesystem.cat_file(self._path("epoch", number))
        mark, version = len(_MARK), len(_MARK) + len(_FORMAT)
        if data[:mark] == _MARK and data[mark:version] != _FORMAT:
            raise CheckpointError(
                f"{self.title}: epoch {number} has a format that this version of "
                "reactive-pipelines does not read; use the version that wrote it, or start with a "
                "new folder"
            )
        body = data[version + _DIGEST :]
        if data[:version] != _MARK + _FORMAT or digest(body) != data[version : version + _DIGEST]:
            raise DamagedError(f"{self.title}: the list of epoch {number} is damaged; {_RESTORE}")
        listing: _Listing = pickle.loads(body)
        return listing

    def epochs(self) -> list[Epoch]:
        found = []
        with self._explained("read"):
            for number in self._numbers():
                try:
                    listing = self._list(number)
                except DamagedError:
                    # It is met, and told of, where somebody wants to load it.
                    found.append(Epoch(number, 0.0, False))
                    continue
                found.append(
                    Epoch(number, listing.created, listing.ended, listing.name, listing.size)
                )
        return found

    def load(self, number: int) -> Snapshot:
        with self._explained("read"):
            if number not in self._numbers():
                raise CheckpointError(f"{self.title}: has no epoch {number}")
            listing = self._list(number)
            parts: dict[str, dict[int, list[bytes]]] = {owner: {} for owner in listing.owners}
            read: dict[int, bytes] = {}
            for (owner, group), places in listing.chains.items():
                parts[owner][group] = [self._read(number, owner, place, read) for place in places]
        epoch = Epoch(number, listing.created, listing.ended, listing.name, listing.size)
        return Snapshot(epoch, listing.owners, parts)

    def _read(self, number: int, owner: str, place: Place, read: dict[int, bytes]) -> bytes:
        if place.epoch not in read:
            try:
                read[place.epoch] = self._filesystem.cat_file(self._path("data", place.epoch))
            except FileNotFoundError:
                raise DamagedError(
                    f"{self.title}: epoch {number} is damaged: the data of epoch {place.epoch} is "
                    f"missing; {_RESTORE}"
                ) from None
        data = read[place.epoch][place.start : place.start + place.size]
        if digest(data) != place.digest:
            raise DamagedError(
                f"{self.title}: epoch {number} is damaged in {owner} of epoch {place.epoch}; "
                f"{_RESTORE}"
            )
        return data

    def save(self, save: Save) -> None:
        with self._explained("written"):
            if save.name is not None:
                self._check_name(save.name)
            self._save(save)

    def _check_name(self, name: str) -> None:
        if any(epoch.name == name for epoch in self.epochs()):
            raise CheckpointError(
                f"{self.title}: there is a savepoint {name!r} already; delete it, or give this one "
                "another name"
            )

    def _save(self, save: Save) -> None:
        owners, before = save.owners, self._chains
        chains: Chains = {
            (owner, group): places
            for (owner, group), places in before.items()
            if owner in owners and owners[owner].since < save.number
        }
        blob = bytearray()
        for part in save.parts:
            place = part.owner, part.group
            data, earlier = part.data, chains.get(place, [])
            if part.complete:
                earlier = []
            elif self._is_long(earlier):
                held = put_together([*self._pickles(save.number, part, earlier), data])
                data, earlier = dumps((VALUES, list(held.items()))), []
            chains[place] = [*earlier, Place(save.number, len(blob), len(data), digest(data))]
            blob += data
        self._write(self._path("data", save.number), bytes(blob))
        listing = _Listing(save.created, save.ended, save.name, dict(owners), chains, len(blob))
        body = dumps(listing)
        self._write(self._path("epoch", save.number), _MARK + _FORMAT + digest(body) + body)
        self._chains = chains

    def _is_long(self, places: list[Place]) -> bool:
        if len(places) <= 1:
            return False
        start, *changes = (place.size for place in places)
        return len(changes) > _LINKS or sum(changes) > max(start, _SHORT)

    def _pickles(self, number: int, part: Part, places: list[Place]) -> list[bytes]:
        read: dict[int, bytes] = {}
        return [self._read(number, part.owner, place, read) for place in places]

    def tidy(self, retain: int) -> int:
        with self._explained("tidied"):
            unnamed = [epoch for epoch in self.epochs() if epoch.name is None]
            if len(unnamed) > retain:
                self._remove([epoch.number for epoch in unnamed[:-retain]])
                self._drop_unneeded()
            return min(self._numbers(), default=0)

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            self._filesystem.rm_file(self._path("epoch", number))

    def _drop_unneeded(self) -> None:
        """Delete data that no list refers to; where one is damaged, nobody knows what that is."""
        try:
            needed = {
                place.epoch
                for number in self._numbers()
                for places in self._list(number).chains.values()
                for place in places
            }
        except DamagedError:
            return
        for number in self._numbers("data"):
            if number not in needed:
                self._filesystem.rm_file(self._path("data", number))

    def rewind(self, number: int) -> None:
        with self._explained("rewound"):
            self._remove([each for each in reversed(self._numbers()) if each > number])
            self._chains = self._list(number).chains
            self._drop_unneeded()

    def delete(self, number: int) -> None:
        with self._explained("deleted from"):
            if number not in self._numbers():
                raise CheckpointError(f"{self.title}: has no epoch {number}")
            self._remove([number])
            self._drop_unneeded()

    def close(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


_RESTORE = "restore it from a copy, or start with a new folder"
