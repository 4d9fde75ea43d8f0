"""Writing a journal: a log in segments, repaired where a crash has torn it. Blocking, no loop."""

from __future__ import annotations

import mmap
import os
import sys
import time
import uuid
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from reactive.errors import JournalError
from reactive.fast_dataclasses import dataclass
from reactive.journal_files import (
    Place,
    damage,
    lock,
    segment_path,
    segments,
    sync_folder,
)
from reactive.journal_format import (
    LARGEST_BODY,
    MARK_BODY,
    SEGMENT_HEADER,
    Body,
    Damaged,
    frame_size,
    pack_frame,
    pack_segment,
    parse_frame,
    parse_segment,
    scan,
    vouched,
)
from reactive.log import log_event

_BUFFERS: Final = 512
"""How many pieces to write at once; systems allow at least 1,024."""
_BYTES_BETWEEN_PLACES: Final = 64 * 1024


@dataclass
class _Segment:
    first: int
    size: int


@dataclass(frozen=True)
class Retention:
    """What is deleted of what is done with: all of it, or what is beyond so many bytes or older
    than so many seconds; above `limit` bytes everything that is done with."""

    limit: int | None = None
    keep_bytes: int | None = None
    keep_seconds: float | None = None
    keeps_nothing: bool = False


class JournalLog:
    """The one writer of a journal. What `append` took is durable when `sync` has returned; after
    either has failed, nothing more is taken: what is on the disk then is not known."""

    def __init__(self, folder: str, segment_bytes: int) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._lock = self._descriptor = -1
        self._synced = 0
        self._failed = False
        self._marked = True
        self._places: list[Place] = []
        self.id = b""
        self.end = 0

    @property
    def start(self) -> int:
        """The first record that is kept."""
        return self._segments[0].first

    @property
    def size(self) -> int:
        """How many bytes the segments have together."""
        return sum(segment.size for segment in self._segments)

    @property
    def first_end(self) -> int:
        """The record behind the first segment that has others after it; a very high number where
        there is one only."""
        return self._segments[1].first if len(self._segments) > 1 else sys.maxsize

    def open(self) -> None:
        """Take the journal, make it where there is none, and repair its end."""
        folder = Path(self.folder)
        if not folder.is_dir():
            folder.mkdir(0o700, parents=True, exist_ok=True)
            sync_folder(str(folder.absolute().parent))
        self._lock = lock(self.folder)
        found = segments(self.folder)
        while found and self._never_began(found[-1]):
            Path(segment_path(self.folder, found.pop())).unlink()
        if not found:
            self.id = uuid.uuid4().bytes
            self._begin(0)
            return
        for first in found[:-1]:
            size = Path(segment_path(self.folder, first)).stat().st_size
            self._segments.append(_Segment(first, size))
        self._continue(found[-1])

    def _never_began(self, first: int) -> bool:
        """Whether a crash came before the header of the last segment was on the disk."""
        with Path(segment_path(self.folder, first)).open("rb") as file:
            data = file.read(SEGMENT_HEADER + 1)
        return len(data) < SEGMENT_HEADER or not any(data)

    def _continue(self, first: int) -> None:
        """Go on with the last segment, without what a crash has torn."""
        path = segment_path(self.folder, first)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(self._descriptor).st_size
        with mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ) as data:
            self.id, said = parse_segment(data[:SEGMENT_HEADER], path)
            if said != first:
                raise JournalError(f"{path}: byte 0: the file is named after another segment")
            at, self.end = SEGMENT_HEADER, first
            for end, frame in scan(data, first):
                at, self.end = end, frame.first + frame.records
            if at < size and vouched(data, at):
                try:
                    parse_frame(data, at, self.end)
                    why = "a frame is longer than the file"
                except Damaged as damaged:
                    why = str(damaged)
                raise damage(path, at, self.end, why)
        if at < size:
            log_event("warning", "journal_repaired", file=path, byte=at, torn_bytes=size - at)
            os.ftruncate(self._descriptor, at)
        os.lseek(self._descriptor, at, os.SEEK_SET)
        self._segments.append(_Segment(first, at))
        self._sync()
        self._mark()

    def _mark(self) -> None:
        """Say in the segment that all before is on the disk."""
        self._write([MARK_BODY])
        self._sync()
        self._marked = True

    def _begin(self, first: int) -> None:
        """A new segment, known to the disk before anything is put into it."""
        path = segment_path(self.folder, first)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            header = pack_segment(self.id, first)
            if os.write(descriptor, header) != len(header):
                raise OSError(f"{path}: the header could not be written")
            os.fsync(descriptor)
            sync_folder(self.folder)
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._segments.append(_Segment(first, SEGMENT_HEADER))
        self._synced = SEGMENT_HEADER
        self._places.clear()
        self.end = first

    def append(self, bodies: Sequence[Body]) -> None:
        """Write frames at the end, without waiting for the disk."""
        self._check()
        self._failed = True
        start, end = 0, self.end
        size = self._segments[-1].size
        for index, body in enumerate(bodies):
            if len(body.data) > LARGEST_BODY:
                raise JournalError(
                    f"{self.folder}: an item of {len(body.data):,} bytes is more than a frame of a "
                    f"journal can have ({LARGEST_BODY:,})"
                )
            if size >= self._segment_bytes and end > self._segments[-1].first:
                self._write(bodies[start:index])
                start = index
                self._sync()
                self._begin(self.end)
                size = SEGMENT_HEADER
            size += frame_size(body)
            end += body.records
        self._write(bodies[start:])
        self._failed = False

    def _write(self, bodies: Sequence[Body]) -> None:
        segment = self._segments[-1]
        pieces: list[bytes | memoryview] = []
        for body in bodies:
            known = self._places[-1].byte if self._places else 0
            if segment.size - known > _BYTES_BETWEEN_PLACES:
                self._places.append(Place(segment.first, segment.size, self.end))
            pieces += (pack_frame(body, self.end, self._synced), body.data)
            self.end += body.records
            segment.size += frame_size(body)
        self._marked = False
        for start in range(0, len(pieces), _BUFFERS):
            _write_all(self._descriptor, pieces[start : start + _BUFFERS])

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        self._check()
        self._failed = True
        self._sync()
        self._failed = False

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._synced = self._segments[-1].size

    def _check(self) -> None:
        if self._failed or self._descriptor < 0:
            raise JournalError(
                f"{self.folder}: an earlier write or sync of this journal failed, so that nobody "
                "knows what of it is on the disk; begin a new run, which looks"
            )

    def place(self, offset: int) -> Place | None:
        """Where a frame begins that is not far before a record, if it is known."""
        index = bisect_right(self._places, offset, key=lambda place: place.record)
        return self._places[index - 1] if index else None

    def cut(self, offset: int) -> None:
        """Remove everything from a record on, at which a frame has to begin."""
        if not self.start <= offset <= self.end:
            raise JournalError(f"{self.folder}: there is no record {offset:,} to cut at")
        if offset == self.end:
            return
        while self._segments[-1].first > offset:
            Path(segment_path(self.folder, self._segments.pop().first)).unlink()
            sync_folder(self.folder)
        segment = self._segments[-1]
        path = segment_path(self.folder, segment.first)
        os.close(self._descriptor)
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        at, end = SEGMENT_HEADER, segment.first
        with mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) as data:
            frames = scan(data, segment.first)
            while end < offset and (found := next(frames, None)) is not None:
                at, end = found[0], found[1].first + found[1].records
        if end != offset:
            raise JournalError(f"{path}: no frame begins with record {offset:,}, to cut it there")
        os.ftruncate(self._descriptor, at)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        segment.size, self.end = at, offset
        self._places.clear()
        self._sync()

    def let_go(self, settled: int, retention: Retention, full: bool = False) -> None:
        """Delete segments, the oldest first, whose records all come before `settled`, as far as
        the retention says so; where the journal is `full`, one at least, also the last."""
        gone = False
        if full and self.start < self.end <= settled and len(self._segments) == 1:
            self.sync()
            self._begin(self.end)
        while self.first_end <= settled:
            if not (full and not gone) and not self._is_beyond(retention):
                break
            Path(segment_path(self.folder, self._segments.pop(0).first)).unlink()
            gone = True
        if gone:
            sync_folder(self.folder)

    def _is_beyond(self, retention: Retention) -> bool:
        size = self.size
        if retention.limit is not None and size >= retention.limit:
            return True
        oldest = self._segments[0]
        if retention.keep_bytes is not None and size - oldest.size >= retention.keep_bytes:
            return True
        if retention.keep_seconds is not None:
            written = Path(segment_path(self.folder, oldest.first)).stat().st_mtime
            return time.time() - written > retention.keep_seconds
        return retention.keeps_nothing

    def close(self) -> None:
        """Release everything, after a last sync, unless something failed."""
        try:
            if self._descriptor >= 0 and not self._failed and not self._marked:
                self._sync()
                self._mark()
        finally:
            for descriptor in (self._descriptor, self._lock):
                if descriptor >= 0:
                    os.close(descriptor)
            self._descriptor = self._lock = -1


def _write_all(descriptor: int, pieces: list[bytes | memoryview]) -> None:
    while pieces:
        written = os.writev(descriptor, pieces)
        rest: list[bytes | memoryview] = []
        for piece in pieces:
            if written < len(piece):
                rest.append(memoryview(piece)[written:])
            written = max(0, written - len(piece))
        pieces = rest
