"""Readers that go through files: their records, or their bytes, from any position."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.file_blocks import Blocks, CompressionArgument, PlainBlocks
from connectors.file_opening import open_blocks
from connectors.file_paths import STANDARD, resolve_paths
from connectors.record_assembly import Assembly
from connectors.record_parsing import RecordFormat
from reactive.blocking import BlockingWorker
from reactive.endpoint import Extent, Reader, Source
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.policy import describe_policy, policy_sides
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where reading goes on: a file, a byte of its plain contents, the lines before that byte.

    `number` is the place of the file among all files, for one that is listed twice. The file is
    known again by the digest of its first `head_bytes` bytes as they are on the disk; of a plain
    file only those before `offset`, so that a broken line that comes after can be mended.
    """

    path: str
    number: int
    offset: int
    line: int
    head_bytes: int
    head_digest: bytes


def digest(head: bytes) -> bytes:
    """What a file's first bytes are known by."""
    return hashlib.blake2b(head, digest_size=16).digest()


class FileWalk:
    """Opens one file of a source after the other; no more than one is open at a time."""

    def __init__(
        self, patterns: Sequence[str], compression: CompressionArgument, worker: BlockingWorker
    ) -> None:
        self._patterns = patterns
        self._compression: CompressionArgument = compression
        self._worker = worker
        self._files: list[str] = []
        self._ends: list[int] | None = None
        self._number = -1
        self._head: bytes | None = b""
        self._plain = True
        self.blocks: Blocks | None = None

    async def open(self) -> None:
        """Find the files, check that they can be read, and open the first."""
        self._files, self._ends = await self._worker.run(_resolve, self._patterns)
        await self.next()

    def extent(self) -> Extent | None:
        """How many bytes were read of those that all files have on the disk; None where one has
        no size, such as a pipe."""
        if self._ends is None:
            return None
        if self.blocks is None:
            done = min(self._number + 1, len(self._files))
            return Extent(self._ends[done], self._ends[-1], "bytes")
        return Extent(self._ends[self._number] + self.blocks.raw_offset, self._ends[-1], "bytes")

    async def next(self) -> Blocks | None:
        """Open the next file; None after the last."""
        if self._number + 1 >= len(self._files):
            return None
        return await self._open(self._number + 1)

    async def _open(self, number: int) -> Blocks:
        await self.leave()
        blocks = await self.blocks_of(self._files[number])
        self.blocks = blocks
        self._number = number
        again = blocks.seekable and blocks.path != STANDARD
        self._head = blocks.head if again else None
        self._plain = isinstance(blocks, PlainBlocks)
        return blocks

    async def blocks_of(self, path: str) -> Blocks:
        """What is in one of the files."""
        return await open_blocks(path, self._compression, self._worker)

    async def leave(self) -> None:
        """Close the file that is open."""
        if self.blocks is not None:
            await self.blocks.close()
            self.blocks = None

    async def find(self, position: FilePosition) -> Blocks:
        """Open the file of a position, which has to be the one it was."""
        number, path = position.number, position.path
        if number >= len(self._files) or self._files[number] != path:
            if path not in self._files:
                raise ConnectorError(
                    f"{path}: is the file to go on with, but is not among the {len(self._files)} "
                    "files found now; put it back, or start afresh"
                )
            number = self._files.index(path)
        blocks = await self._open(number)
        head = None if self._head is None else self._head[: position.head_bytes]
        if head is None or len(head) < position.head_bytes or digest(head) != position.head_digest:
            raise ConnectorError(
                f"{path}: does not start as it did when byte {position.offset} was reached, so it "
                "is another file by now; put the old one back, or start afresh"
            )
        return blocks

    def position(self, offset: int, line: int) -> FilePosition | None:
        """A position in the file that was opened last; None if it cannot be read again."""
        if self._number < 0 or self._head is None:
            return None
        path = self._files[self._number]
        head = self._head[:offset] if self._plain else self._head
        return FilePosition(path, self._number, offset, line, len(head), digest(head))


def _resolve(patterns: Sequence[str]) -> tuple[list[str], list[int] | None]:
    """The files meant, and how many bytes come before each and after the last, if that is known;
    blocking."""
    files = resolve_paths(patterns)
    ends = [0]
    try:
        for path in files:
            status = None if path == STANDARD else os.stat(path)  # noqa: PTH116
            if status is None or not stat.S_ISREG(status.st_mode):
                return files, None
            ends.append(ends[-1] + status.st_size)
    except OSError:
        # It went away just now, which is said when it is opened.
        return files, None
    return files, ends


