"""What stages over several inputs share: reading them, holding what they give, and event times."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from reactive.chain import Edge
from reactive.inlets import Inlets
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Stage
from reactive.signals import Chunk

_SECONDS_AT_ONCE = 0.0005


class Combination(Stage[Any]):
    """Reads its inputs through `Inlets`, whose state is kept with its own.

    What a subclass keeps for every input it makes in `begin`, unless it was restored.
    """

    def __init__(self) -> None:
        self._restored: Any = None

    def read_through(self, edges: Sequence[Edge]) -> Inlets:
        """The inlets over the inputs."""
        return Inlets(edges)

    def begin(self, count: int) -> None:
        """Make what is kept for each of `count` inputs."""

    def hold(self) -> Any:
        """A picklable copy of the stage's own state."""
        return None

    def by_key(self) -> Mapping[str, Tracked[Any]]:
        """What it holds by key besides, under names that tell it apart."""
        return {}

    def hold_changes(self) -> Changes | None:
        """All of it, as far as it has changed since the last time; None where that is not told
        apart."""
        tracked = self.by_key()
        if not tracked:
            return None
        return Changes(self.hold(), {name: each.freeze() for name, each in tracked.items()})

    def go_on(self, state: Any) -> None:
        """Take up what `hold` gave, or what all changes amount to, when what is held `by_key` is
        there again."""

    async def open(self) -> None:
        self.inlets = self.read_through([edge for edge in self.inputs if isinstance(edge, Edge)])
        if self._restored is None:
            self.begin(len(self.inputs))
        else:
            tracked, state = self.by_key(), self._restored
            if isinstance(state, Kept):
                (inlets, held), sections = state.shared, state.sections
                held = held if tracked else Kept(held, sections)
            else:
                inlets, held, sections = state
            self.inlets.restore(inlets)
            for name, each in tracked.items():
                each.load(sections[name])
            self.go_on(held)

    def snapshot(self) -> Any:
        sections = {name: each.whole() for name, each in self.by_key().items()}
        return self.inlets.snapshot(), self.hold(), sections

    def changes(self) -> Any:
        changes = self.hold_changes()
        if changes is None:
            return self.snapshot()
        return Changes((self.inlets.snapshot(), changes.shared), changes.sections)

    def restore(self, state: Any) -> None:
        self._restored = state


class Held:
    """What one input gave and nobody has taken yet.

    `ready` items can be taken at once: those of the first chunk, which all have times or all have
    none.
    """

    __slots__ = ("_chunks", "_start", "ready")

    def __init__(self, chunks: Sequence[Chunk[Any]] = ()) -> None:
        self._chunks = deque(chunks)
        self._start = 0
        self.ready = len(self._chunks[0].items) if self._chunks else 0

    def add(self, chunk: Chunk[Any]) -> None:
        """Hold a chunk behind the others."""
        self._chunks.append(chunk)
        if not self.ready:
            self.ready = len(chunk.items)

    def peek(self, count: int) -> Chunk[Any]:
        """The next `count` items, which stay."""
        return self._slice(self._start, self._start + count)

    def take(self, count: int) -> Chunk[Any]:
        """The next `count` items; not more than are ready."""
        taken = self._slice(self._start, self._start + count)
        self._start += count
        self.ready -= count
        if not self.ready:
            self._chunks.popleft()
            self._start = 0
            self.ready = len(self._chunks[0].items) if self._chunks else 0
        return taken

    def _slice(self, start: int, end: int) -> Chunk[Any]:
        chunk = self._chunks[0]
        if not start and end == len(chunk.items):
            return chunk
        times = chunk.times
        return Chunk(chunk.items[start:end], None if times is None else times[start:end])

    def chunks(self) -> list[Chunk[Any]]:
        """Everything that is held."""
        if not self._start:
            return list(self._chunks)
        first, *others = self._chunks
        return [first.split(self._start)[1], *others]


class Gathering(Combination):
    """Holds what inputs give until it can be used together; one that is ahead is not read.

    `lacking` are the inputs of which nothing is held and which may give more; `spent` those of
    which nothing is held and which have ended.
    """

    def begin(self, count: int) -> None:
        self.held = [Held() for _ in range(count)]
        self.lacking = set(range(count))
        self.spent: set[int] = set()
        self.ended: set[int] = set()

    def hold(self) -> Any:
        return [held.chunks() for held in self.held], set(self.ended)

    def go_on(self, state: Any) -> None:
        chunks, ended = state
        self.held = [Held(row) for row in chunks]
        empty = {index for index, held in enumerate(self.held) if not held.ready}
        self.ended = set(ended)
        self.spent, self.lacking = empty & self.ended, empty - self.ended

    def receive(self, index: int, chunk: Chunk[Any] | None) -> None:
        """Hold what an input gave, or note its end."""
        if chunk is not None:
            self.held[index].add(chunk)
            self.lacking.discard(index)
            self.inlets.pause(index)
            return
        self.ended.add(index)
        if index in self.lacking:
            self.lacking.discard(index)
            self.spent.add(index)

    def take(self, index: int, count: int) -> Chunk[Any]:
        """Take items of an input, which is read again when nothing is left of it."""
        held = self.held[index]
        chunk = held.take(count)
        if not held.ready:
            self.used_up(index)
        return chunk

    def used_up(self, index: int) -> None:
        """Nothing is left of what an input gave."""
        (self.spent if index in self.ended else self.lacking).add(index)
        self.inlets.resume(index)


class Pace:
    """How many items to handle at once so that it does not take long, learned from those before."""

    def __init__(self, most: int) -> None:
        self.count = 1
        self._most = most

    def learn(self, count: int, seconds: float) -> None:
        """So long it took to handle so many."""
        if seconds > 2 * _SECONDS_AT_ONCE:
            self.count = max(1, int(count * _SECONDS_AT_ONCE / seconds))
        elif seconds < _SECONDS_AT_ONCE and count >= self.count:
            self.count = min(self._most, 2 * self.count)


def latest_times(columns: Sequence[list[int] | None]) -> list[int] | None:
    """Row by row the latest of the times that are known."""
    known = [column for column in columns if column is not None]
    if len(known) < 2:
        return known[0] if known else None
    return list(map(max, *known))


def not_before(times: list[int] | None, low: int | None, count: int) -> list[int] | None:
    """The times of `count` items, each `low` if it is earlier or has none."""
    if low is None:
        return times
    if times is None:
        return [low] * count
    return [low if time < low else time for time in times]


def alike(items: list[Any], times: Sequence[int | None]) -> list[Chunk[Any]]:
    """Chunks of items that all have times or all have none, in order."""
    if None not in times:
        return [Chunk(items, list(times))]  # type: ignore[arg-type]
    chunks: list[Chunk[Any]] = []
    start = 0
    for end in range(1, len(items) + 1):
        if end == len(items) or (times[end] is None) is not (times[start] is None):
            row = [time for time in times[start:end] if time is not None]
            chunks.append(Chunk(items[start:end], row or None))
            start = end
    return chunks


def joined(chunks: Sequence[Chunk[Any]]) -> list[Chunk[Any]]:
    """The same items in fewer chunks."""
    result: list[Chunk[Any]] = []
    for timed, group in groupby(chunks, key=lambda chunk: chunk.times is not None):
        first, *others = group
        if others:
            items, times = first.items.copy(), list(first.times or ())
            for chunk in others:
                items += chunk.items
                times += chunk.times or ()
            first = Chunk(items, times if timed else None)
        result.append(first)
    return result
