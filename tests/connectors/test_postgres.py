"""Rows in PostgreSQL, by a real server: once each, seen when committed, and refused by name."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import cloudpickle
import pytest
from file_parts import context
from postgres_server import Server, address, packaged, postgres_server

import reactive as rx
from connectors import postgres, sql_epochs
from reactive.errors import ConnectorError
from reactive.testing import check_sink

__all__ = ["address", "postgres_server"]

COLUMNS = {"id": "bigint", "note": "text"}


async def rows(address: str, query: str = "SELECT * FROM notes") -> list[Any]:
    connection = await asyncpg.connect(address)
    try:
        return list(map(tuple, await connection.fetch(query)))
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


async def execute(address: str, *statements: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


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

    def seen(self, address: str) -> Callable[[Path], Awaitable[list[Any]]]:
        async def look(folder: Path) -> list[Any]:
            return await rows(address, f'SELECT id, note FROM "{folder.name}" ORDER BY ctid')

        return look

    def check(self, address: str, **options: Any) -> None:
        check_sink(
            lambda folder: postgres.write(address, folder.name, columns=COLUMNS, create=True),
            self.ITEMS,
            self.seen(address),
            ordered=False,
            **options,
        )

    def test_rows_stand_there_once(self, address: str) -> None:
        self.check(address, examples=15)

    @pytest.mark.parametrize("carried", [0, 3])
    def test_many_rows_are_staged(
        self, address: str, monkeypatch: pytest.MonkeyPatch, carried: int
    ) -> None:
        monkeypatch.setattr(sql_epochs, "CARRIED_ROWS", carried)
        self.check(address, examples=6)

    def test_a_key_keeps_the_last(self, address: str) -> None:
        items = [(number * 7 % 5, f"note {number}") for number in range(14)]
        check_sink(
            lambda folder: postgres.write(
                address, folder.name, columns=COLUMNS, create=True, key="id"
            ),
            items,
            self.seen(address),
            expected=lambda some: list(dict(some).items()),
            ordered=False,
            examples=6,
        )


async def test_items_of_all_kinds(address: str, any_loop: None) -> None:
    columns = {"id": "bigint", "at": "timestamptz", "data": "bytea", "many": "int[]", "x": "float8"}
    moment = datetime(2025, 1, 31, tzinfo=UTC)
    sink = postgres.write(address, "notes", columns=columns, create=True)
    items = rx.of(
        (1, moment, b"\0", [1, 2], 0.5),
        {"x": None, "id": 2, "at": moment, "data": None, "many": []},
    )
    await rx.run(items.to(sink))
    assert await rows(address) == [
        (1, moment, b"\0", [1, 2], 0.5),
        (2, moment, None, [], None),
    ]


async def test_a_statement_of_ones_own(address: str) -> None:
    await execute(address, "CREATE TABLE notes (id bigint PRIMARY KEY, note varchar(10))")
    statement = (
        "INSERT INTO notes VALUES ($1, upper($2)) "
        "ON CONFLICT (id) DO UPDATE SET note = notes.note || excluded.note"
    )
    sink = postgres.write(address, statement=statement)
    await rx.run(rx.of((1, "a"), (2, "b"), (1, "c")).to(sink))
    assert sorted(await rows(address)) == [(1, "AC"), (2, "B")]


async def test_a_table_in_a_schema(address: str) -> None:
    await execute(address, "CREATE SCHEMA own")
    sink = postgres.write(address, "own.notes", columns=COLUMNS, key="id", create=True)
    await rx.run(rx.of((1, "a"), (1, "b")).to(sink))
    assert await rows(address, "SELECT * FROM own.notes") == [(1, "b")]


class TestRefusals:
    """Rows, tables and servers that do not fit: named, with what came before them written."""

    @pytest.fixture
    def address(self, postgres_server: Server) -> str:
        return postgres_server.database()

    @pytest.mark.parametrize(
        ("options", "item", "error", "reason"),
        [
            ({}, (3, None), ConnectorError, r"test_\d+, notes: null value.*\(row \(3, None\)\)"),
            ({}, (2, "b"), ConnectorError, r"duplicate key.*\(row \(2, 'b'\)\)"),
            ({}, ("3", "c"), ConnectorError, r"\(row \('3', 'c'\)\); map the values to the types"),
            ({}, (3, "long note"), ConnectorError, r"value too long.*\(row \(3, 'long note'\)\)"),
            ({}, "abc", TypeError, r"postgres.write takes mappings"),
        ],
    )
    async def test_a_row(
        self, address: str, options: Any, item: Any, error: Any, reason: str
    ) -> None:
        await execute(address, "CREATE TABLE notes (id bigint UNIQUE, note varchar(5) NOT NULL)")
        items = rx.of((1, "a"), (2, "b"), item, (9, "z"))
        with pytest.raises(error, match=reason):
            await rx.run(items.to(postgres.write(address, "notes", **options)))
        assert await rows(address) == [(1, "a"), (2, "b")]

    async def test_a_row_before_its_epoch_is_kept(self, address: str) -> None:
        await execute(address, "CREATE TABLE notes (id bigint UNIQUE, note text NOT NULL)")
        sink = postgres.write(address, "notes")
        async with writing(sink) as writer:
            token = await commit(writer, 1, (1, "a"))
            await writer.write(rx.Chunk([(2, "b"), (1, "again")]))
            with pytest.raises(ConnectorError, match=r"duplicate key.*\(row \(1, 'again'\)\)"):
                await writer.prepare(2)
        async with writing(sink, 1, token) as writer:
            await commit(writer, 2, (2, "b"))
        assert await rows(address) == [(1, "a"), (2, "b")]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"table": "other"}, '"other" does not exist.*; create it first, or give create=True'),
            ({"table": "notes", "key": "note"}, "a primary key or a unique index on note"),
            ({"table": "notes", "columns": ["id", "x"]}, '"x" of relation.*; map the items'),
            ({"statement": "INSERT INTO notes"}, "statement 'INSERT INTO notes': syntax error"),
        ],
    )
    async def test_a_table(self, address: str, options: Any, reason: str) -> None:
        await execute(address, "CREATE TABLE notes (id bigint UNIQUE, note text)")
        options = {"columns": ["id", "note"], **options}
        with pytest.raises(ConnectorError, match=reason):
            await rx.run(rx.of((1, "a")).to(postgres.write(address, **options)))

    async def test_a_server(self, address: str, tmp_path: Path) -> None:
        job = rx.of((1, "a")).to(postgres.write(address.replace("/test_", "/none_"), "notes"))
        with pytest.raises(ConnectorError, match=r"does not exist.*; create the database first"):
            await rx.run(job)
        nobody = f"postgresql://secret:word@/notes?host={tmp_path}"
        with pytest.raises(ConnectorError, match="check the address") as caught:
            await rx.run(rx.of((1, "a")).to(postgres.write(nobody, "notes")))
        assert "word" not in str(caught.value)

    async def test_a_server_that_goes_away(self, address: str) -> None:
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True)
        async with writing(sink) as writer:
            token = await commit(writer, 1, (1, "a"))
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            await execute(address, f"{end}current_database() AND pid <> pg_backend_pid()")
            with pytest.raises(ConnectorError, match=r"notes: .*conn"):
                await commit(writer, 2, (2, "b"))
        async with writing(sink, 1, token) as writer:
            await commit(writer, 2, (2, "b"))
        assert await rows(address) == [(1, "a"), (2, "b")]

    @pytest.mark.parametrize(
        ("address", "options", "reason"),
        [
            ("localhost", {}, "must begin with postgresql://"),
            ("postgresql://a/b", {"create": True}, "needs the types of the columns"),
            ("postgresql://a/b", {"timeout": 0}, "timeout must be"),
        ],
    )
    def test_where_it_is_described(self, address: str, options: Any, reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            postgres.write(address, "notes", **options)


class TestEpochs:
    async def test_rows_are_seen_when_they_are_committed(self, address: str) -> None:
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True)
        async with writing(sink) as writer:
            await writer.write(rx.Chunk([(1, "a")]))
            token = await writer.prepare(1)
            await writer.write(rx.Chunk([(2, "b")]))
            assert await rows(address) == []
            await writer.commit(1, token)
            assert await rows(address) == [(1, "a")]

    async def test_two_sinks_of_one_table_do_not_wait_for_each_other(self, address: str) -> None:
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True, key="id")
        async with writing(sink) as one, writing(sink) as other:
            for writer in (one, other):
                await writer.write(rx.Chunk([(1, "a")]))
            tokens = [(writer, await writer.prepare(1)) for writer in (one, other)]
            for writer, token in tokens:
                await writer.commit(1, token)
        assert await rows(address) == [(1, "a")]

    async def test_a_database_that_is_behind_is_refused(self, address: str) -> None:
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True)
        async with writing(sink) as writer:
            await commit(writer, 1, (1, "a"))
            token = await commit(writer, 2, (2, "b"))
        await execute(address, "DELETE FROM reactive_epochs")
        with pytest.raises(ConnectorError, match="until epoch 0, and its checkpoint goes on after"):
            async with writing(sink, 2, token):
                pass

    async def test_what_is_staged_leaves_nothing(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql_epochs, "CARRIED_BYTES", 5)
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True)
        query = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'reactive_staged%'"
        async with writing(sink) as writer:
            for number in range(2):
                await writer.write(rx.Chunk([(number, "long text")]))
            assert len(await rows(address, query)) == 1
        async with writing(sink) as writer:
            assert await rows(address, query) == []
            await writer.write(rx.Chunk([(1, "long text")]))
            token = await commit(writer, 1, *((number, "more text") for number in range(2, 3000)))
            assert (token["rows"], token["staged"]) == ([], 2999)
            await writer.finish()
        assert await rows(address, query) == []
        numbers = await rows(address, "SELECT id FROM notes ORDER BY ctid")
        assert numbers == [(number,) for number in range(1, 3000)]

    async def test_staged_rows_that_are_gone_are_missed(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql_epochs, "CARRIED_ROWS", 0)
        sink = postgres.write(address, "notes", columns=COLUMNS, create=True)
        async with writing(sink) as writer:
            for number in range(2):
                await writer.write(rx.Chunk([(number, "a")]))
            token = await writer.prepare(1)
            await execute(address, f"DELETE FROM reactive_staged_{token['sink']}")
            with pytest.raises(ConnectorError, match="has 0 of the 2 rows"):
                await writer.commit(1, token)


def test_it_pickles_and_says_what_it_is_without_the_password() -> None:
    sink = postgres.write("postgresql://me:secret@here/notes", "notes", key="id")
    copy = cloudpickle.loads(cloudpickle.dumps(sink))
    assert copy.replayed == "transactional"
    told = str(rx.of({"id": 1}).to(copy).explain())
    assert "(address: postgresql://here/notes, into: notes, key: id)" in told


def test_where_the_system_has_no_server_a_package_has_one():
    binaries = packaged()[0]
    told = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True)
    assert told.stdout.startswith("postgres (PostgreSQL) ")
