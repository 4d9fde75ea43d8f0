"""limiting: how much of a stream goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from operators.checking import check_count, check_plain, check_seconds
from operators.limits import (
    Skip,
    SkipLast,
    SkipWhile,
    Take,
    TakeLast,
    TakeNothing,
    TakeWhile,
    slice_operators,
)
from operators.until import Until, check_until
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)


class Limiting(Blueprint[T_co]):
    """take, skip, take_while, skip_while, take_last, skip_last, take_until, skip_until, take_for,
    and slices.
    """

    __slots__ = ()

    def take(self, count: int) -> Stream[T_co]:
        """Give the first `count` items, then complete.

        ```text
        --1--2--3--4--|
        take(2)
        --1--(2|)
        ```

        Emits up to `count` items, and backpressures with its neighbours. Completes with the last of
        them and closes upstream; operators before it see no item after it. `take(0)` completes at
        once and opens nothing. Drops the rest, by design. `ValueError` for a negative count.

        ```python
        rx.range(10).take(3)
        ```
        """
        check_count("take", count)
        return self._then(Take(count) if count else TakeNothing())

    def skip(self, count: int) -> Stream[T_co]:
        """Drop the first `count` items.

        ```text
        --1--2--3--4--|
        skip(2)
        --------3--4--|
        ```

        Emits every later item. Backpressures and completes with its neighbours. Drops the others,
        by design. `ValueError` for a negative count.

        ```python
        rx.range(10).skip(3)
        ```
        """
        check_count("skip", count)
        return self._then(Skip(count))

    def take_while(
        self, predicate: Callable[[T_co], object], *, inclusive: bool = False
    ) -> Stream[T_co]:
        """Give items until the first for which `predicate` does not hold.

        ```text
        --1--2--3--1--|
        take_while(lambda x: x < 3)
        --1--2--|
        ```

        Emits what comes before that item, and backpressures with its neighbours. Completes at that
        item, which is given too if `inclusive`, and closes upstream. Drops the rest, by design.
        Raises what `predicate` raises.

        ```python
        rx.range(10).take_while(lambda x: x < 3)
        ```
        """
        check_plain("take_while", predicate)
        return self._then(TakeWhile(predicate, inclusive))

    def skip_while(self, predicate: Callable[[T_co], object]) -> Stream[T_co]:
        """Drop items until the first for which `predicate` does not hold.

        ```text
        --1--2--3--1--|
        skip_while(lambda x: x < 3)
        --------3--1--|
        ```

        Emits that item and every later one, without asking again. Backpressures and completes with
        its neighbours. Drops what comes before, by design. Raises what `predicate` raises.

        ```python
        rx.range(10).skip_while(lambda x: x < 3)
        ```
        """
        check_plain("skip_while", predicate)
        return self._then(SkipWhile(predicate))

    def take_last(self, count: int) -> Stream[T_co]:
        """Give the last `count` items when upstream completes.

        ```text
        --1--2--3--|
        take_last(2)
        -----------(23|)
        ```

        Emits and completes after upstream has, and so never for an endless stream; until then it
        takes items as they come, without backpressure. Holds `count` items, and from the first one
        on the watermark, so that none of them is late. Drops the others, by design; a failing
        upstream gives none. `ValueError` for a negative count.

        ```python
        rx.range(10).take_last(3)
        ```
        """
        check_count("take_last", count)
        return self._then(TakeLast(count))

    def skip_last(self, count: int) -> Stream[T_co]:
        """Drop the last `count` items.

        ```text
        --1--2--3--4--|
        skip_last(2)
        --------1--2--|
        ```

        Emits an item when `count` more have come. Holds `count` items, and the watermarks that came
        after them. Backpressures and completes with its neighbours; what is held then is dropped,
        by design. `ValueError` for a negative count.

        ```python
        rx.range(10).skip_last(3)
        ```
        """
        check_count("skip_last", count)
        return self._then(SkipLast(count))

    def take_until(self, until: Stream[Any] | asyncio.Event | datetime) -> Stream[T_co]:
        """Give items until another stream gives its first, an event is set, or a time of day.

        ```text
        --1--2--3--4--|
        -------a---         other
        take_until(other)
        --1--2-|
        ```

        Emits what upstream gives, and backpressures it. Completes with upstream or at that moment,
        also in silence, and closes both. A stream that ends without an item has no effect; its
        failure fails this stream. A datetime needs a time zone and is read off the wall clock once,
        when the run opens. Drops what upstream gives later, and items still on the edge then.

        ```python
        rx.interval(1).take_until(rx.timer(5))
        ```
        """
        return self._until("take_until", until)

    def skip_until(self, until: Stream[Any] | asyncio.Event | datetime) -> Stream[T_co]:
        """Drop items until another stream gives its first, an event is set, or a time of day.

        ```text
        --1--2--3--4--|
        -------a---         other
        skip_until(other)
        --------3--4--|
        ```

        Emits what upstream gives from that moment on, and backpressures it; the other stream is
        then closed. Drops what comes before, taken as fast as it comes. Completes with upstream
        (RxPY does not complete before that moment). A stream that ends without an item lets nothing
        through; its failure fails this stream. A datetime needs a time zone and is read off the
        wall clock once, when the run opens.

        ```python
        rx.interval(1).skip_until(rx.timer(5)).take(3)
        ```
        """
        return self._until("skip_until", until)

    def _until(self, operator: str, until: Stream[Any] | asyncio.Event | datetime) -> Stream[T_co]:
        check_until(operator, until)
        if isinstance(until, (asyncio.Event, datetime)):
            return self._then(Until(operator, until))
        return self._then(Until(operator), until)

    def take_for(self, seconds: float) -> Stream[T_co]:
        """Give items for some seconds of the loop's clock, from the opening of the run.

        ```text
        --1--2--3--4--|
        take_for(7)
        --1--2-|
        ```

        Emits what upstream gives, and backpressures it. Completes with upstream or when the seconds
        are over, also in silence, and closes upstream. Drops what comes later, by design. Restored
        from a snapshot, it goes on with the seconds that were left. `ValueError` for a time not
        above 0.

        ```python
        rx.interval(1).take_for(5)
        ```
        """
        check_seconds("take_for", "a time", seconds)
        return self._then(Until("take_for", seconds))

    def __getitem__(self, part: slice[int | None, int | None, int | None]) -> Stream[T_co]:
        """The items at some positions, as in a slice of a list.

        ```text
        --a--b--c--d--e--f--g--|
        [1:6:2]
        -----b-----d-----(f|)
        ```

        Emits an item as soon as it is known to be among them, drops the others, by design, and
        backpressures with its neighbours. Completes with the last of them and closes upstream, if
        positions are counted from the beginning. Those counted from the end need as many items
        held, as `take_last` and `skip_last` do. `ValueError` for a step below 1. For a single item,
        see `element_at`, `first` and `last`.

        ```python
        rx.range(10)[2:10:2]
        ```
        """
        stream: Any = self
        for operator in slice_operators(part):
            stream = stream._then(operator)
        return cast("Stream[T_co]", stream)

    __iter__: ClassVar[None] = None
    """Without this, `for` and `list` would try positions one after the other."""
