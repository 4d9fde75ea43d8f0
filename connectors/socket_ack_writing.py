"""Sending frames until they are acknowledged; `connectors.socket_acks` says what is exchanged."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from itertools import islice
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from connectors.socket_write import LOST, ConnectSink, ConnectWriter
from reactive.context import Context
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk

_LONGEST_ANSWER = 32
_AHEAD = 1024


@dataclass(frozen=True, kw_only=True)
class AckConnectSink(ConnectSink):
    """A sink that can wait for acknowledgements."""

    acknowledged: bool = False

    def details(self) -> dict[str, object]:
        ack = {"ack": "commit"} if self.acknowledged else {}
        return {**super().details(), **ack}

    def writer(self, context: Context) -> ConnectWriter:
        return AckWriter(self, context) if self.acknowledged else super().writer(context)


class AckWriter(ConnectWriter):
    """One run's sending. Frames are kept until the server has said that they are committed, and
    sent again on the next connection; no more than some thousand are."""

    def __init__(self, sink: ConnectSink, context: Context) -> None:
        super().__init__(sink, context)
        # Another run may give other items at the same place, so it is another client.
        self._name = uuid.uuid4().hex
        self._unacknowledged: deque[bytes] = deque()
        self._first = 0
        self._sent = 0
        self._news = asyncio.Event()
        context.meter.gauges["unacknowledged"] = lambda: len(self._unacknowledged)

    async def _connect(self) -> ByteStream:
        stream = await super()._connect()
        self._sent = self._first
        await stream.send(f"reactive-ack 1 {self._name} {self._first}\n".encode())
        return stream

    async def _listen(self, stream: ByteStream) -> None:
        buffered = BufferedByteReceiveStream(stream)
        while True:
            try:
                line = await buffered.receive_until(b"\n", _LONGEST_ANSWER)
            except anyio.IncompleteRead:
                raise ConnectorError("it closed the connection") from None
            except anyio.DelimiterNotFound:
                raise self._not_understood() from None
            self._acknowledged(line.rstrip(b"\r"))

    def _acknowledged(self, line: bytes) -> None:
        count = int(line) if line.isdigit() else -1
        if not self._first <= count <= self._sent:
            raise self._not_understood()
        for _ in range(count - self._first):
            self._unacknowledged.popleft()
        self._first = count
        self._attempts.succeeded()
        self._news.set()

    def _not_understood(self) -> ConnectorError:
        return ConnectorError(
            "what it sends are no acknowledgements; have it listen with them, as "
            'tcp.listen(..., ack="commit") does, or send without ack="commit"'
        )

    def _heard(self, task: asyncio.Task[None]) -> None:
        super()._heard(task)
        self._news.set()

    async def write(self, chunk: Chunk[bytes]) -> None:
        self._unacknowledged += chunk.items
        await self._settle(_AHEAD)

    async def _settle(self, most: int) -> None:
        """Send all, and wait until no more than so many frames are unacknowledged."""
        while True:
            try:
                stream = self._stream or await self._connect()
                self._news.clear()
                if self._lost is not None:
                    raise self._lost
                await self._send_rest(stream)
                if len(self._unacknowledged) <= most:
                    return
                await self._news.wait()
            except LOST as error:
                await self._retry(error)

    async def _send_rest(self, stream: ByteStream) -> None:
        items = list(islice(self._unacknowledged, self._sent - self._first, None))
        self._sent += len(items)
        for data in self._encoded(items):
            await stream.send(data)

    async def prepare(self, epoch: int) -> Any:
        await self._settle(0)

    async def finish(self) -> None:
        seconds = self._sink.close_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._settle(0)
        except TimeoutError:
            raise ConnectorError(
                f"{self._sink.target} did not acknowledge the last {len(self._unacknowledged)} "
                f"frames within {seconds:g} seconds; raise close_timeout if it needs longer"
            ) from None
        await super().finish()
