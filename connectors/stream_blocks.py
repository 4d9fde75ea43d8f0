"""The plain bytes of a pipe, a terminal or a device, as they come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from connectors.compression import Decompressor, detect_compression, may_become_magic
from connectors.file_blocks import Blocks, CompressionArgument, OpenedFile, naming
from connectors.file_errors import file_error
from connectors.file_paths import STANDARD
from reactive.blocking import BlockingWorker
from reactive.channel import Waker

STREAM_READ = 1 << 16


class StreamBlocks(Blocks):
    """A pipe, a terminal, a device: bytes that come when they come, read once."""

    seekable = False

    def __init__(
        self, file: OpenedFile, compression: CompressionArgument, worker: BlockingWorker
    ) -> None:
        super().__init__(file)
        self._worker = worker
        self._waker = Waker()
        self._pollable = True
        self._stopped = False
        self._ended = False
        self._pending = b""
        self._detecting = compression == "auto"
        self._decompressor: Decompressor | None = None
        if compression is not None and compression != "auto":
            self._decompressor = Decompressor(compression)
        self._calls: dict[object, asyncio.Future[bytes]] = {}

    async def read(self, size: int, newline: bytes = b"") -> bytes:
        if self._detecting:
            await self._detect()
        if self._decompressor is not None:
            data = await self._decompressed(self._decompressor, size)
        else:
            data, self._pending = self._pending[:size], self._pending[size:]
            data = data or await self._read_raw(size)
        self.offset += len(data)
        return data

    async def _detect(self) -> None:
        """See whether compressed data comes, waiting for no more bytes than that takes."""
        while may_become_magic(self._pending) and (more := await self._read_raw()):
            self._pending += more
        name = "" if self.path == STANDARD else self.path
        with naming(self.path):
            compression = detect_compression(name, self._pending)
        if compression is not None:
            self._decompressor = Decompressor(compression)
        self._detecting = False

    async def _decompressed(self, decompressor: Decompressor, size: int) -> bytes:
        with naming(self.path):
            while not (data := await self._threaded(decompressor.read, size)):
                raw, self._pending = self._pending, b""
                raw = raw or await self._read_raw()
                if raw:
                    decompressor.feed(raw)
                elif self._stopped:
                    break
                else:
                    decompressor.end()
                    break
        return data

    async def _read_raw(self, size: int = STREAM_READ) -> bytes:
        while not (self._stopped or self._ended):
            if self._pollable and not await self._wait_readable():
                continue
            try:
                if self._pollable:
                    data = os.read(self._descriptor, size)
                else:
                    data = await self._threaded(os.read, self._descriptor, size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise file_error(error, self.path, "read") from error
            self._ended = not data
            return data
        return b""

    async def _wait_readable(self) -> bool:
        """Wait until a read returns at once; False if that cannot be told or reading stops."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._descriptor, self._waker.wake)
        except OSError:
            self._pollable = False
            return False
        try:
            await self._waker.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return not self._stopped

    async def _threaded(self, function: Callable[..., bytes], *arguments: object) -> bytes:
        """Call in the worker; the result of a call whose waiter was cancelled goes to the next."""
        call = self._calls.get(function)
        if call is None:
            call = self._calls[function] = self._worker.submit(function, *arguments)
        await asyncio.wait((call,))
        del self._calls[function]
        return call.result()

    def stop(self) -> None:
        self._stopped = True
        self._waker.wake()

    async def _settle(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls.values())
