"""Tables: the latest item of every key, kept up to date by a stream; and joins of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    get_args,
    overload,
)

from operators.checking import MISSING
from operators.holding import alike
from operators.sides import LEFT, RIGHT, Given, How, Key, Sides, check_how, kept
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint
from reactive.levels import Tracked
from reactive.operator import Holding, Stage, Staged
from reactive.signals import Chunk, Control

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
U = TypeVar("U")
K_co = TypeVar("K_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Change(NamedTuple, Generic[K_co, V_co]):
    """What became of the row of a key: `old` was replaced by `new`. `old` is None where there was
    no such row before, `new` where there is none any more."""

    key: K_co
    old: V_co | None
    new: V_co | None


@dataclass(frozen=True)
class Terms:
    """What makes a table of a stream."""

    key: Key
    deleted: Callable[[Any], object] | None = None
    limit: int | None = None

    def holds(self, side: int) -> Holding:
        """For `explain()`, as the table of that input."""
        limit = None if self.limit is None else f"{self.limit:,} keys at most"
        what = f"the latest item of every key of the {('left', 'right')[side]} table"
        return Holding(what, limit, "give its table(...) a `limit`", side)


Row: TypeAlias = tuple[Any, int | None, int]
"""The item of a key and its time; and which of all updates it was, where that matters."""

NO_ROW: Final[Row] = (MISSING, None, 0)


class Rows:
    """A table in one run: the latest item of every key with its time, in the order of updates."""

    def __init__(self, terms: Terms, context: Context) -> None:
        self._terms = terms
        self._meter = context.meter
        self.rows: Tracked[Any] = Tracked(context.keeps_changes)
        self.graves: Tracked[Any] = Tracked(context.keeps_changes)
        self._dug: list[tuple[int, int, Any]] = []
        self._order = 0
        self._updates = 0

    def by_key(self, side: str) -> dict[str, Tracked[Any]]:
        """What checkpoints keep of it, under names for the table of a side."""
        return {side: self.rows, f"{side}, deleted": self.graves}

    def get(self, key: Any) -> Row:
        """The item of a key and its time; `NO_ROW` if there is none."""
        row: Row = self.rows.get(key, NO_ROW)
        return row

    def put(self, of: Any, item: Any, time: int | None) -> Iterator[tuple[Any, Any, Any]]:
        """Take in an item; gives each key of which that changes the item, with both items."""
        rows, terms = self.rows, self._terms
        old, since, _ = self.get(of)
        if old is MISSING:
            since = self.graves.get(of)
        if time is not None and since is not None and time < since:
            self._meter.count("outdated")
            return
        gone = terms.deleted is not None and bool(terms.deleted(item))
        if gone:
            if time is not None:
                self._bury(of, time)
            if old is not MISSING:
                rows.take(of)
                yield of, old, MISSING
            return
        rows.touch(of)
        if of in self.graves:
            self.graves.take(of)
        if terms.limit is not None:
            self._updates += 1
            rows.pop(of, None)
            if len(rows) >= terms.limit:
                oldest = next(iter(rows))
                evicted, _, _ = rows.take(oldest)
                self._meter.count("evicted")
                yield oldest, evicted, MISSING
        rows[of] = item, time, self._updates
        yield of, old, item

    def _bury(self, key: Any, time: int) -> None:
        """Remember when it was deleted, so that no earlier item brings it back."""
        self.graves.touch(key)
        self.graves[key] = time
        self._order += 1
        heappush(self._dug, (time, self._order, key))

    def forget(self, passed: int) -> None:
        """Nothing earlier than this comes any more."""
        while self._dug and self._dug[0][0] <= passed:
            time, _, key = heappop(self._dug)
            if self.graves.get(key) == time:
                self.graves.take(key)

    def go_on(self) -> None:
        """Go on with the rows and graves that are there."""
        if self._terms.limit is not None:
            rows = sorted(self.rows.items(), key=lambda pair: pair[1][2])
            self.rows.clear()
            self.rows.update(rows)
            self._updates = rows[-1][1][2] if rows else 0
        self._dug = [(time, n, key) for n, (key, time) in enumerate(self.graves.items())]
        self._order = len(self._dug)
        heapify(self._dug)


@dataclass(frozen=True)
class TableJoin(Staged):
    """`join` of tables."""

    left: Terms
    right: Terms
    how: str

    @property
    def label(self) -> str:
        return "join"

    def details(self) -> dict[str, object]:
        return {"how": self.how}

    def holds(self, batch: bool) -> Sequence[Holding]:
        return self.left.holds(0), self.right.holds(1)

    def stage(self, context: Context) -> Stage[Any]:
        return _TableJoinStage(self, context)


class _TableJoinStage(Sides):
    def __init__(self, operator: TableJoin, context: Context) -> None:
        super().__init__(context, operator.left.key, operator.right.key)
        self._tables = Rows(operator.left, context), Rows(operator.right, context)
        self._keeps = kept(operator.how)
        context.meter.gauges["rows"] = lambda: sum(len(one.rows) for one in self._tables)

    def by_key(self) -> Mapping[str, Tracked[Any]]:
        left, right = self._tables
        return left.by_key("left") | right.by_key("right")

    def go_on(self, state: Any) -> None:
        super().go_on(state)
        for table in self._tables:
            table.go_on()

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        changes: list[Any] = []
        times: list[int | None] = []
        try:
            for index, item in enumerate(chunk.items):
                time = None if chunk.times is None else chunk.times[index]
                self._put(side, item, time, changes, times)
        except Exception:
            yield from alike(changes, times) if changes else ()
            raise
        yield from alike(changes, times) if changes else ()

    def _put(
        self,
        side: int,
        item: Any,
        time: int | None,
        changes: list[Any],
        times: list[int | None],
    ) -> None:
        of = self.keys[side](item)
        for key, old, new in self._tables[side].put(of, item, time):
            other, then, _ = self._tables[RIGHT - side].get(key)
            before, after = self._row(side, old, other), self._row(side, new, other)
            if before is not None or after is not None:
                changes.append(Change(key, before, after))
                times.append(time if then is None or (time is not None and time > then) else then)

    def _row(self, side: int, ours: Any, other: Any) -> tuple[Any, Any] | None:
        """The row of a key of which these are the items; None if it has none."""
        left, right = (ours, other) if side == LEFT else (other, ours)
        if left is MISSING:
            return None if right is MISSING or not self._keeps[RIGHT] else (None, right)
        if right is MISSING:
            return (left, None) if self._keeps[LEFT] else None
        return left, right

    def pass_on(self, signal: Control) -> Given:
        for side, table in enumerate(self._tables):
            table.forget(self.passed(side))
        yield signal


class Table(Generic[K, V]):
    """The latest item of every key of a stream, from `key_by(...).table(...)`: to be looked up by
    another stream, or joined with another table."""

    __slots__ = ("_stream", "terms")

    def __init__(self, stream: Blueprint[V], terms: Terms) -> None:
        self._stream = stream
        self.terms = terms

    @property
    def updates(self) -> Blueprint[V]:
        """The stream that it is made of."""
        return self._stream

    @overload
    def join(
        self, other: Table[K, U], /, *, how: Literal["inner"] = "inner"
    ) -> Stream[Change[K, tuple[V, U]]]: ...

    @overload
    def join(
        self, other: Table[K, U], /, *, how: Literal["left"]
    ) -> Stream[Change[K, tuple[V, U | None]]]: ...

    @overload
    def join(
        self, other: Table[K, U], /, *, how: Literal["right"]
    ) -> Stream[Change[K, tuple[V | None, U]]]: ...

    @overload
    def join(
        self, other: Table[K, U], /, *, how: Literal["full"]
    ) -> Stream[Change[K, tuple[V | None, U | None]]]: ...

    def join(self, other: Table[K, U], /, *, how: How = "inner") -> Stream[Any]:
        """Give every change of the rows that two tables have together.

        ```text
        --a1----------a2---|
        -----a3--b4--------|     other
        key_by(lambda x: x[0]).table().join(other.key_by(lambda x: x[0]).table())
        .map(lambda change: change.new)
        -----a1:a3----a2:a3|
        ```

        A row is the pair of items that a key has in both. What is given is a `Change(key, old,
        new)`: a new row has no `old`, one that is gone no `new`; who adds up rows takes off the
        old and puts on the new. With `how="left"`, `"right"` or `"full"` there are rows of keys
        that only the left, only the right or only one of them has, with None in the place of the
        other; such a row changes when its partner comes.

        Emits a change for each item that makes one, at once: so which rows there were on the way
        depends on the order in which the two inputs came, the last ones do not. Event times are
        the latest of the items of the new row, or of what deleted it. Backpressures both inputs.
        Completes when both have. Holds the latest item of each key of both tables (see `table`).
        Loses items that are older than what their key has, counted (`outdated`).

        ```python
        users = rx.of(("ann", "Ann A.")).key_by(lambda user: user[0]).table()
        orders = rx.of(("ann", 30)).key_by(lambda order: order[0]).table(limit=100_000)
        orders.join(users, how="left").filter(lambda change: change.new is not None)
        ```
        """
        check_table("join", other)
        check_how("join", how, get_args(How))
        joined = TableJoin(self.terms, other.terms, how)
        return self._stream._then(joined, other.updates)


def check_table(operator: str, table: object) -> None:
    """Refuse what is no table, with the fix, where the pipeline is described."""
    if not isinstance(table, Table):
        raise TypeError(
            f"{operator} needs a table, such as users.key_by(key).table(), not "
            f"{type(table).__name__}"
        )
