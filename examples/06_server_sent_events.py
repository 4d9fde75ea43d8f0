"""A consumer of Server-Sent Events that survives broken connections.

A small real server hangs up every 20 events. The stream connects again with the id of the last
event it has seen, the server goes on from there, and nothing is lost or comes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from connectors import http

EVENTS = 50


async def ticker(request: web.Request) -> web.StreamResponse:
    """Some other program's endpoint."""
    last = int(request.headers.get("Last-Event-ID", 0))
    print(f"server: somebody wants what follows event {last}")
    if last == EVENTS:
        return web.Response(status=204)  # by the rules: do not come back
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"retry: 10\n\n")
    for number in range(last + 1, min(last + 20, EVENTS) + 1):
        await response.write(b"id: %d\nevent: price\ndata: %d\n\n" % (number, 100 + number % 7))
    return response


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/ticker", ticker)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}/ticker"
    finally:
        await runner.cleanup()


async def main() -> None:
    seen: list[int] = []
    async with serving() as url:
        async for event in http.events(url):
            seen.append(int(event.last_event_id))
            if event.data == "106":
                print(f"event {event.last_event_id}: {event.type} {event.data}")
    print(f"each event came once: {seen == list(range(1, EVENTS + 1))}")


if __name__ == "__main__":
    asyncio.run(main())
