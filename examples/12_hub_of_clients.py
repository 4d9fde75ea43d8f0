"""A FastAPI service that sends prices to everybody who listens, by Server-Sent Events.

Each client has up to a hundred prices waiting and loses the oldest when there are more: one that
stops reading for a while misses some, and neither the pipeline nor the others wait for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import reactive as rx
from connectors import http

PRICES = 600
PADDING = "." * 20_000  # what is not read soon fills the sockets


def service(hub: rx.Hub[int]) -> FastAPI:
    app = FastAPI()

    @app.get("/prices/{client}")
    async def prices(client: str) -> StreamingResponse:
        feed = hub.subscribe(limit=100, overflow="drop_oldest", name=client)

        async def events() -> AsyncIterator[str]:
            async with feed.open() as items:
                async for price in items:
                    yield f"id: {price}\ndata: {PADDING}\n\n"
            print(f"{client}: {feed.dropped} lost")

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


async def slow_client(port: int, sent: asyncio.Event) -> list[str]:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(b"GET /prices/slow HTTP/1.1\r\nHost: prices\r\nConnection: close\r\n\r\n")
    await sent.wait()
    answer = await reader.read()
    writer.close()
    return answer.decode().splitlines()


async def main() -> None:
    hub, sent = rx.Hub[int](), asyncio.Event()
    prices = rx.interval(0.002).enumerate().map(lambda tick: tick[0]).take(PRICES)
    async with http.serve(service(hub), port=0) as server, asyncio.TaskGroup() as clients:
        lines = http.get_lines(f"{server.url}/prices/quick")
        quick = [clients.create_task(lines.collect()) for _ in range(3)]
        slow = clients.create_task(slow_client(server.address[1], sent))
        await rx.run(prices.to(hub))
        hub.close()
        sent.set()
    for task in (*quick, slow):
        got = [int(line[4:]) for line in task.result() if line.startswith("id: ")]
        missing = got[-1] - got[0] + 1 - len(got)
        print(f"{len(got)} prices up to number {got[-1]}, {missing} missing")


if __name__ == "__main__":
    asyncio.run(main())
