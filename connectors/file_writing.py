"""The writer behind `files.write_*`: one file, or one after another by size and time.

In runs with checkpoints, `file_staging` and `file_joining` say how files come to be seen.
"""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from connectors.compression import Compression, compression_of_suffix
from connectors.file_joining import JoinedFile
from connectors.file_paths import STANDARD
from connectors.file_staging import Stage, StagedParts, Staging
from connectors.output_file import OutputFile
from connectors.output_stream import OutputStream, is_stream
from connectors.record_encoding import RecordEncoding
from reactive.blocking import BlockingWorker
from reactive.endpoint import Replayed, Sink, Writer
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

CompressionTarget: TypeAlias = Compression | Literal["auto"] | None
ENCODE_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a new file is begun: before one would pass `max_bytes`, and `every` so many seconds of
    the loop's clock after a file got its first item, also when no more items come.

    A compressed file ends after the chunk that takes it past `max_bytes`.

    Files are named after the path given, with the time (UTC) at which they were begun and a
    running number before the suffixes: `events.jsonl.zst` becomes
    `events-20250131T235959Z-000001.jsonl.zst`, so `events-*.jsonl.zst` reads them back in order.
    A file without items is not made. In a run with checkpoints a file goes on over any number of
    epochs, hidden until the one in which it is ended is committed.
    """

    max_bytes: int | None = None
    every: float | None = None

    def __post_init__(self) -> None:
        if self.max_bytes is None and self.every is None:
            raise ValueError("Rotation needs max_bytes, every, or both")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, not {self.max_bytes}")
        if self.every is not None and not self.every > 0:
            raise ValueError(f"every must be above 0 seconds, not {self.every}")


def _stem_and_suffix(name: str) -> tuple[str, str]:
    suffix = ""
    if compression_of_suffix(name):
        name, suffix = Path(name).stem, Path(name).suffix
    return Path(name).stem, Path(name).suffix + suffix


def segment_path(path: str, started: datetime, number: int) -> str:
    """The name of one of several files."""
    whole = Path(path)
    stem, suffix = _stem_and_suffix(whole.name)
    return str(whole.with_name(f"{stem}-{started:%Y%m%dT%H%M%SZ}-{number:06d}{suffix}"))


def segment_pattern(path: str) -> str:
    """A regular expression of the names that `segment_path` gives."""
    stem, suffix = _stem_and_suffix(Path(path).name)
    return rf"{re.escape(stem)}-\d{{8}}T\d{{6}}Z-\d{{6,}}{re.escape(suffix)}"


class FileWriter(Writer[T]):
    """Encodes items and writes them; blocking calls are made in a thread of its own."""

    def __init__(self, sink: FileSink[T], context: Context) -> None:
        self._sink = sink
        self._context = context
        self._encoder = sink.encoding.encoder()
        self._worker = BlockingWorker(context.name)
        self._tasks = Tasks()
        self._lock = asyncio.Lock()
        self._file: OutputFile | OutputStream | Stage | None = None
        self._staging: Staging | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._number = 0
        self._written = 0
        self._fresh = True

    async def open(self) -> None:
        # With checkpoints, a hidden file is made or continued when it is known which.
        if self._sink.rotate is None and not self._context.checkpoints:
            await self._open_file(self._sink.path)

    async def _open_file(self, path: str) -> None:
        sink = self._sink
        if self._staging is not None:
            self._go_on(await self._worker.run(self._staging.begin, path))
            return
        compression = sink.compression_of(path)
        if await self._worker.run(is_stream, path):
            stream = OutputStream(
                path, compression=compression, level=sink.level, worker=self._worker
            )
            self._file = stream
            await stream.open()
        else:
            file = OutputFile(
                path,
                append=sink.append,
                compression=compression,
                level=sink.level,
                fsync=sink.fsync,
                newline=sink.newline,
            )
            self._file = file
            await self._worker.run(file.open)
        self._go_on(self._file)

    def _go_on(self, file: OutputFile | OutputStream | Stage) -> None:
        """Write into this file from here."""
        self._file = file
        self._fresh = file.is_new
        rotate = self._sink.rotate
        if rotate is not None and rotate.every is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(rotate.every, self._due, file)

    async def write(self, chunk: Chunk[T]) -> None:
        items = chunk.items
        records: list[bytes] = []
        failure: Exception | None = None
        for start in range(0, len(items), ENCODE_AT_ONCE):
            try:
                self._encoder.encode(items[start : start + ENCODE_AT_ONCE], records)
            except Exception as error:
                failure = error
                break
            if self._context.overdue():
                await asyncio.sleep(0)
        if records:
            async with self._lock:
                self._check()
                await self._put(records)
        if failure is not None:
            raise failure

    async def _put(self, records: list[bytes]) -> None:
        rotate = self._sink.rotate
        most = None if rotate is None else rotate.max_bytes
        if most is None:
            await self._add(records)
            return
        if self._sink.compressed:
            await self._add(records)
            if self._file is not None and self._file.size >= most:
                await self._finish_file()
            return
        start = 0
        size = self._size()
        for end, record in enumerate(records):
            if size + len(record) > most and (end > start or self._file is not None):
                if end > start:
                    await self._add(records[start:end])
                await self._finish_file()
                start, size = end, self._size()
            size += len(record)
        await self._add(records[start:])

    def _size(self) -> int:
        """How large the current file is, or a new one with its header."""
        return len(self._encoder.header()) if self._file is None else self._file.size

    async def _add(self, records: list[bytes]) -> None:
        if self._file is None:
            await self._open_next()
        if self._fresh:
            records = [self._encoder.header(), *records]
        await self._hand_over(b"".join(records))
        self._fresh = False

    async def _hand_over(self, data: bytes) -> None:
        file = self._file
        if isinstance(file, OutputStream):
            await file.write(data)
        elif file is not None:
            await self._worker.run(file.write, data)
        self._written += len(data)

    async def _open_next(self) -> None:
        """Begin the next of several files, under a name that is still free."""
        if self._sink.rotate is None:
            await self._open_file(self._sink.path)
        else:
            await self._open_file(await self._worker.run(self._free_path))

    def _free_path(self) -> str:
        started = datetime.now(UTC)
        while True:
            self._number += 1
            path = segment_path(self._sink.path, started, self._number)
            if not os.path.lexists(path):
                return path

    def _due(self, file: object) -> None:
        self._tasks.spawn(
            self._finish_due(file), name=f"rotate {self._sink.path}", on_done=self._rotated
        )

    async def _finish_due(self, file: object) -> None:
        async with self._lock:
            if self._file is file:
                await self._finish_file()

    def _rotated(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    def _check(self) -> None:
        """Raise what went wrong between two writes."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _finish_file(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        file = self._file
        if self._staging is not None and file is not None:
            await self._worker.run(self._staging.end, file)
        elif isinstance(file, OutputFile):
            await self._worker.run(file.finish)
        elif isinstance(file, OutputStream):
            await file.finish()
        self._file = None

    async def finish(self) -> None:
        async with self._lock:
            self._check()
            if self._file is not None:
                if self._fresh:
                    await self._add([])
                await self._finish_file()
            if self._staging is not None:
                await self._worker.run(self._staging.finish)

    async def recover(self, epoch: int, token: Any) -> None:
        if await self._worker.run(is_stream, self._sink.path):
            if self._file is None:
                await self._open_file(self._sink.path)
            return
        async with self._lock:
            opened, self._file = self._file, None
            if isinstance(opened, OutputFile):
                # What was there must not change before it is known how much of it is committed.
                undo = opened.release if self._sink.append else opened.discard
                await self._worker.run(undo)
            self._staging = staging = self._sink.staging()
            if token is not None:
                self._encoder.restore(token["encoder"])
                self._number = token["number"]
            files = None if token is None else token["files"]
            if (file := await self._worker.run(staging.recover, files)) is not None:
                self._go_on(file)
            elif token is None and self._sink.rotate is None:
                await self._open_file(self._sink.path)

    async def prepare(self, epoch: int) -> Any:
        if self._staging is None:
            return None
        async with self._lock:
            self._check()
            stage = None if isinstance(self._file, OutputStream) else self._file
            files = await self._worker.run(self._staging.prepare, stage)
            return {"files": files, "encoder": self._encoder.snapshot(), "number": self._number}

    async def commit(self, epoch: int, token: Any) -> None:
        if self._staging is not None:
            async with self._lock:
                await self._worker.run(self._staging.commit, token["files"])

    def position(self) -> int:
        """How many plain bytes were handed to the operating system."""
        return self._written

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._tasks.close()
        finally:
            file = self._file
            try:
                if self._staging is not None:
                    await self._worker.run(self._staging.close)
                elif isinstance(file, OutputFile):
                    await self._worker.run(file.discard)
            finally:
                await self._worker.close()
                if isinstance(file, OutputStream):
                    file.close()
        self._check()


