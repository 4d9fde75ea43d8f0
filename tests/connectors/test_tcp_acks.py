"""Frames that are acknowledged once they are committed: real sockets, processes and SQLite."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ack_parts import PATIENCE, Client, Table, TableSink, until

import reactive as rx
from connectors import files, sqlite, tcp
from connectors.framing import lines


@asynccontextmanager
async def client(port: int, name: str, first: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"reactive-ack 1 {name} {first}\n".encode())
        yield Client(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def running(
    folder: Path, table: Table, port: int = 0, **options: Any
) -> AsyncIterator[tuple[int, rx.Run]]:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    frames = tcp.listen(
        "127.0.0.1",
        port,
        ack="commit",
        on_listening=lambda address: bound.set_result(address.port),
        **options,
    )
    checkpoint = rx.Checkpoint(folder / "state.db", every=1000)
    async with rx.start(frames.map(int).to(TableSink(table)), checkpoint=checkpoint) as run:
        yield await bound, run
        table.open.set()


async def test_a_client_hears_what_is_committed(tmp_path: Path) -> None:
    table = Table()
    async with running(tmp_path, table) as (port, _), client(port, "a", 0) as sender:
        table.open.clear()
        sender.send(0, 1, 2)
        hearing = asyncio.ensure_future(sender.hears_of(3))
        await asyncio.sleep(0.1)
        assert not hearing.done() and not table.items
        table.open.set()
        await hearing
        assert table.items == [0, 1, 2]
        sender.send(3)
        await sender.hears_of(4)
        assert table.items == [0, 1, 2, 3]


async def test_what_is_sent_again_is_given_once(tmp_path: Path) -> None:
    table = Table()
    async with running(tmp_path, table) as (port, run):
        async with client(port, "a", 0) as sender:
            sender.send(0, 1, 2)
            await sender.hears_of(3)
        async with client(port, "a", 1) as sender, client(port, "b", 0) as other:
            sender.send(1, 2, 3)
            other.send(100)
            await sender.hears_of(4)
            await other.hears_of(1)
        assert sorted(table.items) == [0, 1, 2, 3, 100]
        assert run.metrics()["tcp.listen-numbers"].counters["repeated"] == 2
    async with running(tmp_path, table) as (port, _), client(port, "a", 2) as sender:
        sender.send(2, 3, 4)
        await sender.hears_of(5)
        assert sorted(table.items) == [0, 1, 2, 3, 4, 100]


async def test_a_client_that_has_sent_all_is_told_and_hung_up_on(tmp_path: Path) -> None:
    table = Table()
    async with running(tmp_path, table) as (port, _), client(port, "a", 0) as sender:
        sender.send(*range(50))
        sender.writer.write_eof()
        await sender.hears_of(50)
        assert await sender.hears() is None
        assert table.items == list(range(50))


async def test_a_drain_commits_and_tells(tmp_path: Path) -> None:
    table = Table()
    async with running(tmp_path, table, commit_within=50.0) as (port, run):
        async with client(port, "a", 0) as sender:
            sender.send(0, 1)
            await until(lambda: run.metrics()["tcp.listen"].items_out == 2)
            await run.stop()
            await sender.hears_of(2)
            assert await sender.hears() is None
        assert table.items == [0, 1]


async def test_who_does_not_begin_as_agreed_is_hung_up_on(tmp_path: Path) -> None:
    table = Table()
    async with running(tmp_path, table) as (port, run):
        for start in (b"5\n6\n", b"reactive-ack 2 a 0\n", b"reactive-ack 1 a -1\n", b"x" * 1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            try:
                assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            except ConnectionError:
                pass
            writer.close()
        assert run.metrics()["tcp.listen"].counters["connection_errors"] == 4
        assert table.items == []


async def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames are counted, so none may be skipped"):
        tcp.listen("127.0.0.1", 0, ack="commit", framing=lines(oversize="skip"))
    with pytest.raises(ValueError, match="commit_within"):
        tcp.listen("127.0.0.1", 0, ack="commit", commit_within=0)
    with pytest.raises(rx.PlanError, match=r"rx\.run\(job, checkpoint="):
        job = tcp.listen("127.0.0.1", 0, ack="commit").to(files.write_lines(tmp_path / "a.txt"))
        await rx.run(job)


async def test_an_attempt_of_retry_knows_no_numbers(tmp_path: Path) -> None:
    """Which is why `explain()` promises nothing there: see `reactive.delivery`."""
    table = Table()
    ports = asyncio.Queue[int]()
    frames = tcp.listen(
        "127.0.0.1", 0, ack="commit", on_listening=lambda address: ports.put_nowait(address.port)
    )
    again = frames.map(int).batch(2).retry(rx.Backoff(0.01))
    checkpoint = rx.Checkpoint(tmp_path / "state.db", every=1000)
    async with rx.start(again.to(TableSink(table)), checkpoint=checkpoint) as run:
        async with client(await ports.get(), "a", 0) as sender:
            sender.send(0, 1, 2)
            await sender.hears_of(3)
            sender.writer.write(b"no number\n")
            assert await sender.hears() is None
        async with client(await ports.get(), "a", 1) as sender:
            sender.send(1, 3, 4)
            await sender.hears_of(4)
        await run.stop()
    assert table.items == [[0, 1], [1, 3]], "1 is there twice, and 2, which batch held, is not"


class TestWriting:
    async def test_a_server_that_goes_and_comes_back(self, tmp_path: Path) -> None:
        table = Table()
        numbers = rx.range(6000).map(lambda n: b"%d" % n)
        async with running(tmp_path, table) as (port, run):
            retry = rx.Backoff(0.01, maximum=0.1)
            sink = tcp.write(
                "127.0.0.1", port, ack="commit", reconnect=retry, close_timeout=PATIENCE
            )
            async with rx.start(numbers.to(sink)) as sending:
                await until(lambda: bool(table.items))
                await run.stop(drain=False)
                committed = len(table.items)
                async with running(tmp_path, table, port=port):
                    await sending.wait()
                    assert sending.metrics()["tcp.write"].gauges["unacknowledged"] == 0
        assert 0 < committed < 6000
        assert table.items == list(range(6000))

    async def test_a_checkpoint_waits_for_the_acknowledgement(self, tmp_path: Path) -> None:
        table = Table()
        async with running(tmp_path, table) as (port, _):
            table.open.clear()
            inbox = rx.Subject[bytes]()
            job = inbox.to(tcp.write("127.0.0.1", port, ack="commit"))
            async with rx.start(job, checkpoint=tmp_path / "sender.db") as sending:
                await inbox.send(b"7")
                await until(lambda: sending.metrics()["tcp.write"].items_in == 1)
                taking = asyncio.ensure_future(sending.checkpoint())
                await asyncio.sleep(0.1)
                assert not taking.done()
                table.open.set()
                await taking
                assert table.items == [7]

    async def test_a_server_that_acknowledges_nothing(self) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await reader.read()
            writer.close()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        for server, says in ((echo, "no acknowledgements"), (silent, "the last 1 frames within")):
            async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
                port = listening.sockets[0].getsockname()[1]
                sink = tcp.write("127.0.0.1", port, ack="commit", close_timeout=0.5)
                with pytest.raises(rx.ConnectorError, match=says):
                    await rx.run(rx.of(b"1").to(sink))


SERVER = """
import asyncio, sys

