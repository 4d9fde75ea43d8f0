"""Async calls: how many are under way at once, new attempts, and a place for what fails for good.

A small real server looks stations up. It is slow and at times overloaded, and does not know one.
"""

from __future__ import annotations

import asyncio
from functools import partial

import aiohttp
from aiohttp import web

import reactive as rx
from connectors import memory

FAILED = rx.SideOutput[rx.DeadLetter[int]]("failed")
OVERLOADED = [0, 25, 50, 75]


async def answer(request: web.Request) -> web.Response:
    """Some other program's service."""
    await asyncio.sleep(0.05)
    number = int(request.match_info["number"])
    if number in OVERLOADED:
        OVERLOADED.remove(number)
        raise web.HTTPServiceUnavailable
    if number == 13:
        raise web.HTTPNotFound
    return web.Response(text=f"Station {number}")


async def ask(session: aiohttp.ClientSession, number: int) -> str:
    async with session.get(f"/{number}") as response:
        if response.status == 503:
            raise ConnectionError(f"no answer for {number}")
        response.raise_for_status()
        return await response.text()


async def ask_again(session: aiohttp.ClientSession, number: int) -> str:
    """A pipeline of one item, which is tried again as a whole."""
    asked = rx.of(number).map(partial(ask, session))
    return await asked.retry(rx.Backoff(attempts=3), on=ConnectionError).first()


async def main() -> None:
    app = web.Application()
    app.router.add_get("/{number}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]

    names: list[str] = []
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        stations = rx.range(100).map(partial(ask_again, session), concurrency=20, on_error=FAILED)
        failed = FAILED.map(lambda letter: f"{letter.item} failed: {letter.error}")
        report = await rx.run(stations.to(memory.append(names)), failed.to(memory.call(print)))
    await runner.cleanup()
    print(f"{len(names)} names in order, from {names[0]} to {names[-1]}")
    print(f"one after the other takes 5 s or more, this took less: {report.seconds < 5}")


if __name__ == "__main__":
    asyncio.run(main())
