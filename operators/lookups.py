"""The work of lookup: each item with what a table has for its key, now or at the item's time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from operators.assigners import microseconds
from operators.checking import MISSING
from operators.holding import alike
from operators.sides import LEFT, RIGHT, Given, Key, Sides
from operators.tables import Rows, Terms
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.inlets import Inlets
from reactive.levels import Tracked
from reactive.operator import Holding, Stage, Staged
from reactive.signals import Barrier, Chunk, Control, Signal, Watermark
from reactive.windows import EARLIEST, LATEST

if TYPE_CHECKING:
    from reactive.context import Context

AsOf: TypeAlias = Literal["latest", "event time"]


@dataclass(frozen=True)
class Lookup(Staged):
    """`lookup`."""

    key: Key
    table: Terms
    how: str
    as_of: AsOf
    buffer: int
    allowed_lateness: float
    late: Node | None

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {"how": self.how, "as of": self.as_of}
        if self.as_of == "event time" and self.allowed_lateness:
            shown["allowed lateness"] = f"{self.allowed_lateness:g} s"
        return shown

    def holds(self, batch: bool) -> Sequence[Holding]:
        table = self.table.holds(1)
        if self.as_of != "event time":
            return (table,)
        waiting = Holding("items that wait for the table", f"{self.buffer:,} at most", input=0)
        earlier = Holding(
            "what the table had before",
            f"what items that are at most {self.allowed_lateness:g} s late may need",
            input=1,
        )
        return table, earlier, waiting

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return inputs[LEFT]

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def stage(self, context: Context) -> Stage[Any]:
        kind = _LatestStage if self.as_of == "latest" else _AsOfStage
        return kind(self, context)


class _LookupStage(Sides):
    """Takes what the table has before the items to go with it."""

    def __init__(self, operator: Lookup, context: Context) -> None:
        super().__init__(context, operator.key, operator.table.key, operator.late)
        self._inner = operator.how == "inner"

    def read_through(self, edges: Sequence[Edge]) -> Inlets:
        return Inlets(edges, priorities=[0, 1], leading=[LEFT])

    def _drop(self) -> None:
        self.context.meter.count("unmatched")


class _LatestStage(_LookupStage):
    def __init__(self, operator: Lookup, context: Context) -> None:
        super().__init__(operator, context)
        self._table = Rows(operator.table, context)
        context.meter.gauges["rows"] = lambda: len(self._table.rows)

    def by_key(self) -> Mapping[str, Tracked[Any]]:
        return self._table.by_key("table")

    def go_on(self, state: Any) -> None:
        super().go_on(state)
        self._table.go_on()

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        times: Sequence[int | None] = chunk.times or [None] * len(chunk.items)
        if side == RIGHT:
            for item, time in zip(chunk.items, times, strict=True):
                of = self.keys[RIGHT](item)
                for _ in self._table.put(of, item, time):
                    pass
            self._table.forget(self.passed(RIGHT))
            return
        rows: list[Any] = []
        stamps: list[int | None] = []
        try:
            for item, time in zip(chunk.items, times, strict=True):
                of = self.keys[LEFT](item)
                version, since, _ = self._table.get(of)
                if version is MISSING:
                    if self._inner:
                        self._drop()
                        continue
                    version = None
                rows.append((item, version))
                stamps.append(
                    since if time is None or (since is not None and since > time) else time
                )
        except Exception:
            yield from alike(rows, stamps) if rows else ()
            raise
        yield from alike(rows, stamps) if rows else ()

    def pass_on(self, signal: Control) -> Given:
        yield signal

    def end(self, side: int) -> Given:
        self.over = self.over or side == LEFT
        return iter(())


class _Versions:
    """What a key had, from which time on; `MISSING` where it was deleted."""

    __slots__ = ("items", "times", "update")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.items: list[Any] = []
        self.update = 0
        """Which of all updates the last of them was, where that matters."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _versions, (self.times, self.items, self.update)

    def at(self, time: int) -> Any:
        """What it had at a time."""
        place = bisect_right(self.times, time)
        return self.items[place - 1] if place else MISSING


