"""The work of merge, interleave and race: items of several streams, one after another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from operators.holding import Combination, Gathering, Pace, alike, joined
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.inlets import Inlets
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Merge(Staged):
    """`merge`."""

    priorities: tuple[float, ...] | None = None

    def details(self) -> dict[str, object]:
        return {} if self.priorities is None else {"priorities": self.priorities}

    def stage(self, context: Context) -> Stage[Any]:
        if self.priorities is None:
            return _MergeStage()
        return _PrioritiesStage(self.priorities, context)


class _MergeStage(Combination):
    async def read(self) -> Signal[Any] | None:
        while (arrival := await self.inlets.next()) is not None:
            if not isinstance(arrival, tuple):
                return arrival
            if arrival[1] is not None:
                return arrival[1]
        return None


class _PrioritiesStage(_MergeStage):
    """Gives so few items at once that one of higher priority does not wait long behind them:
    where downstream is slow, a single one. Before it looks at lower ones it lets the senders of
    the highest go on, whose edge it may just have emptied."""

    def __init__(self, priorities: Sequence[float], context: Context) -> None:
        super().__init__()
        self._priorities = priorities
        self._pace = Pace(context.settings.chunk)
        self._time = asyncio.get_running_loop().time
        self._given = (0, 0.0)

    def read_through(self, edges: Sequence[Edge]) -> Inlets:
        self._edges = sorted(
            zip(self._priorities, edges, strict=True), key=lambda pair: pair[0], reverse=True
        )
        return Inlets(edges, priorities=self._priorities)

    def _highest_is_empty(self) -> bool:
        """Whether nothing waits on the open edges of the highest priority."""
        highest: float | None = None
        for priority, edge in self._edges:
            if edge.ended:
                continue
            if highest is not None and priority < highest:
                break
            highest = priority
            if edge.channel.depth:
                return False
        return True

    async def read(self) -> Signal[Any] | None:
        count, given_at = self._given
        if count:
            self._pace.learn(count, self._time() - given_at)
        self.inlets.limit = self._pace.count
        if self._highest_is_empty():
            await asyncio.sleep(0)
        signal = await super().read()
        self._given = (len(signal.items), self._time()) if type(signal) is Chunk else (0, 0.0)
        return signal


@dataclass(frozen=True)
class Race(Staged):
    """`race`."""

    def stage(self, context: Context) -> Stage[Any]:
        return _RaceStage()


class _RaceStage(Combination):
    def __init__(self) -> None:
        super().__init__()
        self._won = False

    def hold(self) -> Any:
        return self._won

    def go_on(self, state: Any) -> None:
        self._won = state

    async def read(self) -> Signal[Any] | None:
        arrival = await self.inlets.next()
        if not isinstance(arrival, tuple):
            return arrival
        winner, chunk = arrival
        if not self._won:
            self._won = True
            for index in range(len(self.inputs)):
                if index != winner:
                    self.inlets.drop(index)
        return chunk


@dataclass(frozen=True)
class Interleave(Staged):
    """`interleave`."""

    count: int

    def details(self) -> dict[str, object]:
        return {"count": self.count}

    def stage(self, context: Context) -> Stage[Any]:
        return _InterleaveStage(self.count, context.settings.chunk)


class _InterleaveStage(Gathering):
    """`_turn` is the input whose turn it is, `_left` how many items it may give yet."""

    def __init__(self, count: int, most: int) -> None:
        super().__init__()
        self._count = self._left = count
        self._most = most
        self._turn = 0
        self._ready: deque[Chunk[Any]] = deque()

    def hold(self) -> Any:
        return super().hold(), self._turn, self._left

    def go_on(self, state: Any) -> None:
        held, self._turn, self._left = state
        super().go_on(held)

    async def read(self) -> Signal[Any] | None:
        while True:
            if not self._ready:
                self._take_turns()
            if self._ready:
                return self._ready.popleft()
            if len(self.spent) == len(self.held):
                return None
            arrival = await self.inlets.next()
            if not isinstance(arrival, tuple):
                return arrival
            self.receive(*arrival)

    def _take_turns(self) -> None:
        """Have the inputs give what they can until one has to be waited for."""
        pieces: list[Chunk[Any]] = []
        taken = 0
        while taken < self._most and (more := self._rounds() or self._rest_of_turn()):
            pieces += more
            taken += sum(len(piece.items) for piece in more)
        self._ready.extend(joined(pieces))

    def _rounds(self) -> list[Chunk[Any]]:
        """Whole turns of all that have not ended, beginning with the one whose turn it is."""
        held, count = self.held, self._count
        if self.lacking or self._left < count:
            return []
        others = range(self._turn, self._turn + len(held))
        ring = [index % len(held) for index in others if index % len(held) not in self.spent]
        if not ring:
            return []
        width = len(ring) * count
        most = max(1, self._most // width)
        rounds = min(most, min(held[index].ready for index in ring) // count)
        if not rounds:
            return []
        self._turn = ring[0]
        columns = [self.take(index, rounds * count) for index in ring]
        items: list[Any] = [None] * (rounds * width)
        times: list[int | None] = [None] * (rounds * width)
        for place, column in enumerate(columns):
            for offset in range(count):
                into = slice(place * count + offset, None, width)
                items[into] = column.items[offset::count]
                if column.times is not None:
                    times[into] = column.times[offset::count]
        if all(column.times is None for column in columns):
            return [Chunk(items)]
        return alike(items, times)

    def _rest_of_turn(self) -> list[Chunk[Any]]:
        """What the input whose turn it is may give yet and has; the next one's if it has ended."""
        for _ in range(len(self.held)):
            count = min(self._left, self.held[self._turn].ready)
            if count:
                chunk = self.take(self._turn, count)
                self._left -= count
                if not self._left:
                    self._pass_turn()
                return [chunk]
            if self._turn not in self.spent:
                return []
            self._pass_turn()
        return []

    def _pass_turn(self) -> None:
        self._turn = (self._turn + 1) % len(self.held)
        self._left = self._count
