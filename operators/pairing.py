"""pairing: several streams into one of tuples, and their comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.latest import CombineLatest, ForkJoin, WithLatestFrom
from operators.zipping import SequenceEqual, Zip, ZipLongest
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import Single, Stream

U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")
F = TypeVar("F")
T_co = TypeVar("T_co", covariant=True)


class Pairing(Blueprint[T_co]):
    """zip, zip_longest, combine_latest, with_latest_from, fork_join, sequence_equal.

    The event time of a tuple is the latest of those that its items have.
    """

    __slots__ = ()

    @overload
    def zip(self, a: Stream[U], /, *, strict: bool = False) -> Stream[tuple[T_co, U]]: ...

    @overload
    def zip(
        self, a: Stream[U], b: Stream[V], /, *, strict: bool = False
    ) -> Stream[tuple[T_co, U, V]]: ...

    @overload
    def zip(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /, *, strict: bool = False
    ) -> Stream[tuple[T_co, U, V, W]]: ...

    @overload
    def zip(self, *others: Stream[Any], strict: bool = False) -> Stream[tuple[Any, ...]]: ...

    def zip(self, *others: Stream[Any], strict: bool = False) -> Stream[Any]:
        """Pair the items of several streams by position.

        ```text
        --1-----2-----3-|
        ----a-----b---|     other
        zip(other)
        ----1a----2b--|
        ```

        Emits a tuple when every input has given its next item; its event time is the latest of
        those that have one. Backpressures an input that is ahead. Completes when one input has
        completed and its items are used up, and closes the others; what those gave beyond is
        dropped, or, with `strict`, raises `ValueError`. Fails with an input that fails, once its
        items are used up, since it waits until then (Rx fails at once).

        ```python
        rx.of(1, 2).zip(rx.of("a", "b"))
        ```
        """
        return self._then(Zip(strict), *others)

    @overload
    def zip_longest(
        self, a: Stream[U], /, *, fill: None = None
    ) -> Stream[tuple[T_co | None, U | None]]: ...

    @overload
    def zip_longest(
        self, a: Stream[U], b: Stream[V], /, *, fill: None = None
    ) -> Stream[tuple[T_co | None, U | None, V | None]]: ...

    @overload
    def zip_longest(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /, *, fill: None = None
    ) -> Stream[tuple[T_co | None, U | None, V | None, W | None]]: ...

    @overload
    def zip_longest(self, a: Stream[U], /, *, fill: F) -> Stream[tuple[T_co | F, U | F]]: ...

    @overload
    def zip_longest(
        self, a: Stream[U], b: Stream[V], /, *, fill: F
    ) -> Stream[tuple[T_co | F, U | F, V | F]]: ...

    @overload
    def zip_longest(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /, *, fill: F
    ) -> Stream[tuple[T_co | F, U | F, V | F, W | F]]: ...

    @overload
    def zip_longest(self, *others: Stream[Any], fill: Any = None) -> Stream[tuple[Any, ...]]: ...

    def zip_longest(self, *others: Stream[Any], fill: Any = None) -> Stream[Any]:
        """Pair the items of several streams by position, to the end of the longest.

        ```text
        --1-----2-----3-|
        ----a-----|         other
        zip_longest(other, fill=0)
        ----1a----20--30|
        ```

        Emits a tuple when every input has given its next item or has completed; `fill` stands for
        what is missing. Backpressures an input that is ahead. Completes when all inputs have.
        Fails with an input that fails, once its items are used up. Loses nothing.

        ```python
        rx.of(1, 2).zip_longest(rx.of("a"), fill="-")
        ```
        """
        return self._then(ZipLongest(fill), *others)

    @overload
    def combine_latest(self, a: Stream[U], /) -> Stream[tuple[T_co, U]]: ...

    @overload
    def combine_latest(self, a: Stream[U], b: Stream[V], /) -> Stream[tuple[T_co, U, V]]: ...

    @overload
    def combine_latest(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /
    ) -> Stream[tuple[T_co, U, V, W]]: ...

    @overload
    def combine_latest(self, *others: Stream[Any]) -> Stream[tuple[Any, ...]]: ...

    def combine_latest(self, *others: Stream[Any]) -> Stream[Any]:
        """Give the latest items of several streams, whenever one of them gives one.

        ```text
        --1-----2-----|
        ----a-----b---|     other
        combine_latest(other)
        ----1a--2a2b--|
        ```

        Emits a tuple for every item once all inputs have given one; items that come before that
        are dropped for the next of their input. Which of several items that wait at the same time
        comes first is not defined. Backpressures every input. Completes when all inputs have, or
        when one has without an item (RxPY waits for the others). Fails with the first that fails.

        ```python
        rx.interval(1).combine_latest(rx.interval(2)).take(3)
        ```
        """
        return self._then(CombineLatest(), *others)

    @overload
    def with_latest_from(self, a: Stream[U], /) -> Stream[tuple[T_co, U]]: ...

    @overload
    def with_latest_from(self, a: Stream[U], b: Stream[V], /) -> Stream[tuple[T_co, U, V]]: ...

    @overload
    def with_latest_from(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /
    ) -> Stream[tuple[T_co, U, V, W]]: ...

    @overload
    def with_latest_from(self, *others: Stream[Any]) -> Stream[tuple[Any, ...]]: ...

    def with_latest_from(self, *others: Stream[Any]) -> Stream[Any]:
        """Give every item of this stream with the latest of others.

        ```text
        --1-----2-----3-|
        ----a-------b----   other
        with_latest_from(other)
        --------2a----3b|
        ```

        Emits a tuple for every item of this stream; of items that wait at the same time, those of
        the others are taken first. Backpressures this stream; the others are read as they come.
        Completes with this stream, whether or not the others have. Fails with the first that
        fails. Drops the items that come before every other has given one, counted (`dropped` in
        the metrics), and of the others all but the latest. Watermarks are those of this stream.

        ```python
        rates = rx.of(1.1).concat(rx.never())
        rx.of(10, 20).with_latest_from(rates).starmap(lambda amount, rate: amount * rate)
        ```
        """
        return self._then(WithLatestFrom(), *others)

    @overload
    def fork_join(self, a: Stream[U], /) -> Stream[tuple[T_co, U]]: ...

    @overload
    def fork_join(self, a: Stream[U], b: Stream[V], /) -> Stream[tuple[T_co, U, V]]: ...

    @overload
    def fork_join(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /
    ) -> Stream[tuple[T_co, U, V, W]]: ...

    @overload
    def fork_join(self, *others: Stream[Any]) -> Stream[tuple[Any, ...]]: ...

    def fork_join(self, *others: Stream[Any]) -> Stream[Any]:
        """Give the last items of several streams, when all have completed.

        ```text
        --1-----2--|
        ----a---------|     other
        fork_join(other)
        --------------(2a |)
        ```

        Emits one tuple, at the end, and takes items as they come until then, without backpressure;
        none if an input completes without an item: then it completes at once and closes the others.
        Fails with the first input that fails. Drops all but the last of each, by design. Watermarks
        pass up to the time the tuple will have at least.

        ```python
        rx.of(1, 2).fork_join(rx.of("a"))
        ```
        """
        return self._then(ForkJoin(), *others)

    def sequence_equal(self, other: Stream[Any]) -> Single[bool]:
        """Whether another stream gives equal items in the same order.

        ```text
        --1-----2-----3-|
        ----1-----4--       other
        sequence_equal(other)
        ----------(False |)
        ```

        Emits once: False at the first difference, and closes both; True when both have completed.
        Backpressures an input that is ahead. Fails with an input that fails, once its items are
        used up, since it waits until then (Rx fails at once). Raises what `==` raises; identical
        items are equal.

        ```python
        same = await rx.of(1, 2).sequence_equal(rx.range(1, 3))
        ```
        """
        return Blueprint.single_class(self._then(SequenceEqual(), other).node)
