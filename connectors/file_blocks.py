"""The plain bytes of one open file, block by block: plain, compressed, or a stream like a pipe."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from connectors.blocking import BlockingWorker, finished
from connectors.compression import (
    Compression,
    Decompressor,
    detect_compression,
    may_become_magic,
)
from connectors.file_errors import file_error
from connectors.file_paths import STANDARD
from reactive.channel import Waker
from reactive.errors import DecodeError, TruncatedError

READ_AHEAD = 1 << 20
"""Bytes read at a time in the worker thread."""
COMPRESSED_READ = 1 << 18
STREAM_READ = 1 << 16
HEAD_BYTES = 1024
"""How much of a file's start is kept, to know its compression and to know it again."""

CompressionArgument: TypeAlias = Compression | Literal["auto"] | None

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A descriptor, what it is, and the bytes it starts with if it is a regular file."""

    path: str
    descriptor: int
    status: os.stat_result
    head: bytes
    start: int

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.descriptor)


class Blocks(ABC):
    """What is read of one open file. `offset` counts plain bytes, also where it is compressed.

    `head` holds the first raw bytes of a seekable file.
    """

    seekable = True

    def __init__(self, file: OpenedFile) -> None:
        self.path = file.path
        self.offset = 0
        self.head = file.head
        self._descriptor = file.descriptor
        self._ahead: asyncio.Future[bytes] | None = None

    @abstractmethod
    async def read(self, size: int, newline: bytes = b"") -> bytes:
        """The next 1 to `size` bytes, waiting for them; nothing at the end.

        With `newline` it ends there if it can, which saves the caller from joining pieces.
        """

    async def seek(self, offset: int) -> None:
        """Continue at `offset`."""
        raise NotImplementedError

    def stop(self) -> None:  # noqa: B027  most have nothing to wait for
        """End a wait for bytes that may never come."""

    async def close(self) -> None:
        """Let go of the descriptor, once the worker has nothing more to do with it."""
        await self._settle()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    async def _settle(self) -> None:
        """Wait for the calls that use the descriptor."""
        if self._ahead is not None:
            await asyncio.wait((self._ahead,))
            self._ahead = None


class _Block:
    """A block from the worker, given out in smaller ones."""

    __slots__ = ("_data", "_start", "rest")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0
        self.rest = len(data)

    def take(self, size: int, newline: bytes) -> bytes:
        start = self._start
        end = start + min(size, self.rest)
        if newline and (found := self._data.rfind(newline, start, end)) >= 0:
            end = found + len(newline)
        self._start = end
        self.rest = len(self._data) - end
        return self._data[start:end]


class PlainBlocks(Blocks):
    """A regular file as it is.

    What the page cache holds is read in place, which takes microseconds and no thread. From the
    first block that the disk has to be asked for, the worker reads, always one block ahead.
    """

    def __init__(self, file: OpenedFile, worker: BlockingWorker) -> None:
        super().__init__(file)
        self.offset = file.start
        self._size = file.status.st_size
        self._worker = worker
        self._buffer = bytearray()
        self._cached = _NOWAIT is not None
        self._block = _Block(b"")

    async def read(self, size: int, newline: bytes = b"") -> bytes:
        data = None
        if not self._block.rest:
            if self._cached and self._ahead is None:
                data = self._read_cached(size, newline)
            if data is None:
                await self._next_block()
        if data is None:
            data = self._block.take(size, newline)
        self.offset += len(data)
        if not data and self.offset < self._size:
            raise TruncatedError(
                f"{self.path}: ends at byte {self.offset}, but had {self._size} bytes when it was "
                "opened; something truncated it meanwhile. Read files once they are complete, or "
                "use files.follow for one that changes"
            )
        return data

    def _read_cached(self, size: int, newline: bytes) -> bytes | None:
        assert _NOWAIT is not None
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        buffer = self._buffer
        view = memoryview(buffer)
        try:
            count = os.preadv(self._descriptor, (view[:size],), self.offset, _NOWAIT)
        except BlockingIOError:
            self._cached = False
            return None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise file_error(error, self.path, "read") from error
            self._cached = False
            return None
        if newline and (end := buffer.rfind(newline, 0, count)) >= 0:
            count = end + len(newline)
        return bytes(view[:count])

    async def _next_block(self) -> None:
        if self._ahead is None:
            self._ahead = self._fetch(self.offset)
        try:
            block = await finished(self._ahead)
        except OSError as error:
            raise file_error(error, self.path, "read") from error
        self._ahead = self._fetch(self.offset + len(block)) if block else None
        self._block = _Block(block)

    def _fetch(self, offset: int) -> asyncio.Future[bytes]:
        return self._worker.submit(os.pread, self._descriptor, READ_AHEAD, offset)

    async def seek(self, offset: int) -> None:
        await self._settle()
        if offset > self._size:
            raise _too_short(self.path, self._size, offset)
        self._block = _Block(b"")
        self.offset = offset


class CompressedBlocks(Blocks):
    """A compressed regular file, decompressed by the worker, one block ahead."""

    def __init__(self, file: OpenedFile, compression: Compression, worker: BlockingWorker) -> None:
        super().__init__(file)
        self._compression: Compression = compression
        self._worker = worker
        self._decompressor = Decompressor(compression)
        self._start = self._raw_offset = file.start
        self._block = _Block(b"")

    async def read(self, size: int, newline: bytes = b"") -> bytes:
        if not self._block.rest:
            await self._next_block()
        data = self._block.take(size, newline)
        self.offset += len(data)
        return data

    async def _next_block(self) -> None:
        if self._ahead is None:
            self._ahead = self._worker.submit(self._decompress)
        with naming(self.path):
            try:
                block = await finished(self._ahead)
            except OSError as error:
                raise file_error(error, self.path, "read") from error
        self._ahead = self._worker.submit(self._decompress) if block else None
        self._block = _Block(block)

    def _decompress(self) -> bytes:
        """The next plain block; runs in the worker."""
        decompressor = self._decompressor
        while not (block := decompressor.read(READ_AHEAD)):
            raw = os.pread(self._descriptor, COMPRESSED_READ, self._raw_offset)
            if not raw:
                decompressor.end()
                return b""
            self._raw_offset += len(raw)
            decompressor.feed(raw)
        return block

    async def seek(self, offset: int) -> None:
        if offset < self.offset:
            await self._settle()
            self._block = _Block(b"")
            self._decompressor = Decompressor(self._compression)
            self.offset, self._raw_offset = 0, self._start
        while self.offset < offset:
            if not await self.read(min(READ_AHEAD, offset - self.offset)):
                raise _too_short(self.path, self.offset, offset)


def _too_short(path: str, size: int, offset: int) -> TruncatedError:
    return TruncatedError(
        f"{path}: holds {size} bytes, so it cannot be read from byte {offset} on; it is not the "
        "file it was when that position was taken"
    )


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


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with its bytes."""
    try:
        yield
    except DecodeError as error:
        raise type(error)(f"{path}: {error}") from error


