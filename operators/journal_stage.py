"""The work of `journal`: items to the disk, one sync for many, and on from memory or the disk."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from reactive.blocking import BlockingWorker, finished
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.errors import JournalError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.inlets import Rising
from reactive.journal_files import Cursor
from reactive.journal_format import IDLE_BODY, IDLENESS, Body, Frame, frame_size, watermark_body
from reactive.journal_log import JournalLog, Retention
from reactive.journal_records import Records
from reactive.operator import Stage
from reactive.serializers import Serializer
from reactive.signals import Barrier, Chunk, Signal, Watermark
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

_UNSYNCED_BYTES: Final = 8 * 1024 * 1024
"""How much may wait for the disk before upstream has to."""
_WAITING_BYTES: Final = 16 * 1024 * 1024
"""How much of what is on disk stays in memory too, for downstream: more than one sync may bring."""
_BYTES_OF_AN_OBJECT: Final = 64
"""What an item takes in memory at least, beside its bytes."""
_SECONDS_TO_A_BARRIER: Final = 0.1
"""How long a full journal holds upstream back before it lets a chunk in, behind which a barrier
may come, if a checkpoint is all that is missing to make room."""


@dataclass(slots=True)
class _Entry:
    """A signal, the offset behind it, and about how many bytes it takes in memory."""

    signal: Signal[Any]
    end: int
    weight: int = 0
    body: Body | None = None


class JournalStage(Stage[Any]):
    """Two tasks of its own: one takes in what comes, the other has it written and synced.

    What is on disk waits in `_queue` until it is asked for. Where that is full, the following is
    left on the disk alone, `_behind`, and read from there once the queue was given, until there is
    nothing more there.
    """

    def __init__(
        self,
        path: str,
        serializer: Serializer,
        context: Context,
        *,
        begins: str,
        sync_every: float,
        segment_bytes: int,
        retention: Retention,
        keeps: bool,
        replayed: bool,
    ) -> None:
        self._path = path
        # Two pieces and a segment fit into the smallest limit.
        self._largest = min(16 * 1024 * 1024, max(1, segment_bytes // 2))
        self._records = Records(serializer, self._largest)
        self._context = context
        self._begins = begins
        self._sync_every = sync_every
        self._retention = retention
        self._keeps = keeps
        self._replayed = replayed
        self._log = JournalLog(path, segment_bytes)
        self._writing = BlockingWorker(f"reactive {context.name}")
        self._reading = BlockingWorker(f"reactive {context.name} reading")
        self._tasks = Tasks()
        self._restored: dict[str, Any] | None = None
        self._rising = Rising()

        self._unsynced: list[_Entry] = []
        self._unsynced_bytes = self._writing_bytes = 0
        self._hurry = False
        self._full = False
        self._queue: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._behind: Cursor | None = None
        self._fetching: asyncio.Future[list[tuple[Frame, int]]] | None = None

        self._appended = self._durable = self._given = self._settled = self._found = 0
        self._size = self._log_start = self._first_end = 0
        self._barrier_end = 0
        self._epochs: dict[int, int] = {}
        self._ended = self._flushed = False
        self._failure: Exception | None = None
        self._broken: Exception | None = None
        self._work = Waker()
        self._freed = Waker()
        self._changed = Waker()

    def snapshot(self) -> Any:
        return {
            "journal": self._log.id,
            "given": self._given,
            "end": self._barrier_end,
            "watermark": self._rising.snapshot(),
        }

    def restore(self, state: Any) -> None:
        self._restored = state
        self._rising.restore(state["watermark"])

    def committed(self, epoch: int) -> None:
        for known in [known for known in self._epochs if known <= epoch]:
            self._settled = max(self._settled, self._epochs.pop(known))
        self._work.wake()

    async def open(self) -> None:
        try:
            await self._writing.run(self._log.open)
            await self._find_place()
        except Exception as error:
            annotate(error, self._context)
            raise
        gauges = self._context.meter.gauges
        gauges["waiting"] = lambda: self._durable - self._given
        gauges["bytes"] = lambda: self._size
        for work in (self._take_in(), self._write()):
            self._tasks.spawn(work, name=f"reactive {self._context.name}")

    async def _find_place(self) -> None:
        """Where to read from, and where upstream goes on."""
        log = self._log
        state = self._restored
        self._found = log.end
        if state is None:
            self._given = log.start if self._begins == "beginning" else log.end
        else:
            self._check(state)
            self._given = state["given"]
            if self._replayed:
                await self._writing.run(log.cut, state["end"])
        self._settled = log.start if self._keeps else self._given
        self._appended = self._durable = log.end
        self._note_size()
        if self._given < log.end:
            self._behind = Cursor(self._path, self._given)

    def _check(self, state: dict[str, Any]) -> None:
        log = self._log
        if state["journal"] != log.id:
            raise JournalError(
                f"{self._path}: this is not the journal that the checkpoint was taken with, but "
                "another; put that one back, or begin without the checkpoint"
            )
        if not log.start <= state["given"] or not state["end"] <= log.end:
            raise JournalError(
                f"{self._path}: the checkpoint needs the records {state['given']:,} to "
                f"{state['end']:,}, and the journal has {log.start:,} to {log.end:,}; put back "
                "what is missing, continue a later checkpoint, or begin without one"
            )

    def _note_size(self) -> None:
        self._size = self._log.size
        self._log_start, self._first_end = self._log.start, self._log.first_end

    async def _take_in(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        try:
            while self._broken is None:
                signal = edge.poll()
                if type(signal) is Chunk:
                    await self._take(signal)
                elif type(signal) is Watermark:
                    await self._append(signal, watermark_body(signal.time))
                elif type(signal) is Barrier:
                    self._hurry = True
                    await self._append(signal, None)
                elif signal is not None:
                    await self._append(signal, IDLE_BODY)
                elif edge.ended:
                    break
                else:
                    await edge.channel.waker.wait()
        except Exception as error:
            self._failure = error
        self._ended = True
        self._work.wake()

    async def _take(self, chunk: Chunk[Any]) -> None:
        context = self._context
        context.meter.items_in += len(chunk.items)
        try:
            for piece, body in self._records.pieces(chunk):
                await self._append(piece, body)
                if context.overdue():
                    await let_others_run()
        except Exception as error:
            annotate(error, context)
            raise

    async def _append(self, signal: Signal[Any], body: Body | None) -> None:
        weight = 0
        if body is not None:
            size = frame_size(body)
            await self._room(size)
            self._appended += body.records
            self._unsynced_bytes += size
            weight = size + body.records * _BYTES_OF_AN_OBJECT
        self._unsynced.append(_Entry(signal, self._appended, weight, body))
        self._work.wake()

    async def _room(self, size: int) -> None:
        """Wait until the disk has caught up, and while the journal is as large as it may be."""
        size = min(size, self._largest)
        while self._broken is None:
            under_way = self._unsynced_bytes + self._writing_bytes
            limit = self._retention.limit
            self._full = limit is not None and self._size + under_way + size > limit
            if self._full:
                self._hurry = True
                self._work.wake()
                deadline = None
                if self._keeps and self._log_start < self._given:
                    deadline = asyncio.get_running_loop().time() + _SECONDS_TO_A_BARRIER
                if not await self._freed.wait(deadline):
                    return
            elif under_way and under_way + size > _UNSYNCED_BYTES:
                await self._freed.wait()
            else:
                return

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while self._unsynced or not self._ended:
                if not self._unsynced and not self._may_let_go():
                    await self._work.wait()
                elif loop.time() < due and not self._urgent():
                    await self._work.wait(due)
                else:
                    due = loop.time() + self._sync_every
                    await self._commit()
        except Exception as error:
            error.add_note(
                f"{self._context.where()} was writing the journal {self._path}; what it had not "
                "synced went no further"
            )
            self._broken = error
        self._flushed = True
        self._changed.wake()
        self._freed.wake()

    def _urgent(self) -> bool:
        half = self._unsynced_bytes >= _UNSYNCED_BYTES // 2
        return half or self._hurry or self._ended

    def _may_let_go(self) -> bool:
        """Whether a segment may be deleted, and nothing need come in for that."""
        if self._full and self._log_start < self._done_with:
            return self._first_end <= self._done_with or self._durable <= self._done_with
        return self._retention.keeps_nothing and self._first_end <= self._done_with

    @property
    def _done_with(self) -> int:
        return self._settled if self._keeps else self._given

    async def _commit(self) -> None:
        """Have on disk what has come in so far; what comes meanwhile is for the next time."""
        entries, self._unsynced = self._unsynced, []
        self._writing_bytes, self._unsynced_bytes, self._hurry = self._unsynced_bytes, 0, False
        bodies = [entry.body for entry in entries if entry.body is not None]
        if bodies or self._may_let_go():
            await self._writing.run(self._to_disk, bodies, self._done_with, self._full)
            self._note_size()
        self._writing_bytes = 0
        for entry in entries:
            self._pass(entry)
        self._freed.wake()
        self._changed.wake()

    def _to_disk(self, bodies: list[Body], done_with: int, full: bool) -> None:
        if bodies:
            self._log.append(bodies)
            self._log.sync()
        self._log.let_go(done_with, self._retention, full)

    def _pass(self, entry: _Entry) -> None:
        """Let downstream have what is on disk."""
        if type(entry.signal) is not Barrier:
            if self._behind is None and self._waiting_bytes > _WAITING_BYTES:
                self._behind = Cursor(self._path, self._durable, self._log.place(self._durable))
            if self._behind is not None:
                self._durable = entry.end
                return
        self._durable = entry.end
        entry.body = None
        self._waiting_bytes += entry.weight
        self._queue.append(entry)

    async def read(self) -> Signal[Any] | None:
        while True:
            if self._queue:
                if (signal := self._give()) is not None:
                    return signal
            elif self._broken is not None:
                raise self._broken
            elif self._behind is not None:
                await self._fetch(self._behind)
            elif self._flushed:
                if self._failure is not None:
                    raise self._failure
                return None
            else:
                await self._changed.wait()

    def _give(self) -> Signal[Any] | None:
        entry = self._take_next()
        signal = entry.signal
        if type(signal) is Chunk:
            signal = self._gathered(signal)
        elif type(signal) is Barrier:
            self._barrier_end = entry.end
            if self._keeps:
                self._epochs[signal.epoch] = self._given
        elif not self._rising.passes(signal):
            return None
        if self._full:
            self._work.wake()
            self._freed.wake()
        return signal

    def _take_next(self) -> _Entry:
        entry = self._queue.popleft()
        self._waiting_bytes -= entry.weight
        if type(entry.signal) is not Barrier:
            self._given = entry.end
        return entry

    def _gathered(self, chunk: Chunk[Any]) -> Chunk[Any]:
        """What waits as one chunk, of no more items than a chunk may have."""
        queue, limit = self._queue, self._context.settings.chunk
        items, times = chunk.items, chunk.times
        while queue and len(items) < limit:
            following = queue[0].signal
            if type(following) is not Chunk or (following.times is None) != (times is None):
                break
            if items is chunk.items:
                items, times = items.copy(), None if times is None else times.copy()
            items += following.items
            if times is not None and following.times is not None:
                times += following.times
            self._take_next()
        if len(items) > limit:
            chunk, rest = Chunk(items, times).split(limit)
            queue.appendleft(_Entry(rest, self._given))
            self._given -= len(rest)
            return chunk
        return chunk if items is chunk.items else Chunk(items, times)

    async def _fetch(self, cursor: Cursor) -> None:
        """Read what is on disk only. A reader that is cancelled leaves it to the next."""
        if self._fetching is None:
            self._fetching = self._reading.submit(cursor.read, self._durable)
        try:
            frames = await finished(self._fetching)
            self._fetching = None
            for frame, skip in frames:
                if frame.kind == IDLENESS and frame.first < self._found:
                    # Idle was an earlier run.
                    continue
                signal = self._records.signal(frame, skip)
                weight = frame.size + frame.records * _BYTES_OF_AN_OBJECT
                self._waiting_bytes += weight
                self._queue.append(_Entry(signal, frame.first + frame.records, weight))
        except Exception as error:
            annotate(error, self._context)
            raise
        if cursor.offset == self._durable:
            self._behind = None
            cursor.close()
        elif not frames:
            raise JournalError(
                f"{self._path}: record {cursor.offset:,} was written, and is not there any more"
            )

    async def close(self) -> None:
        try:
            await self._tasks.close()
        finally:
            await self._reading.close()
            if self._behind is not None:
                self._behind.close()
            try:
                if self._broken is None:
                    await self._writing.run(self._finish)
            finally:
                await self._writing.close()
                self._log.close()

    def _finish(self) -> None:
        """What came in and is not written yet is kept as well."""
        bodies = [entry.body for entry in self._unsynced if entry.body is not None]
        if bodies:
            self._log.append(bodies)
        self._log.close()
