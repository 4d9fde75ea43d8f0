"""batching: several items as one list."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from operators.checking import check_count, check_plain, check_seconds
from operators.conflating import AggregateWhileBusy
from operators.gathering import (
    BatchBy,
    BatchWeighed,
    BatchWeighedWithin,
    BatchWhile,
    BatchWithin,
    BufferUntil,
)
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline, kind_of_state

if TYPE_CHECKING:
    from reactive.stream import Stream

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Batch(Inline):
    """`batch` by count."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    count: int

    def details(self) -> dict[str, object]:
        return {"count": self.count}

    def emit(self, code: Code) -> None:
        held = code.state("held", "[]")
        code.line(f"{held}.append({code.item})")
        code.skip_unless(f"len({held}) == {self.count}")
        code.let(held)
        code.line(f"{held} = []")

    def end(self, code: Code) -> str:
        held = code.state("held", "[]")
        return f"([{held}] if {held} else ())"


@dataclass(frozen=True)
class Sliding(Inline):
    """`sliding`."""

    count: int
    every: int

    def details(self) -> dict[str, object]:
        return {"count": self.count, "step": self.every}

    @property
    def state_kind(self) -> str:
        return kind_of_state(self.label, "a list" if self.every == 1 else "a queue")

    def emit(self, code: Code) -> None:
        if self.every == 1:
            # A list is copied faster than a queue, most of all so, and is moved in less time.
            held = code.state("held", "[]")
            code.line(f"{held}.append({code.item})")
            code.skip_unless(f"len({held}) == {self.count}")
            code.let(f"[*{held}]")
            code.line(f"del {held}[0]")
            return
        held = code.state("held", f"{code.bind('deque', _deque)}({self.count})")
        wait = code.state("wait", str(self.count))
        code.line(f"{held}.append({code.item})")
        code.line(f"{wait} -= 1")
        code.skip_unless(f"{wait} == 0")
        code.line(f"{wait} = {self.every}")
        code.let(f"list({held})")


def _deque(count: int) -> deque[Any]:
    return deque(maxlen=count)


def _check_weight(max_weight: float) -> None:
    if not isinstance(max_weight, (int, float)) or isinstance(max_weight, bool):
        raise TypeError(f"batch needs a number as max_weight, not {max_weight!r}")
    if not (math.isfinite(max_weight) and max_weight > 0):
        raise ValueError(f"batch needs a max_weight above 0, not {max_weight}")


