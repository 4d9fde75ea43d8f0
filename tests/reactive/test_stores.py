"""What every checkpoint store keeps to, and what each does with files that are not as it left
them."""

from __future__ import annotations

import os
import pickle
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactive.directory_store import DirectoryStore
from reactive.errors import CheckpointError, DamagedError
from reactive.levels import GONE, VALUES, put_together
from reactive.sqlite_store import SqliteStore
from reactive.store import WHOLE, Owner, Part, Save, Store

Make = Callable[[Path], Store]

STORES: dict[str, Make] = {
    "sqlite": lambda folder: SqliteStore(folder / "state.db"),
    "folder": lambda folder: DirectoryStore(f"file://{folder}/state"),
    "memory": lambda folder: DirectoryStore(f"memory://{folder.name}-{uuid.uuid4().hex}"),
}
LOCAL = ["sqlite", "folder"]


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest) -> Make:
    return STORES[request.param]


@pytest.fixture
def store(make: Make, tmp_path: Path) -> Iterator[Store]:
    store = make(tmp_path)
    store.open()
    yield store
    store.close()


def whole(owner: str, value: object) -> Part:
    return Part(owner, WHOLE, True, pickle.dumps(value))


def epoch(number: int, *parts: Part, name: str | None = None, since: int = 1) -> Save:
    owners = {part.owner: Owner("kind", since) for part in parts}
    return Save(number, float(number), False, owners, parts, name)


def test_an_epoch_is_all_that_was_saved(store: Store) -> None:
    changed = Part("b", 3, False, pickle.dumps((VALUES, [("x", 1), ("y", 2)])))
    store.save(epoch(1, whole("a", [1, 2]), changed))
    more = Part("b", 3, False, pickle.dumps((VALUES, [("x", 5)])))
    store.save(epoch(2, whole("a", [3]), more))
    snapshot = store.load(2)
    assert snapshot.epoch.number == 2
    assert snapshot.owners == {"a": Owner("kind", 1), "b": Owner("kind", 1)}
    assert pickle.loads(snapshot.parts["a"][WHOLE][-1]) == [3]
    assert put_together(snapshot.parts["b"][3]) == {"x": 5, "y": 2}
    assert put_together(store.load(1).parts["b"][3]) == {"x": 1, "y": 2}
    assert [each.number for each in store.epochs()] == [1, 2]


def test_what_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(CheckpointError, match="has no epoch 7"):
        store.load(7)
    with pytest.raises(CheckpointError, match="has no epoch 7"):
        store.delete(7)


def test_a_savepoint_has_a_name_of_its_own(store: Store) -> None:
    store.save(epoch(1, whole("a", 1), name="one"))
    with pytest.raises(CheckpointError, match="a savepoint 'one' already"):
        store.save(epoch(2, whole("a", 2), name="one"))
    assert [each.number for each in store.epochs()] == [1]


_groups = st.integers(0, 1)
_pairs = st.dictionaries(st.integers(0, 3), st.integers(0, 9), min_size=1, max_size=3)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.tuples(_groups, _pairs)),
        st.tuples(st.just("remove"), st.tuples(_groups, st.integers(0, 3))),
        st.tuples(st.just("save"), st.none() | st.uuids().map(str)),
        st.tuples(st.just("tidy"), st.integers(1, 3)),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("rewind"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("begin anew"), st.none()),
    ),
    max_size=40,
)


class Model:
    """What a store is to hold: for each epoch the keys of each group."""

    def __init__(self) -> None:
        self.held: dict[int, dict[int, int]] = {}
        self.epochs: dict[int, dict[int, dict[int, int]]] = {}
        self.named: set[int] = set()
        self.changes: list[Part] = []
        self.number = 0
        self.since = 1

    def check(self, store: Store) -> None:
        assert [each.number for each in store.epochs()] == sorted(self.epochs)
        for number, expected in self.epochs.items():
            groups = store.load(number).parts["keys"]
            found = {group: put_together(rows) for group, rows in groups.items() if group != WHOLE}
            assert {group: held for group, held in found.items() if held} == {
                group: held for group, held in expected.items() if held
            }