def _versions(times: list[int], items: list[Any], update: int) -> _Versions:
    versions = _Versions()
    versions.times, versions.items, versions.update = times, items, update
    return versions


class History:
    """A table with the versions of each key that may be asked for."""

    def __init__(self, terms: Terms, context: Context) -> None:
        self._terms = terms
        self._meter = context.meter
        self.keys: Tracked[Any] = Tracked(context.keeps_changes)
        self.count = 0
        self._updates = 0
        self._replaced: list[tuple[int, int, Any]] = []
        self._order = 0

    def at(self, of: Any, time: int) -> Any:
        """What a key had at a time, or `MISSING`."""
        versions = self.keys.get(of)
        return MISSING if versions is None else versions.at(time)

    def put(self, of: Any, item: Any, time: int) -> None:
        """From this time on a key has this item."""
        deleted, limit = self._terms.deleted, self._terms.limit
        if deleted is not None and deleted(item):
            item = MISSING
        self.keys.touch(of)
        versions = self.keys.get(of)
        if versions is None:
            if limit is not None and len(self.keys) >= limit:
                self.count -= len(self.keys.take(next(iter(self.keys))).times)
                self._meter.count("evicted")
            versions = self.keys[of] = _Versions()
        elif limit is not None:
            self.keys[of] = self.keys.pop(of)
        if limit is not None:
            versions.update = self._updates = self._updates + 1
        place = bisect_right(versions.times, time)
        versions.times.insert(place, time)
        versions.items.insert(place, item)
        self.count += 1
        if place or item is MISSING:
            self._note(time, of)
        if place + 1 < len(versions.times):
            self._note(versions.times[place + 1], of)

    def _note(self, time: int, key: Any) -> None:
        """At this time something of a key is replaced or deleted."""
        self._order += 1
        heappush(self._replaced, (time, self._order, key))

    def forget(self, low: int) -> None:
        """Nobody asks any more what there was before this time."""
        while self._replaced and self._replaced[0][0] <= low:
            _, _, key = heappop(self._replaced)
            versions = self.keys.get(key)
            if versions is None:
                continue
            count = bisect_right(versions.times, low) - 1
            if count >= 0 and versions.items[count] is MISSING:
                count += 1
            if count == len(versions.times):
                self.keys.take(key)
            elif count > 0:
                self.keys.save(key)
                del versions.times[:count], versions.items[:count]
            self.count -= max(count, 0)

    def go_on(self) -> None:
        """Go on with the keys that are there."""
        if self._terms.limit is not None:
            keys = sorted(self.keys.items(), key=lambda pair: pair[1].update)
            self.keys.clear()
            self.keys.update(keys)
            self._updates = keys[-1][1].update if keys else 0
        for key, versions in self.keys.items():
            self.count += len(versions.times)
            for place, time in enumerate(versions.times):
                if place or versions.items[place] is MISSING:
                    self._note(time, key)


class _Line(Tracked[int]):
    """Signals that wait in line, by numbers, so that checkpoints keep those that came and went."""

    __slots__ = ("_first", "_next")

    def __init__(self, tracks: bool) -> None:
        super().__init__(tracks)
        self._first = self._next = 0

    @property
    def head(self) -> Signal[Any]:
        """The one that is first, of a line that is not empty."""
        signal: Signal[Any] = self[self._first]
        return signal

    def append(self, signal: Signal[Any]) -> None:
        """One more, behind all."""
        self.touch(self._next)
        self[self._next] = signal
        self._next += 1

    def take_head(self) -> None:
        """The first one leaves."""
        self.take(self._first)
        self._first += 1

    def shorten_head(self, rest: Chunk[Any]) -> None:
        """This is what is left of the first one."""
        self.touch(self._first)
        self[self._first] = rest

    def load(self, held: dict[int, Any] | bytes, order: Any = None) -> None:
        super().load(held, order)
        self._first = min(self, default=0)
        self._next = self._first + len(self)


