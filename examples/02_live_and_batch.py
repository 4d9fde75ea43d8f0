"""Live and batch from one function: a TCP feed that brings orders now, a file that holds them all.

`revenue` neither knows nor cares where its lines come from, so the totals are the same.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import orjson

import reactive as rx
from connectors import files, tcp

ORDERS = [{"country": ["FR", "ES", "NL"][n % 3], "amount": n * 10 % 70} for n in range(1000)]


def revenue(lines: rx.Stream[bytes]) -> rx.Stream[dict[str, int]]:
    """The running revenue of each country, one dict an order."""
    return lines.map(orjson.loads).filter(lambda order: order["amount"] > 0).scan(add, {})


def add(totals: dict[str, int], order: dict[str, int | str]) -> dict[str, int]:
    country, amount = str(order["country"]), int(order["amount"])
    return {**totals, country: totals.get(country, 0) + amount}


async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Some other program's server: sends the orders one by one and hangs up."""
    for order in ORDERS:
        writer.write(orjson.dumps(order) + b"\n")
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "orders.jsonl.gz")
        await rx.run(rx.from_iterable(ORDERS).to(files.write_jsonl(path)))

        async with await asyncio.start_server(feed, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            live: dict[str, int] = {}
            async for number, live in revenue(tcp.connect(host, port)).enumerate(1):
                if number % 200 == 0:
                    print(f"live, after {number} orders: {live}")

        batch = await revenue(files.read_lines(path, encoding=None)).last()
        print(f"batch: {batch}")
        print(f"equal: {live == batch}")


if __name__ == "__main__":
    asyncio.run(main())
