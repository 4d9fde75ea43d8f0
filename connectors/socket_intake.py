"""Reading one connection: bytes in, frames to the inbox, until its end."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

from connectors.framing import Decoder
from connectors.socket_inbox import Inbox
from connectors.sockets import BLOCK
from reactive.errors import ConnectorError
from reactive.metrics import Meter

QUIET_SECONDS = 0.05
DRAIN_SECONDS = 1.0
FIRST_PIECE = 1 << 14
SMALLEST_PIECE = 1 << 10
FEW_FRAMES, MANY_FRAMES = 1024, 4096


class Intake:
    """Reads a connection until its peer ends it.

    `progressed` tells whether any frame came. `idle_timeout` is how long the peer may take for a
    complete frame, so that one that sends a byte now and then does not hold the connection for
    ever; time spent waiting for the pipeline is not the peer's and does not count.
    """

    def __init__(
        self,
        stream: ByteStream,
        decoder: Decoder,
        inbox: Inbox,
        meter: Meter,
        *,
        idle_timeout: float | None,
        wrap: Callable[[bytes], Any] | None,
    ) -> None:
        self._stream = stream
        self._decoder = decoder
        self._inbox = inbox
        self._meter = meter
        self._idle_timeout = idle_timeout
        self._wrap = wrap
        self._timeout: asyncio.Timeout | None = None
        self._piece = FIRST_PIECE
        self._skipped = self._truncated = 0
        self._draining = False
        self._drain_bytes = 0
        self._drain_seconds = DRAIN_SECONDS
        self.progressed = False

    async def run(self) -> None:
        """Read to the end; raises what the peer did wrong, after what it did right was taken."""
        loop = asyncio.get_running_loop()
        decoder, stream = self._decoder, self._stream
        patience = self._idle_timeout
        while not self._draining or (self._drain_bytes > 0 and self._drain_seconds > 0):
            began = loop.time()
            try:
                async with asyncio.timeout(self._wait(patience)) as self._timeout:
                    data = await stream.receive(BLOCK)
            except TimeoutError:
                if self._draining:
                    break
                raise ConnectorError(self._too_slow()) from None
            except anyio.EndOfStream:
                if frames := decoder.end():
                    await self._inbox.send(frames, self._decoder.max_frame, self._wrap)
                return
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                if decoder.pending:
                    raise ConnectorError(
                        f"the connection broke with {decoder.pending} bytes of a frame received"
                    ) from error
                raise
            finally:
                self._timeout = None
            waited = loop.time() - began
            if await self._take(data):
                patience = self._idle_timeout
            elif patience is not None:
                patience = max(0.0, patience - waited)
            if self._draining:
                self._drain_bytes -= len(data)
                self._drain_seconds -= waited
        if decoder.pending:
            self._meter.count("unfinished_frames")

    def drain(self) -> None:
        """Take what the kernel has of this connection already, then end."""
        self._draining = True
        self._drain_bytes = BLOCK + _unread(self._stream)
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time() + QUIET_SECONDS)

    def _wait(self, patience: float | None) -> float | None:
        return min(QUIET_SECONDS, self._drain_seconds) if self._draining else patience

    def _too_slow(self) -> str:
        held = self._decoder.pending
        detail = f", only {held} bytes of one" if held else ""
        return f"no complete frame came for {self._idle_timeout:g} s{detail}"

    async def _take(self, data: bytes) -> bool:
        """Decode a block, in pieces that do not hold the event loop for long; tells whether a
        frame ended in it."""
        decoder = self._decoder
        came = False
        for start in range(0, len(data), piece := self._piece):
            part = data if len(data) <= piece else data[start : start + piece]
            size = decoder.pending + len(part)
            frames = decoder.feed(part)
            if frames:
                came = self.progressed = True
                await self._inbox.send(frames, size, self._wrap)
            if (decoder.skipped, decoder.truncated) != (self._skipped, self._truncated):
                came = True
                self._count_dropped()
            if decoder.error is not None:
                raise decoder.error
            if start:
                await asyncio.sleep(0)
            if len(frames) > MANY_FRAMES:
                self._piece = max(SMALLEST_PIECE, self._piece // 2)
            elif len(frames) < FEW_FRAMES and len(part) == piece:
                self._piece = min(BLOCK, self._piece * 2)
        return came

    def _count_dropped(self) -> None:
        decoder, meter = self._decoder, self._meter
        for name, dropped in (
            ("frames_skipped", decoder.skipped - self._skipped),
            ("frames_truncated", decoder.truncated - self._truncated),
        ):
            if dropped:
                meter.count(name, dropped)
        self._skipped, self._truncated = decoder.skipped, decoder.truncated


def _unread(stream: ByteStream) -> int:
    """How many bytes the kernel holds for this connection."""
    raw = stream.extra(SocketAttribute.raw_socket)
    try:
        packed = fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", packed)[0])
