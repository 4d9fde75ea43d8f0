"""Telling items apart: how `distinct` and `distinct_until_changed` work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from operators.checking import bind_plain, refuse_awaitable
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code, annotate
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
        seen = code.state("seen", "set()")
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        code.skip_unless(f"{key} not in {seen}")
        code.line(f"{seen}.add({key})")
        if self.count is not None:
            # Not a dictionary: to find its oldest key takes the longer the more went before it.
            order = code.state("order", f"{code.bind('deque', deque)}()")
            code.line(f"{order}.append({key})")
            code.block(f"if len({order}) > {self.count}:", f"{seen}.remove({order}.popleft())")


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
        self._now = asyncio.get_running_loop().time
        self._seen: set[Hashable] = set()
        self._keys: deque[Hashable] = deque()
        self._times: deque[float] = deque()

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        now = self._now()
        self._forget(now - self._operator.within)
        kept: list[int] = []
        try:
            self._keep_new(chunk.items, kept)
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            self._times.extend(repeat(now, len(kept)))
            while len(self._times) > len(self._keys):
                self._times.popleft()
            if len(kept) == len(chunk.items):
                out.append(chunk)
            elif kept:
                items, times = chunk.items, chunk.times
                kept_times = None if times is None else [times[index] for index in kept]
                out.append(Chunk([items[index] for index in kept], kept_times))

    def _keep_new(self, items: Sequence[Any], kept: list[int]) -> None:
        """Add the places of the items whose keys are not remembered, and remember these."""
        seen, keys, key_of = self._seen, self._keys, self._operator.key
        count = self._operator.count
        for index, item in enumerate(items):
            key = item if key_of is None else key_of(item)
            if key in seen:
                continue
            if not seen and key_of is not None:
                refuse_awaitable(key)
            seen.add(key)
            keys.append(key)
            kept.append(index)
            if count is not None and len(keys) > count:
                seen.remove(keys.popleft())

    def _forget(self, until: float) -> None:
        times = self._times
        while times and times[0] <= until:
            times.popleft()
            self._seen.remove(self._keys.popleft())

    def snapshot(self) -> Any:
        now = self._now()
        return list(self._keys), [now - time for time in self._times]

    def restore(self, state: Any) -> None:
        keys, ages = state
        now = self._now()
        self._keys.extend(keys)
        self._times.extend(now - age for age in ages)
        self._seen.update(keys)


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
