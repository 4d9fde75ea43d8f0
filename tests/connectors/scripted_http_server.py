"""A raw HTTP server for tests, which says and does exactly what a test wrote down, byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers one request after the other from `script`, the last entry again and again."""

    script: list[bytes | Act]
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def requested(self, count: int = 1) -> None:
        """Wait until so many requests have come."""
        while len(self.requests) < count:
            self._news.clear()
            await self._news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return False
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        number = len(self.requests)
        self.requests.append(Received(method, target, headers, body))
        self._news.set()
        entry = self.script[min(number, len(self.script) - 1)]
        if isinstance(entry, bytes):
            writer.write(entry)
            await writer.drain()
        else:
            await entry(reader, writer)
        return not writer.is_closing()


@asynccontextmanager
async def scripted(
    *script: bytes | Act, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serve a script on a free port of 127.0.0.1."""
    server = Server(list(script))
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    host, port = listening.sockets[0].getsockname()[:2]
    scheme, name = ("http", host) if tls is None else ("https", "localhost")
    server.url = f"{scheme}://{name}:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)


def response(
    body: bytes = b"", status: str = "200 OK", close: bool = False, **headers: object
) -> bytes:
    """A whole response; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status}"]
    given = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    given.setdefault("content-length", str(len(body)))
    if close:
        given["connection"] = "close"
    lines += [f"{name}: {value}" for name, value in given.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def say(*parts: bytes | float) -> Act:
    """Write parts as they are, hanging up at the end."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        writer.close()

    return act


def reset_after(*parts: bytes, wait: asyncio.Event | None = None) -> Act:
    """Write parts, then reset the connection."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if wait is not None:
            await wait.wait()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return act


def silent_after(*parts: bytes) -> Act:
    """Write parts, then nothing more until the client hangs up."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        await reader.read(1)
        writer.close()

    return act


def date_in(seconds: float, now: float) -> str:
    """An HTTP date some seconds from now."""
    return formatdate(now + seconds, usegmt=True)
