"""Windows of keys within a budget of memory: what was not used for long is on disk.

They are the windows of the other engines, over levels of which a part is on disk. What an engine
remembers of its windows besides, such as when they end, it remembers of those in memory alone:
the disk knows when the others have to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from heapq import heapify
from typing import TYPE_CHECKING, Any, Final

from operators.count_windows import Counts
from operators.engines import Results
from operators.panes import Live, Panes
from operators.sessions import Sessions
from operators.spilled_levels import (
    ITEMS_AT_ONCE,
    LEFT_OVER,
    PAUSE,
    Room,
    Run,
    SpilledLevels,
    Spilling,
    by_hash,
    same_hash,
)
from operators.tiles import Slices, Tiles
from operators.windowing import AggregateStep, Engines
from reactive.signals import Chunk, Signal
from reactive.windows import Window

if TYPE_CHECKING:
    from operators.windowing import Aggregate
    from reactive.context import Context

_AT_ONCE: Final = 512


class SpillingTiles(Spilling, Tiles):
    """Windows that are the same for all keys, which are read from disk at their end."""


class SpillingSlices(Spilling, Slices):
    """The same where they overlap."""

    def _merged(self, window: Window, out: Results) -> Iterator[int]:
        add, create = self._aggregator.merge, self._aggregator.create
        pieces = [
            piece for piece in sorted(self._windows) if window.start <= piece.start < window.end
        ]
        runs: list[Run] = []
        for piece in pieces:
            yield from by_hash(self._windows[piece], runs)
        whole: dict[Any, Any] = {}
        for same in same_hash(runs):
            for key, held in same:
                # Not `held` itself: `merge` may change its first argument.
                whole[key] = add(whole[key] if key in whole else create(), held)
            if len(whole) >= _AT_ONCE:
                self._results_of(whole, window, out)
                yield _AT_ONCE
        self._results_of(whole, window, out)
        yield len(whole)

    def _results_of(self, whole: dict[Any, Any], window: Window, out: Results) -> None:
        given = self._loops.results(whole.items(), window)
        out.add_all(given, [window.end - 1] * len(given))
        whole.clear()


class SpillingSessions(Spilling, Sessions):
    """Sessions, for each key all on disk or all in memory."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._left_over = 0

    def next_look(self, held: Any) -> int:
        first: int = (held[3] or (held,))[0][1]
        return first + self._gap

    def gone(self, held: Any) -> None:
        for session in (held, *(held[3] or ())):
            # By this its bucket knows.
            session.clear()
            self._left_over += 1

    def trim(self) -> Iterator[int]:
        yield from self.room.trim()
        if self._left_over <= LEFT_OVER + self.room.in_memory:
            return
        self._left_over = 0
        for bucket in self._buckets.values():
            bucket[:] = filter(None, bucket)
            yield len(bucket)

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        levels = self._live
        assert isinstance(levels, SpilledLevels)
        while (due := levels.due) is not None and due <= watermark:
            # In a bucket they are in no order, either.
            until = min(due + self._span, watermark)
            levels.look(until)
            yield PAUSE
            yield from super().on_watermark(until, out)
            yield from self.trim()
        yield from super().on_watermark(watermark, out)

    def advance(self, watermark: int) -> bool:
        levels = self._live
        assert isinstance(levels, SpilledLevels)
        due = levels.due
        return (due is not None and due <= watermark) or super().advance(watermark)


class SpillingPanes(Spilling, Panes):
    """All other kinds of windows of time, for each key all on disk or all in memory."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._left_over = 0

    def windows_in(self, held: Any) -> int:
        return len(held)

    def live(self) -> int:
        return self.windows(self._live)

    def next_look(self, held: Any) -> int:
        windows: dict[Window, Live] = held
        return min(live.due for live in windows.values())

    def come(self, held: dict[Window, Live]) -> None:
        for live in held.values():
            # Another one than that which is left over of it.
            self._order += 1
            live.order = self._order
        super().come(held)

    def gone(self, held: Any) -> None:
        for live in held.values():
            live.gone = True
            live.accumulator = live.state = None
            live.given = []
        self._left_over += len(held)
        super().gone(held)

    def trim(self) -> Iterator[int]:
        yield from self.room.trim()
        if self._left_over > LEFT_OVER + self.room.in_memory:
            self._left_over = 0
            self._ends = [each for each in self._ends if not each[2].gone]
            heapify(self._ends)
            yield PAUSE

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        self.watermark = watermark
        levels = self._live
        assert isinstance(levels, SpilledLevels)
        while (due := levels.due) is not None and due <= watermark:
            yield from self._complete(due - 1, out)
            levels.look(due)
            yield PAUSE
            yield from self._complete(due, out)
            yield from self.trim()
        yield from self._complete(watermark, out)


class SpillingCounts(Spilling, Counts):
    """Windows of so many items, which are read from disk with the next item of their key."""

    def windows_in(self, held: Any) -> int:
        return len(held[1])

    def live(self) -> int:
        return self.windows(self._live)


class SpillingStep(AggregateStep):
    """Takes so few items at a time that reading and writing for them holds nobody for long."""

    def __init__(self, operator: Aggregate, context: Context) -> None:
        assert context.settings.state_memory is not None
        room = self._room = Room(context, context.settings.state_memory)
        engines = SpillingTiles, SpillingSlices, SpillingSessions, SpillingPanes, SpillingCounts
        super().__init__(operator, context, Engines(*(partial(each, room) for each in engines)))
        assert isinstance(self._engine, Spilling)
        self._trim = self._engine.trim
        self._chunk: Chunk[Any] | None = None
        self._trimming: Iterator[int] = iter(())

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._chunk = chunk
        self.resume(out)

    def resume(self, out: list[Signal[Any]]) -> None:
        chunk = self._chunk
        if chunk is None:
            super().resume(out)
            return
        self.busy = True
        work = 0
        while True:
            for done in self._trimming:
                work += done
                if work >= PAUSE:
                    return
            if not chunk.items:
                self._chunk, self.busy = None, False
                return
            if work:
                return
            some, chunk = chunk.split(ITEMS_AT_ONCE)
            self._chunk = chunk
            super().on_chunk(some, out)
            self._trimming = self._trim()
            work = len(some)

    def close(self) -> None:
        self._room.close()
