"""A file that grows, is renamed away and made anew, or truncated: what `tail -F` knows.

Blocking calls only, made one at a time; the reader has them made in a thread.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

from connectors.file_blocks import HEAD_BYTES
from connectors.file_errors import file_error
from connectors.file_reading import digest
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass

TAIL_BLOCK = 1 << 16
SURE_HEAD = 32
"""From this many equal first bytes on, a file under another name counts as a copy of the one."""


class Change(Enum):
    """What a poll found when it was no bytes."""

    NOTHING = "nothing new"
    NEXT_FILE = "another file, read from its start"
    TRUNCATED = "the same file, written anew from its start"


@dataclass(frozen=True, slots=True)
class FollowPosition:
    """Where following goes on: a file by its identity and first bytes, and a byte in it."""

    path: str
    device: int
    inode: int
    offset: int
    line: int
    head_bytes: int
    head_digest: bytes


def rotation_order(path: str, status: os.stat_result) -> tuple[int, int, str]:
    """Sorts the files that were rotated away from one path, oldest first. Of those that changed
    within one tick of the clock, the one with the higher number (`log.2`) is older."""
    number = re.search(r"\.(\d{1,4})(?:\.\w+)?$", path)
    return status.st_mtime_ns, -int(number[1]) if number else 0, path


class FollowedFile:
    """One path, and the files that were found under it.

    A file that was renamed away is read on until it has had nothing new for one poll; what the
    poll after that opens is the oldest numbered or dated sibling (`log.1`, `log-20250131`) that
    is newer than it, and at last the file that has the path now.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0
        self.head = b""
        self.identity = (0, 0)
        self.rotations = 0
        self.truncations = 0
        self._descriptor = -1
        self._quiet_since: int | None = None
        self._leaving = False
        self._last: os.stat_result | None = None
        self.rotated_name = re.compile(re.escape(Path(path).name) + r"[.-][-0-9.:_T]+")

    @property
    def is_open(self) -> bool:
        """Whether there is a file to read."""
        return self._descriptor >= 0

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise file_error(error, self.path, "read") from error

    def name_now(self) -> str:
        """What the file that is open is called by now. `FileNotFoundError` if it was removed."""
        for path in (self.path, *(sibling for sibling, _ in self._siblings(include_open=True))):
            with suppress(FileNotFoundError):
                status = os.stat(path)  # noqa: PTH116
                if (status.st_dev, status.st_ino) == self.identity:
                    return path
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def start(self) -> None:
        """Open the file if it is there already."""
        with self._reporting():
            self._open(self.path)

    def skip_lines(self, newline: bytes) -> None:
        """Go on at the end of the last line that is complete."""
        with self._reporting():
            self.offset = self._end_of_lines(newline)

    def poll(self, size: int) -> bytes | Change:
        """The next 1 to `size` bytes, or what else has happened."""
        with self._reporting():
            return self._poll(size)

    def _poll(self, size: int) -> bytes | Change:
        if not self.is_open:
            return Change.NEXT_FILE if self._open_next() else Change.NOTHING
        status = os.fstat(self._descriptor)
        if status.st_size < self.offset or self._written_anew(status):
            self.offset = 0
            self.head = self._read_head()
            self.truncations += 1
            self._quiet_since = None
            return Change.TRUNCATED
        data = os.pread(self._descriptor, size, self.offset)
        if data:
            self.offset += len(data)
            if len(self.head) < HEAD_BYTES:
                self.head = self._read_head()
            self._quiet_since = None
            self._leaving = False
            return data
        self._quiet_since = status.st_mtime_ns
        if not self._replaced():
            self._leaving = False
        elif not self._leaving:
            # Whoever wrote it may still do so until it opens the new file.
            self._leaving = True
        else:
            self._last = status
            self.close()
            self.rotations += 1
            self._open_next()
            return Change.NEXT_FILE
        return Change.NOTHING

    def _written_anew(self, status: os.stat_result) -> bool:
        """Whether other content has grown past where reading had come."""
        if self._quiet_since is None or status.st_mtime_ns == self._quiet_since:
            return False
        return os.pread(self._descriptor, len(self.head), 0) != self.head

    def _replaced(self) -> bool:
        """Whether the path has become another file's."""
        try:
            status = os.stat(self.path)  # noqa: PTH116
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) != self.identity

    def _open_next(self) -> bool:
        if self._last is not None:
            for sibling, status in self._siblings():
                if status.st_mtime_ns > self._last.st_mtime_ns and self._open(sibling):
                    return True
        return self._open(self.path)

    def _siblings(self, include_open: bool = False) -> Iterator[tuple[str, os.stat_result]]:
        """Rotated files beside the path that are neither it nor, unless asked for, the one that
        was opened last; oldest first."""
        own = set() if include_open else {self.identity}
        found: list[tuple[str, os.stat_result]] = []
        try:
            status = os.stat(self.path)  # noqa: PTH116
            own.add((status.st_dev, status.st_ino))
        except FileNotFoundError:
            pass
        with os.scandir(Path(self.path).parent) as entries:
            for entry in entries:
                if self.rotated_name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    status = os.stat(entry.path)  # noqa: PTH116
                    if (status.st_dev, status.st_ino) not in own:
                        found.append((entry.path, status))
        found.sort(key=lambda pair: rotation_order(*pair))
        yield from found

    def _open(self, path: str) -> bool:
        """Open a file at its start; False if there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(status.st_mode):
                raise ConnectorError(
                    f"{path}: is no regular file, so it cannot be followed; read it with "
                    "files.read_lines, which waits for what comes"
                )
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self.identity = (status.st_dev, status.st_ino)
        self.offset = 0
        self.head = self._read_head()
        self._quiet_since = None
        self._leaving = False
        return True

    def _read_head(self) -> bytes:
        return os.pread(self._descriptor, HEAD_BYTES, 0)

    def _end_of_lines(self, newline: bytes) -> int:
        width = len(newline)
        size = os.fstat(self._descriptor).st_size // width * width
        end = size
        while end > 0:
            start = max(0, end - TAIL_BLOCK)
            block = os.pread(self._descriptor, end - start, start)
            found = block.rfind(newline)
            while found >= 0 and found % width:
                found = block.rfind(newline, 0, found + width - 1)
            if found >= 0:
                return start + found + width
            end = start
        return 0

    def resume(self, position: FollowPosition) -> None:
        """Open the file of a position, whatever it is called by now, and go on in it.

        Raises `ConnectorError` if it is neither at the path nor beside it.
        """
        with self._reporting():
            self._resume(position)

    def _resume(self, position: FollowPosition) -> None:
        self.close()
        self._last = None
        self.identity = (0, 0)
        if not position.inode:
            self._open(self.path)
            return
        candidates = [self.path, *(sibling for sibling, _ in self._siblings())]
        for same_file in (True, False):
            for candidate in candidates:
                if self._open(candidate):
                    if self._is_that(position, same_file):
                        self.offset = position.offset
                        return
                    self.close()
        raise ConnectorError(
            f"{self.path}: the file that was followed up to byte {position.offset} is neither "
            "there nor beside it under a rotated name, uncompressed; put it back to go on without "
            "a gap, or start afresh"
        )

    def _is_that(self, position: FollowPosition, same_file: bool) -> bool:
        if same_file and self.identity != (position.device, position.inode):
            return False
        if not same_file and position.head_bytes < SURE_HEAD:
            return False
        head = self.head[: position.head_bytes]
        if len(head) < position.head_bytes or digest(head) != position.head_digest:
            return False
        return os.fstat(self._descriptor).st_size >= position.offset

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