@dataclass(frozen=True)
class FileSink(Sink[T_contra]):
    """Lines of items in a file, in several, or on standard output."""

    path: str
    encoding: RecordEncoding[T_contra]
    newline: bytes
    append: bool
    compression: CompressionTarget
    level: int | None
    rotate: Rotation | None
    fsync: bool

    def __post_init__(self) -> None:
        if self.path == STANDARD and (self.append or self.rotate is not None):
            raise ValueError("standard output can neither be rotated nor appended to")
        if self.level is not None and not self.compressed:
            raise ValueError(
                f"level={self.level} needs a compression; end the path with .gz, .bz2, .xz or "
                ".zst, or give compression="
            )

    @property
    def compressed(self) -> bool:
        """Whether the output is compressed."""
        return self.compression_of(self.path) is not None

    def compression_of(self, path: str) -> Compression | None:
        """How a file of this name is compressed."""
        return compression_of_suffix(path) if self.compression == "auto" else self.compression

    @property
    def replayed(self) -> Replayed:
        return "repeated" if is_stream(self.path) else "transactional"

    def staging(self) -> Staging:
        """How files come to be seen, in a run with checkpoints."""
        compression = self.compression_of(self.path)
        if self.append:
            return JoinedFile(self.path, compression, self.level, self.newline)
        pattern = None if self.rotate is None else segment_pattern(self.path)
        return StagedParts(self.path, compression, self.level, left_over=pattern)

    @property
    def label(self) -> str:
        return self.encoding.name

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {"path": self.path}
        if self.append:
            details["append"] = True
        if self.rotate is not None:
            bounds = (("bytes", self.rotate.max_bytes), ("seconds", self.rotate.every))
            told = (f"{bound:g} {unit}" for unit, bound in bounds if bound is not None)
            details["rotate"] = "every " + " or ".join(told)
        return details

    def writer(self, context: Context) -> Writer[Any]:
        return FileWriter(self, context)
