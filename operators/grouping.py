"""grouping: one stream split into many by a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, get_args

from operators.checking import bind_plain, check_count, check_plain, check_seconds
from operators.routing import GroupByStage
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint, Node
from reactive.operator import Holding, Inline, Stage, Staged, Stepwise

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.group import Group
    from reactive.stream import Stream

K = TypeVar("K")
T_co = TypeVar("T_co", covariant=True)

GroupOverflow: TypeAlias = Literal["end_longest_idle", "fail"]


@dataclass(frozen=True)
class GroupKey(Inline):
    """The key of each item, found in a fused loop before `group_by`."""

    binds: ClassVar[tuple[str, ...] | None] = ("key",)

    key: Callable[[Any], Any]

    def emit(self, code: Code) -> None:
        key = bind_plain(code, "key", self.key)
        code.let(f"({key}({code.item}), {code.item})")


@dataclass(frozen=True)
class GroupBy(Staged):
    """`group_by`."""

    limit: int
    buffer: int
    idle: float | None
    overflow: GroupOverflow

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return all(inputs)

    def details(self) -> dict[str, object]:
        ends = {} if self.idle is None else {"ends after": f"{self.idle:g} s without items"}
        return {
            "limit": f"{self.limit} groups",
            "buffer": f"{self.buffer} items each",
            "overflow": self.overflow,
            **ends,
        }

    def holds(self, batch: bool) -> Sequence[Holding]:
        limit = f"{self.limit:,} groups at most, {self.buffer:,} items each"
        return [Holding("for each key, a group and what was not read of it", limit)]

    def stage(self, context: Context) -> Stage[Any]:
        return GroupByStage(self.limit, self.buffer, self.idle, self.overflow == "fail", context)


def live_groups(node: Node) -> int | None:
    """How many groups may be live at once, where a stream is one of groups."""
    while isinstance(node.operator, (Inline, Stepwise)):
        (node,) = node.inputs
    return node.operator.limit if isinstance(node.operator, GroupBy) else None


class Grouping(Blueprint[T_co]):
    """group_by."""

    __slots__ = ()

    def group_by(
        self,
        key: Callable[[T_co], K],
        *,
        limit: int = 1024,
        buffer: int = 128,
        idle: float | None = None,
        overflow: GroupOverflow = "end_longest_idle",
    ) -> Stream[Group[K, T_co]]:
        """Split the stream by a key: a `rx.Group` for each key, itself a stream, with its `key`.

        ```text
        a1-b2-a3----b4---|
        group_by(lambda x: x[0]).merge_map(lambda group: group.batch(2).map("".join))
        ------a1a3--b2b4-|
        ```

        Emits a group with the first item of a key, and each item into the group of its key. All
        groups have to be read at the same time, as `merge_map` does, which by itself has room for
        all of them: a group holds up to `buffer` items that were not read, and one that is full
        backpressures the stream and so all other groups. If that lasts for ten seconds with a
        group that nobody has begun to read, a warning (`unread_group_holds_back_others`) names
        it and the fix. Rx would hold items without bound.

        A group ends with the stream, after `idle` seconds of the loop's clock without an item, at
        a checkpoint, and as the one without an item for longest when a new key comes while
        `limit` groups are live; with `overflow="fail"` that raises `OverflowFailure` instead. A
        later item of its key opens a new group, and so it does when the one who reads a group
        leaves early; what it had not read is lost, counted (`dropped`). So are the items of a
        group that nobody has read and nobody refers to any more, such as one that a filter left
        out. Completes with upstream. Fails, with all groups, when upstream does. Event times are
        kept, and every group is told the watermarks.

        `TypeError` for an async key function or a key that does not hash; `ValueError` for a
        limit or buffer below 1 or a time not above 0.

        ```python
        def averages(group: rx.Group[str, str]) -> rx.Stream[tuple[str, int]]:
            return group.batch(10, within=1).map(lambda words: (group.key, len(words)))

        rx.of("apple", "bee", "ant").group_by(lambda word: word[0]).merge_map(averages)
        ```
        """
        check_plain("group_by", key)
        check_count("group_by (limit)", limit, 1)
        check_count("group_by (buffer)", buffer, 1)
        if idle is not None:
            check_seconds("group_by", "`idle`", idle)
        if overflow not in get_args(GroupOverflow):
            known = ", ".join(get_args(GroupOverflow))
            raise ValueError(f"group_by: overflow must be one of {known}, not {overflow!r}")
        return self._then(GroupKey(key))._then(GroupBy(limit, buffer, idle, overflow))
