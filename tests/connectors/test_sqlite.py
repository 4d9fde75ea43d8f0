"""Rows in SQLite: once each, seen when they are committed, and refused by name."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import pickle
import sqlite3
from collections import namedtuple
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from file_parts import context, reading, source_of, take

import reactive as rx
from connectors import sql_epochs, sqlite
from reactive.errors import ConnectorError
from reactive.testing import check_sink

Point = namedtuple("Point", "id note")


@dataclasses.dataclass
class Note:
    id: int
    note: str | None


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def rows(path: Path, query: str = "SELECT * FROM notes") -> list[Any]:
    with database(path) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error)
            return []


@contextlib.asynccontextmanager
async def writing(
    sink: rx.Sink[Any], epoch: int = 0, token: Any = None
) -> AsyncIterator[rx.Writer[Any]]:
    writer = sink.writer(context())
    await writer.open()
    try:
        await writer.recover(epoch, pickle.loads(pickle.dumps(token)))
        yield writer
    finally:
        await writer.close()


async def commit(writer: rx.Writer[Any], epoch: int, *items: Any) -> Any:
    await writer.write(rx.Chunk(list(items)))
    token = await writer.prepare(epoch)
    await writer.commit(epoch, token)
    return token


class TestLaws:
    ITEMS = tuple((number, f"note {number}") for number in range(14))

    def check(self, items: Any = ITEMS, **options: Any) -> None:
        expected = options.pop("expected", list)
        options = {"columns": ["id", "note"], "create": True, **options}
        check_sink(
            lambda folder: sqlite.write(folder / "notes.db", "notes", **options),
            items,
            lambda folder: rows(folder / "notes.db", "SELECT id, note FROM notes ORDER BY rowid"),
            expected=expected,
        )

    def test_rows_stand_there_once(self) -> None:
        self.check()

    @pytest.mark.parametrize("carried", [0, 3])
    def test_many_rows_are_staged(self, monkeypatch: pytest.MonkeyPatch, carried: int) -> None:
        monkeypatch.setattr(sql_epochs, "CARRIED_ROWS", carried)
        self.check()

    def test_a_key_keeps_the_last(self) -> None:
        items = [(number * 7 % 5, f"note {number}") for number in range(14)]
        self.check(items, key="id", expected=lambda some: list(dict(some).items()))

    def test_a_statement(self) -> None:
        def sink(folder: Path) -> rx.Sink[Any]:
            with database(folder / "notes.db") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER, note TEXT)")
            statement = "INSERT INTO notes VALUES (?1, upper(?2))"
            return sqlite.write(folder / "notes.db", statement=statement)

        check_sink(
            sink,
            self.ITEMS,
            lambda folder: rows(folder / "notes.db"),
            expected=lambda some: [(key, note.upper()) for key, note in some],
        )


@pytest.mark.parametrize(
    "items",
    [
        [{"id": 1, "note": "a"}, {"note": None, "id": 2}],
        [Note(1, "a"), Note(2, None)],
        [Point(1, "a"), Point(2, None)],
    ],
)
async def test_items_with_names(tmp_path: Path, items: list[Any], any_loop: None) -> None:
    path = tmp_path / "a.db"
    await rx.run(rx.from_iterable(items).to(sqlite.write(path, "notes", create=True)))
    assert rows(path) == [(1, "a"), (2, None)]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]


async def test_items_without_names(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with database(path) as connection:
        connection.execute('CREATE TABLE "my ""notes""" (id INTEGER PRIMARY KEY, note, more)')
    sink = sqlite.write(path, 'my "notes"')
    await rx.run(rx.of((1, "a", None), [2, "b", b"c"]).to(sink))
    await rx.run(rx.of([3, "c"]).to(sqlite.write(path, 'my "notes"', columns=["id", "note"])))
    found = rows(path, 'SELECT * FROM "my ""notes"""')
    assert found == [(1, "a", None), (2, "b", b"c"), (3, "c", None)]
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]