import reactive as rx
from connectors import sqlite, tcp

FOLDER = sys.argv[1]

def listening(address):
    print(address.port, flush=True)

frames = tcp.listen("127.0.0.1", 0, ack="commit", commit_within=0.005, on_listening=listening)
rows = frames.map(lambda frame: {"id": int(frame)})
job = rows.to(sqlite.write(FOLDER + "/rows.db", "rows", create=True))
asyncio.run(rx.run(job, checkpoint=rx.Checkpoint(FOLDER + "/state.db", every=1000)))
"""


async def test_a_process_killed_at_any_moment(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    count, committed = 3000, 0
    for kill in (True, True, False):
        with subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, str(tmp_path / "server.py"), str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                assert process.stdout is not None
                port = int(await asyncio.to_thread(process.stdout.readline))
                async with client(port, "sender", committed) as sender:
                    enough = committed + chance.randrange(1, count // 3) if kill else count
                    sent = committed
                    while committed < enough:
                        if sent < count:
                            sender.send(*range(sent, min(sent + 50, count)))
                            sent = min(sent + 50, count)
                        committed = await sender.hears() or committed
                    if kill:
                        sender.send(*range(sent, min(sent + 50, count)))
                        await asyncio.sleep(chance.uniform(0, 0.02))
            finally:
                process.send_signal(signal.SIGKILL)
    rows = await sqlite.read(tmp_path / "rows.db", "SELECT id FROM rows ORDER BY id").collect()
    assert [row["id"] for row in rows] == list(range(count))
