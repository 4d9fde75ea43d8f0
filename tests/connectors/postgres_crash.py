"""A job into PostgreSQL that is killed again and again; the database is that of `POSTGRES`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import asyncpg

import reactive as rx
from connectors import files, postgres

COUNT = 400


def address() -> str:
    return os.environ["POSTGRES"]


async def slowly(row: Any) -> Any:
    await asyncio.sleep(0.001 * (row["id"] % 3))
    return row


def totals(folder: Path) -> rx.Job:
    numbers = files.read_jsonl(folder / "in.jsonl").map(slowly, concurrency=4)
    sums = numbers.scan(lambda total, row: total + row["id"], 0)
    columns = {"total": "bigint"}
    sink = postgres.write(address(), "totals", columns=columns, create=True)
    return sums.map(lambda total: {"total": total}).to(sink)


def begin(folder: Path) -> None:
    """Nothing is left of the round before, in the database either."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": n}) + "\n" for n in range(COUNT)))
    asyncio.run(_fetch("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"))


def rows(folder: Path) -> list[int]:
    found = asyncio.run(_fetch("SELECT total FROM totals ORDER BY ctid"))
    return [row["total"] for row in found]


async def _fetch(*statements: str) -> list[Any]:
    connection = await asyncpg.connect(address())
    try:
        for statement in statements:
            found = await connection.fetch(statement)
        return list(found)
    finally:
        await connection.close()