async def open_blocks(
    path: str, compression: CompressionArgument, worker: BlockingWorker
) -> Blocks:
    """Open a file for reading, whatever kind it is.

    Raises `ConnectorError` where it cannot be opened, `DecodeError` where it is not what its name
    promises.
    """
    try:
        file = await worker.run(_open, path, undo=OpenedFile.close)
    except OSError as error:
        raise file_error(error, path, "read") from error
    try:
        if not stat.S_ISREG(file.status.st_mode):
            return StreamBlocks(file, compression, worker)
        if compression == "auto":
            with naming(path):
                compression = detect_compression("" if path == STANDARD else path, file.head)
        if compression is None:
            return PlainBlocks(file, worker)
        return CompressedBlocks(file, compression, worker)
    except BaseException:
        file.close()
        raise


def _open(path: str) -> OpenedFile:
    if path == STANDARD:
        descriptor = os.dup(_standard_input())
    else:
        # Without O_NONBLOCK, a pipe that nobody writes to would block in open.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            return OpenedFile(path, descriptor, status, b"", 0)
        # A redirected standard input may have been read in part by whoever had it before.
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        head = os.pread(descriptor, HEAD_BYTES, start)
    except BaseException:
        os.close(descriptor)
        raise
    return OpenedFile(path, descriptor, status, head, start)


def _standard_input() -> int:
    try:
        return sys.__stdin__.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError) as error:
        raise OSError(errno.EBADF, "standard input is closed") from error
