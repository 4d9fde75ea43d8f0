"""Sending items over a connection, and making a new one when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from connectors.framing import Framing
from connectors.socket_connect import Attempts, Dialer, connect
from connectors.sockets import (
    BLOCK,
    check_bounds,
    connection_error,
    hang_up,
    let_transports_close,
)
from reactive.backoff import Backoff
from reactive.context import Context
from reactive.endpoint import Sink, Writer
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk
from reactive.tasks import Tasks

SEND_BYTES = 1 << 18

# A TLS peer that renews its keys while both directions are busy ends in BusyResourceError.
LOST = (ConnectorError, OSError, anyio.BrokenResourceError, anyio.BusyResourceError)


@dataclass(frozen=True, kw_only=True)
class ConnectSink(Sink[bytes], Dialer):
    """A blueprint of what sends to a server."""

    framing: Framing
    reconnect: Backoff | None
    connect_timeout: float
    close_timeout: float

    def __post_init__(self) -> None:
        check_bounds(
            self.label, connect_timeout=self.connect_timeout, close_timeout=self.close_timeout
        )

    def details(self) -> dict[str, object]:
        described: dict[str, object] = {"to": self.target, "framing": self.framing.name}
        if self.reconnect is not None:
            described["reconnect"] = self.reconnect
        return described

    def writer(self, context: Context) -> ConnectWriter:
        return ConnectWriter(self, context)


class ConnectWriter(Writer[bytes]):
    """One run's sending.

    What the peer sends is read and dropped: a peer that answers must not be stopped by answers
    nobody takes, and its closing is noticed before the next item is lost to it.
    """

    def __init__(self, sink: ConnectSink, context: Context) -> None:
        self._sink = sink
        self._context = context
        self._attempts = Attempts(sink.reconnect, sink, context)
        self._tasks = Tasks()
        self._stream: ByteStream | None = None
        self._listening: asyncio.Task[None] | None = None
        self._lost: Exception | None = None

    async def open(self) -> None:
        """Connect; with `reconnect`, the first item does."""
        if self._sink.reconnect is None:
            await self._connect()

    async def _connect(self) -> ByteStream:
        sink = self._sink
        self._stream = stream = await connect(sink, sink.connect_timeout, sink.reconnect)
        self._context.meter.count("connections")
        self._lost = None
        self._listening = self._tasks.spawn(
            self._listen(stream), name=f"{sink.label} {sink.target}", on_done=self._heard
        )
        return stream

    async def _listen(self, stream: ByteStream) -> None:
        while True:
            try:
                data = await stream.receive(BLOCK)
            except anyio.EndOfStream:
                raise ConnectorError("it closed the connection") from None
            self._context.meter.count("bytes_ignored", len(data))

    def _heard(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if task is self._listening and isinstance(error, Exception):
            self._lost = error

    async def write(self, chunk: Chunk[bytes]) -> None:
        """Send the items; returns when the kernel has them all."""
        for data in self._encoded(chunk.items):
            while True:
                try:
                    stream = self._stream or await self._connect()
                    if self._lost is not None:
                        raise self._lost
                    await stream.send(data)
                except LOST as error:
                    await self._retry(error)
                else:
                    self._attempts.succeeded()
                    break

    def _encoded(self, items: list[bytes]) -> Iterator[bytes]:
        """The items as bytes, in pieces that do not double the memory of large ones."""
        encode = self._sink.framing.encode
        start = size = 0
        for end, item in enumerate(items, 1):
            size += len(item)
            if size >= SEND_BYTES or end == len(items):
                yield encode(items[start:end])
                start, size = end, 0

    async def _retry(self, error: Exception) -> None:
        if self._stream is not None:
            error = connection_error(f"cannot send to {self._sink.target}", error)
            await self._hang_up(politely=False)
        await self._attempts.pause(error)

    async def finish(self) -> None:
        """Tell the peer that this was all, and wait until it has closed too."""
        stream = self._stream
        if stream is None:
            return
        if isinstance(stream, TLSStream):
            await self._stop_listening()
            await self._hang_up(politely=True)
            return
        assert isinstance(stream, ByteStream)
        with suppress(OSError):
            await stream.send_eof()
        if self._listening is not None and self._lost is None:
            await asyncio.wait([self._listening], timeout=self._sink.close_timeout)
        lost = self._lost
        await self._hang_up(politely=True)
        if lost is not None and not isinstance(lost, ConnectorError):
            raise connection_error(f"{self._sink.target} may not have read the last items", lost)

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    async def _hang_up(self, *, politely: bool) -> None:
        await self._stop_listening()
        stream, self._stream = self._stream, None
        if stream is not None:
            await hang_up(stream, politely=politely)

    async def close(self) -> None:
        """Close the connection, if `finish` has not."""
        try:
            await self._hang_up(politely=False)
        finally:
            await self._tasks.close()
            await let_transports_close()