class Batching(Blueprint[T_co]):
    """batch, batch_while, batch_by, buffer_until, aggregate_while_busy, sliding."""

    __slots__ = ()

    @overload
    def batch(self, count: int, within: float | None = None) -> Stream[list[T_co]]: ...

    @overload
    def batch(
        self,
        count: int | None = None,
        within: float | None = None,
        *,
        weight: Callable[[T_co], float],
        max_weight: float,
    ) -> Stream[list[T_co]]: ...

    def batch(
        self,
        count: int | None = None,
        within: float | None = None,
        *,
        weight: Callable[[T_co], float] | None = None,
        max_weight: float | None = None,
    ) -> Stream[list[T_co]]:
        """Gather items into lists of `count`, or up to a weight, waiting no longer than `within`
        seconds.

        ```text
        --1--2--3--|
        batch(2)
        -----[12]--([3] |)
        ```

        ```text
        --aa--b--cc----dddd----------|
        batch(weight=len, max_weight=3)
        ------[aa,b]---([cc] [dddd])-|
        ```

        Emits a full list at once, and the rest when upstream completes. A list is full when it has
        `count` items or `max_weight`, the sum of what `weight` gives for each; it leaves before an
        item that would make it heavier than that, and an item heavier by itself leaves alone. With
        `within`, a list leaves that many seconds of the loop's clock after its first item came
        (Rx's bufferWithTimeOrCount counts from the list before, and gives empty ones), and also
        before a watermark passes; with a weight and without `within`, a watermark waits for the
        list begun. A list has the event time of its last item. Backpressures when
        downstream does; the time that takes counts. Completes with upstream. Loses nothing; a
        failing upstream discards the list begun. Raises what `weight` raises. `TypeError` without
        a count and a weight, since a time alone bounds no list; `ValueError` for a count below 1,
        a time or maximum not above 0, or a weight below 0.

        ```python
        rx.range(10).batch(4)
        rx.of(b"abc", b"d").batch(weight=len, max_weight=65_536, within=0.5)
        ```
        """
        if within is not None:
            check_seconds("batch", "`within`", within)
        if count is not None:
            check_count("batch", count, 1)
        if (weight is None) is not (max_weight is None):
            raise TypeError(
                "batch takes `weight`, a function such as len, and `max_weight` together"
            )
        if weight is not None and max_weight is not None:
            check_plain("batch", weight)
            _check_weight(max_weight)
            if within is None:
                return self._then(BatchWeighed(count, weight, max_weight))
            return self._then(BatchWeighedWithin(count, weight, max_weight, within))
        if count is None:
            raise TypeError(
                "batch needs a count, or a weight and max_weight, which bound what it holds"
            )
        if within is None:
            return self._then(Batch(count))
        return self._then(BatchWithin(count, within))

    def batch_while(
        self, predicate: Callable[[list[T_co], T_co], object], *, count: int | None = None
    ) -> Stream[list[T_co]]:
        """Gather items into a list for as long as `predicate(list so far, item)` holds.

        ```text
        --1--2--3--7--8--|
        batch_while(lambda batch, x: x == batch[-1] + 1)
        -----------[123]-([78] |)
        ```

        Emits a list when an item comes for which `predicate` does not hold, which begins the next;
        with `count`, also when it has so many items; and the rest when upstream completes. The
        first item of a list is not asked about. The list so far must not be changed. Holds a list,
        which `count` bounds; a watermark waits for the list begun. A list has the event time of its
        last item. Backpressures and completes with its neighbours. Loses nothing; a failing
        upstream discards the list begun. Raises what `predicate` raises. `ValueError` for a count
        below 1.

        ```python
        rx.of(1, 2, 5, 6).batch_while(lambda batch, x: x - batch[0] < 3, count=1000)
        ```
        """
        check_plain("batch_while", predicate)
        if count is not None:
            check_count("batch_while", count, 1)
        return self._then(BatchWhile(predicate, count))

    def batch_by(
        self, key: Callable[[T_co], object], *, count: int | None = None
    ) -> Stream[list[T_co]]:
        """Gather items that follow one another and have equal keys, as `itertools.groupby` does.

        ```text
        --1--3--4--6--5-----|
        batch_by(lambda x: x % 2)
        --------[13]--[46]--([5] |)
        ```

        Emits a list when the first item with another key comes; with `count`, also when it has so
        many items; and the rest when upstream completes. Holds a list, which `count` bounds; a
        watermark waits for the list begun. A list has the event time of its last item.
        Backpressures and completes with its neighbours. Loses nothing; a failing upstream discards
        the list begun. Raises what `key` raises. `ValueError` for a count below 1.

        ```python
        rx.of("a", "b", "cc").batch_by(len, count=1000)
        ```
        """
        check_plain("batch_by", key)
        if count is not None:
            check_count("batch_by", count, 1)
        return self._then(BatchBy(key, count))

    def buffer_until(self, boundary: Stream[Any], *, limit: int = 1024) -> Stream[list[T_co]]:
        """Gather items into a list until another stream gives an item.

        ```text
        --1--2----3-4---------|
        -------a------b----c----|  boundary
        buffer_until(boundary)
        -------[12]---[34]-[]-|
        ```

        Emits a list for every item of `boundary`, an empty one where nothing came (as Rx `buffer`
        does), and the rest when upstream completes, if there is any (Rx gives an empty one then
        too). Where Rx would hold any number, a list leaves early when it has `limit` items. Holds a
        list; a watermark waits for the list begun, and those of `boundary` do not count. A list has
        the event time of its last item. Backpressures both streams while a list waits for
        downstream. Completes with upstream, and goes on without `boundary` when that completes
        first (RxPY completes with it). Fails with the first that fails. Loses nothing; a failure
        discards the list begun. `ValueError` for a limit below 1.

        ```python
        rx.interval(0.1).buffer_until(rx.interval(1))
        ```
        """
        check_count("buffer_until", limit, 1)
        return self._then(BufferUntil(limit), boundary)

    @overload
    def aggregate_while_busy(
        self, combine: None = None, *, limit: int = 1024
    ) -> Stream[list[T_co]]: ...

    @overload
    def aggregate_while_busy(
        self: Batching[T], combine: Callable[[T, T], T], *, limit: int = 1024
    ) -> Stream[T]: ...

    def aggregate_while_busy(
        self, combine: Callable[[Any, Any], Any] | None = None, *, limit: int = 1024
    ) -> Stream[Any]:
        """Gather what comes while downstream is busy: it leaves as one list.

        ```text
        --1-2-3-4-5------------|
        aggregate_while_busy().map(busy(5))
        -------[1]--[23]-[45]--|
        ```

        Emits an item at once if downstream waits for it, in a list of its own. What comes while
        downstream is busy leaves together, as soon as downstream asks for more: so lists are short
        while it keeps up and grow under load. With `combine`, items become one by
        `combine(waiting, item)` in place of a list. Backpressures when `limit` items wait, and as
        many again on the edge before it; see `conflate` for never, and for when downstream is
        busy. The event time is the latest of the items; a watermark waits for what it came after.
        Completes with upstream, once what waits was given; a failure comes after that too. Loses
        nothing. Raises what `combine` raises. `ValueError` for a limit below 1.

        ```python
        rx.range(100).aggregate_while_busy(limit=50).map(fetch)
        ```
        """
        if combine is not None:
            check_plain("aggregate_while_busy", combine)
        check_count("aggregate_while_busy", limit, 1)
        return self._then(AggregateWhileBusy(combine, limit))

    def sliding(self, count: int, step: int = 1) -> Stream[list[T_co]]:
        """Give the last `count` items as a list, every `step` items.

        ```text
        --1--2--3-----4-----|
        sliding(3)
        --------[123]-[234]-|
        ```

        Emits from item `count` on, then after every `step` items; an incomplete window at the end
        is not given (Rx's buffer gives it). With a step above `count`, items in between are
        dropped. Backpressures and completes with its neighbours. `ValueError` for a count or step
        below 1.

        ```python
        rx.range(5).sliding(3)
        ```
        """
        check_count("sliding", count, 1)
        check_count("sliding (step)", step, 1)
        return self._then(Sliding(count, step))
