"""The reader behind `files.follow`: polls a file that changes, on the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from connectors.file_history import HistoryFiles, start_of_following
from connectors.file_paths import STANDARD
from connectors.file_reading import RecordFiles, digest
from connectors.followed_file import Change, FollowedFile, FollowPosition
from connectors.line_splitting import detect_encoding
from connectors.record_assembly import Assembly
from connectors.record_parsing import RecordFormat
from reactive.blocking import BlockingWorker, finished
from reactive.channel import Waker
from reactive.endpoint import Reader, Source
from reactive.errors import ConnectorError, PlanError
from reactive.fast_dataclasses import dataclass
from reactive.policy import describe_policy, policy_sides
from reactive.sequel import Sequel
from reactive.signals import Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FollowStart: TypeAlias = Literal["beginning", "end"]
FOLLOW_BLOCK = 1 << 18


class FollowReader(Reader[T]):
    """Reads the lines of a file as they are written."""

    def __init__(self, source: FollowedRecords[T], context: Context) -> None:
        self._source = source
        self._meter = context.meter
        self._worker = BlockingWorker(context.name)
        self._file = FollowedFile(source.path)
        self._assembly = Assembly(source.format, context, source.on_error, source.max_line_bytes)
        self._waker = Waker()
        self._stopping = False
        self._call: asyncio.Future[bytes | Change] | None = None
        self._changed = False
        self._identity = (0, 0)
        self._head = b""

    async def open(self) -> None:
        file, codec = self._file, self._source.format.codec
        await self._worker.run(file.start)
        if file.is_open and self._source.start == "end":
            await self._worker.run(file.skip_lines, detect_encoding(codec, file.head).newline)
        self._begin(file.offset, 0)

    def _begin(self, offset: int, line: int) -> None:
        file, assembly = self._file, self._assembly
        assembly.begin(file.path)
        if offset:
            assembly.feed(file.head)
            assembly.begin(file.path, offset, line)
        self._identity, self._head = file.identity, file.head

    async def read(self, limit: int) -> Signal[T] | None:
        assembly = self._assembly
        while (chunk := await assembly.take(limit)) is None:
            if self._stopping:
                return None
            if self._changed:
                self._changed = False
                self._begin(0, 0)
            found = await self._poll(assembly.block_bytes(limit))
            if isinstance(found, bytes):
                self._head = self._file.head
                assembly.feed(found)
            elif found is Change.NOTHING:
                loop = asyncio.get_running_loop()
                await self._waker.wait(loop.time() + self._source.poll)
            else:
                # What was read of a line that nothing can complete any more is its last line.
                assembly.finish()
                self._changed = True
                self._meter.count("truncations" if found is Change.TRUNCATED else "files")
        return chunk

    async def _poll(self, size: int) -> bytes | Change:
        if self._call is None:
            self._call = self._worker.submit(self._file.poll, size)
        found = await finished(self._call)
        self._call = None
        return found

    def stop(self) -> bool:
        self._stopping = True
        self._waker.wake()
        return True

    def position(self) -> FollowPosition:
        device, inode = self._identity
        offset, line = self._assembly.offset, self._assembly.line
        head = self._head[:offset]
        return FollowPosition(self._file.path, device, inode, offset, line, len(head), digest(head))

    async def seek(self, position: Any) -> None:
        if not isinstance(position, FollowPosition):
            raise ConnectorError(
                f"a position in a followed file is a FollowPosition, not {position!r}; it was "
                "taken from another source"
            )
        await self._worker.run(self._file.resume, position)
        self._begin(self._file.offset, position.line)

    async def close(self) -> None:
        await self._worker.close()
        self._file.close()


@dataclass(frozen=True)
class FollowedRecords(Source[T_co]):
    """The records of a file that grows."""

    path: str
    format: RecordFormat[T_co]
    start: FollowStart
    poll: float
    max_line_bytes: int
    on_error: object

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "follow"

    def details(self) -> dict[str, object]:
        return {
            "path": self.path,
            "start": self.start,
            "poll": f"{self.poll:g} s",
            **self.format.details(),
            **describe_policy(self.on_error),
        }

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def after(self, history: Source[Any]) -> Source[Any]:
        if not isinstance(history, RecordFiles) or STANDARD in history.paths:
            what = "standard input" if isinstance(history, RecordFiles) else history.label
            raise PlanError(
                f"then: files.follow goes on after files.read_lines of files, not after {what}; "
                "put .then(...) directly behind read_lines, and what you do with lines behind that"
            )
        if history.format != self.format:
            raise PlanError(
                "then: give files.read_lines and files.follow the same encoding, errors and "
                "keep_ends, and parse the lines behind .then(...), so that a line is read alike on "
                f"both sides; {history.label} and follow differ in that"
            )
        if self.start == "end":
            raise PlanError(
                'then: files.follow(..., start="end") would leave out what was written while the '
                "history is read; leave `start` out"
            )
        before = HistoryFiles(
            history.paths,
            history.compression,
            history.format,
            history.max_line_bytes,
            history.on_error,
            self.path,
        )
        return Sequel(before, self, start_of_following)

    def reader(self, context: Context) -> Reader[T_co]:
        return FollowReader(self, context)