def _follow(store: Store, make: Callable[[], Store], steps: list[tuple[str, Any]]) -> None:
    model = Model()
    for action, what in steps:
        if action == "change":
            group, pairs = what
            model.held.setdefault(group, {}).update(pairs)
            data = pickle.dumps((VALUES, list(pairs.items())))
            model.changes.append(Part("keys", group, False, data))
        elif action == "remove":
            group, key = what
            if model.held.get(group, {}).pop(key, None) is not None:
                data = pickle.dumps((GONE, [(key, None)]))
                model.changes.append(Part("keys", group, False, data))
        elif action == "save":
            model.number += 1
            parts: dict[int, bytes] = {}
            for part in model.changes:
                parts[part.group] = parts.get(part.group, b"") + part.data
            model.changes.clear()
            owners = {"keys": Owner("kind", model.since)}
            changed = [Part("keys", group, False, data) for group, data in parts.items()]
            saved = [whole("keys", model.number), *changed]
            store.save(Save(model.number, 0.0, False, owners, saved, what))
            model.epochs[model.number] = {group: dict(held) for group, held in model.held.items()}
            if what is not None:
                model.named.add(model.number)
        elif action == "tidy":
            unnamed = sorted(model.epochs.keys() - model.named)
            for number in unnamed[:-what]:
                del model.epochs[number]
            store.tidy(what)
        elif action == "reopen":
            store.close()
            store = make()
            store.open()
        elif action == "rewind" and model.epochs and not model.changes:
            number = sorted(model.epochs)[what % len(model.epochs)]
            store.rewind(number)
            model.epochs = {each: held for each, held in model.epochs.items() if each <= number}
            model.named &= model.epochs.keys()
            model.held = {group: dict(held) for group, held in model.epochs[number].items()}
            model.number = number
            model.since = store.load(number).owners["keys"].since
        elif action == "delete" and model.epochs:
            number = sorted(model.epochs)[what % len(model.epochs)]
            if number < model.number:
                store.delete(number)
                del model.epochs[number]
                model.named.discard(number)
        elif action == "begin anew" and not model.changes:
            model.held = {}
            model.since = model.number + 1
        model.check(store)
    store.close()


