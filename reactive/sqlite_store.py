"""The store that checkpoints are kept in by default: one SQLite database.

Every part is a row with a digest. State that is held by key is a chain of rows for each group of
keys: a complete one, then what changed in each epoch. Every row tells the epoch of the one before
it, and every epoch where its chains end, so that a row that is missing is missed. `tidy` shortens
chains that have grown longer than what they start from, a few at a time.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reactive.errors import CheckpointError, DamagedError
from reactive.levels import VALUES, dumps, put_together
from reactive.store import WHOLE, Epoch, Owner, Part, Save, Snapshot, Store, digest

_APPLICATION = 0x52_78_63_70
_FORMAT = 1
_CHAINS_AT_ONCE = 4
_SHORT = 65_536
"""Chains of fewer bytes are not worth the trouble, unless they have many links."""
_LINKS = 64

_TABLES = """
CREATE TABLE epochs (
    number INTEGER PRIMARY KEY, created REAL NOT NULL, ended INTEGER NOT NULL, name TEXT,
    owners BLOB NOT NULL, digest BLOB NOT NULL
);
CREATE UNIQUE INDEX epoch_names ON epochs (name) WHERE name IS NOT NULL;
CREATE TABLE parts (
    owner TEXT NOT NULL, key_group INTEGER NOT NULL, epoch INTEGER NOT NULL,
    previous INTEGER NOT NULL, complete INTEGER NOT NULL, data BLOB NOT NULL,
    digest BLOB NOT NULL
);
CREATE UNIQUE INDEX part_places ON parts (owner, key_group, epoch);
"""


class SqliteStore(Store):
    """Keeps epochs in a SQLite database at `path`, which is made with mode 0600 if need be.

    It is written ahead and synced at every epoch, so that it survives a crash of the machine. A
    lock beside it (`path` with `-lock`) keeps a second run away, and goes with the process.

    ```python
    from reactive.sqlite_store import SqliteStore

    rx.Checkpoint(SqliteStore("state.db"), every=10)
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._database: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._reading = False
        self._appends = False
        self._long: dict[tuple[str, int], list[int]] = {}
        self._tips: dict[tuple[str, int], int] = {}
        self._needed: dict[str, int] = {}

    @property
    def title(self) -> str:
        return self.path

    def open(self, *, reading: bool = False) -> None:
        self._reading = reading
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        path = self.path
        if self._reading:
            if not Path(path).exists():
                raise CheckpointError(f"{path}: there is no checkpoint store here")
        else:
            self._take_lock()
        with self._explained():
            if not self._reading:
                self._create_file()
            uri = f"{Path(path).absolute().as_uri()}?mode={'ro' if self._reading else 'rw'}"
            self._database = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5
            )
            database = self._database
            database.execute("PRAGMA synchronous=FULL")
            self._check_format()
            if not self._reading:
                mode = database.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                self._appends = mode == "wal"
            problem = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise DamagedError(f"{path}: the database is damaged ({problem}); {_RESTORE}")
            self._measure_chains()

    def _take_lock(self) -> None:
        lock = f"{self.path}-lock"
        try:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be made here ({error.strerror}); the folder has to exist, "
                "and be writable"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._lock, 64, 0).decode("ascii", "replace").strip()
            raise CheckpointError(
                f"{self.path}: another run uses this checkpoint store"
                + (f" (process {owner})" if owner else "")
                + "; stop that one first, or give this run a store of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _create_file(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be opened ({error.strerror}); a checkpoint store is a file "
                "that can be read and written"
            ) from error

    def _check_format(self) -> None:
        database = self._connection
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables and not application and not self._reading:
            with self._transaction():
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id={_APPLICATION}")
                database.execute(f"PRAGMA user_version={_FORMAT}")
            _sync_folder(self.path)
        elif application != _APPLICATION:
            raise CheckpointError(
                f"{self.path}: is a database of another program, not a checkpoint store; give "
                "checkpoints a file of their own"
            )
        elif version != _FORMAT:
            raise CheckpointError(
                f"{self.path}: has format {version}, and this version of reactive-pipelines reads "
                f"format {_FORMAT}; use the version that wrote it, or start with a new file"
            )

    def _measure_chains(self) -> None:
        """How many links each group's chain has, and of how many bytes, after its start."""
        newest = self._connection.execute(
            "SELECT owners, digest FROM epochs ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if newest is None or digest(newest[0]) != newest[1]:
            return
        owners: dict[str, Owner] = pickle.loads(newest[0])[0]
        rows = self._connection.execute(
            "SELECT owner, key_group, epoch, complete, length(data) FROM parts "
            "ORDER BY owner, key_group, epoch"
        )
        for owner, group, epoch, complete, size in rows:
            # What an owner of the same name had before is none of its business.
            if owner in owners and epoch >= owners[owner].since:
                self._note_link(owner, group, epoch, bool(complete), size)

    def _note_link(self, owner: str, group: int, epoch: int, complete: bool, size: int) -> None:
        self._tips[owner, group] = epoch
        if group == WHOLE:
            return
        chain = self._long.get((owner, group))
        if complete or chain is None:
            self._long[owner, group] = [size, 0, 0]
        else:
            chain[1] += size
            chain[2] += 1

    @property
    def _connection(self) -> sqlite3.Connection:
        assert self._database is not None, "the store is not open"
        return self._database

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what went wrong in the database, and what to do."""
        try:
            yield
        except UnicodeDecodeError as error:
            raise DamagedError(
                f"{self.path}: the database is damaged ({error}); {_RESTORE}"
            ) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind, fix = _PROBLEMS.get(code, (CheckpointError, "see that it can be written"))
            raise kind(f"{self.path}: {error}; {fix}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        database = self._connection
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def epochs(self) -> list[Epoch]:
        with self._explained():
            rows = self._connection.execute(
                "SELECT number, created, ended, name, (SELECT coalesce(sum(length(data)), 0) "
                "FROM parts WHERE epoch = number) FROM epochs ORDER BY number"
            ).fetchall()
        return [
            Epoch(number, created, bool(ended), name, size)
            for number, created, ended, name, size in rows
        ]

    def load(self, number: int) -> Snapshot:
        with self._explained():
            row = self._connection.execute(
                "SELECT created, ended, name, owners, digest FROM epochs WHERE number = ?",
                (number,),
            ).fetchone()
            if row is None:
                raise CheckpointError(f"{self.path}: has no epoch {number}")
            created, ended, name, owners, expected = row
            if digest(owners) != expected:
                raise self._damaged(number, "its list of owners")
            known: dict[str, Owner]
            tips: dict[str, dict[int, int]]
            known, tips = pickle.loads(owners)
            parts = {
                name: self._chains(name, each.since, number, tips[name])
                for name, each in known.items()
            }
        return Snapshot(Epoch(number, created, bool(ended), name), known, parts)

    def _chains(
        self, owner: str, since: int, number: int, tips: dict[int, int]
    ) -> dict[int, list[bytes]]:
        """For each group what to put together."""
        chains: dict[int, list[bytes]] = {}
        ends: dict[int, int] = {}
        rows = self._connection.execute(
            "SELECT key_group, previous, complete, data, digest, epoch FROM parts "
            "WHERE owner = ? AND epoch BETWEEN ? AND ? ORDER BY key_group, epoch",
            (owner, since, number),
        )
        for group, previous, complete, data, expected, epoch in rows:
            if digest(data) != expected:
                raise self._damaged(number, f"{owner} of epoch {epoch}")
            if complete:
                chains[group] = [data]
            elif ends.get(group) == previous:
                chains[group].append(data)
            else:
                raise self._damaged(number, f"{owner}, of which epoch {previous} is missing")
            ends[group] = epoch
        if ends != tips:
            raise self._damaged(number, f"{owner}, of which a part is missing")
        return chains

    def _damaged(self, number: int, what: str) -> DamagedError:
        return DamagedError(f"{self.path}: epoch {number} is damaged in {what}; {_RESTORE}")

    def save(self, save: Save) -> None:
        database = self._connection
        new = {name for name, owner in save.owners.items() if owner.since == save.number}
        if new:
            self._long = {at: chain for at, chain in self._long.items() if at[0] not in new}
            self._tips = {at: tip for at, tip in self._tips.items() if at[0] not in new}
        if save.name is not None and any(epoch.name == save.name for epoch in self.epochs()):
            raise CheckpointError(
                f"{self.path}: there is a savepoint {save.name!r} already; delete it, or give this "
                "one another name"
            )
        with self._explained(), self._transaction():
            for part in save.parts:
                self._put(part, save.number)
            tips: dict[str, dict[int, int]] = {name: {} for name in save.owners}
            for (owner, group), tip in self._tips.items():
                if owner in tips:
                    tips[owner][group] = tip
            owners = pickle.dumps((dict(save.owners), tips))
            database.execute(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?)",
                (save.number, save.created, save.ended, save.name, owners, digest(owners)),
            )

    def _put(self, part: Part, epoch: int) -> None:
        """Changes that come first make a complete part, there being nothing that they change."""
        place = part.owner, part.group
        starts = part.complete or place not in self._tips
        previous = 0 if starts else self._tips[place]
        self._connection.execute(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*place, epoch, previous, starts, part.data, digest(part.data)),
        )
        self._note_link(*place, epoch, starts, len(part.data))

    @contextmanager
    def _left_to_the_system(self) -> Iterator[None]:
        """Do not wait for the disk: what a power cut takes back is only done again. The next epoch
        that is saved has it on the disk, too."""
        if self._appends:
            self._connection.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous=FULL")

    def tidy(self, retain: int) -> int:
        database = self._connection
        with self._explained(), self._left_to_the_system():
            rows = database.execute(
                "SELECT number FROM epochs WHERE name IS NULL "
                "ORDER BY number DESC LIMIT -1 OFFSET ?",
                (retain,),
            ).fetchall()
            if rows:
                with self._transaction():
                    database.executemany("DELETE FROM epochs WHERE number = ?", rows)
                    self._drop_unneeded()
                    self._drop_unowned()
            self._shorten()
            oldest: int = database.execute("SELECT min(number) FROM epochs").fetchone()[0] or 0
        return oldest

    def _drop_unneeded(self) -> None:
        """Let go of rows that no epoch needs: all that are there come after a complete one that
        came later."""
        self._connection.execute(
            "DELETE FROM parts WHERE NOT EXISTS (SELECT 1 FROM epochs WHERE number >= parts.epoch "
            "AND number < coalesce((SELECT min(later.epoch) FROM parts AS later "
            "WHERE later.owner = parts.owner AND later.key_group = parts.key_group "
            "AND later.complete AND later.epoch > parts.epoch), number + 1))"
        )

    def _drop_unowned(self) -> None:
        """Let go of what no epoch has any more: operators that were removed, or began anew."""
        database = self._connection
        needed: dict[str, int] = {}
        for (owners,) in database.execute("SELECT DISTINCT owners FROM epochs"):
            for name, owner in pickle.loads(owners)[0].items():
                needed[name] = min(owner.since, needed.get(name, owner.since))
        if needed == self._needed:
            return
        self._needed = needed
        for (name,) in database.execute("SELECT DISTINCT owner FROM parts").fetchall():
            if name not in needed:
                database.execute("DELETE FROM parts WHERE owner = ?", (name,))
            else:
                before = name, needed[name]
                database.execute("DELETE FROM parts WHERE owner = ? AND epoch < ?", before)

    def _shorten(self) -> None:
        """Put the longest chains together, as far as that is worth it, up to the oldest epoch that
        is no savepoint."""
        long = [
            place
            for place, (start, size, links) in self._long.items()
            if links > _LINKS or size > max(start, _SHORT)
        ]
        if not long:
            return
        oldest, before = self._connection.execute(
            "SELECT min(number), (SELECT coalesce(max(number), 0) FROM epochs WHERE number < "
            "(SELECT min(number) FROM epochs WHERE name IS NULL)) FROM epochs WHERE name IS NULL"
        ).fetchone()
        if oldest is not None:
            for owner, group in long[:_CHAINS_AT_ONCE]:
                self._shorten_chain(owner, group, before, oldest)

    def _shorten_chain(self, owner: str, group: int, before: int, oldest: int) -> None:
        """One complete part takes the place of all that came after the savepoint before."""
        rows = self._connection.execute(
            "SELECT epoch, complete, data, digest FROM parts WHERE owner = ? AND key_group = ? "
            "ORDER BY epoch",
            (owner, group),
        ).fetchall()
        early = [row for row in rows if row[0] <= oldest]
        last = early[-1][0] if early else 0
        if last > before and all(digest(data) == expected for _, _, data, expected in early):
            starts = max(at for at, row in enumerate(early) if row[1] or at == 0)
            held = put_together(data for _, _, data, _ in early[starts:])
            data = dumps((VALUES, list(held.items())))
            with self._transaction():
                self._connection.execute(
                    "DELETE FROM parts WHERE owner = ? AND key_group = ? AND epoch > ? "
                    "AND epoch <= ?",
                    (owner, group, before, oldest),
                )
                self._put(Part(owner, group, True, data), last)
            rows = [(last, True, data, None), *rows[len(early) :]]
        self._long.pop((owner, group), None)
        for epoch, complete, data, _ in rows:
            self._note_link(owner, group, epoch, bool(complete), len(data))

    def rewind(self, number: int) -> None:
        with self._explained(), self._transaction():
            self._connection.execute("DELETE FROM epochs WHERE number > ?", (number,))
            self._connection.execute("DELETE FROM parts WHERE epoch > ?", (number,))
        self._long.clear()
        self._tips.clear()
        self._measure_chains()

    def delete(self, number: int) -> None:
        with self._explained(), self._transaction():
            done = self._connection.execute("DELETE FROM epochs WHERE number = ?", (number,))
            if not done.rowcount:
                raise CheckpointError(f"{self.path}: has no epoch {number}")
            self._drop_unneeded()

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


_RESTORE = "restore it from a copy, or start with a new file"

_PROBLEMS: dict[int, tuple[type[CheckpointError], str]] = {
    sqlite3.SQLITE_NOTADB: (CheckpointError, "give checkpoints a file of their own"),
    sqlite3.SQLITE_CORRUPT: (DamagedError, _RESTORE),
    sqlite3.SQLITE_BUSY: (CheckpointError, "another program has it open: close it there"),
    sqlite3.SQLITE_FULL: (CheckpointError, "free some space on the disk, and run again"),
    sqlite3.SQLITE_READONLY: (CheckpointError, "the file and its folder have to be writable"),
    sqlite3.SQLITE_CANTOPEN: (CheckpointError, "the folder has to exist, and be writable"),
    sqlite3.SQLITE_IOERR: (CheckpointError, "see to the disk, and run again"),
}


def _sync_folder(path: str) -> None:
    """A new file is only sure to be there once its folder is on the disk."""
    folder = os.open(Path(path).absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
