"""Files as the history of one that is followed: every line of both once, while files are rotated.

A rotation renames files while they are read one after the other, so that the name of one that was
listed may by then be another's. Therefore those that may be renamed are held open from the start,
and known by identity.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from connectors.file_blocks import HEAD_BYTES, Blocks, CompressionArgument
from connectors.file_errors import file_error
from connectors.file_opening import open_blocks
from connectors.file_paths import resolve_paths
from connectors.file_reading import FileWalk, RecordFiles, RecordReader, digest
from connectors.followed_file import SURE_HEAD, FollowedFile, FollowPosition, rotation_order
from reactive.blocking import BlockingWorker
from reactive.endpoint import Reader
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_ATTEMPTS = 100

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class HistoryPosition:
    """Where reading goes on in the history, None at its end; and where following will start."""

    history: FollowPosition | None
    live: FollowPosition


def start_of_following(position: HistoryPosition) -> FollowPosition:
    """Where to follow when the history has been read."""
    return position.live


class _File(NamedTuple):
    path: str
    identity: Identity
    size: int
    order: tuple[Any, ...]
    """Sorts the rotated files of one path, oldest first."""


class _Files:
    """The files of a history, told apart: those that rotation moves, and the others."""

    def __init__(self, patterns: Sequence[str], followed: str) -> None:
        self.others: list[_File] = []
        self.rotated: list[_File] = []
        self.current: _File | None = _look(followed) if os.path.exists(followed) else None  # noqa: PTH110
        folder, name = os.path.split(os.path.abspath(followed))  # noqa: PTH100
        known = set() if self.current is None else {self.current.identity}
        for path in resolve_paths(patterns):
            where, own = os.path.split(os.path.abspath(path))  # noqa: PTH100
            file = _look(path)
            if file.identity in known:
                continue
            if where == folder and own.startswith((f"{name}.", f"{name}-")):
                known.add(file.identity)
                self.rotated.append(file)
            elif where != folder or own != name:
                self.others.append(file)
        self.rotated.sort(key=lambda file: file.order)

    def names(self) -> list[tuple[str, Identity]]:
        """Which file has which name."""
        every = [*self.others, *self.rotated, *filter(None, [self.current])]
        return [(file.path, file.identity) for file in every]

    def first_followed(self, pattern: re.Pattern[str]) -> _File | None:
        """The file to follow from: the newest that was rotated away, which may not be complete
        yet, if a follower knows such names."""
        newest = self.rotated[-1] if self.rotated else None
        if newest is not None and pattern.fullmatch(os.path.basename(newest.path)):  # noqa: PTH119
            return newest
        return self.current

    def before(self, first: _File | None) -> list[_File]:
        """What is read before that one."""
        if first is None or first == self.current:
            return [*self.others, *self.rotated]
        return [*self.others, *(file for file in self.rotated if file.order < first.order)]


def _look(path: str) -> _File:
    status = os.stat(path)  # noqa: PTH116
    return _File(path, (status.st_dev, status.st_ino), status.st_size, rotation_order(path, status))


class HistoryWalk(FileWalk):
    """Opens one file of a history after the other, whatever they are called by then."""

    def __init__(
        self,
        patterns: Sequence[str],
        compression: CompressionArgument,
        worker: BlockingWorker,
        followed: str,
    ) -> None:
        super().__init__(patterns, compression, worker)
        self._followed = followed
        self._listed: list[_File] = []
        self._held: dict[str, int] = {}
        self._first = -1
        self._start = FollowPosition(followed, 0, 0, 0, 0, 0, digest(b""))

    async def open(self) -> None:
        await self._worker.run(self._hold, None)
        await self.next()

    async def blocks_of(self, path: str) -> Blocks:
        return await open_blocks(path, self._compression, self._worker, self._held.get(path))

    def _hold(self, start: FollowPosition | None) -> None:
        """List the files and hold on to those that may be renamed, at a moment when none is."""
        with _reporting(self._followed):
            for _ in range(_ATTEMPTS):
                self.release()
                try:
                    if self._holds_all(start):
                        return
                except FileNotFoundError:
                    continue
            raise ConnectorError(
                f"{self._followed}: files beside it were renamed again and again while they were "
                "listed; list fewer of them"
            )

    def _holds_all(self, start: FollowPosition | None) -> bool:
        followed = FollowedFile(self._followed)
        files = _Files(self._patterns, self._followed)
        if start is None:
            first = files.first_followed(followed.rotated_name)
        else:
            first = _find_again(followed, start)
        if first is not None:
            self._first = _open(first)
            head = os.pread(self._first, HEAD_BYTES, 0)
            device, inode = first.identity
            self._start = start or FollowPosition(
                self._followed, device, inode, 0, 0, len(head), digest(head)
            )
        self._listed = files.before(first)
        for file in self._listed:
            if file in files.rotated:
                self._held[file.path] = _open(file)
        self._files = [file.path for file in self._listed]
        self._number = -1
        self._ends = [0]
        for file in self._listed:
            self._ends.append(self._ends[-1] + file.size)
        return _Files(self._patterns, self._followed).names() == files.names()

    async def next(self) -> Blocks | None:
        blocks = await super().next()
        if blocks is None:
            self._number = len(self._files)
        return blocks

    async def leave(self) -> None:
        await super().leave()
        if 0 <= self._number < len(self._files):
            held = self._held.pop(self._files[self._number], -1)
            if held >= 0:
                os.close(held)

    def place(self, offset: int, line: int) -> HistoryPosition | None:
        """A position in the file that was opened last; None if it cannot be read again."""
        if not 0 <= self._number < len(self._files):
            return HistoryPosition(None, self._start)
        if self._head is None:
            return None
        device, inode = self._listed[self._number].identity
        path, head = self._files[self._number], self._head
        found = FollowPosition(path, device, inode, offset, line, len(head), digest(head))
        return HistoryPosition(found, self._start)

    async def find_again(self, position: HistoryPosition) -> Blocks | None:
        """Open the file of a position, whatever it is called by now; None at the end of all."""
        await self.leave()
        await self._worker.run(self._hold, position.live)
        sought = position.history
        if sought is None:
            self._number = len(self._files)
            return None
        for rule in (_same_file, _same_path, _same_head):
            for number, file in enumerate(self._listed):
                if not rule(sought, file):
                    continue
                blocks = await self._open(number)
                head = blocks.head[: sought.head_bytes]
                if len(head) == sought.head_bytes and digest(head) == sought.head_digest:
                    return blocks
                await super().leave()
        raise ConnectorError(
            f"{sought.path}: is the file to go on with from byte {sought.offset}, but is not among "
            f"the {len(self._files)} files found now, as it was; put it back, or start afresh"
        )

    def release(self) -> None:
        """Let go of every file."""
        descriptors = [*self._held.values(), self._first]
        self._held, self._first = {}, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _same_file(sought: FollowPosition, file: _File) -> bool:
    return file.identity == (sought.device, sought.inode)


def _same_path(sought: FollowPosition, file: _File) -> bool:
    return file.path == sought.path


def _same_head(sought: FollowPosition, file: _File) -> bool:
    return sought.head_bytes >= SURE_HEAD


def _find_again(followed: FollowedFile, start: FollowPosition) -> _File | None:
    """The file that following starts with, under the name that it has now."""
    try:
        followed.resume(start)
        if not followed.is_open:
            return None
        return _look(followed.name_now())
    finally:
        followed.close()


def _open(file: _File) -> int:
    descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != file.identity:
        os.close(descriptor)
        raise FileNotFoundError(file.path)
    return descriptor


@contextmanager
def _reporting(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(error, path, "read") from error


class HistoryReader(RecordReader[T]):
    """Reads the records of the files that come before a followed one."""

    _walk: HistoryWalk

    def __init__(self, source: HistoryFiles[T], context: Context) -> None:
        def walk(worker: BlockingWorker) -> HistoryWalk:
            return HistoryWalk(source.paths, source.compression, worker, source.followed)

        super().__init__(source, context, walk)

    def position(self) -> Any:
        return self._walk.place(self._assembly.offset, self._assembly.line)

    async def seek(self, position: Any) -> None:
        if not isinstance(position, HistoryPosition):
            raise ConnectorError(
                f"a position in the history of a followed file is a HistoryPosition, not "
                f"{position!r}; it was taken from another source"
            )
        blocks = await self._walk.find_again(position)
        if blocks is not None and position.history is not None:
            await self._go_on(blocks, position.history.offset, position.history.line)

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._walk.release()


@dataclass(frozen=True)
class HistoryFiles(RecordFiles[T_co]):
    """The records of the files that come before a followed one, those of its own name by age."""

    followed: str

    def reader(self, context: Context) -> Reader[T_co]:
        return HistoryReader(self, context)
