"""What is held by key, on disk, for as long as there is more of it than is to be in memory."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from reactive.levels import dumps

_AT_ONCE: Final = 128
_CACHE_KIBIBYTES: Final = 4096
_EXACT: Final = frozenset({str, bytes, int, bool, type(None)})
_COLUMNS: Final = "hash, number, pickle, generation"
_ONE: Final = f"SELECT {_COLUMNS} FROM spilled WHERE section = ? AND hash = ?"


class Spilled(NamedTuple):
    """A key that was on disk. `generation` says between which barriers it changed last; 0 if that
    does not matter."""

    key: Any
    held: Any
    generation: int


class SpilledKeys:
    """A SQLite database for one run, in a file that nobody else can open and that is gone with the
    process, whatever happens.

    Nothing is ever committed, for nobody reads it after a crash: SQLite only writes what its cache
    has no room for. Calls block for as long as the disk takes.
    """

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._database: sqlite3.Connection | None = None
        self._path: Path | None = None
        self._sections = count()
        self.numbers = count()
        self.count = 0
        """How many keys are here, in all sections."""

    def section(self) -> SpilledSection:
        """A place for keys that are told apart from those of others."""
        return SpilledSection(self, next(self._sections))

    @property
    def database(self) -> sqlite3.Connection:
        """It is opened when it is first needed."""
        if self._database is None:
            self._database = self._open()
        return self._database

    def _open(self) -> sqlite3.Connection:
        import tempfile

        descriptor, name = tempfile.mkstemp(prefix="reactive-", dir=self._directory)
        os.close(descriptor)
        path = Path(name)
        database = None
        try:
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for setting in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = OFF",
                "synchronous = OFF",
                "temp_store = MEMORY",
                f"cache_size = -{_CACHE_KIBIBYTES}",
            ):
                database.execute(f"PRAGMA {setting}").close()
            database.execute("BEGIN EXCLUSIVE")
            database.execute(
                "CREATE TABLE spilled (section INTEGER, hash INTEGER, number INTEGER, "
                "pickle BLOB, due INTEGER, generation INTEGER, "
                "PRIMARY KEY (section, hash, number)) WITHOUT ROWID"
            )
            database.execute("CREATE INDEX dues ON spilled (section, due) WHERE due IS NOT NULL")
            database.execute(
                "CREATE INDEX generations ON spilled (section, generation) WHERE generation > 0"
            )
        except BaseException:
            if database is not None:
                database.close()
            path.unlink()
            raise
        try:
            path.unlink()
        except PermissionError:
            # Where open files cannot be removed.
            self._path = path
        return database

    def close(self) -> None:
        """Give the disk back."""
        database, self._database = self._database, None
        path, self._path = self._path, None
        if database is not None:
            database.close()
            self.count = 0
        if path is not None:
            path.unlink()


class SpilledSection:
    """Keys of one kind. A key is found by its `hash`, which holds within a process, and then
    compared: pickles of equal keys may differ."""

    __slots__ = ("_place", "_whole", "count", "due")

    def __init__(self, whole: SpilledKeys, place: int) -> None:
        self._whole = whole
        self._place = place
        self.count = 0
        """How many keys are here."""
        self.due: int | None = None
        """Before this time nothing is over."""

    def put(self, rows: Iterable[tuple[Hashable, bytes, int | None, int]]) -> None:
        """Take keys in: with a pickle of the key and what it holds, the time when the first of
        that is over, and the generation."""
        place, numbers = self._place, self._whole.numbers
        new = [
            (place, hash(key), next(numbers), data, due, generation)
            for key, data, due, generation in rows
        ]
        self._whole.database.executemany("INSERT INTO spilled VALUES (?, ?, ?, ?, ?, ?)", new)
        self._count(len(new))
        dues = [row[4] for row in new if row[4] is not None]
        if dues:
            self.due = min(dues) if self.due is None else min(self.due, *dues)

    def take(self, keys: Sequence[Any]) -> list[Spilled]:
        """Take out those of these keys that are here."""
        taken: list[Spilled] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            found = self._select(f"hash IN ({', '.join('?' * len(some))})", *map(hash, some))
            taken += self._remove(found, set(some))
        return taken

    def take_one(self, key: Any) -> list[Spilled]:
        """Take out a key, if it is here."""
        found = self._whole.database.execute(_ONE, (self._place, hash(key))).fetchall()
        return self._remove(found, (key,)) if found else found

    def take_over(self, now: int) -> list[Spilled]:
        """Take out some keys of which something is over by now, those first of which it is over
        for longest; none when there are no more."""
        if self.due is None or self.due > now:
            return []
        taken = self._remove(self._select(f"due <= ? ORDER BY due LIMIT {_AT_ONCE}", now))
        asked = "SELECT min(due) FROM spilled WHERE section = ? AND due IS NOT NULL"
        (self.due,) = self._whole.database.execute(asked, (self._place,)).fetchone()
        return taken

    def take_note(self, generation: int) -> list[Spilled]:
        """Some keys of a generation, which stay here and are of none from now on; none when there
        are no more."""
        if not self.count:
            return []
        found = self._select(f"generation = ? AND generation > 0 LIMIT {_AT_ONCE}", generation)
        self._whole.database.executemany(
            "UPDATE spilled SET generation = 0 WHERE section = ? AND hash = ? AND number = ?",
            [(self._place, *row[:2]) for row in found],
        )
        return [_read(row) for row in found]

    def everything(self) -> Iterator[Spilled]:
        """All keys by their hash; they stay here."""
        last = (-(2**63), -1)
        while self.count:
            found = self._select(
                f"(hash, number) > (?, ?) ORDER BY hash, number LIMIT {_AT_ONCE}", *last
            )
            for row in found:
                yield _read(row)
            if len(found) < _AT_ONCE:
                break
            last = found[-1][:2]

    def clear(self) -> Iterator[None]:
        """Let go of all keys, some at a time."""
        removed = (
            "DELETE FROM spilled WHERE section = ?1 AND (hash, number) IN "
            f"(SELECT hash, number FROM spilled WHERE section = ?1 LIMIT {_AT_ONCE})"
        )
        while self.count:
            self._count(-self._whole.database.execute(removed, (self._place,)).rowcount)
            yield
        self.due = None

    def _select(self, which: str, *values: int) -> list[tuple[int, int, bytes, int]]:
        asked = f"SELECT {_COLUMNS} FROM spilled WHERE section = ? AND {which}"
        return self._whole.database.execute(asked, (self._place, *values)).fetchall()

    def _remove(
        self, found: Iterable[tuple[int, int, bytes, int]], wanted: Collection[Any] | None = None
    ) -> list[Spilled]:
        removed: list[Spilled] = []
        places: list[tuple[int, int, int]] = []
        for place, number, pickled, generation in found:
            key, held = pickle.loads(pickled)
            # Others may have the same hash.
            if wanted is None or key in wanted:
                removed.append(Spilled(key, held, generation))
                places.append((self._place, place, number))
        self._whole.database.executemany(
            "DELETE FROM spilled WHERE section = ? AND hash = ? AND number = ?", places
        )
        self._count(-len(places))
        return removed

    def _count(self, more: int) -> None:
        self.count += more
        self._whole.count += more


def _read(row: tuple[int, int, bytes, int]) -> Spilled:
    key, held = pickle.loads(row[2])
    return Spilled(key, held, row[3])


def pickled(key: Hashable, held: Any) -> bytes:
    """The pickle of a key and what it holds. `TypeError` for a key that would not be found again,
    for what comes out of its pickle is not equal to it."""
    if type(key) not in _EXACT:
        again = pickle.loads(dumps(key))
        if again != key or hash(again) != hash(key):
            raise TypeError(f"{type(key).__name__} objects do not equal what their pickles give")
    return dumps((key, held))
