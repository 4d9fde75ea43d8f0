"""Items held until all have come, and then given in the order of their event times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import count, islice
from typing import Any, TypeAlias

from reactive.signals import Chunk

Held: TypeAlias = tuple[int, int, Any]
"""The time of an item, its number, which tells those of one time apart, and itself."""

_AT_ONCE = 512


class Replay:
    """Runs of items in order, which are merged as they are given: never one long sort."""

    def __init__(self, tracks: bool) -> None:
        self._runs: list[list[Held]] = []
        self._numbers = count()
        self._tracks = tracks
        self._added: list[Held] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __iter__(self) -> Iterator[Held]:
        return merge(*self._runs)

    def add(self, items: Iterable[Any], times: Iterable[int]) -> None:
        """Hold items."""
        run = sorted(zip(times, self._numbers, items, strict=False))
        if self._tracks:
            self._added += run
        self._append(run)

    def added(self) -> list[tuple[int, Held]]:
        """What came since this was asked for, by its numbers."""
        added, self._added = self._added, []
        return [(each[1], each) for each in added]

    def go_on(self, held: Iterable[Held]) -> None:
        """Go on with what was held."""
        run = sorted(held)
        if run:
            self._append(run)
            self._numbers = count(max(number for _, number, _ in run) + 1)

    def _append(self, run: list[Held]) -> None:
        if self._runs and self._runs[-1][-1] < run[0]:
            self._runs[-1] += run
        else:
            self._runs.append(run)

    def chunks(self) -> Iterator[Chunk[Any]]:
        """All of them, in order, which are then held no more."""
        held = iter(self)
        self._runs = []
        while some := list(islice(held, _AT_ONCE)):
            yield Chunk([item for _, _, item in some], [time for time, _, _ in some])
