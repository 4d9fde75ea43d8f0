"""The plain bytes of one open regular file, block by block, plain or compressed."""

from __future__ import annotations

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from connectors.compression import (
    Compression,
    Decompressor,
)
from connectors.file_errors import file_error
from reactive.blocking import BlockingWorker, finished
from reactive.errors import DecodeError, TruncatedError
from reactive.fast_dataclasses import dataclass

READ_AHEAD = 1 << 20
"""Bytes read at a time in the worker thread."""
PREFETCH_BYTES = 1 << 23
"""Bytes that the system is asked to have in its cache soon."""
COMPRESSED_READ = 1 << 18
HEAD_BYTES = 1024
"""How much of a file's start is kept, to know its compression and to know it again."""

CompressionArgument: TypeAlias = Compression | Literal["auto"] | None

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with its bytes."""
    try:
        yield
    except DecodeError as error:
        raise type(error)(f"{path}: {error}") from error


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

    @property
    def raw_offset(self) -> int:
        """How many bytes were read as they are on the disk."""
        return self.offset

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

    What the page cache holds is read in place, which takes microseconds and no thread. Where the
    disk has to be asked, the worker reads, and has the system read on into its cache. Where the
    system cannot tell what it has in its cache, the worker reads it all, always one block ahead.
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
        more = block and not self._cached
        self._ahead = self._fetch(self.offset + len(block)) if more else None
        self._block = _Block(block)

    def _fetch(self, offset: int) -> asyncio.Future[bytes]:
        return self._worker.submit(_read_disk, self._descriptor, offset, self._cached)

    async def seek(self, offset: int) -> None:
        await self._settle()
        if offset > self._size:
            raise _too_short(self.path, self._size, offset)
        self._block = _Block(b"")
        self.offset = offset


def _read_disk(descriptor: int, offset: int, prefetch: bool) -> bytes:
    block = os.pread(descriptor, READ_AHEAD, offset)
    if prefetch and block:
        os.posix_fadvise(descriptor, offset + len(block), PREFETCH_BYTES, os.POSIX_FADV_WILLNEED)
    return block


class CompressedBlocks(Blocks):
    """A compressed regular file, decompressed by the worker, one block ahead."""

    def __init__(self, file: OpenedFile, compression: Compression, worker: BlockingWorker) -> None:
        super().__init__(file)
        self._compression: Compression = compression
        self._worker = worker
        self._decompressor = Decompressor(compression)
        self._start = self._raw_offset = file.start
        self._block = _Block(b"")

    @property
    def raw_offset(self) -> int:
        return self._raw_offset

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