async def test_a_table_with_types_and_a_key(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    columns = {"id": "INTEGER", "note": "TEXT NOT NULL"}
    sink = sqlite.write(path, "notes", columns=columns, key=["id"], create=True)
    await rx.run(rx.of((1, 5), (2, "b"), (1, "c")).to(sink))
    await rx.run(rx.of((2, "d")).to(sink))
    assert rows(path) == [(1, "c"), (2, "d")]
    keys_only = sqlite.write(path, "keys", key="id", create=True)
    await rx.run(rx.of({"id": 1}, {"id": 1}).to(keys_only))
    assert rows(path, "SELECT * FROM keys") == [(1,)]


class TestRefusals:
    """Rows and tables that do not fit: named, with what came before them written."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.db"
        with database(path) as connection:
            connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL)")
        return path

    @pytest.mark.parametrize(
        ("options", "item", "error", "reason"),
        [
            ({}, (3, None), ConnectorError, r"a.db, notes: NOT NULL.*\(row \(3, None\)\)"),
            ({}, (2, "b"), ConnectorError, r"a.db, notes: UNIQUE.*\(2, 'b'\)"),
            ({}, (3, {}), ConnectorError, r"type 'dict' is not supported.*map the values"),
            ({}, (3, "c", 4), ConnectorError, r"map the items to the columns"),
            ({}, "abc", TypeError, r"sqlite.write takes mappings"),
            ({"columns": ["id", "note"]}, (3,), ValueError, "a row of 1 fields does not fit the 2"),
        ],
    )
    async def test_a_row(
        self, path: Path, options: Any, item: Any, error: Any, reason: str
    ) -> None:
        items = rx.of((1, "a"), (2, "b"), item, (9, "z"))
        with pytest.raises(error, match=reason):
            await rx.run(items.to(sqlite.write(path, "notes", **options)))
        assert rows(path) == [(1, "a"), (2, "b")]

    async def test_a_row_before_its_epoch_is_kept(self, path: Path) -> None:
        sink = sqlite.write(path, "notes")
        async with writing(sink) as writer:
            token = await commit(writer, 1, (1, "a"))
            await writer.write(rx.Chunk([(2, "b"), (1, "again")]))
            with pytest.raises(ConnectorError, match=r"UNIQUE.*\(1, 'again'\)"):
                await writer.prepare(2)
        async with writing(sink, 1, token) as writer:
            await commit(writer, 2, (2, "b"))
        assert rows(path) == [(1, "a"), (2, "b")]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"table": "other"}, "no such table: other.*; create it first, or give create=True"),
            ({"table": "notes", "key": "note"}, "a primary key or a UNIQUE index on note"),
            ({"table": "notes", "columns": ["id", "x"]}, "no column named x.*; map the items"),
            ({"statement": "INSERT INTO notes"}, "statement 'INSERT INTO notes': incomplete"),
        ],
    )
    async def test_a_table(self, path: Path, options: Any, reason: str) -> None:
        options = {"columns": ["id", "note"], **options}
        with pytest.raises(ConnectorError, match=reason):
            await rx.run(rx.of((1, "a")).to(sqlite.write(path, **options)))

    async def test_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("no database, but some text, and rather more than a little")
        for name, reason in (("x/a.db", "there must be a directory"), ("text", "not a database")):
            with pytest.raises(ConnectorError, match=reason):
                await rx.run(rx.of((1,)).to(sqlite.write(tmp_path / name, "notes")))

    async def test_a_lock(self, path: Path) -> None:
        with database(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(ConnectorError, match=r"kept the database for 0.01 seconds"):
                await rx.run(rx.of((1, "a")).to(sqlite.write(path, "notes", timeout=0.01)))

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "give a table or statement="),
            ({"table": "a", "statement": "b"}, "give a table or statement="),
            ({"statement": "b", "key": "c"}, "for a table"),
            ({"table": "a", "columns": []}, "at least one name"),
            ({"table": "a", "columns": ["b"], "key": "c"}, "the key 'c' is not among the columns"),
            ({"table": "a", "columns": "b"}, "a list of names"),
            ({"table": "a", "timeout": -1}, "timeout must be"),
        ],
    )
    def test_where_it_is_described(self, options: Any, reason: str) -> None:
        with pytest.raises((ValueError, TypeError), match=reason):
            sqlite.write("a.db", **options)

    @pytest.mark.parametrize("options", [{"key": "id"}, {"create": True}])
    async def test_rows_whose_columns_are_not_known(self, path: Path, options: Any) -> None:
        with pytest.raises(ValueError, match="columns="):
            await rx.run(rx.of((1, "a")).to(sqlite.write(path, "notes", **options)))


class TestEpochs:
    async def test_rows_are_seen_when_they_are_committed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        async with writing(sqlite.write(path, "notes", create=True)) as writer:
            await writer.write(rx.Chunk([{"id": 1}]))
            token = await writer.prepare(1)
            await writer.write(rx.Chunk([{"id": 2}]))
            assert rows(path) == []
            await writer.commit(1, token)
            assert rows(path) == [(1,)]

    async def test_sinks_of_one_database_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        sink = sqlite.write(path, "notes", create=True, timeout=0.01)
        async with writing(sink) as one, writing(sink) as other:
            for writer in (one, other):
                await writer.write(rx.Chunk([{"id": 1}]))
            tokens = [(writer, await writer.prepare(1)) for writer in (one, other)]
            for writer, token in tokens:
                await writer.commit(1, token)
        assert rows(path) == [(1,), (1,)]

    async def test_sinks_may_make_their_database_at_the_same_time(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            writer = sqlite.write(path, "notes", create=True).writer(context())
            opening = asyncio.create_task(writer.open())
            await asyncio.wait((opening,), timeout=0.2)
            other.execute("ROLLBACK")
        await opening
        await writer.close()
        assert rows(path, "PRAGMA journal_mode") == [("wal",)]

    async def test_an_epoch_without_rows_touches_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        async with writing(sqlite.write(path, "notes", create=True)) as writer:
            token = await commit(writer, 1, {"id": 1})
            before = rows(path, "SELECT * FROM reactive_epochs")
            for epoch in range(2, 5):
                token = await commit(writer, epoch)
            assert rows(path, "SELECT * FROM reactive_epochs") == before
        async with writing(sqlite.write(path, "notes"), 4, token) as writer:
            await commit(writer, 5, {"id": 2})
        assert rows(path) == [(1,), (2,)]

    async def test_two_state_stores_do_not_meet(self, tmp_path: Path) -> None:
        """A second pipeline, or the first without its state, begins at epoch 1 again."""
        path = tmp_path / "a.db"
        sink = sqlite.write(path, "notes", create=True)
        for number in range(2):
            async with writing(sink) as writer:
                await commit(writer, 1, {"id": number})
        assert rows(path) == [(0,), (1,)]

    async def test_a_database_that_is_behind_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        sink = sqlite.write(path, "notes", create=True)
        async with writing(sink) as writer:
            await commit(writer, 1, {"id": 1})
            token = await commit(writer, 2, {"id": 2})
        path.unlink()
        with pytest.raises(ConnectorError, match="until epoch 0, and its checkpoint goes on after"):
            async with writing(sink, 2, token):
                pass

    async def test_an_older_checkpoint_repeats_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "a.db"
        sink = sqlite.write(path, "notes", create=True)
        async with writing(sink) as writer:
            token = await commit(writer, 1, {"id": 1})
            await commit(writer, 2, {"id": 2})
        async with writing(sink, 1, token) as writer:
            await commit(writer, 2, {"id": 2})
        assert rows(path) == [(1,), (2,), (2,)]
        assert "database_ahead_of_checkpoint" in caplog.text

    async def test_what_is_staged_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.db"
        monkeypatch.setattr(sql_epochs, "CARRIED_BYTES", 5)
        sink = sqlite.write(path, "notes", create=True)

        def staged() -> int:
            query = "SELECT * FROM sqlite_master WHERE name LIKE 'reactive_staged%'"
            return len(rows(path, query))

        async with writing(sink) as writer:
            await writer.write(rx.Chunk([{"note": "long text"}]))
            await writer.write(rx.Chunk([{"note": "more text"}]))
            assert staged() == 1
        async with writing(sink) as writer:
            assert staged() == 0
            await writer.write(rx.Chunk([{"note": "long text"}]))
            token = await commit(writer, 1, {"note": "more text"})
            assert (staged(), token["rows"], token["staged"]) == (1, [], 2)
            await writer.finish()
        assert staged() == 0
        assert rows(path) == [("long text",), ("more text",)]

    async def test_staged_rows_that_are_gone_are_missed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.db"
        monkeypatch.setattr(sql_epochs, "CARRIED_ROWS", 0)
        async with writing(sqlite.write(path, "notes", create=True)) as writer:
            for number in range(2):
                await writer.write(rx.Chunk([{"id": number}]))
            token = await writer.prepare(1)
            with database(path) as connection:
                connection.execute(f"DELETE FROM reactive_staged_{token['sink']} WHERE part = 0")
            with pytest.raises(ConnectorError, match="has 0 of the 2 rows"):
                await writer.commit(1, token)


async def test_a_cancelled_run_keeps_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    enough = asyncio.Event()

    def count(number: int) -> dict[str, int]:
        if number == 5_000:
            enough.set()
        return {"id": number}

    numbers = rx.from_iterable(itertools.count()).map(count)
    task = asyncio.create_task(rx.run(numbers.to(sqlite.write(path, "notes", create=True))))
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = rows(path)
    assert found
    assert found == [(number,) for number in range(len(found))]


async def test_it_pickles_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    sink = sqlite.write(path, "notes", key="id", create=True)
    copy = cloudpickle.loads(cloudpickle.dumps(sink))
    assert sink.replayed == "transactional"
    job = rx.of({"id": 1}).to(copy)
    await rx.run(job)
    assert rows(path) == [(1,)]
    assert f"(path: {path}, into: notes, key: id)" in str(job.explain())


class TestReading:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.db"
        with database(path) as connection:
            connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)")
            numbers = [(number, f"note {number}") for number in range(3000)]
            connection.executemany("INSERT INTO notes VALUES (?, ?)", reversed(numbers))
        return path

    async def test_the_rows_of_a_query(self, path: Path, any_loop: None) -> None:
        query = "SELECT id, upper(note) AS note FROM notes WHERE id < ? ORDER BY id DESC;"
        found = await sqlite.read(path, query, [2]).collect()
        assert found == [{"id": 1, "note": "NOTE 1"}, {"id": 0, "note": "NOTE 0"}]
        assert len(await sqlite.read(path, "SELECT * FROM notes -- all").collect()) == 3000
        assert await sqlite.read(path, "SELECT * FROM notes WHERE id < 0").collect() == []

    async def test_reading_goes_on_at_a_position(self, path: Path) -> None:
        stream = sqlite.read(path, "SELECT * FROM notes -- all", key="id")
        assert [row["id"] for row in await stream.collect()] == list(range(3000))
        async with reading(stream) as reader:
            assert [row["id"] for row in await take(reader, 7) or ()] == list(range(7))
            position = pickle.loads(pickle.dumps(reader.position()))
        with database(path) as connection:
            connection.execute("DELETE FROM notes WHERE id = 6")
        async with reading(stream, position) as reader:
            assert [row["id"] for row in await take(reader, 3) or ()] == [7, 8, 9]
        assert source_of(stream).replayable
        assert not source_of(sqlite.read(path, "SELECT 1")).replayable

    async def test_a_cancelled_read_loses_nothing(self, path: Path) -> None:
        async with reading(sqlite.read(path, "SELECT id FROM notes", key="id")) as reader:
            ids: list[int] = []
            while True:
                call = asyncio.ensure_future(take(reader, 100))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait((call,))
                rows = await take(reader, 100)
                if rows is None:
                    break
                ids += [row["id"] for row in rows]
        assert ids == list(range(3000))

    async def test_from_a_table_into_another_with_checkpoints(self, path: Path) -> None:
        rows_read = sqlite.read(path, "SELECT * FROM notes", key="id")
        job = rows_read.to(sqlite.write(path, "copies", create=True))
        checkpoint = rx.Checkpoint(path.with_name("state.db"), delivery="exactly once")
        await rx.run(job, checkpoint=checkpoint)
        await rx.run(job, checkpoint=checkpoint)
        assert rows(path, "SELECT * FROM copies") == rows(path)

    @pytest.mark.parametrize(
        ("query", "options", "reason"),
        [
            ("SELECT x FROM notes", {}, "no such column: x"),
            ("SELECT * FROM other", {}, "no such table: other"),
            ("DELETE FROM notes", {}, "readonly"),
            ("SELECT 1 AS one", {"key": "id"}, "no such column: id|not among the columns one"),
            ("BEGIN", {}, "gives no rows; SELECT some"),
        ],
    )
    async def test_a_query_that_fails(
        self, path: Path, query: str, options: Any, reason: str
    ) -> None:
        with pytest.raises(ConnectorError, match=reason):
            await sqlite.read(path, query, **options).collect()

    async def test_a_database_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectorError, match="check the path, and who may read it"):
            await sqlite.read(tmp_path / "a.db", "SELECT 1").collect()
        assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
        with pytest.raises(TypeError, match="a list of values"):
            sqlite.read("a.db", "SELECT ?", "a")
