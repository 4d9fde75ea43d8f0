"""The other end of the ingest row: clients that each post one item after the other, and wait.

`python -m benchmarks.clients PORT CLIENTS COUNT` posts `COUNT` items over so many connections, and
prints the seconds that took, and the times of the answers, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator


class Client(asyncio.Protocol):
    """Posts the next item when the last was answered."""

    def __init__(self, numbers: Iterator[int], taken: list[float]) -> None:
        self._numbers = numbers
        self._taken = taken
        self._began = 0.0
        self._answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server hung up"))

    def post(self) -> None:
        number = next(self._numbers, None)
        if number is None:
            self.done.set_result(None)
            return
        body = b'{"id":%d,"note":"a row of some sixty bytes, as an event may be"}' % number
        head = b"POST / HTTP/1.1\r\nhost: ingest\r\ncontent-type: application/json\r\n"
        self._began = time.perf_counter()
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):
            return
        if not self._answer.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(ConnectionError(self._answer.decode()))
            return
        self._answer = b""
        self._taken.append(time.perf_counter() - self._began)
        self.post()


async def main(port: int, clients: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    numbers = iter(range(count))
    connected = [
        await loop.create_connection(lambda: Client(numbers, taken), "127.0.0.1", port)
        for _ in range(clients)
    ]
    began = time.perf_counter()
    for _, client in connected:
        client.post()
    await asyncio.gather(*(client.done for _, client in connected))
    seconds = time.perf_counter() - began
    for transport, _ in connected:
        transport.close()
    taken.sort()
    percentiles = {f"p{n}": taken[min(len(taken) - 1, len(taken) * n // 100)] for n in (50, 99)}
    print(json.dumps({"seconds": seconds, **percentiles}))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
