"""The work of `sort`: in memory while that is enough, then in sorted runs on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from operators.parts import Order, Part
from operators.runs import HeldRuns, Merging, SpilledRuns
from operators.sizes import held_bytes
from operators.whole import INSTEAD, WholeInput, held_limit
from reactive.fast_dataclasses import dataclass
from reactive.operator import Holding, Stage, Staged
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Sort(Staged):
    """`sort`."""

    concurrent: ClassVar[bool] = False

    key: Callable[[Any], Any] | None
    reverse: bool
    memory: int | None

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {"order": "descending"} if self.reverse else {}
        if self.memory is not None:
            shown["memory"] = f"{self.memory:,} bytes"
        return shown

    def holds(self, batch: bool) -> Sequence[Holding]:
        return [Holding("all items", held_limit(self.memory))]

    def without_end(self, batch: bool) -> str | None:
        return INSTEAD.format("sorted")

    def stage(self, context: Context) -> Stage[Any]:
        return _SortStage(self, context)


class _SortStage(WholeInput):
    def __init__(self, operator: Sort, context: Context) -> None:
        super().__init__(context, operator.memory)
        order = Order(operator.reverse)
        self._key = operator.key
        self._held = HeldRuns(order, self.work)
        self._spilled = SpilledRuns(self.spill, order, self.work)
        self._count = 0
        self._merging: Merging | None = None

    async def take(self, chunk: Chunk[Any]) -> None:
        items = chunk.items
        times: list[int | None] | None = None if chunk.times is None else list(chunk.times)
        self._count += len(items)
        if self._key is None:
            await self._hold(Part(items, None, times), held_bytes(items))
            return
        for some, keys in self.keys(self._key, items):
            part = Part(items[some], keys, None if times is None else times[some])
            await self._hold(part, held_bytes(part.items) + held_bytes(keys))
            await self.work.breathe()

    async def _hold(self, part: Part, size: int) -> None:
        await self._held.add(part, size)
        if self._held.size > self.work.memory:
            await self._put_on_disk()

    async def _put_on_disk(self) -> None:
        self.begin_phase("sorting", self._held.count)
        await self._spilled.add(await self._held.take())
        self.end_phase()

    async def finish(self) -> None:
        if self._spilled:
            if self._held.count:
                await self._put_on_disk()
            self.begin_phase("merging runs")
            self._merging = await self._spilled.merge()
            self.begin_phase("merging", self._count)
        else:
            self.begin_phase("sorting", self._count)
            self._merging = await self._held.take()

    async def more(self) -> tuple[list[Any], list[int | None] | None] | None:
        assert self._merging is not None
        part = await self._merging.next()
        if part is None:
            return None
        self.work.done += len(part)
        return part.items, part.times

    async def save(self) -> Any:
        return self._count, self._held.snapshot(), await self._spilled.saved()

    async def put_back(self, state: Any) -> None:
        self._count, held, spilled = state
        self._held.restore(held)
        await self._spilled.put_back(spilled)
