"""folding: many items into one result, which can be awaited or streamed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from operators.checking import MISSING, check_count, check_plain
from operators.folds import (
    Collect,
    CollectInto,
    Count,
    Extreme,
    Fold,
    Given,
    Mean,
    Reduce,
    Sum,
    ToDict,
    Top,
    Variance,
    putter,
)
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import Single

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)


class SupportsLess(Protocol):
    """Can be ordered with `<`."""

    def __lt__(self, other: Any, /) -> bool: ...


class Folding(Blueprint[T_co]):
    """reduce, fold, count, sum, mean, variance, min, max, top, to_list, to_set, to_dict,
    collect_into.

    Each gives one item when upstream completes: `await` it for the result, or go on with it as
    a stream. A failing upstream gives none. Each holds its result so far and nothing else.
    """

    __slots__ = ()

    @overload
    def reduce(self, fn: Callable[[T_co, T_co], T_co]) -> Single[T_co]: ...

    @overload
    def reduce(self, fn: Callable[[U, T_co], U], initial: U) -> Single[U]: ...

    def reduce(self, fn: Callable[[Any, Any], Any], initial: Any = MISSING) -> Single[Any]:
        """Fold all items into one with `fn(result so far, item)`.

        ```text
        --1--2--3--|
        reduce(lambda total, x: total + x, 0)
        -----------(6|)
        ```

        Emits once and completes when upstream does. Without `initial` the first item is the first
        result, and an empty stream raises `EmptyStreamError`. Takes items as they come, without
        backpressure. Loses nothing, but a failing upstream gives no result. `initial` must not be
        changed in place.

        ```python
        total = await rx.of(1, 2, 3).reduce(lambda a, b: a + b)
        ```
        """
        check_plain("reduce", fn)
        return self._one(Reduce(fn, initial))

    def fold(self, fn: Callable[[U, T_co], U], factory: Callable[[], U]) -> Single[U]:
        """Fold all items into one with `fn(result so far, item)`, from what `factory()` gives.

        ```text
        --1--2--3--|
        fold(lambda seen, x: seen | {x}, set)
        -----------({123} |)
        ```

        Emits once and completes when upstream does. The start is made anew for every run, so `fn`
        may change it in place; it has to give the result back all the same. An empty stream gives
        the start as it is. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result. Raises what `fn` and `factory` raise.

        ```python
        letters = await rx.of("a", "b").fold(lambda so_far, x: [x, *so_far], list)
        ```
        """
        check_plain("fold", fn)
        check_plain("fold", factory)
        return self._one(Fold(fn, factory))

    def count(self) -> Single[int]:
        """Count the items.

        ```text
        --a--b--|
        count()
        --------(2|)
        ```

        Emits once and completes when upstream does; 0 for an empty stream. Takes items as they
        come, without backpressure. Loses nothing, but a failing upstream gives no result.

        ```python
        n = await rx.range(10).count()
        ```
        """
        return self._one(Count())

    @overload
    def sum(self) -> Single[T_co]: ...

    @overload
    def sum(self, start: U) -> Single[T_co | U]: ...

    def sum(self, start: Any = 0) -> Single[Any]:
        """Add up the items, beginning with `start`.

        ```text
        --1--2--3--|
        sum()
        -----------(6|)
        ```

        Emits once and completes when upstream does; `start` for an empty stream. Takes items as
        they come, without backpressure. Loses nothing, but a failing upstream gives no result.
        Raises what `+` raises.

        ```python
        total = await rx.of(1, 2, 3).sum()
        ```
        """
        return self._one(Sum(start))

    def mean(self) -> Single[float]:
        """The arithmetic mean of the items.

        ```text
        --1--2--3--|
        mean()
        -----------(2|)
        ```

        Emits once and completes when upstream does: the sum divided by the count. Takes items as
        they come, without backpressure. Loses nothing, but a failing upstream gives no result.
        `EmptyStreamError` without items.

        ```python
        average = await rx.of(1, 2, 3).mean()
        ```
        """
        return self._one(Mean())

    def variance(self, *, population: bool = False) -> Single[float]:
        """The variance of the items as a sample, or with `population` as all there are.

        ```text
        --1--2--3--|
        variance()
        -----------(1|)
        ```

        Emits once and completes when upstream does: the squared distances from the mean, added up
        by Welford's method in one pass, divided by the count less one, or by the count for a
        population. Exact for `Fraction`. Takes items as they come, without backpressure. Loses
        nothing, but a failing upstream gives no result. `EmptyStreamError` for fewer than two
        items, or without one for a population.

        ```python
        spread = await rx.of(1, 2, 3).variance(population=True)
        ```
        """
        return self._one(Variance(bool(population)))

    @overload
    def min(self, key: Callable[[T_co], SupportsLess] | None = None) -> Single[T_co]: ...

    @overload
    def min(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: U
    ) -> Single[T_co | U]: ...

    def min(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The smallest item, by value or by `key(item)`; the first of equals.

        ```text
        --3--1--2--|
        min()
        -----------(1|)
        ```

        Emits once and completes when upstream does. Without items, `default`, or
        `EmptyStreamError`. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result.

        ```python
        shortest = await rx.of("bb", "a").min(key=len)
        ```
        """
        if key is not None:
            check_plain("min", key)
        return self._one(Extreme("min", key, default))

    @overload
    def max(self, key: Callable[[T_co], SupportsLess] | None = None) -> Single[T_co]: ...

    @overload
    def max(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: U
    ) -> Single[T_co | U]: ...

    def max(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The largest item, by value or by `key(item)`; the first of equals.

        ```text
        --3--1--2--|
        max()
        -----------(3|)
        ```

        Emits once and completes when upstream does. Without items, `default`, or
        `EmptyStreamError`. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result.

        ```python
        longest = await rx.of("bb", "a").max(key=len)
        ```
        """
        if key is not None:
            check_plain("max", key)
        return self._one(Extreme("max", key, default))

    def top(
        self, count: int, key: Callable[[T_co], SupportsLess] | None = None
    ) -> Single[list[T_co]]:
        """The `count` largest items, by value or by `key(item)`, the largest first.

        ```text
        --3--1--4--2--|
        top(2)
        --------------([43] |)
        ```

        Emits once and completes when upstream does; fewer if there are fewer. Equals keep their
        order, and the first of them stay. Holds twice as many items at most, or 64 more, and sorts
        them now and then. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result. `ValueError` for a count below 1. Raises what `key`
        raises, and what `<` raises where items are sorted.

        ```python
        longest = await rx.of("a", "ccc", "bb").top(2, len)
        ```
        """
        check_count("top", count, 1)
        if key is not None:
            check_plain("top", key)
        return self._one(Top.of(count, key))

    def to_list(self) -> Single[list[T_co]]:
        """All items as one list.

        ```text
        --1--2--|
        to_list()
        --------([12] |)
        ```

        Emits once and completes when upstream does. Memory grows with the number of items. Takes
        items as they come, without backpressure. Loses nothing, but a failing upstream gives no
        result.

        ```python
        items = await rx.range(3).to_list()
        ```
        """
        return self._one(Collect(list, "append"))

    def to_set(self) -> Single[set[T_co]]:
        """All items as one set.

        ```text
        --1--1--|
        to_set()
        --------({1} |)
        ```

        Emits once and completes when upstream does. Takes items as they come, without backpressure.
        Loses nothing, but a failing upstream gives no result. `TypeError` for an item that cannot
        be hashed.

        ```python
        values = await rx.of(1, 1).to_set()
        ```
        """
        return self._one(Collect(set, "add"))

    @overload
    def to_dict(self, key: Callable[[T_co], K]) -> Single[dict[K, T_co]]: ...

    @overload
    def to_dict(
        self, key: Callable[[T_co], K], value: Callable[[T_co], V]
    ) -> Single[dict[K, V]]: ...

    def to_dict(
        self, key: Callable[[T_co], Any], value: Callable[[T_co], Any] | None = None
    ) -> Single[Any]:
        """All items as one dictionary, the last of equal keys.

        ```text
        --a--bb--|
        to_dict(len)
        ---------({1:a,2:bb} |)
        ```

        Emits once and completes when upstream does. Takes items as they come, without backpressure.
        Loses nothing, but a failing upstream gives no result. `TypeError` for a key that cannot be
        hashed.

        ```python
        by_length = await rx.of("a", "bb").to_dict(len)
        ```
        """
        check_plain("to_dict", key)
        if value is not None:
            check_plain("to_dict", value)
        return self._one(ToDict(key, value))

    @overload
    def collect_into(self, container: type[list[Any]]) -> Single[list[T_co]]: ...

    @overload
    def collect_into(self, container: type[set[Any]]) -> Single[set[T_co]]: ...

    @overload
    def collect_into(self, container: type[deque[Any]]) -> Single[deque[T_co]]: ...

    @overload
    def collect_into(self, container: Callable[[], C]) -> Single[C]: ...

    @overload
    def collect_into(self, container: C) -> Single[C]: ...

    def collect_into(self, container: Any) -> Single[Any]:
        """All items in a container: a new one of a type, or made by a function, or a given one.

        ```text
        --a--b--a--|
        collect_into(set)
        -----------({ab} |)
        ```

        Emits the container once and completes when upstream does, taking items as they come,
        without backpressure; loses nothing. A type or function makes one for every run; a container
        given as it is gets the items as they come, in every run, and what it gets before a failure
        stays. Each item goes in with the first of these that there is: `append`, `add`, `update`
        (pairs into a `dict`; a `Counter` counts), `extend`, with one item at a time; into a
        `bytearray`, bytes are joined. `TypeError` for what has none of them. A run that continues a
        checkpoint fills a copy.

        ```python
        from collections import Counter

        counts = await rx.of("a", "b", "a").collect_into(Counter)
        ```
        """
        if isinstance(container, type):
            return self._one(CollectInto(container))
        try:
            putter(container)
        except TypeError:
            if not callable(container):
                raise
            check_plain("collect_into", container)
            return self._one(CollectInto(container))
        return self._one(CollectInto(Given(container)))
