"""The folder of a journal: its segments, its lock, and reading records from it."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from reactive.errors import JournalError
from reactive.journal_format import (
    SEGMENT_HEADER,
    Damaged,
    Frame,
    needed,
    parse_frame,
    parse_segment,
    vouched,
)

_NAME: Final = re.compile(r"(\d{20})\.journal")
_LOCK: Final = "lock"
_AT_ONCE: Final = 1024 * 1024


def segment_path(folder: str, first: int) -> str:
    """Where the segment is that begins with a record."""
    return str(Path(folder, f"{first:020d}.journal"))


def segments(folder: str) -> list[int]:
    """The offsets at which the segments of a journal begin, in order."""
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def sync_folder(folder: str) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(folder: str) -> int:
    """Take the journal for writing; the lock goes with the descriptor, and with the process."""
    import fcntl

    descriptor = os.open(Path(folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        who = f"process {owner}" if owner else "another process"
        if owner == str(os.getpid()):
            who = f"this process ({owner})"
        raise JournalError(
            f"{folder}: {who} is writing this journal, and only one run may at a time; stop it, or "
            "give this one another path. To read it meanwhile: journal.read(path)"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Place(NamedTuple):
    """Where a frame begins: the segment, by its first record, the byte, and its own first one."""

    segment: int
    byte: int
    record: int


class Cursor:
    """Reads the records of a journal from an offset on. Every call may block for the disk."""

    def __init__(self, folder: str, offset: int, place: Place | None = None) -> None:
        """`place` is where a frame begins that is known not to lie behind the offset."""
        self.folder = folder
        self.offset = offset
        self._descriptor = -1
        self._segment = self._byte = self._next = 0
        self._place = place
        self._data = b""
        self._at = 0

    def read(self, until: int | None = None, most: int = _AT_ONCE) -> list[tuple[Frame, int]]:
        """The next frames, of about `most` bytes together, and how many records of each come
        before the offset; none at the end, which is at the record `until` if that is said."""
        frames: list[tuple[Frame, int]] = []
        size = 0
        while size < most and (until is None or self.offset < until):
            if self._descriptor < 0 and not self._begin():
                break
            frame = self._frame()
            if frame is None:
                if self._go_on():
                    continue
                break
            end = frame.first + frame.records
            if frame.records and end > self.offset:
                frames.append((frame, max(0, self.offset - frame.first)))
                size += frame.size
                self.offset = end
        return frames

    def _begin(self) -> bool:
        """Go to the segment in which the offset is."""
        found = segments(self.folder)
        index = bisect_right(found, self.offset) - 1
        if index < 0:
            if not found:
                return False
            raise JournalError(
                f"{self.folder}: record {self.offset:,} was asked for, and the journal begins with "
                f"record {found[0]:,}; what was before was let go"
            )
        self._open(found[index])
        place = self._place
        if place is not None and place.segment == self._segment:
            self._byte, self._next = place.byte, place.record
        self._place = None
        return True

    def _open(self, first: int) -> None:
        path = segment_path(self.folder, first)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise JournalError(
                f"{path}: record {self.offset:,} was asked for, and this file was let go"
            ) from None
        self.close()
        self._descriptor, self._segment, self._next = descriptor, first, first
        header = os.pread(descriptor, SEGMENT_HEADER, 0)
        if parse_segment(header, path)[1] != first:
            raise JournalError(
                f"{path}: byte 0: the file is named after another segment than it is"
            )
        self._byte, self._data, self._at = SEGMENT_HEADER, b"", 0

    def _frame(self) -> Frame | None:
        """The next frame of this segment; None if it has no more."""
        while True:
            try:
                frame = parse_frame(self._data, self._at, self._next)
            except Damaged as error:
                return self._looked_at(str(error))
            if frame is not None:
                return self._passed(frame)
            left = os.fstat(self._descriptor).st_size - self._byte
            if left <= len(self._data) - self._at:
                return self._looked_at("a frame is longer than the file") if left else None
            size = min(left, max(_AT_ONCE, needed(self._data, self._at)))
            self._data, self._at = os.pread(self._descriptor, size, self._byte), 0

    def _looked_at(self, why: str) -> Frame | None:
        """What is no whole frame may be one by now. In the last segment, what nobody vouches for
        was torn by a crash, or is being written."""
        last = segments(self.folder)[-1] == self._segment
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        with suppress(Damaged):
            frame = parse_frame(data, self._byte, self._next)
            if frame is not None:
                self._data, self._at = data[self._byte :], 0
                return self._passed(frame)
        if last and not vouched(data, self._byte):
            return None
        path = segment_path(self.folder, self._segment)
        raise damage(path, self._byte, self._next, why)

    def _passed(self, frame: Frame) -> Frame:
        self._at += frame.size
        self._byte += frame.size
        self._next = frame.first + frame.records
        return frame

    def _go_on(self) -> bool:
        """At the end of a segment: open the next, if there is one."""
        later = [first for first in segments(self.folder) if first > self._segment]
        if not later:
            return False
        # Only now is it certain that nothing will be added to the segment.
        if (frame := self._frame()) is not None:
            self._byte -= frame.size
            self._at -= frame.size
            self._next = frame.first
            return True
        if later[0] != self._next:
            path = segment_path(self.folder, self._segment)
            raise damage(
                path, self._byte, self._next, f"and the next file begins with {later[0]:,}"
            )
        self._open(later[0])
        return True

    def close(self) -> None:
        """Release the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def damage(path: str, byte: int, record: int, why: str) -> JournalError:
    """What is wrong with a journal, and where."""
    return JournalError(
        f"{path}: byte {byte:,}: damaged where record {record:,} should be: {why}. Nothing was "
        "changed; put the file back from a copy, or move it away with all later ones to go on "
        "without what is in them"
    )


def end_of(folder: str) -> int:
    """The record behind the last one that is there."""
    found = segments(folder)
    if not found:
        return 0
    cursor = Cursor(folder, found[-1])
    try:
        while cursor.read():
            pass
        return cursor.offset
    finally:
        cursor.close()


def whole(folder: str) -> Iterator[tuple[str, int, int, int]]:
    """Every segment with its first record, the one after its last, and its size, all of it read
    and compared with its checksums."""
    found = segments(folder)
    for index, first in enumerate(found):
        cursor = Cursor(folder, first)
        until = found[index + 1] if index + 1 < len(found) else None
        try:
            while cursor.read(until):
                pass
        finally:
            cursor.close()
        path = segment_path(folder, first)
        yield path, first, cursor.offset, Path(path).stat().st_size
