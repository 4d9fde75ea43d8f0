"""What arrives while downstream is busy becomes one: the work of `conflate` and
`aggregate_while_busy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from operators.checking import MISSING, refuse_awaitable
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Control, Signal, Watermark
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

_ITEMS_BETWEEN_LOOKS = 8


@dataclass(frozen=True)
class Conflate(Staged):
    """`conflate`."""

    combine: Callable[[Any, Any], Any]

    def stage(self, context: Context) -> Stage[Any]:
        return _WhileBusyStage(_same, self.combine, None, context)


@dataclass(frozen=True)
class AggregateWhileBusy(Staged):
    """`aggregate_while_busy`, into lists without `combine`."""

    combine: Callable[[Any, Any], Any] | None
    limit: int

    def details(self) -> dict[str, object]:
        return {"limit": self.limit}

    def edge_limit(self) -> int | None:
        return self.limit

    def stage(self, context: Context) -> Stage[Any]:
        if self.combine is None:
            return _WhileBusyStage(_list_of, _append, self.limit, context)
        return _WhileBusyStage(_same, self.combine, self.limit, context)


def _same(item: Any) -> Any:
    return item


def _list_of(item: Any) -> list[Any]:
    return [item]


def _append(waiting: list[Any], item: Any) -> list[Any]:
    waiting.append(item)
    return waiting


class _WhileBusyStage(Stage[Any]):
    """A task of its own takes what comes, also while nobody reads.

    An item that finds a reader waiting is handed to it alone; others are combined until the next
    read. Watermarks go behind what is combined when they come, the last of them for all, and
    before what comes after that has left. Other control signals keep their place: nothing is taken
    in behind them until they have left, so that nothing is held when a barrier does.
    """

    def __init__(
        self,
        start: Callable[[Any], Any],
        combine: Callable[[Any, Any], Any],
        limit: int | None,
        context: Context,
    ) -> None:
        self._start = start
        self._combine = combine
        self._limit = limit
        self._context = context
        self._asked = False
        self._waiting: Any = MISSING
        self._count = 0
        self._time: int | None = None
        self._handed: Chunk[Any] | None = None
        self._reader_waits = False
        self._low: int | None = None
        self._due: int | None = None
        self._next: Control | None = None
        self._changed = Waker()
        self._freed = Waker()
        self._ended = False
        self._failure: Exception | None = None
        self._tasks = Tasks()

    async def open(self) -> None:
        self._context.meter.gauges["waiting"] = lambda: self._count

    async def read(self) -> Signal[Any] | None:
        if not self._tasks and not self._ended:
            self._reader_waits = True
            self._tasks.spawn(self._fill(), name=f"reactive {self._context.name}")
        while (signal := self._give()) is None:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return None
            self._reader_waits = True
            await self._changed.wait()
        self._reader_waits = False
        return signal

    def _give(self) -> Signal[Any] | None:
        if self._handed is not None:
            chunk, self._handed = self._handed, None
            return chunk
        if self._due is not None:
            due, self._due = self._due, None
            return Watermark(due)
        if self._waiting is not MISSING:
            chunk = self._chunk(self._waiting, self._time)
            self._waiting, self._count, self._time = MISSING, 0, None
            self._due, self._low = self._low, None
            self._freed.wake()
            return chunk
        if self._low is not None:
            low, self._low = self._low, None
            return Watermark(low)
        if self._next is not None:
            signal, self._next = self._next, None
            self._freed.wake()
            return signal
        return None

    def _chunk(self, item: Any, time: int | None) -> Chunk[Any]:
        return Chunk([item], None if time is None else [time])

    async def _fill(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        try:
            while True:
                signal = edge.poll()
                if type(signal) is Chunk:
                    await self._take(signal)
                elif type(signal) is Watermark:
                    self._low = signal.time
                    self._changed.wake()
                elif signal is not None:
                    await self._pass(signal)
                elif edge.ended:
                    break
                else:
                    await edge.channel.waker.wait()
        except Exception as error:
            self._failure = error
        self._ended = True
        self._changed.wake()

    async def _take(self, chunk: Chunk[Any]) -> None:
        context, limit = self._context, self._limit
        context.meter.items_in += len(chunk.items)
        for index, item in enumerate(chunk.items):
            time = None if chunk.times is None else chunk.times[index]
            if index % _ITEMS_BETWEEN_LOOKS == 0 and context.overdue():
                await let_others_run()
            while self._count == limit:
                await self._freed.wait()
            if self._reader_waits:
                self._reader_waits = False
                self._handed = self._chunk(self._start(item), time)
                self._changed.wake()
            else:
                self._add(item, time)

    def _add(self, item: Any, time: int | None) -> None:
        if self._waiting is MISSING:
            self._waiting = self._start(item)
        else:
            try:
                combined = self._combine(self._waiting, item)
                if not self._asked:
                    refuse_awaitable(combined)
                    self._asked = True
            except Exception as error:
                annotate(error, self._context)
                raise
            self._waiting = combined
        self._count += 1
        if time is not None:
            self._time = time if self._time is None else max(time, self._time)

    async def _pass(self, signal: Control) -> None:
        self._next = signal
        self._changed.wake()
        while self._next is not None:
            await self._freed.wait()

    async def close(self) -> None:
        await self._tasks.close()