@pytest.mark.parametrize("kind", STORES)
@settings(max_examples=40, deadline=None)
@given(steps=_steps)
def test_every_epoch_that_is_kept_is_as_it_was_saved(
    kind: str, steps: list[tuple[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = STORES[kind](Path(folder))
        address = store.title

        def again() -> Store:
            return SqliteStore(address) if kind == "sqlite" else DirectoryStore(address)

        store.open()
        _follow(store, again, steps)


@pytest.mark.parametrize("kind", STORES)
def test_chains_do_not_grow_without_end(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    store.open()
    for number in range(1, 300):
        change = Part("keys", 5, False, pickle.dumps((VALUES, [(number % 7, number)])))
        store.save(epoch(number, whole("keys", number), change))
        store.tidy(2)
    rows = store.load(299).parts["keys"][5]
    assert len(rows) < 100
    assert put_together(rows) == {number % 7: number for number in range(293, 300)}
    store.close()


@pytest.mark.parametrize("kind", STORES)
def test_a_savepoint_does_not_make_chains_grow(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    store.open()
    for number in range(1, 300):
        change = Part("keys", 5, False, pickle.dumps((VALUES, [(number % 7, number)])))
        name = f"at {number}" if number in (3, 120) else None
        store.save(epoch(number, whole("keys", number), change, name=name))
        store.tidy(2)
    assert [each.number for each in store.epochs()] == [3, 120, 298, 299]
    assert len(store.load(299).parts["keys"][5]) < 100
    for last in (3, 120, 298, 299):
        expected = {number % 7: number for number in range(max(1, last - 6), last + 1)}
        assert put_together(store.load(last).parts["keys"][5]) == expected
    if isinstance(store, SqliteStore):
        count = store._connection.execute("SELECT count(*) FROM parts").fetchone()[0]
        assert count < 200
    store.close()


@pytest.mark.parametrize("kind", STORES)
def test_a_store_can_be_looked_at_while_it_is_used(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    store.open()
    store.save(epoch(1, whole("a", 1)))
    other = SqliteStore(store.title) if kind == "sqlite" else DirectoryStore(store.title)
    other.open(reading=True)
    assert [each.number for each in other.epochs()] == [1]
    assert pickle.loads(other.load(1).parts["a"][WHOLE][-1]) == 1
    other.close()
    store.save(epoch(2, whole("a", 2)))
    store.close()


HOLD = """
import sys, time
from reactive.store import open_store
store = open_store(sys.argv[1])
store.open()
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", LOCAL)
def test_the_lock_goes_with_the_process(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    command = [sys.executable, "-c", HOLD, store.title]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(CheckpointError, match=rf"another run .*process {process.pid}"):
            store.open()
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    store.open()
    store.close()


@pytest.mark.parametrize("kind", LOCAL)
def test_nobody_else_can_read_it(kind: str, tmp_path: Path) -> None:
    os.umask(0o022)
    store = STORES[kind](tmp_path)
    store.open()
    store.save(epoch(1, whole("a", 1)))
    if kind == "sqlite":
        files = list(tmp_path.iterdir())
        assert {f"state.db{suffix}" for suffix in ("", "-lock", "-wal", "-shm")} == {
            file.name for file in files
        }
    else:
        files = [tmp_path / "state"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    store.close()


def filled(kind: str, folder: Path) -> Store:
    store = STORES[kind](folder)
    store.open()
    for number in range(1, 6):
        change = Part("keys", 5, False, pickle.dumps((VALUES, [(number % 3, "x" * 50)])))
        store.save(epoch(number, whole("keys", ["y" * 200, number]), change))
    store.close()
    return store


def _files(kind: str, folder: Path) -> list[Path]:
    if kind == "sqlite":
        return [folder / "state.db"]
    return sorted(file for file in (folder / "state").iterdir() if file.name != "lock")


def _loaded(store: Store, number: int) -> Any:
    parts = store.load(number).parts["keys"]
    return pickle.loads(parts[WHOLE][-1]), put_together(parts[5])


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("damage", ["flipped", "cut"])
@example(where=0.1875, bit=7, which=0)
@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), which=st.integers(0, 99))
def test_damage_is_found_or_did_not_matter(
    kind: str, damage: str, where: float, bit: int, which: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        shutil.copytree(_original(kind), copy)
        files = _files(kind, copy)
        file = files[which % len(files)]
        data = bytearray(file.read_bytes())
        place = int(where * len(data))
        if damage == "flipped":
            data[place] ^= 1 << bit
        else:
            del data[place:]
        file.write_bytes(data)
        store = STORES[kind](copy)
        try:
            store.open()
            for each in store.epochs():
                if each.number in range(1, 6):
                    try:
                        found = _loaded(store, each.number)
                    except CheckpointError as error:
                        assert store.title in str(error)
                        continue
                    assert found == _EXPECTED[kind][each.number]
        except CheckpointError as error:
            assert store.title in str(error)
        finally:
            store.close()


_ORIGINALS: dict[str, tempfile.TemporaryDirectory[str]] = {}
_EXPECTED: dict[str, dict[int, Any]] = {}


def _original(kind: str) -> Path:
    if kind not in _ORIGINALS:
        _ORIGINALS[kind] = tempfile.TemporaryDirectory()
        folder = Path(_ORIGINALS[kind].name, "original")
        folder.mkdir()
        store = filled(kind, folder)
        store.open(reading=True)
        _EXPECTED[kind] = {number: _loaded(store, number) for number in range(1, 6)}
        store.close()
    return Path(_ORIGINALS[kind].name, "original")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"other\.db: is a database of another program"):
        SqliteStore(path).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 2])
def test_another_format_is_refused(tmp_path: Path, version: int) -> None:
    filled("sqlite", tmp_path)
    database = sqlite3.connect(tmp_path / "state.db")
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(CheckpointError, match=rf"has format {version}, and this version of"):
        SqliteStore(tmp_path / "state.db").open()


def test_another_format_of_a_folder_is_refused(tmp_path: Path) -> None:
    store = filled("folder", tmp_path)
    file = tmp_path / "state" / "epoch-000000000005"
    file.write_bytes(file.read_bytes().replace(b"checkpoint 1\n", b"checkpoint 2\n", 1))
    with pytest.raises(CheckpointError, match="epoch 5 has a format that this version"):
        store.open()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_text("not a database, by far\n" * 100), "file is not a database"),
        (lambda path: path.mkdir(), r"cannot be opened \(Is a directory\)"),
    ],
)
def test_what_is_no_database_is_refused(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "state.db"
    prepare(path)
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}: {message}"):
        SqliteStore(path).open()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the folder has to exist"):
        SqliteStore(tmp_path / "nowhere" / "state.db").open()
    with pytest.raises(CheckpointError, match="there is no checkpoint store here"):
        SqliteStore(tmp_path / "state.db").open(reading=True)


def test_a_database_that_others_write_to_is_named(tmp_path: Path) -> None:
    store = filled("sqlite", tmp_path)
    database = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    store.open()
    try:
        store._connection.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(CheckpointError, match="another program has it open"):
            store.save(epoch(9, whole("a", 1)))
    finally:
        store.close()
        database.close()


FILL = """
import pickle, resource, signal, sys
from reactive.errors import CheckpointError
from reactive.store import WHOLE, Owner, Part, Save, open_store
store = open_store(sys.argv[1])
store.open()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
saved = 0
try:
    for number in range(1, 1000):
        part = Part("a", WHOLE, True, pickle.dumps(bytes([number % 256]) * 20_000))
        store.save(Save(number, 0.0, False, {"a": Owner("kind", 1)}, [part], f"keep {number}"))
        saved = number
except CheckpointError as error:
    print(saved, error)
"""


@pytest.mark.parametrize("kind", LOCAL)
def test_a_full_disk_fails_and_harms_nothing(kind: str, tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    store = STORES[kind](tmp_path)
    script = FILL.replace("20_000", "20_000" if kind == "sqlite" else "20_000 * number")
    done = subprocess.run(
        [sys.executable, "-c", script, store.title],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    saved, message = done.stdout.split(" ", 1)
    assert store.title in message
    store.open()
    assert [each.number for each in store.epochs()] == list(range(1, int(saved) + 1))
    for number in range(1, int(saved) + 1):
        assert pickle.loads(store.load(number).parts["a"][WHOLE][-1])[0] == number % 256
    store.save(epoch(int(saved) + 1, whole("a", 1)))
    store.close()


def test_an_address_that_nobody_knows_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere://x: cannot be opened"):
        DirectoryStore("nowhere://x").open()


def test_loading_a_missing_object_says_so(tmp_path: Path) -> None:
    store = filled("folder", tmp_path)
    (tmp_path / "state" / "data-000000000001").unlink()
    store.open()
    with pytest.raises(DamagedError, match="the data of epoch 1 is missing"):
        store.load(5)
    store.close()
