"""What the tests of the socket connectors share: a sink to watch, peers that behave as told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trustme

import reactive as rx
from connectors.sockets import Address

SECONDS = 100


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that no event announces."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Gathered(rx.Sink[Any]):
    """A sink that keeps what it gets, and lets a test wait for it."""

    def __init__(self, pace: Callable[[], Awaitable[None]] | None = None) -> None:
        self.items: list[Any] = []
        self.finished = False
        self.pace = pace
        self._more = asyncio.Event()

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _GatheredWriter(self)

    def add(self, items: list[Any]) -> None:
        self.items += items
        self._more.set()

    async def reach(self, count: int) -> list[Any]:
        async with asyncio.timeout(SECONDS):
            while len(self.items) < count:
                self._more.clear()
                await self._more.wait()
        return self.items


class _GatheredWriter(rx.Writer[Any]):
    def __init__(self, sink: Gathered) -> None:
        self._sink = sink

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        if self._sink.pace is not None:
            await self._sink.pace()
        self._sink.add(chunk.items)

    async def finish(self) -> None:
        self._sink.finished = True


@dataclass
class Listening:
    """A pipeline under way that listens."""

    run: rx.Run
    address: Address
    sink: Gathered
    name: str
    letters: Gathered

    def counters(self) -> dict[str, int]:
        return self.run.metrics()[self.name].counters

    def gauge(self, name: str) -> float:
        return self.run.metrics()[self.name].gauges[name]

    async def counted(self, name: str, count: int) -> None:
        await until(lambda: self.counters().get(name, 0) >= count)


@contextlib.asynccontextmanager
async def listening(
    make: Callable[..., rx.Stream[Any]],
    *where: Any,
    side: rx.SideOutput[Any] | None = None,
    pace: Callable[[], Awaitable[None]] | None = None,
    **options: Any,
) -> AsyncIterator[Listening]:
    """Run `make(*where, **options)` into a `Gathered`."""
    bound: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    if side is not None:
        options["on_connection_error"] = side
    stream = make(*where, on_listening=bound.set_result, **options).named("inlet")
    sink, letters = Gathered(pace), Gathered()
    jobs = [stream.to(sink)] + ([side.to(letters)] if side is not None else [])
    async with rx.start(*jobs) as run:
        yield Listening(run, await bound, sink, "inlet", letters)


async def send(address: Address, data: bytes, *, tls: ssl.SSLContext | None = None) -> None:
    """Connect, send all, and close in good order."""
    _, writer = await asyncio.open_connection(*address, ssl=tls)
    writer.write(data)
    await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def connected(address: Address) -> socket.socket:
    """A plain non-blocking client socket."""
    client = socket.socket()
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, tuple(address))
    except BaseException:
        client.close()
        raise
    return client


def reset(client: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@dataclass
class Server:
    """A server of the tests: what came in on each connection, and what is to be done with it."""

    address: Address
    received: list[bytes] = field(default_factory=list)
    connections: int = 0


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Server], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    behave: Behaviour, *, tls: ssl.SSLContext | None = None, port: int = 0, path: str | None = None
) -> AsyncIterator[Server]:
    """A server that does with each connection what `behave` says."""
    server = Server(Address("127.0.0.1", port))
    tasks: set[asyncio.Task[None]] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        try:
            await behave(reader, writer, server)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    if path is not None:
        listener = await asyncio.start_unix_server(on_connection, path)
    else:
        listener = await asyncio.start_server(
            on_connection, "127.0.0.1", port, ssl=tls, reuse_address=True
        )
        server.address = Address(*listener.sockets[0].getsockname()[:2])
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listener.wait_closed(), 1)


async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
    """Keep what comes until the client is done."""
    index = len(server.received)
    server.received.append(b"")
    while data := await reader.read(65536):
        server.received[index] += data


@dataclass(frozen=True)
class Certificates:
    """A certificate authority of the tests, and what it signed for 127.0.0.1 and localhost."""

    authority: trustme.CA

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context
