"""A process killed between taking a request and answering it: real SQLite, clients that retry."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

PATIENCE = 120


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until something has happened that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


SERVER = """
import asyncio, os, signal, sys

import reactive as rx
from connectors import http, sqlite

FOLDER, PORT, WITHIN, KILL = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]

class Deadly(rx.Sink):
    def __init__(self, sink):
        self.sink = sink

    def writer(self, context):
        return DeadlyWriter(self.sink.writer(context))

class DeadlyWriter(rx.Writer):
    def __init__(self, writer):
        self.writer = writer
        self.open, self.close, self.recover = writer.open, writer.close, writer.recover
        self.written = False

    async def write(self, chunk):
        self.written = True
        await self.writer.write(chunk)
        self.die("write")

    async def prepare(self, epoch):
        token = await self.writer.prepare(epoch)
        self.die("prepare")
        return token

    async def commit(self, epoch, token):
        self.die("saved")
        await self.writer.commit(epoch, token)
        self.die("commit")

    def die(self, place):
        if place == KILL and self.written:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    orders = http.listen(
        "127.0.0.1", PORT, ack="commit", commit_within=WITHIN,
        on_listening=lambda address: print(address.port, flush=True),
    )
    job = orders.to(Deadly(sqlite.write(FOLDER + "/orders.db", "orders", create=True)))
    await rx.run(job, checkpoint=rx.Checkpoint(FOLDER + "/state.db", every=1000))

asyncio.run(main())
"""


@contextmanager
def server(folder: Path, port: int = 0, within: float = 0.01, kill: str = "") -> Iterator[Any]:
    """A process with an ingest in it, and the port it listens on; killed at the end."""
    (folder / "server.py").write_text(SERVER)
    command = [sys.executable, str(folder / "server.py"), str(folder), str(port), str(within), kill]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def send(session: aiohttp.ClientSession, port: int, number: int) -> int | None:
    """The status; None where there was no answer."""
    body = orjson.dumps({"id": number})
    headers = {"content-type": "application/json", "idempotency-key": f"order-{number}"}
    try:
        url = f"http://127.0.0.1:{port}/"
        async with session.post(url, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return None


def orders(folder: Path) -> list[int]:
    """What is in the table."""
    path = folder / "orders.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'orders'")
        if tables.fetchone() is None:
            return []
        return [number for (number,) in database.execute("SELECT id FROM orders ORDER BY id")]


@pytest.mark.parametrize("place", ["prepare", "saved"])
async def test_a_process_killed_before_it_answers(tmp_path: Path, place: str) -> None:
    async with aiohttp.ClientSession() as session:
        with server(tmp_path, kill=place) as (process, port):
            assert await send(session, port, 1) is None
            assert process.wait(PATIENCE) == -signal.SIGKILL
        with server(tmp_path) as (_, port):
            assert await send(session, port, 1) == 200
            assert orders(tmp_path) == [1]
            assert await send(session, port, 2) == 200
            assert orders(tmp_path) == [1, 2]


async def test_a_process_killed_at_any_moment(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    port = 0
    answered: list[int] = []
    numbers = iter(range(10_000))
    over = asyncio.Event()

    async def client(session: aiohttp.ClientSession) -> None:
        while not over.is_set():
            number = next(numbers)
            while await send(session, port, number) != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            answered.append(number)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
        for kills in range(3):
            with server(tmp_path, port) as (_, port):
                if not kills:
                    for _ in range(8):
                        clients.create_task(client(session))
                enough = len(answered) + chance.randrange(1, 40)
                await until(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 0.03))
        with server(tmp_path, port) as (_, port):
            over.set()
            await until(lambda: all(task.done() for task in clients._tasks))
    assert orders(tmp_path) == sorted(answered)
