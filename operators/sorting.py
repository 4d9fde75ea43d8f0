"""The work of merge_sorted: sorted streams into one, a chunk at a time."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from itertools import chain, islice, repeat
from operator import lt
from typing import TYPE_CHECKING, Any

from operators.checking import MISSING, refuse_awaitable
from operators.holding import Gathering, Pace, alike
from reactive.chain import let_others_run
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

_LEAST_AT_ONCE = 16


@dataclass(frozen=True)
class MergeSorted(Staged):
    """`merge_sorted`."""

    key: Callable[[Any], Any] | None

    def stage(self, context: Context) -> Stage[Any]:
        return _MergeSortedStage(self.key, context)


class _Front:
    """The next items of one input with their keys, known to be in order, from `start` on."""

    __slots__ = ("items", "keys", "start", "times")

    def __init__(self, chunk: Chunk[Any], keys: list[Any]) -> None:
        self.items = chunk.items
        self.times = chunk.times
        self.keys = keys
        self.start = 0

    def up_to(self, bound: Any, *, inclusive: bool) -> int:
        """Where the keys above `bound` begin, or without `inclusive`, those equal to it."""
        return (bisect_right if inclusive else bisect_left)(self.keys, bound, self.start)

    def rest(self) -> Chunk[Any]:
        """What was not taken."""
        return Chunk(self.items, self.times).split(self.start)[1]

    def take(self, end: int) -> tuple[Chunk[Any], list[Any]]:
        """What comes before `end`, with its keys."""
        start, self.start = self.start, end
        items, times, keys = self.items, self.times, self.keys
        if start or end < len(items):
            items, keys = items[start:end], keys[start:end]
            times = None if times is None else times[start:end]
        return Chunk(items, times), keys


class _MergeSortedStage(Gathering):
    """Gives at once all that no input can come before any more: up to the lowest of the last keys
    that are known of each. Equal items leave in the order of their inputs, so of another input
    only what is below that key, if the one it is of comes before it and may have more of them.

    `_last` are the keys that the next ones of each input must not be below.
    """

    def __init__(self, key: Callable[[Any], Any] | None, context: Context) -> None:
        super().__init__()
        self._key = key
        self._context = context
        self._ready: deque[Chunk[Any]] = deque()

    def begin(self, count: int) -> None:
        super().begin(count)
        self._last: list[Any] = [MISSING] * count
        self._prepare(count)

    def _prepare(self, count: int) -> None:
        self._fronts: list[_Front | None] = [None] * count
        self._pace = Pace(max(_LEAST_AT_ONCE, self._context.settings.chunk // count))

    def hold(self) -> Any:
        chunks, ended = super().hold()
        for index, front in enumerate(self._fronts):
            if front is not None:
                chunks[index] = [front.rest(), *chunks[index]]
        return (chunks, ended), list(self._last)

    def go_on(self, state: Any) -> None:
        held, self._last = state[0], list(state[1])
        super().go_on(held)
        self._prepare(len(self.held))

    async def read(self) -> Signal[Any] | None:
        while not self._ready:
            if not self.lacking:
                if len(self.spent) == len(self.held):
                    return None
                self._merge()
                if self._context.overdue():
                    await let_others_run()
                continue
            arrival = await self.inlets.next()
            if not isinstance(arrival, tuple):
                return arrival
            self.receive(*arrival)
        return self._ready.popleft()

    def _merge(self) -> None:
        """Give what can leave, each input having something."""
        fronts = [
            (index, self._fronts[index] or self._next_front(index))
            for index in range(len(self.held))
            if index not in self.spent
        ]
        try:
            lowest, bound = fronts[0][0], fronts[0][1].keys[-1]
            for index, front in fronts:
                if front.keys[-1] < bound:
                    lowest, bound = index, front.keys[-1]
            pieces = []
            for index, front in fronts:
                end = front.up_to(bound, inclusive=index <= lowest)
                if end > front.start:
                    pieces.append(front.take(end))
                    self._settle(index, front)
            self._ready.extend(self._sorted(pieces))
        except Exception as error:
            annotate(error, self._context)
            raise

    def _settle(self, index: int, front: _Front) -> None:
        """See whether anything is left of what an input gave."""
        if front.start == len(front.items):
            self._last[index] = front.keys[-1]
            self._fronts[index] = None
            if not self.held[index].ready:
                self.used_up(index)

    def _sorted(self, pieces: list[tuple[Chunk[Any], list[Any]]]) -> list[Chunk[Any]]:
        """One sorted chunk of several; what is equal keeps its order, and Python's sort takes runs
        that are sorted as they are."""
        if len(pieces) == 1:
            return [pieces[0][0]]
        items = list(chain.from_iterable(chunk.items for chunk, _ in pieces))
        timed = any(chunk.times is not None for chunk, _ in pieces)
        if self._key is None and not timed:
            items.sort()
            return [Chunk(items)]
        keys = list(chain.from_iterable(keys for _, keys in pieces))
        order = sorted(range(len(keys)), key=keys.__getitem__)
        items = [items[place] for place in order]
        if not timed:
            return [Chunk(items)]
        times: list[int | None] = []
        for chunk, _ in pieces:
            times += chunk.times or repeat(None, len(chunk.items))
        return alike(items, [times[place] for place in order])

    def _next_front(self, index: int) -> _Front:
        """The next items of an input with their keys, up to the first that is out of order or
        fails, since what came before that leaves first."""
        held = self.held[index]
        items = held.peek(min(held.ready, self._pace.count)).items
        time = asyncio.get_running_loop().time
        before = time()
        keys, failure = self._keys(items)
        count, disorder = self._in_order(index, keys)
        self._pace.learn(len(items), time() - before)
        if not count:
            error = disorder or failure
            assert error is not None
            raise error
        front = self._fronts[index] = _Front(held.take(count), keys[:count])
        return front

    def _keys(self, items: list[Any]) -> tuple[list[Any], Exception | None]:
        """The keys of the items before the first that fails."""
        if self._key is None:
            return items, None
        keys: list[Any] = []
        try:
            keys.extend(map(self._key, items))
        except Exception as error:
            annotate(error, self._context)
            return keys, error
        try:
            refuse_awaitable(keys[0])
        except TypeError as error:
            annotate(error, self._context)
            return [], error
        return keys, None

    def _in_order(self, index: int, keys: list[Any]) -> tuple[int, Exception | None]:
        """How many of the keys follow one another, and what is wrong with the next."""
        last = self._last[index]
        try:
            if not any(map(lt, islice(keys, 1, None), keys)) and (
                last is MISSING or not keys or not keys[0] < last
            ):
                return len(keys), None
        except Exception:  # raised again at its place
            pass
        for count, key in enumerate(keys):
            try:
                if last is not MISSING and key < last:
                    return count, ValueError(
                        f"{self._context.where()}: input {index} of merge_sorted is out of order: "
                        f"{key!r} comes after {last!r}"
                    )
            except Exception as error:
                annotate(error, self._context)
                return count, error
            last = key
        return len(keys), None