class _AsOfStage(_LookupStage):
    """Items and what was said between them stand in line until the table's watermark has passed
    the item at the head, so that they leave as they came."""

    def __init__(self, operator: Lookup, context: Context) -> None:
        super().__init__(operator, context)
        self._table = History(operator.table, context)
        self._buffer = operator.buffer
        self._whole = context.batch
        self._lateness = microseconds(operator.allowed_lateness)
        self._line = _Line(context.keeps_changes)
        self._waiting = 0
        self._known = EARLIEST
        context.meter.gauges["versions"] = lambda: self._table.count
        context.meter.gauges["waiting"] = lambda: self._waiting

    def hold(self) -> Any:
        return super().hold(), self._waiting, self._known

    def by_key(self) -> Mapping[str, Tracked[Any]]:
        return {"table": self._table.keys, "line": self._line}

    def go_on(self, state: Any) -> None:
        sides, self._waiting, self._known = state
        super().go_on(sides)
        self._table.go_on()

    async def more(self) -> Given:
        while True:
            arrival = self.inlets.poll()
            if arrival is not None:
                return self.handle(arrival)
            if self._done() or (self._line and self._reach() != self._known):
                return self._release()
            await self.inlets.waker.wait()

    def _done(self) -> bool:
        return LEFT in self.ended and not self._line

    def _reach(self) -> int:
        """What the table had before this time is known, or will not be waited for."""
        if RIGHT in self.ended or not (self._whole or self.inlets.waited_for(RIGHT)):
            return LATEST
        if self._whole:
            return EARLIEST
        progress = self.inlets.progress(RIGHT)
        return EARLIEST if progress is None else progress

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        times = self.times_of(side, chunk)
        if side == RIGHT:
            for item, time in zip(chunk.items, times, strict=True):
                of = self.keys[RIGHT](item)
                self._table.put(of, item, time)
        else:
            self._stand(chunk, times)
        yield from self._release()

    def _stand(self, chunk: Chunk[Any], times: list[int]) -> None:
        """Take items in line, but for those that come too late."""
        low = self.passed(LEFT) - self._lateness
        if min(times) < low:
            items: list[Any] = []
            stamps: list[int] = []
            for item, time in zip(chunk.items, times, strict=True):
                if time < low:
                    self.refuse(item)
                else:
                    items.append(item)
                    stamps.append(time)
            if not items:
                return
            chunk = Chunk(items, stamps)
        self._line.append(chunk)
        self._waiting += len(chunk.items)
        if self._waiting >= self._buffer and not self._whole:
            self.inlets.pause(LEFT)

    def _release(self) -> Given:
        """Give what the table is known for."""
        self._known = known = self._reach()
        line = self._line
        while line:
            head = line.head
            if type(head) is not Chunk:
                line.take_head()
                if type(head) is Watermark:
                    self._table.forget(head.time - self._lateness)
                yield head
                continue
            assert head.times is not None
            count = len(head.items)
            if max(head.times) >= known:
                count = next(n for n, time in enumerate(head.times) if time >= known)
            if not count:
                break
            ready = head
            if count < len(head.items):
                ready, rest = head.split(count)
                line.shorten_head(rest)
            else:
                line.take_head()
            self._waiting -= count
            yield from self._look_up(ready)
        if self._waiting < self._buffer:
            self.inlets.resume(LEFT)
        self.over = self._done()

    def _look_up(self, chunk: Chunk[Any]) -> Given:
        keys, key = self._table.keys, self.keys[LEFT]
        rows: list[Any] = []
        stamps: list[int] = []
        version: Any
        try:
            for item, time in zip(chunk.items, chunk.times or (), strict=True):
                versions = keys.get(key(item))
                if versions is None:
                    version = MISSING
                elif time >= versions.times[-1]:
                    # What is asked for most, without a search.
                    version = versions.items[-1]
                else:
                    version = versions.at(time)
                if version is MISSING:
                    if self._inner:
                        self._drop()
                        continue
                    version = None
                rows.append((item, version))
                stamps.append(time)
        except Exception:
            if rows:
                yield Chunk(rows, stamps)
            raise
        if rows:
            yield Chunk(rows, stamps)

    def pass_on(self, signal: Control) -> Given:
        self._line.append(signal)
        return self._release()

    def stop_at(self, barrier: Barrier) -> Given:
        yield from self._release()
        yield barrier

    def end(self, side: int) -> Given:
        return self._release()
