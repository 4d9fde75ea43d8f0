"""The work of `group`: in memory while that is enough, then in partitions on disk."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from operators.parts import Order
from operators.runs import Merging, SpilledRuns
from operators.sizes import held_bytes
from operators.spilling import Blocks
from operators.whole import INSTEAD, WholeInput, held_limit
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Holding, Stage, Staged
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

_PARTITIONS: Final = 16
_DEEPEST: Final = 8
_GROUP_BYTES: Final = 300
"""What a group takes beside its key and items."""
_GROUPS_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Group(Staged):
    """`group`."""

    concurrent: ClassVar[bool] = False

    key: Callable[[Any], Any]
    memory: int | None

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = (
            {} if self.memory is None else {"memory": f"{self.memory:,} bytes"}
        )
        return shown

    def holds(self, batch: bool) -> Sequence[Holding]:
        return [Holding("all items", held_limit(self.memory))]

    def without_end(self, batch: bool) -> str | None:
        return INSTEAD.format("...")

    def stage(self, context: Context) -> Stage[Any]:
        return _GroupStage(self, context)


class _Group:
    """The items of one key so far, the latest of their times, and the place of the first in the
    order of the input."""

    __slots__ = ("first", "items", "time")

    def __init__(self, first: int) -> None:
        self.first = first
        self.time: int | None = None
        self.items: list[Any] = []


def _later(time: int | None, other: int | None) -> int | None:
    if time is None or other is None:
        return other if time is None else time
    return max(time, other)


Record: TypeAlias = tuple[Any, int, int | None, list[Any]]
"""Of a group on disk: key, place of the first item, latest time, some of the items."""


class _GroupStage(WholeInput):
    """Holds groups in a dictionary. When that is too large its groups go to disk, each to the
    partition that its key belongs to. At the end the groups of each partition are put together in
    memory, a partition that is too large being divided again, and are written in the order of
    their first items; so the partitions can be merged into one order, that of a dictionary."""

    def __init__(self, operator: Group, context: Context) -> None:
        super().__init__(context, operator.memory)
        self._key = operator.key
        self._groups: dict[Any, _Group] = {}
        self._size = 0
        self._bytes = 0
        self._count = 0
        self._partitions: list[Blocks] = []
        self._kinds: set[type] = set()
        self._runs = SpilledRuns(self.spill, Order(False), self.work)
        self._merging: Merging | None = None
        self._stack: list[tuple[Any, _Group]] = []
        self._largest = 1
        self._last: tuple[int, tuple[Any, int | None, list[Any]]] | None = None

    async def take(self, chunk: Chunk[Any]) -> None:
        times = chunk.times
        for some, keys in self.keys(self._key, chunk.items):
            items = chunk.items[some]
            before = len(self._groups)
            try:
                self._add(keys, items, None if times is None else times[some])
            except Exception as error:
                annotate(error, self.context)
                raise
            opened = len(self._groups) - before
            held = held_bytes(items)
            self._bytes += held
            self._size += held + opened * _GROUP_BYTES
            if opened:
                self._size += held_bytes(keys) * opened // len(keys)
            if self._size > self.work.memory:
                await self._put_on_disk()
            await self.work.breathe()

    def _add(self, keys: list[Any], items: list[Any], times: list[int] | None) -> None:
        groups, count = self._groups, self._count
        self._count += len(items)
        for place, (key, item) in enumerate(zip(keys, items, strict=True)):
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(count + place)
            group.items.append(item)
            if times is not None:
                group.time = _later(group.time, times[place])

    async def _put_on_disk(self) -> None:
        if not self._partitions:
            self._partitions = [Blocks() for _ in range(_PARTITIONS)]
        self.begin_phase("partitioning")
        groups, self._groups, self._size = self._groups, {}, 0
        await self._divide(groups, self._partitions, 0)
        self.end_phase()

    async def _emptied(self, groups: dict[Any, _Group]) -> list[tuple[Any, _Group]]:
        """The groups of a dictionary in reverse, so that they can be let go of one by one."""
        stack = []
        while groups:
            stack.append(groups.popitem())
            if len(stack) % _GROUPS_AT_ONCE == 0:
                await self.work.breathe()
        return stack

    async def _divide(self, groups: dict[Any, _Group], into: list[Blocks], depth: int) -> None:
        """Write groups to partitions by their keys, otherwise on every depth."""
        shares: list[deque[tuple[Any, _Group]]] = [deque() for _ in into]
        stack = await self._emptied(groups)
        while stack:
            key, group = stack.pop()
            self._check(key)
            shares[hash((depth, hash(key))) % len(into)].append((key, group))
            if len(stack) % _GROUPS_AT_ONCE == 0:
                await self.work.breathe()
        for blocks, share in zip(into, shares, strict=True):
            await self._write(blocks, share, _as_records)

    def _check(self, key: Any) -> None:
        """Refuse a key that is another one when it comes back from disk, such as an object that
        equals only itself."""
        kind = type(key)
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        try:
            copy = pickle.loads(pickle.dumps(key))
            if copy != key or hash(copy) != hash(key):
                raise TypeError(
                    f"the key {key!r} does not equal its pickled copy, so what is put on disk for "
                    "lack of memory could not be found again; have the key give text, a number or "
                    "a tuple of such, or give group a larger memory="
                )
        except Exception as error:
            annotate(error, self.context)
            raise

    async def _write(
        self,
        blocks: Blocks,
        groups: deque[tuple[Any, _Group]],
        as_value: Callable[[list[Record]], Any],
    ) -> None:
        """Write groups, those of many items in pieces. Items are taken to be of average size: to
        measure those of each group would take longer than all the rest."""
        limit, average = self.work.block_bytes, self._item_bytes
        most = max(1, limit // average)
        records: list[Record] = []
        size = 0
        while groups:
            key, group = groups.popleft()
            items = group.items
            for start in range(0, len(items), most):
                some = items[start : start + most]
                records.append((key, group.first, group.time, some))
                size += len(some) * average + _GROUP_BYTES
                if size >= limit:
                    await self._put(blocks, as_value(records), size)
                    records, size = [], 0
                    await self.work.breathe()
        if records:
            await self._put(blocks, as_value(records), size)

    async def _put(self, blocks: Blocks, value: Any, size: int) -> None:
        written = await self.spill.write(blocks, value, (None,), size)
        self._largest = max(self._largest, size, written)

    @property
    def _item_bytes(self) -> int:
        """What an item takes in memory, on average."""
        return max(1, self._bytes // max(1, self._count))

    async def finish(self) -> None:
        if not self._partitions:
            self.begin_phase("giving groups", self._count)
            self._stack = await self._emptied(self._groups)
            return
        if self._groups:
            await self._put_on_disk()
        self.begin_phase("grouping", self._count)
        partitions, self._partitions = self._partitions, []
        for blocks in partitions:
            await self._resolve(blocks, 1)
        self.begin_phase("merging groups")
        self._merging = await self._runs.merge()
        self.begin_phase("merging", self._count)

    async def _resolve(self, blocks: Blocks, depth: int) -> None:
        """Put the groups of a partition together, and write them in order."""
        await self.spill.flush()
        groups: dict[Any, _Group] = {}
        parts: list[Blocks] = []
        count, average = 0, self._item_bytes
        for start, end in blocks:
            records = await self.spill.fetched(self.spill.fetch(start, end))
            for key, first, time, items in records:
                group = groups.get(key)
                if group is None:
                    group = groups[key] = _Group(first)
                group.items += items
                group.time = _later(group.time, time)
                count += len(items)
            size = count * average + len(groups) * _GROUP_BYTES
            if size > self.work.memory and len(groups) > 1 and depth < _DEEPEST:
                parts = parts or [Blocks() for _ in range(_PARTITIONS)]
                await self._divide(groups, parts, depth)
                groups, count = {}, 0
            await self.work.breathe()
        if parts:
            await self._divide(groups, parts, depth)
            for part in parts:
                await self._resolve(part, depth + 1)
        elif groups:
            self.work.done += sum(len(group.items) for group in groups.values())
            run = Blocks()
            stack = await self._emptied(groups)
            await self._write(run, deque(reversed(stack)), _as_part)
            self._runs.append(run, self._largest)

    async def more(self) -> tuple[list[Any], list[int | None] | None] | None:
        if self._merging is not None:
            return await self._more_from_disk(self._merging)
        stack = self._stack
        if not stack:
            return None
        await self.work.breathe()
        given = [stack.pop() for _ in range(min(_GROUPS_AT_ONCE, len(stack)))]
        self.work.done += sum(len(group.items) for _, group in given)
        return _given([(key, group.time, group.items) for key, group in given])

    async def _more_from_disk(
        self, merging: Merging
    ) -> tuple[list[Any], list[int | None] | None] | None:
        """The groups of which all pieces have come: those before the last one."""
        complete: list[tuple[Any, int | None, list[Any]]] = []
        while not complete:
            part = await merging.next()
            if part is None:
                last, self._last = self._last, None
                if last is None:
                    return None
                complete.append(last[1])
                break
            for first, piece in zip(part.keys, part.items, strict=True):
                self.work.done += len(piece[2])
                last = self._last
                if last is not None and last[0] == first:
                    last[1][2].extend(piece[2])
                    continue
                if last is not None:
                    complete.append(last[1])
                self._last = first, piece
        return _given(complete)

    async def save(self) -> Any:
        groups = [
            (key, group.first, group.time, group.items.copy())
            for key, group in self._groups.items()
        ]
        contents = [(await self.spill.values(blocks), blocks.size) for blocks in self._partitions]
        return (self._count, self._bytes, self._size), groups, contents

    async def put_back(self, state: Any) -> None:
        (self._count, self._bytes, self._size), groups, contents = state
        for key, first, time, items in groups:
            group = self._groups[key] = _Group(first)
            group.time, group.items = time, items.copy()
        for data, size in contents:
            blocks = Blocks()
            for block in data:
                await self.spill.put(blocks, block, size // len(data))
            self._partitions.append(blocks)


def _as_records(records: list[Record]) -> Any:
    return records


def _as_part(records: list[Record]) -> Any:
    """Pieces of groups as a part in the order of their first items."""
    pieces = [(key, time, items) for key, _, time, items in records]
    return pieces, [first for _, first, _, _ in records], None


def _given(
    groups: list[tuple[Any, int | None, list[Any]]],
) -> tuple[list[Any], list[int | None] | None]:
    times = [time for _, time, _ in groups]
    pairs = [(key, items) for key, _, items in groups]
    return pairs, None if times.count(None) == len(times) else times
