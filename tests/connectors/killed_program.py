"""A pipeline into many sinks at once, to be killed and started again until it has ended.

Its parameters are a folder, and the addresses of a PostgreSQL database and of an HTTP server, each
empty if there is none. It says `ready` when it begins.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import reactive as rx
from connectors import files, http, postgres, sqlite

COUNT = 3000
SECONDS_AN_ITEM = 0.0005


def slowly(row: Any) -> Any:
    """Small pauses, so that a kill may come anywhere."""
    time.sleep(SECONDS_AN_ITEM)
    return row


async def main(folder: Path, database: str, server: str) -> None:
    rows = files.read_jsonl(folder / "in.jsonl").map(slowly)
    parts = files.Rotation(max_bytes=5000)
    sinks = {
        "joined": files.write_jsonl(folder / "joined.jsonl", append=True),
        "packed": files.write_jsonl(folder / "packed.jsonl.gz", append=True),
        "whole": files.write_jsonl(folder / "whole.jsonl.gz"),
        "parts": files.write_jsonl(folder / "parts.jsonl", rotate=parts),
        "rows": sqlite.write(folder / "rows.db", "rows", create=True),
        "keyed": sqlite.write(folder / "rows.db", "keyed", create=True, key="id"),
    }
    columns = {"id": "bigint", "note": "text"}
    if database:
        sinks["postgres"] = postgres.write(database, "rows", columns=columns, create=True)
    if server:
        sinks["posted"] = http.post(f"{server}/posted", key="epoch", batch=7)
    jobs = [rows.to(sink).named(name) for name, sink in sinks.items()]
    print("ready", flush=True)
    # Short chunks, so that there are many epochs.
    settings = rx.Settings(chunk=16, edge=16)
    checkpoint = rx.Checkpoint(folder / "state.db", every=0.01)
    await rx.run(*jobs, settings=settings, checkpoint=checkpoint)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
