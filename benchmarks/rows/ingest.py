"""Requests that are answered once their row is durable in SQLite, from many clients at once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    faster,
    median_column,
    per_item_column,
)

OURS, BY_HAND = "reactive, ack=commit", "a transaction a request"
IN_LOOP = "a transaction a request, in the loop"
NOTHING = "the server with nothing behind it"
COMMITS = 100
TABLE = "CREATE TABLE IF NOT EXISTS orders (id INTEGER, note TEXT)"


async def clients(port: int, settings: Settings) -> dict[str, float]:
    """Run the clients in a process of their own; what they measured."""
    numbers = (str(each) for each in (port, settings["clients"], settings["count"]))
    command = [sys.executable, "-m", "benchmarks.clients", *numbers]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    figures: dict[str, float] = json.loads(out)
    return figures


def connect(database: Path) -> sqlite3.Connection:
    """A connection whose transactions are on the disk when they have ended."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def seconds_of_a_commit(database: Path) -> float:
    """How long the disk takes now: the median of transactions of one row, with nothing beside."""
    taken: list[float] = []
    with closing(connect(database)) as connection:
        for _ in range(COMMITS):
            before = time.perf_counter()
            connection.execute("INSERT INTO orders VALUES (NULL, 'a row of some sixty bytes')")
            taken.append(time.perf_counter() - before)
        connection.execute("DELETE FROM orders")
    return median(taken)


def in_a_folder(
    serve: Callable[[Path, Settings], Any], *, writes: bool = True
) -> Callable[[Settings], Outcome]:
    """Run with a database of its own; the result is how many rows it has, where it writes any."""

    def run(settings: Settings) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder, "orders.db")
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(TABLE)
            figures = {"commit": seconds_of_a_commit(database)}
            figures |= loops.run(serve(database, settings))
            with closing(sqlite3.connect(database)) as connection:
                (count,) = connection.execute("SELECT count(DISTINCT id) FROM orders").fetchone()
        return Outcome(count if writes else None, figures)

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


async def serving(
    settings: Settings, handle: Callable[[bytes], Awaitable[object]]
) -> dict[str, float]:
    """The same server, and an application that has the body handled before it answers."""
    from connectors import http

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only http")
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        await handle(body)
        answer = b'{"committed":1}'
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async with http.serve(application, port=0) as server:
        return await clients(server.address.port, settings)


def insert(connection: sqlite3.Connection, body: bytes) -> None:
    row = json.loads(body)
    connection.execute("INSERT INTO orders VALUES (?, ?)", (row["id"], row["note"]))


async def by_hand(database: Path, settings: Settings) -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor

    loop = asyncio.get_running_loop()
    with closing(connect(database)) as connection, ThreadPoolExecutor(1) as thread:

        async def handle(body: bytes) -> None:
            await loop.run_in_executor(thread, insert, connection, body)

        return await serving(settings, handle)


async def in_loop(database: Path, settings: Settings) -> dict[str, float]:
    with closing(connect(database)) as connection:

        async def handle(body: bytes) -> None:
            insert(connection, body)

        return await serving(settings, handle)


async def nothing(database: Path, settings: Settings) -> dict[str, float]:
    async def handle(body: bytes) -> None:
        pass

    return await serving(settings, handle)


def _rate(samples: Samples, name: str, settings: Settings) -> str:
    value = samples.ratio(BY_HAND, name)
    return "" if value is None else f"{value:.3g}x"


ROW = Row(
    name="ingest",
    title="20,000 requests of 256 clients, each answered when its row is durable in SQLite",
    contestants=(
        Contestant(OURS, in_a_folder(ours), "ours", "reactive"),
        Contestant(BY_HAND, in_a_folder(by_hand), "by hand", share=0.25),
        Contestant(IN_LOOP, in_a_folder(in_loop), "by hand", share=0.25),
        Contestant(NOTHING, in_a_folder(nothing, writes=False), "by hand"),
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
        Column("rate, beside a transaction a request", _rate),
        median_column("a commit to this disk", "commit"),
    ),
    full={"count": 20_000, "clients": 256},
    quick={"count": 5_000, "clients": 256},
    warm={"count": 500},
    rounds=5,
    computes=False,
    notes=(
        "Nothing that this server serves has a higher rate than the server with nothing behind it: "
        "that is the limit of what sharing commits can gain.",
    ),
)
