"""joining: keyed streams with each other and with tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

from operators.assigners import Global, WindowAssigner
from operators.checking import check_count, check_plain, check_seconds
from operators.interval_joins import IntervalJoin
from operators.lookups import AsOf, Lookup
from operators.sides import How, check_how, check_late
from operators.tables import Table, Terms, check_table
from operators.window_joins import WindowJoin
from reactive.graph import Blueprint
from reactive.windows import Windowed

if TYPE_CHECKING:
    from reactive.stream import SideOutput, Stream

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
U = TypeVar("U")


class Joining(Generic[K, T]):
    """join, cogroup, interval_join, lookup and table, of keyed streams."""

    __slots__ = ()

    _stream: Blueprint[T]
    _key: Callable[[T], K]

    @overload
    def join(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        how: Literal["inner"] = "inner",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Windowed[K, tuple[T, U]]]: ...

    @overload
    def join(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        how: Literal["left"],
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Windowed[K, tuple[T, U | None]]]: ...

    @overload
    def join(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        how: Literal["right"],
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Windowed[K, tuple[T | None, U]]]: ...

    @overload
    def join(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        how: Literal["full"],
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Windowed[K, tuple[T | None, U | None]]]: ...

    def join(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        how: How = "inner",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Any]:
        """Pair the items of two keyed streams that have the same key and are in the same window.

        ```text
        --a1-b2-------|
        ----a3-a4-----|     other
        key_by(lambda x: x[0]).join(other.key_by(lambda x: x[0])).map(lambda w: w.value)
        --------------(a1:a3 a1:a4 |)
        ```

        Windows are those of `window`, which see: both sides are cut alike, and with
        `rx.Session` the items of both make one session. Without `window` all time is one: then
        both inputs have to end by themselves, or it is a `PlanError`. With `how="left"`,
        `"right"` or `"full"` an item of the left, the right or either side that has no partner in
        its window is given with None.

        Emits a `Windowed(key, window, (left, right), pane)` for every pair, once, when the
        watermark of both inputs has passed the end of the window and before that watermark;
        in the order of the windows, of the keys as they came on the left, then of those only on
        the right. Event times are the last microsecond of the window. Backpressures when
        downstream does. When both inputs end, all windows are complete; then it completes.

        Holds all items of both sides in the windows that are not over; an input that is ahead of
        the other makes that more, and in batch, where nothing is late, all are held to the end.
        Loses items whose window is over by the watermark of their own input, counted (`late`) and
        sent to the side output `late`, if given.

        A window stays for `allowed_lateness` seconds after its end: the pairs of an item that
        comes meanwhile are given at once, as late panes, after one with `pane.retracted` for each
        row that had no partner before. Sessions have no lateness.

        Raises what the keys' functions raise. `TypeError` for what is no keyed stream, and for an
        item without event time; `ValueError` for arguments that make no sense.

        ```python
        clicks = rx.of(("ann", 3)).event_time(lambda click: click[1])
        views = rx.of(("ann", 1)).event_time(lambda view: view[1])
        by_user = views.key_by(lambda view: view[0])
        by_user.join(clicks.key_by(lambda click: click[0]), window=rx.Tumbling(60), how="left")
        ```
        """
        check_how("join", how, get_args(How))
        return self._windowed("join", other, window, how, allowed_lateness, late)

    def cogroup(
        self,
        other: Joining[K, U],
        /,
        *,
        window: WindowAssigner | None = None,
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Windowed[K, tuple[list[T], list[U]]]]:
        """Give the items of two keyed streams by key and window, those of each side as a list.

        ```text
        --a1-b2-------|
        ----a3-a4-----|     other
        key_by(lambda x: x[0]).cogroup(other.key_by(lambda x: x[0])).map(lambda w: w.value)
        --------------([a1]:[a3,a4] [b2]:[] |)
        ```

        Emits, backpressures, holds, loses and completes as `join`, but one `Windowed(key, window,
        (left items, right items), pane)` for each key and window of either side. With
        `allowed_lateness`, an item that comes later gives all items of its key and window again, as
        a late pane.

        ```python
        orders, payments = rx.of(("a", 5)), rx.of(("a", 3), ("a", 2))
        both = orders.key_by(lambda o: o[0]).cogroup(payments.key_by(lambda p: p[0]))
        both.filter(lambda w: sum(o[1] for o in w.value[0]) != sum(p[1] for p in w.value[1]))
        ```
        """
        return self._windowed("cogroup", other, window, "full", allowed_lateness, late)

    def _windowed(
        self,
        operator: str,
        other: Joining[K, U],
        window: WindowAssigner | None,
        how: str,
        allowed_lateness: float,
        late: object,
    ) -> Stream[Any]:
        _check_keyed(operator, other)
        assigner = Global() if window is None else window
        if not isinstance(assigner, WindowAssigner):
            raise TypeError(f"{operator} needs windows such as rx.Tumbling(60), not {window!r}")
        check_seconds(operator, "`allowed_lateness`", allowed_lateness, zero=True)
        if allowed_lateness and assigner.merging:
            raise ValueError(
                f"{operator}: windows that grow, such as {assigner!r}, take no allowed_lateness; "
                "give event_time(lateness=) more of it"
            )
        side = check_late(late)
        joined = WindowJoin(self._key, other._key, assigner, how, allowed_lateness, side, operator)
        return self._stream._then(joined, other._stream)

    @overload
    def interval_join(
        self,
        other: Joining[K, U],
        /,
        *,
        before: float = 0.0,
        after: float = 0.0,
        how: Literal["inner"] = "inner",
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T, U]]: ...

    @overload
    def interval_join(
        self,
        other: Joining[K, U],
        /,
        *,
        before: float = 0.0,
        after: float = 0.0,
        how: Literal["left"],
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T, U | None]]: ...

    @overload
    def interval_join(
        self,
        other: Joining[K, U],
        /,
        *,
        before: float = 0.0,
        after: float = 0.0,
        how: Literal["right"],
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T | None, U]]: ...

    @overload
    def interval_join(
        self,
        other: Joining[K, U],
        /,
        *,
        before: float = 0.0,
        after: float = 0.0,
        how: Literal["full"],
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T | None, U | None]]: ...

    def interval_join(
        self,
        other: Joining[K, U],
        /,
        *,
        before: float = 0.0,
        after: float = 0.0,
        how: How = "inner",
        late: SideOutput[Any] | None = None,
    ) -> Stream[Any]:
        """Pair the items of two keyed streams that have the same key and happened near each other.

        ```text
        --1----3---|
        ----2----9-|    other
        event_time(int).key_by(bool)
        .interval_join(other.event_time(int).key_by(bool), before=1, after=1)
        ----12-32--|
        ```

        An item of the right is a partner if its event time is from `before` seconds before to
        `after` seconds after that of the left, both included; one of them may be negative. With
        `how="left"`, `"right"` or `"full"` an item of the left, the right or either side that
        finds no partner is given with None, when the watermark of the other side tells that none
        can come.

        Emits a pair as soon as both are there, so their order depends on which input was quicker.
        Event times are the later ones of the two; the watermark waits for items that may have to
        be given alone. Backpressures when downstream does. Completes when both inputs have.

        Holds the items that may find a partner yet: those that the watermark of the other side has
        not passed by more than the interval; in batch all, to the end. Loses items behind the
        watermark of their own input, counted (`late`) and sent to the side output `late`, if given.

        Raises what the keys' functions raise. `TypeError` for what is no keyed stream, and for an
        item without event time; `ValueError` for an interval that ends before it begins.

        ```python
        orders = rx.of(("a", 10)).event_time(lambda order: order[1]).key_by(lambda order: order[0])
        paid = rx.of(("a", 15)).event_time(lambda paid: paid[1]).key_by(lambda paid: paid[0])
        orders.interval_join(paid, after=3600, how="left")
        ```
        """
        _check_keyed("interval_join", other)
        check_how("interval_join", how, get_args(How))
        for name, seconds in (("before", before), ("after", after)):
            if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
                raise TypeError(f"interval_join needs `{name}` in seconds, not {seconds!r}")
            if not math.isfinite(seconds):
                raise ValueError(
                    f"interval_join needs a finite `{name}`, or it would hold everything for "
                    "ever; without a bound in time, join tables (.table(limit=...))"
                )
        if before + after < 0:
            raise ValueError(
                f"interval_join(before={before:g}, after={after:g}) ends before it begins"
            )
        joined = IntervalJoin(self._key, other._key, before, after, how, check_late(late))
        return self._stream._then(joined, other._stream)

    def table(
        self,
        *,
        deleted: Callable[[T], object] | None = None,
        limit: int | None = None,
    ) -> Table[K, T]:
        """See the stream as a table: each item is the new row of its key.

        ```text
        ---a----b----a---------b---|
        -a1--b2---a0-----b3--------|    prices
        key_by(str)
        .lookup(prices.key_by(lambda p: p[0]).table(deleted=lambda p: p[1] == "0"), how="left")
        ---a:a1-b:b2-a:None----b:b3|
        ```

        `deleted(item)` tells which items say that their key has no row any more. An item that is
        older, by event time, than the one that its key has changes nothing and is counted
        (`outdated`); without event time the last that came counts.

        The table holds the latest item of every key. With `limit` it has so many keys: a new one
        takes the place of the one that was updated longest ago, as if that had been deleted,
        counted (`evicted`). Without, say `deleted`, or be sure that there are not more and more
        keys.

        What this gives is not a stream and emits, backpressures, completes and loses nothing by
        itself: `lookup` and `Table.join` use it. Raises, when items come, what `deleted` raises.
        `TypeError` for an async function, `ValueError` for a limit below 1.

        ```python
        prices = rx.of(("tea", 3), ("tea", None)).key_by(lambda price: price[0])
        prices.table(deleted=lambda price: price[1] is None, limit=10_000)
        ```
        """
        if deleted is not None:
            check_plain("table (deleted)", deleted)
        if limit is not None:
            check_count("table (limit)", limit, 1)
        return Table(self._stream, Terms(self._key, deleted, limit))

    @overload
    def lookup(
        self,
        table: Table[K, U],
        /,
        *,
        how: Literal["inner"] = "inner",
        as_of: AsOf = "latest",
        buffer: int = 65_536,
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T, U]]: ...

    @overload
    def lookup(
        self,
        table: Table[K, U],
        /,
        *,
        how: Literal["left"],
        as_of: AsOf = "latest",
        buffer: int = 65_536,
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[tuple[T, U | None]]: ...

    def lookup(
        self,
        table: Table[K, U],
        /,
        *,
        how: Literal["inner", "left"] = "inner",
        as_of: AsOf = "latest",
        buffer: int = 65_536,
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
    ) -> Stream[Any]:
        """Give each item with the row that a table has for its key.

        ```text
        -----a1-------a2---|
        --a7---a8----------|     other
        key_by(lambda x: x[0]).lookup(other.key_by(lambda x: x[0]).table())
        -----a1:a7----a2:a8|
        ```

        Gives tuples `(item, row)`. With `how="left"` an item whose key has no row is given with
        None; else it is dropped and counted (`unmatched`).

        `as_of="latest"` takes the row that the table has when the item comes; of what waits at the
        same time the table's updates come first. Event times are the later ones of item and row.

        `as_of="event time"` takes the row that was valid at the time of the item: the latest one
        that is not later. The item waits until the watermark of the table has passed its time, or
        the table is idle or has ended, with all that come behind it; so the result is the same
        however the inputs come. Up to `buffer` items wait, then this stream is backpressured: where
        both come from one source, give room for as many as come while the watermark of the table
        trails. In batch all wait until the table has ended. Earlier rows of the table are held
        until the watermark of this stream has passed them, and `allowed_lateness` seconds longer.
        Items that are later than that are dropped, counted (`late`) and sent to the side output
        `late`. A row that comes late counts for the items that are given after it.

        Emits in the order of this stream. Watermarks are those of this stream. Completes with
        it, whether or not the table's stream has; fails with the first that fails. Holds what
        `table` says.

        Raises what the keys' functions and `deleted` raise. `TypeError` for what is no table,
        and as of event time, for an item without it.

        ```python
        rates = rx.of(("EUR", 1.1)).key_by(lambda rate: rate[0]).table()
        orders = rx.of(("EUR", 20)).key_by(lambda order: order[0])
        orders.lookup(rates).starmap(lambda order, rate: order[1] * rate[1])
        ```
        """
        check_table("lookup", table)
        check_how("lookup", how, ("inner", "left"))
        if as_of not in get_args(AsOf):
            known = " or ".join(map(repr, get_args(AsOf)))
            raise ValueError(f"lookup: as_of must be {known}, not {as_of!r}")
        check_count("lookup (buffer)", buffer, 1)
        check_seconds("lookup", "`allowed_lateness`", allowed_lateness, zero=True)
        side = check_late(late)
        if as_of == "latest" and (allowed_lateness or late is not None):
            raise ValueError(
                'lookup: allowed_lateness and late are for as_of="event time"; as of the latest '
                "row no item is late"
            )
        looked = Lookup(self._key, table.terms, how, as_of, buffer, allowed_lateness, side)
        return self._stream._then(looked, table.updates)


def _check_keyed(operator: str, other: object) -> None:
    if not isinstance(other, Joining):
        raise TypeError(
            f"{operator} needs another keyed stream, such as orders.key_by(key), not "
            f"{type(other).__name__}"
        )
