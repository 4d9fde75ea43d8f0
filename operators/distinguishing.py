"""Telling items apart: how `distinct` and `distinct_until_changed` work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from operators.checking import bind_plain, refuse_awaitable
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code, annotate
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Holding, Inline, Step, Stepwise
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Distinct(Inline):
    """`distinct`, of all keys or of the last ones."""

    key: Callable[[Any], Hashable] | None
    count: int | None = None

    def details(self) -> dict[str, object]:
        return {} if self.count is None else {"count": self.count}

    def holds(self, batch: bool) -> Sequence[Holding]:
        if self.count is None:
            fix = "give distinct a `count`, or a time with `within`"
            return [Holding("every value, or key, that came", None, fix)]
        return [Holding("the values, or keys, that came last", f"{self.count:,} at most")]

    def emit(self, code: Code) -> None:
        tracks = code.context.keeps_changes
        make = (
            partial(Tracked, tracks) if self.count is None else partial(Recent, self.count, tracks)
        )
        seen = code.by_key("seen", make)
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        code.skip_unless(f"{key} not in {seen}")
        if self.count is not None:
            code.line(f"{seen}.add({key})")
            return
        code.line(f"{seen}[{key}] = True")
        if tracks:
            code.line(f"{seen}.changed.add({key})")


class Recent(Tracked[Hashable]):
    """Keys in the order in which they came, each with its number, and its time if it has one; of
    more than `count`, the last."""

    __slots__ = ("_count", "_number", "_order")

    def __init__(self, count: int | None, tracks: bool) -> None:
        super().__init__(tracks)
        self._count = count
        self._number = 0
        # To find the oldest key of a dictionary takes the longer the more went before it.
        self._order: deque[Hashable] = deque()

    def add(self, key: Hashable, time: float | None = None) -> None:
        """One more, which is not there."""
        self.touch(key)
        self._number += 1
        self[key] = self._number if time is None else (self._number, time)
        self._order.append(key)
        if self._count is not None and len(self._order) > self._count:
            self.take(self._order.popleft())

    def forget(self, until: float) -> None:
        """Let go of what is as old as this."""
        order = self._order
        while order and self[order[0]][1] <= until:
            self.take(order.popleft())

    def load(self, held: dict[Hashable, Any] | bytes, order: Any = None) -> None:
        super().load(held, order=lambda number: number)
        self._order.extend(self)
        if self._order:
            last = self[self._order[-1]]
            self._number = last[0] if isinstance(last, tuple) else last


@dataclass(frozen=True)
class DistinctWithin(Stepwise):
    """`distinct` of the keys of some time."""

    key: Callable[[Any], Hashable] | None
    within: float
    count: int | None

    @property
    def label(self) -> str:
        return "distinct"

    def details(self) -> dict[str, object]:
        within: dict[str, object] = {"within": f"{self.within:g} s"}
        return within if self.count is None else within | {"count": self.count}

    def holds(self, batch: bool) -> Sequence[Holding]:
        most = "" if self.count is None else f", {self.count:,} at most"
        return [Holding("the values, or keys, that came last", f"those of {self.within:g} s{most}")]

    def step(self, context: Context) -> Step[Any, Any]:
        return _DistinctWithinStep(self, context)


class _DistinctWithinStep(Step[Any, Any]):
    def __init__(self, operator: DistinctWithin, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._time = asyncio.get_running_loop().time
        self._began = self._time()
        self._seen = Recent(operator.count, context.keeps_changes)

    def _now(self) -> float:
        """For how long this step, and those that it goes on from, have run."""
        return self._time() - self._began

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        now = self._now()
        self._seen.forget(now - self._operator.within)
        kept: list[int] = []
        try:
            self._keep_new(chunk.items, now, kept)
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            if len(kept) == len(chunk.items):
                out.append(chunk)
            elif kept:
                items, times = chunk.items, chunk.times
                kept_times = None if times is None else [times[index] for index in kept]
                out.append(Chunk([items[index] for index in kept], kept_times))

    def _keep_new(self, items: Sequence[Any], now: float, kept: list[int]) -> None:
        """Add the places of the items whose keys are not remembered, and remember these."""
        seen, key_of = self._seen, self._operator.key
        for index, item in enumerate(items):
            key = item if key_of is None else key_of(item)
            if key in seen:
                continue
            if not seen and key_of is not None:
                refuse_awaitable(key)
            seen.add(key, now)
            kept.append(index)

    def snapshot(self) -> Any:
        return self._now(), self._seen.whole()

    def changes(self) -> Changes:
        return Changes(self._now(), {"keys": self._seen.freeze()})

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            state = state.shared, state.sections["keys"]
        now, held = state
        self._began = self._time() - now
        self._seen.load(held)


class _Nothing:
    """Equal to nothing, itself included."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True


@dataclass(frozen=True)
class DistinctUntilChanged(Inline):
    """`distinct_until_changed`."""

    key: Callable[[Any], Any] | None

    def emit(self, code: Code) -> None:
        last = code.state("last", code.bind("nothing", _Nothing()))
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        code.skip_unless(f"{last} != {key}")
        code.line(f"{last} = {key}")
