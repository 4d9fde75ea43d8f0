"""Joins in windows within a budget of memory: what was not used for long is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from heapq import heapify
from typing import TYPE_CHECKING, Any

from operators.joined_windows import Results, batched, windowed
from operators.merging_join_windows import Merging, Part
from operators.shared_join_windows import Open, Shared
from operators.sides import LEFT, RIGHT, Given
from operators.spilled_levels import (
    ITEMS_AT_ONCE,
    LEFT_OVER,
    Room,
    Run,
    SpilledLevels,
    Spilling,
    by_hash,
    same_hash,
)
from operators.window_joins import WindowJoinStage
from reactive.signals import Chunk, Control
from reactive.windows import Pane

if TYPE_CHECKING:
    from operators.window_joins import WindowJoin
    from reactive.context import Context


class SpillingShared(Spilling, Shared):
    """Windows that are the same for all keys: both sides are read from disk at their end."""

    def _results(self, open_: Open, pane: Pane, over: bool) -> Results:
        runs: list[Run] = []
        for side, cells in enumerate(open_.sides):
            first = len(runs)
            for _ in by_hash(cells, runs):
                yield []
            runs[first:] = [_of_side(run, side, over) for run in runs[first:]]
        values = self.form.values
        for some in batched(_both(runs)):
            pairs = ((key, value) for key, (left, right) in some for value in values(left, right))
            yield from windowed(pairs, open_.window, pane)

    def _forget(self, open_: Open) -> Results:
        for cells in open_.sides:
            for _ in cells.free():
                yield []


def _of_side(run: Run, side: int, over: bool) -> Run:
    """The items of keys with the side they are of; copied where more may come to them."""
    for key, items in run:
        yield key, (side, items if over else list(items))


def _both(runs: list[Run]) -> Iterator[tuple[Any, tuple[list[Any], list[Any]]]]:
    """Keys with the items of both sides."""
    for same in same_hash(runs):
        found: dict[Any, list[list[Any]]] = {}
        for key, (side, items) in same:
            found.setdefault(key, [[], []])[side] = items
        for key, sides in found.items():
            yield key, (sides[LEFT], sides[RIGHT])


class SpillingMerging(Spilling, Merging):
    """Windows that each key has of its own, for each key all on disk or all in memory."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._left_over = 0

    def windows_in(self, held: Any) -> int:
        return len(held)

    def live(self) -> int:
        return self.windows(self._live)

    def next_look(self, held: Any) -> int:
        parts: list[Part] = held
        return min(part.due for part in parts)

    def gone(self, held: Any) -> None:
        for part in held:
            part.gone = True
            part.sides = ([], [])
        self._left_over += len(held)
        super().gone(held)

    def trim(self) -> Iterator[int]:
        yield from self.room.trim()
        if self._left_over > LEFT_OVER + self.room.in_memory:
            self._left_over = 0
            self._ends = [each for each in self._ends if not each[2].gone]
            heapify(self._ends)

    def complete(self, watermark: int) -> Results:
        levels = self._live
        assert isinstance(levels, SpilledLevels)
        while (due := levels.due) is not None and due <= watermark:
            levels.look(due)
            yield []
            yield from super().complete(due)
            for _ in self.trim():
                yield []
        yield from super().complete(watermark)


class SpillingJoinStage(WindowJoinStage):
    """Takes so few items at a time that reading and writing for them holds nobody for long."""

    def __init__(self, operator: WindowJoin, context: Context) -> None:
        assert context.settings.state_memory is not None
        self._room = Room(context, context.settings.state_memory)
        kinds: tuple[Callable[..., Any], ...] = SpillingShared, SpillingMerging
        shared, merging = (partial(kind, self._room) for kind in kinds)
        super().__init__(operator, context, shared, merging)

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        while chunk.items:
            some, chunk = chunk.split(ITEMS_AT_ONCE)
            yield from super().take(side, some)
            yield from self._trim()

    def pass_on(self, signal: Control) -> Given:
        yield from super().pass_on(signal)
        yield from self._trim()

    def _trim(self) -> Given:
        assert isinstance(self._windows, Spilling)
        for _ in self._windows.trim():
            yield None

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._room.close()
