"""A log follower, as `tail -F | grep`: it goes on through rotation and loses no line.

A real `RotatingFileHandler` in a thread writes and rotates the log while the pipeline follows it.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

import reactive as rx
from connectors import files

REQUESTS = 120


def serve(path: Path) -> None:
    """The program that writes the log: rotates it every 2,000 bytes or so."""
    log = logging.getLogger("service")
    log.setLevel(logging.INFO)
    handler = RotatingFileHandler(path, maxBytes=2000, backupCount=9)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    for number in range(REQUESTS):
        if number % 10 == 3:
            log.error("request %d failed after %d ms", number, number * 7)
        else:
            log.info("request %d answered", number)
        time.sleep(0.005)
    handler.close()


def errors(lines: rx.Stream[str]) -> rx.Stream[str]:
    return lines.filter(lambda line: line.startswith("ERROR")).map(lambda line: line[6:])


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "service.log")
        lines = files.follow(path, poll=0.05)  # need not be there yet
        service = asyncio.create_task(asyncio.to_thread(serve, path))
        async with asyncio.timeout(20), errors(lines).take(REQUESTS // 10).open() as found:
            async for message in found:
                print(message)
        await service


if __name__ == "__main__":
    asyncio.run(main())
