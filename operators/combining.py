"""combining: several streams into one, item by item."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.checking import check_count, check_plain
from operators.merging import Interleave, Merge, Race
from operators.sequencing import Concat, EndWith, StartWith
from operators.sorting import MergeSorted
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from operators.folding import SupportsLess
    from reactive.stream import Stream

U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")
T_co = TypeVar("T_co", covariant=True)


def _check_priorities(priorities: Sequence[float], inputs: int) -> tuple[float, ...]:
    if not isinstance(priorities, Sequence):
        raise TypeError(
            f"merge needs a list of priorities, one for each stream, not {priorities!r}"
        )
    for number in priorities:
        if not isinstance(number, (int, float)) or isinstance(number, bool) or math.isnan(number):
            raise TypeError(f"merge needs numbers as priorities, not {number!r}")
    if len(priorities) != inputs:
        raise ValueError(
            f"merge of {inputs} streams needs {inputs} priorities, one for this stream and one "
            f"for each of the others, not {len(priorities)}"
        )
    return tuple(priorities)


class Combining(Blueprint[T_co]):
    """merge, concat, interleave, race, merge_sorted, start_with, end_with."""

    __slots__ = ()

    @overload
    def merge(
        self, a: Stream[U], b: Stream[V], /, *, priorities: Sequence[float] | None = None
    ) -> Stream[T_co | U | V]: ...

    @overload
    def merge(
        self,
        a: Stream[U],
        b: Stream[V],
        c: Stream[W],
        /,
        *,
        priorities: Sequence[float] | None = None,
    ) -> Stream[T_co | U | V | W]: ...

    @overload
    def merge(
        self, *others: Stream[U], priorities: Sequence[float] | None = None
    ) -> Stream[T_co | U]: ...

    def merge(self, *others: Stream[Any], priorities: Sequence[float] | None = None) -> Stream[Any]:
        """Give the items of several streams as they come.

        ```text
        --1-----2---|
        ----a-----b-|   other
        merge(other)
        --1-a---2-b-|
        ```

        Emits an item as soon as it is there; each input keeps its order, and none starves
        another. With `priorities`, one number for each stream, this one first, an input gives
        items when those with a higher number have none waiting; it may then starve. Backpressures
        every input over its own bounded edge. Completes when all inputs have. Fails with the
        first that fails, and closes the others. Loses nothing. Watermarks are the minimum over
        the inputs. `ValueError` for another number of priorities than streams.

        ```python
        rx.of(1, 2).merge(rx.of("a", "b"))
        rx.interval(1).merge(rx.range(9), priorities=[1, 0])
        ```
        """
        if priorities is None:
            return self._then(Merge(), *others)
        return self._then(Merge(_check_priorities(priorities, 1 + len(others))), *others)

    @overload
    def concat(self, a: Stream[U], b: Stream[V], /) -> Stream[T_co | U | V]: ...

    @overload
    def concat(self, a: Stream[U], b: Stream[V], c: Stream[W], /) -> Stream[T_co | U | V | W]: ...

    @overload
    def concat(self, *others: Stream[U]) -> Stream[T_co | U]: ...

    def concat(self, *others: Stream[Any]) -> Stream[Any]:
        """Give all items of this stream, then all of the next.

        ```text
        --1--2|
        --a--b|         other
        concat(other)
        --1--2--a--b|
        ```

        Emits what the current input gives, and backpressures it. An input is opened when the one
        before has completed and not earlier. Completes with the last. Fails with the input that
        fails; later ones are not opened. Loses nothing. Watermarks pass unless they would go back.

        ```python
        rx.of(1, 2).concat(rx.of(3))
        ```
        """
        return self._then(Concat(), *others)

    @overload
    def interleave(
        self, a: Stream[U], b: Stream[V], /, *, count: int = 1
    ) -> Stream[T_co | U | V]: ...

    @overload
    def interleave(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /, *, count: int = 1
    ) -> Stream[T_co | U | V | W]: ...

    @overload
    def interleave(self, *others: Stream[U], count: int = 1) -> Stream[T_co | U]: ...

    def interleave(self, *others: Stream[Any], count: int = 1) -> Stream[Any]:
        """Give items of several streams in turn, `count` of each.

        ```text
        --1-2-3-------|
        ----a-----b---c|    other
        interleave(other)
        --1-(a2)--(b3)c|
        ```

        Emits the next items of the input whose turn it is, waiting for them; an input that has
        completed is passed over. Backpressures an input that is ahead. Completes when all inputs
        have. Fails with an input that fails, once its items are used up. Loses nothing. `merge`
        gives items as they come instead. `ValueError` for a count below 1.

        ```python
        rx.of(1, 2, 3).interleave(rx.of("a", "b"))
        ```
        """
        check_count("interleave", count, 1)
        return self._then(Interleave(count), *others)

    @overload
    def race(self, a: Stream[U], b: Stream[V], /) -> Stream[T_co | U | V]: ...

    @overload
    def race(self, a: Stream[U], b: Stream[V], c: Stream[W], /) -> Stream[T_co | U | V | W]: ...

    @overload
    def race(self, *others: Stream[U]) -> Stream[T_co | U]: ...

    def race(self, *others: Stream[Any]) -> Stream[Any]:
        """Go on with the stream that is first to give an item, and close the others.

        ```text
        ----1--2--3--|
        --a----b-|      other
        race(other)
        --a----b-|
        ```

        Emits what the winner gives. An input also wins by completing or failing first. Runs all
        inputs until then, each as far ahead as its bounded edge holds; what the others gave on
        theirs is dropped. Backpressures the winner. Completes and fails with it. Rx calls it `amb`
        too.

        ```python
        first = await rx.timer(2).race(rx.timer(1)).first()
        ```
        """
        return self._then(Race(), *others)

    @overload
    def merge_sorted(
        self,
        a: Stream[U],
        b: Stream[V],
        /,
        *,
        key: Callable[[T_co | U | V], SupportsLess] | None = None,
    ) -> Stream[T_co | U | V]: ...

    @overload
    def merge_sorted(
        self,
        a: Stream[U],
        b: Stream[V],
        c: Stream[W],
        /,
        *,
        key: Callable[[T_co | U | V | W], SupportsLess] | None = None,
    ) -> Stream[T_co | U | V | W]: ...

    @overload
    def merge_sorted(
        self, *others: Stream[U], key: Callable[[T_co | U], SupportsLess] | None = None
    ) -> Stream[T_co | U]: ...

    def merge_sorted(
        self, *others: Stream[Any], key: Callable[[Any], SupportsLess] | None = None
    ) -> Stream[Any]:
        """Merge streams that are each sorted, by value or by `key(item)`, into a sorted one.

        ```text
        --1--4-----5---|
        ----2----3-|        other
        merge_sorted(other)
        ----12---3-(45)|
        ```

        Emits an item once no input can give one that comes before it, so every input that has
        not completed has to have one waiting; equal items in the order of their streams.
        Backpressures an input that is ahead. Completes when all inputs have. Fails with an input
        that fails, once its items are used up. Loses nothing. `ValueError`, naming the input, for
        an item below the one before it. Raises what `key` or `<` raises.

        ```python
        rx.of(1, 4, 6).merge_sorted(rx.of(2, 3), rx.of(5))
        ```
        """
        if key is not None:
            check_plain("merge_sorted", key)
        return self._then(MergeSorted(key), *others)

    def start_with(self, *items: U) -> Stream[T_co | U]:
        """Give these items, then those of this stream.

        ```text
        -----1--2--|
        start_with(8, 9)
        (89)-1--2--|
        ```

        Emits the items at once; they have no event time. Opens upstream at once too.
        Backpressures and completes with upstream. Loses nothing. Use `concat` to put a stream
        first.

        ```python
        rx.of(1, 2).start_with(0)
        ```
        """
        return self._then(StartWith(items))

    def end_with(self, *items: U) -> Stream[T_co | U]:
        """Give the items of this stream, then these.

        ```text
        --1--2--|
        end_with(8)
        --1--2--(8|)
        ```

        Emits the items when upstream completes, not when it fails; their event time is that of
        the last item before them, or of a watermark after it. Backpressures with its neighbours.
        Completes after the last of the items. Loses nothing. Use `concat` to put a stream last.

        ```python
        rx.of(1, 2).end_with(3)
        ```
        """
        return self._then(EndWith(items))