class RecordReader(Reader[T]):
    """Reads the records of files, one file after the other."""

    def __init__(
        self,
        source: RecordFiles[T],
        context: Context,
        walk: Callable[[BlockingWorker], FileWalk] | None = None,
    ) -> None:
        self._worker = worker = BlockingWorker(context.name)
        self._walk = walk(worker) if walk else FileWalk(source.paths, source.compression, worker)
        self._assembly = Assembly(source.format, context, source.on_error, source.max_line_bytes)
        self._stopping = False

    async def open(self) -> None:
        await self._walk.open()
        self._begin()

    def _begin(self) -> None:
        blocks = self._walk.blocks
        if blocks is not None:
            self._assembly.begin(blocks.path, blocks.offset)

    async def read(self, limit: int) -> Signal[T] | None:
        assembly, walk = self._assembly, self._walk
        while (chunk := await assembly.take(limit)) is None:
            if self._stopping:
                return None
            blocks = walk.blocks
            if blocks is None:
                if await walk.next() is None:
                    return None
                self._begin()
                continue
            block = await blocks.read(assembly.block_bytes(limit), assembly.newline)
            if block:
                assembly.feed(block)
            elif not self._stopping:
                assembly.finish()
                await walk.leave()
        return chunk

    def stop(self) -> bool:
        self._stopping = True
        if self._walk.blocks is not None:
            self._walk.blocks.stop()
        return True

    def extent(self) -> Extent | None:
        return self._walk.extent()

    def position(self) -> Any:
        return self._walk.position(self._assembly.offset, self._assembly.line)

    async def seek(self, position: Any) -> None:
        blocks = await self._walk.find(_checked(position))
        await self._go_on(blocks, position.offset, position.line)

    async def _go_on(self, blocks: Blocks, offset: int, line: int) -> None:
        assembly = self._assembly
        assembly.begin(blocks.path)
        if not offset:
            return
        while not assembly.begun:
            block = await blocks.read(assembly.block_bytes(1))
            if not block:
                break
            assembly.feed(block)
        await blocks.seek(offset)
        assembly.begin(blocks.path, offset, line)

    async def close(self) -> None:
        try:
            await self._walk.leave()
        finally:
            await self._worker.close()


class BytesReader(Reader[bytes]):
    """Reads files as blocks of bytes."""

    def __init__(self, source: BytesFiles, context: Context) -> None:
        self._worker = BlockingWorker(context.name)
        self._walk = FileWalk(source.paths, source.compression, self._worker)
        self._block = source.block
        self._offset = 0
        self._stopping = False

    async def open(self) -> None:
        await self._walk.open()
        self._begin()

    def _begin(self) -> None:
        if self._walk.blocks is not None:
            self._offset = self._walk.blocks.offset

    async def read(self, limit: int) -> Signal[bytes] | None:
        walk = self._walk
        while not self._stopping:
            blocks = walk.blocks
            if blocks is None:
                if await walk.next() is None:
                    return None
                self._begin()
                continue
            block = await blocks.read(self._block)
            if block:
                self._offset = blocks.offset
                return Chunk([block])
            if not self._stopping:
                await walk.leave()
        return None

    def stop(self) -> bool:
        self._stopping = True
        if self._walk.blocks is not None:
            self._walk.blocks.stop()
        return True

    def extent(self) -> Extent | None:
        return self._walk.extent()

    def position(self) -> FilePosition | None:
        return self._walk.position(self._offset, 0)

    async def seek(self, position: Any) -> None:
        blocks = await self._walk.find(_checked(position))
        await blocks.seek(position.offset)
        self._offset = position.offset

    async def close(self) -> None:
        try:
            await self._walk.leave()
        finally:
            await self._worker.close()


def _checked(position: object) -> FilePosition:
    if not isinstance(position, FilePosition):
        raise ConnectorError(
            f"a position in files is a FilePosition, not {position!r}; it was taken from another "
            "source, or from standard input, which cannot be read again"
        )
    return position


@dataclass(frozen=True)
class FilesSource(Source[T_co]):
    """What all sources that read files have: which files, and how they are compressed."""

    paths: tuple[str, ...]
    compression: CompressionArgument

    @property
    def bounded(self) -> bool:
        return STANDARD not in self.paths

    @property
    def replayable(self) -> bool:
        return STANDARD not in self.paths

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {"paths": ", ".join(self.paths)}
        if self.compression != "auto":
            details["compression"] = self.compression or "none"
        return details


@dataclass(frozen=True)
class RecordFiles(FilesSource[T_co]):
    """The records of files."""

    format: RecordFormat[T_co]
    max_line_bytes: int
    on_error: object

    @property
    def label(self) -> str:
        return self.format.name

    def details(self) -> dict[str, object]:
        return {**super().details(), **self.format.details(), **describe_policy(self.on_error)}

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def reader(self, context: Context) -> Reader[T_co]:
        return RecordReader(self, context)


@dataclass(frozen=True)
class BytesFiles(FilesSource[bytes]):
    """The blocks of files."""

    block: int

    @property
    def label(self) -> str:
        return "read_bytes"

    def details(self) -> dict[str, object]:
        return {**super().details(), "block": f"{self.block} bytes"}

    def reader(self, context: Context) -> Reader[bytes]:
        return BytesReader(self, context)
