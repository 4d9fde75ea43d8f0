"""Requests that are answered once their row is durable in SQLite, from many clients at once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    faster,
    median_column,
    per_item_column,
)

OURS, BY_HAND = "reactive, ack=commit", "a transaction a request"
TABLE = "CREATE TABLE IF NOT EXISTS orders (id INTEGER, note TEXT)"


async def clients(port: int, settings: Settings) -> dict[str, float]:
    """Run the clients in a process of their own; what they measured."""
    numbers = (str(each) for each in (port, settings["clients"], settings["count"]))
    command = [sys.executable, "-m", "benchmarks.clients", *numbers]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    figures: dict[str, float] = json.loads(out)
    return figures


def in_a_folder(serve: Callable[[Path, Settings], Any]) -> Callable[[Settings], Outcome]:
    """Run with a database of its own; the result is how many rows it has."""

    def run(settings: Settings) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder, "orders.db")
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(TABLE)
            figures = loops.run(serve(database, settings))
            with closing(sqlite3.connect(database)) as connection:
                (count,) = connection.execute("SELECT count(DISTINCT id) FROM orders").fetchone()
        return Outcome(count, figures)

    return run


async def ours(database: Path, settings: Settings) -> dict[str, float]:
    import reactive as rx
    from connectors import http, sqlite

    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    orders = http.listen(
        port=0, ack="commit", on_listening=lambda address: port.set_result(address.port)
    )
    job = orders.to(sqlite.write(database, "orders"))
    async with rx.start(job, checkpoint=database.with_name("state.db")):
        return await clients(await port, settings)


async def by_hand(database: Path, settings: Settings) -> dict[str, float]:
    """The same server, and an application that inserts and commits before it answers."""
    from concurrent.futures import ThreadPoolExecutor

    from connectors import http

    loop = asyncio.get_running_loop()
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")

    def insert(body: bytes) -> None:
        row = json.loads(body)
        connection.execute("INSERT INTO orders VALUES (?, ?)", (row["id"], row["note"]))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        await loop.run_in_executor(thread, insert, body)
        answer = b'{"committed":1}'
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    with closing(connection), ThreadPoolExecutor(1) as thread:
        async with http.serve(application, port=0) as server:
            return await clients(server.address.port, settings)


ROW = Row(
    name="ingest",
    title="20,000 requests of 256 clients, each answered when its row is durable in SQLite",
    contestants=(
        Contestant(OURS, in_a_folder(ours), "ours", "reactive"),
        Contestant(BY_HAND, in_a_folder(by_hand), "by hand", share=0.25),
    ),
    bars=(
        faster("at least 10x the rate of a transaction a request", OURS, BY_HAND, 10),
        Bar("p99 under 100 ms", lambda samples: samples.median(OURS, "p99"), 0.1, unit=" s"),
    ),
    columns=(
        median_column(),
        per_item_column("a request"),
        median_column("p50", "p50"),
        median_column("p99", "p99"),
        beside_column(OURS),
    ),
    full={"count": 20_000, "clients": 256},
    quick={"count": 5_000, "clients": 256},
    warm={"count": 500},
    rounds=5,
    computes=False,
)
