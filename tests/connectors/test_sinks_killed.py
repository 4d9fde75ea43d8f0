"""A real process killed with SIGKILL, at any instant: every row is once in every sink."""

from __future__ import annotations

import gzip
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from killed_program import COUNT
from postgres_server import address, postgres_server
from remembering_server import remembering

from reactive.testing import run

__all__ = ["address", "postgres_server"]

PROGRAM = Path(__file__).with_name("killed_program.py")
KILLS = 12
LONGEST = 0.6
ROWS = [{"id": number, "note": f"note {number}"} for number in range(COUNT)]


def killed_until_done(*arguments: str, seed: int) -> int:
    """Run the program to its end, with kills on the way; how often it was killed."""
    chance = random.Random(seed)
    kills = 0
    while True:
        with subprocess.Popen(
            [sys.executable, PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() == b"ready\n" and kills < KILLS:
                    process.wait(chance.uniform(0, LONGEST))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                continue
            _, errors = process.communicate()
        assert process.returncode == 0, f"seed {seed}: {errors.decode()}"
        return kills


def lines(data: bytes) -> list[Any]:
    return list(map(orjson.loads, data.splitlines()))


def check(folder: Path, address: str, seed: int) -> None:
    (folder / "in.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    with remembering() as server:
        kills = killed_until_done(str(folder), address, server.url, seed=seed)
        found = {"posted": server.items["/posted"]}
    found["joined"] = lines((folder / "joined.jsonl").read_bytes())
    for name in ("packed", "whole"):
        found[name] = lines(gzip.decompress((folder / f"{name}.jsonl.gz").read_bytes()))
    parts = sorted(folder.glob("parts-*.jsonl"))
    found["parts"] = lines(b"".join(path.read_bytes() for path in parts))
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        for table in ("rows", "keyed"):
            query = f"SELECT id, note FROM {table} ORDER BY rowid"
            found[table] = [{"id": key, "note": note} for key, note in database.execute(query)]
    if address:
        found["postgres"] = run(rows_of(address))
    for name, rows in found.items():
        assert rows == ROWS, f"seed {seed}, {name}, after {kills} kills"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


async def rows_of(address: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(address)
    try:
        return list(map(dict, await connection.fetch("SELECT * FROM rows ORDER BY ctid")))
    finally:
        await connection.close()


@pytest.mark.timeout(600)
def test_files_sqlite_and_http_have_every_row_once(tmp_path: Path) -> None:
    check(tmp_path, "", seed=random.getrandbits(32))


@pytest.mark.timeout(600)
def test_postgres_has_every_row_once(tmp_path: Path, address: str) -> None:
    check(tmp_path, address, seed=random.getrandbits(32))
