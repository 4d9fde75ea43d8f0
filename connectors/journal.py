"""journal: what `stream.journal(path)` keeps on disk, read by another pipeline or program."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import reactive as rx
from reactive.blocking import BlockingWorker, finished
from reactive.endpoint import Extent, Reader, Source
from reactive.errors import JournalError
from reactive.fast_dataclasses import dataclass
from reactive.journal_files import Cursor, end_of, segments
from reactive.journal_format import Frame
from reactive.journal_records import Records
from reactive.serializers import Serializer, check_serializer, describe_serializer
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context

Start: TypeAlias = Literal["beginning", "end"] | int


def read(
    path: str | os.PathLike[str],
    *,
    serializer: Serializer = "plain",
    start: Start = "beginning",
    follow: bool = False,
    poll: float = 0.1,
) -> rx.Stream[Any]:
    """The items of a journal, which `stream.journal(path)` writes here or in another program.

    Emits them in order, with the event times they had and the watermarks between them, many at a
    time. Begins with the oldest record that is kept, at the `"end"`, or with the record `start`.
    Completes at the end of what is there; with `follow=True` it waits there for more, looking every
    `poll` seconds, and never completes. Backpressures by not reading on. Changes nothing, needs no
    lock, and does not keep the journal from being written or from letting go of old segments.
    Replayable: positions are record numbers. It sees what was written a moment before it is
    certain to be on disk. `serializer` is as for `journal`.

    `JournalError` where there is no journal (with `follow=True` it waits for one), where a record
    asked for was let go, and where it is damaged, with file and byte; what a crash has torn at its
    end is not read.

    ```python
    await journal.read("received").map(print)
    ```
    """
    folder = os.fspath(path)
    if not isinstance(folder, str) or not folder:
        raise TypeError(f"journal.read needs the path of a folder as text, not {path!r}")
    check_serializer("journal.read", serializer)
    number = isinstance(start, int) and not isinstance(start, bool) and start >= 0
    if start not in ("beginning", "end") and not number:
        raise ValueError(
            f'journal.read starts at the "beginning", the "end" or the number of a record, '
            f"not {start!r}"
        )
    if not isinstance(poll, (int, float)) or not 0 < poll < float("inf"):
        raise ValueError(f"journal.read looks every `poll` seconds, above 0, not {poll!r}")
    return rx.from_source(JournalSource(folder, serializer, start, follow, poll))


@dataclass(frozen=True)
class JournalSource(Source[Any]):
    """The records of a journal."""

    path: str
    serializer: Serializer
    start: Start
    follow: bool
    poll: float

    @property
    def bounded(self) -> bool:
        return not self.follow

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "read"

    def details(self) -> dict[str, object]:
        poll = {"poll": f"{self.poll:g} s"} if self.follow else {}
        return {
            "path": self.path,
            "start": self.start,
            **poll,
            "serializer": describe_serializer(self.serializer),
        }

    def reader(self, context: Context) -> Reader[Any]:
        return JournalReader(self, context)


class JournalReader(Reader[Any]):
    """Reads a journal from a record on."""

    def __init__(self, source: JournalSource, context: Context) -> None:
        self._source = source
        self._context = context
        self._records = Records(source.serializer)
        self._worker = BlockingWorker(f"reactive {context.name}")
        self._cursor: Cursor | None = None
        self._fetching: asyncio.Future[list[tuple[Frame, int]]] | None = None
        self._ready: deque[tuple[Frame, int]] = deque()
        self._rest: Chunk[Any] | None = None
        self._first = self._next = 0
        self._until: int | None = None
        self._wakes: float | None = None

    async def open(self) -> None:
        await self._worker.run(self._begin)

    def _begin(self) -> None:
        source = self._source
        found = segments(source.path)
        if not found and not source.follow:
            raise JournalError(f"{source.path}: there is no journal here")
        if not source.follow or source.start == "end":
            self._until = end_of(source.path)
        if isinstance(source.start, int):
            self._first = source.start
        elif source.start == "end":
            self._first = self._until or 0
        else:
            self._first = found[0] if found else 0
        if source.follow:
            self._until = None
        self._next = self._first
        self._cursor = Cursor(source.path, self._first)

    async def read(self, limit: int) -> Signal[Any] | None:
        while True:
            if self._rest is not None:
                return self._cut(self._rest, limit)
            if self._ready:
                signal = self._decoded(*self._ready.popleft())
                if type(signal) is Chunk:
                    self._rest = signal
                elif type(signal) is not Watermark or not self._context.batch:
                    return signal
            elif not await self._fetch():
                if not self._source.follow:
                    return None
                await self._pause()

    def _cut(self, chunk: Chunk[Any], limit: int) -> Chunk[Any]:
        self._rest = None
        if len(chunk) > limit:
            chunk, self._rest = chunk.split(limit)
        self._next += len(chunk)
        return chunk

    def _decoded(self, frame: Frame, skip: int) -> Signal[Any]:
        self._next = frame.first + skip
        signal = self._records.signal(frame, skip)
        if type(signal) is not Chunk:
            self._next += 1
        return signal

    async def _fetch(self) -> bool:
        """Read on; whether there was anything. What a cancelled call reads is for the next."""
        assert self._cursor is not None
        if self._fetching is None:
            self._fetching = self._worker.submit(self._cursor.read, self._until)
        try:
            frames = await finished(self._fetching)
        except Exception:
            self._fetching = None
            raise
        self._fetching = None
        self._ready.extend(frames)
        return bool(frames)

    async def _pause(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._wakes is None:
            self._wakes = now + self._source.poll
        await asyncio.sleep(max(0.0, self._wakes - now))
        self._wakes = None

    def extent(self) -> Extent | None:
        total = None if self._until is None else max(0, self._until - self._first)
        return Extent(self._next - self._first, total, "items")

    def position(self) -> int:
        return self._next

    async def seek(self, position: Any) -> None:
        if not isinstance(position, int):
            raise JournalError(
                f"a position in a journal is the number of a record, not {position!r}; it was "
                "taken from another source"
            )
        assert self._cursor is not None
        self._cursor.close()
        self._next = self._first = position
        self._cursor = Cursor(self._source.path, position)

    async def close(self) -> None:
        await self._worker.close()
        if self._cursor is not None:
            self._cursor.close()
