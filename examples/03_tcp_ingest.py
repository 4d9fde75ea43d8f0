"""An ingest server: JSON lines from any number of TCP clients to a file, broken ones to another.

What cannot be parsed becomes a dead letter with the line and the reason, and stops nothing. At the
end the run is drained: what clients have sent by then is in the files.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import orjson

import reactive as rx
from connectors import files, tcp

BAD = rx.SideOutput[rx.DeadLetter[bytes]]("bad lines")


def parse(line: bytes) -> tuple[str, float]:
    record = orjson.loads(line)
    return record["sensor"], float(record["celsius"])


def describe(letter: rx.DeadLetter[bytes]) -> dict[str, str]:
    return {"line": letter.item.decode(errors="replace"), "why": repr(letter.error)}


async def main() -> None:
    bound: asyncio.Future[tcp.Address] = asyncio.get_running_loop().create_future()
    lines = tcp.listen("127.0.0.1", 0, idle_timeout=60, on_listening=bound.set_result)
    readings = lines.map(parse, on_error=BAD).named("parse")

    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder, "readings.jsonl"), Path(folder, "bad.jsonl")
        jobs = readings.to(files.write_jsonl(good)), BAD.map(describe).to(files.write_jsonl(bad))
        async with rx.start(*jobs) as run:
            clients = [
                rx.from_iterable([b'{"sensor": "attic", "celsius": 31.5}'] * 500),
                rx.from_iterable([b'{"sensor": "cellar", "celsius": "12.1"}'] * 500),
                rx.of(b'{"sensor": "attic"}', b"hello?", b'{"sensor": "\xff"}'),
            ]
            address = await bound
            await rx.run(*(each.to(tcp.write(address.host, address.port)) for each in clients))
            report = await run.stop(drain=True)
        print(f"parsed {report['parse'].items_out}, {report['parse'].counters}")
        print(f"{await files.read_lines(good).count()} lines in {good.name}")
        print("\n".join(await files.read_lines(bad).collect()))


if __name__ == "__main__":
    asyncio.run(main())
