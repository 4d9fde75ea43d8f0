"""filtering: which items go on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Never, TypeGuard, TypeVar, overload

from operators.checking import bind_plain, check_count, check_plain, check_seconds
from operators.distinguishing import Distinct, DistinctUntilChanged, DistinctWithin
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint, Node
from reactive.operator import Inline
from reactive.policy import ErrorPolicy, bind_policy, check_policy, describe_policy, policy_sides

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from reactive.stream import Stream

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class _Selecting(Inline):
    fn: Callable[[Any], Any]
    on_error: Any = "raise"

    def details(self) -> dict[str, object]:
        return describe_policy(self.on_error)

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def call(self, code: Code, bound: str) -> str:
        """Write the call under the error policy; returns the variable with its result."""
        item = code.item
        handler = bind_policy(self.on_error, code.context)
        if handler is None:
            return f"{bound}({item})"
        code.guarded(f"{bound}({item})", code.bind("handle", handler.handle), handler.replaces)
        result, code.item = code.item, item
        return result


@dataclass(frozen=True)
class Filter(_Selecting):
    """`filter`."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.fn)
        code.skip_unless(self.call(code, fn))


@dataclass(frozen=True)
class FilterMap(_Selecting):
    """`filter_map`."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.fn)
        code.let(self.call(code, fn))
        code.skip_unless(f"{code.item} is not None")


@dataclass(frozen=True)
class Partition(_Selecting):
    """`partition`: pairs every item with which part it belongs to."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        holds = self.call(code, bind_plain(code, "fn", self.fn))
        code.let(f"(True if {holds} else False, {code.item})")


@dataclass(frozen=True)
class Part(Inline):
    """One of the two streams of `partition`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    matching: bool

    @property
    def label(self) -> str:
        return "matching" if self.matching else "others"

    def emit(self, code: Code) -> None:
        code.skip_unless(f"{code.item}[0] is {self.matching}")
        code.let(f"{code.item}[1]")


@dataclass(frozen=True)
class IgnoreItems(Inline):
    """`ignore_items`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    def emit(self, code: Code) -> None:
        for line in code.skipping():
            code.line(line)


@dataclass(frozen=True)
class DefaultIfEmpty(Inline):
    """`default_if_empty`."""

    value: Any

    def emit(self, code: Code) -> None:
        code.line(f"{code.state('empty', 'True')} = False")

    def end(self, code: Code) -> str:
        return f"({code.bind('value', (self.value,))} if {code.state('empty', 'True')} else ())"


class Filtering(Blueprint[T_co]):
    """filter, filter_map, partition, distinct, distinct_until_changed, ignore_items,
    default_if_empty.
    """

    __slots__ = ()

    @overload
    def filter(
        self,
        predicate: Callable[[T_co], TypeGuard[U]],
        *,
        on_error: ErrorPolicy[bool] = "raise",
    ) -> Stream[U]: ...

    @overload
    def filter(
        self,
        predicate: Callable[[T_co], TypeIs[U]],
        *,
        on_error: ErrorPolicy[bool] = "raise",
    ) -> Stream[U]: ...

    @overload
    def filter(
        self, predicate: Callable[[T_co], object], *, on_error: ErrorPolicy[bool] = "raise"
    ) -> Stream[T_co]: ...

    def filter(
        self, predicate: Callable[[T_co], object], *, on_error: ErrorPolicy[bool] = "raise"
    ) -> Stream[Any]:
        """Keep the items for which `predicate` gives something true.

        ```text
        --1--2--3--4--|
        filter(lambda x: x % 2 == 0)
        -----2-----4--|
        ```

        Emits an item when the predicate holds. Backpressures and completes with its neighbours.
        Drops the other items, by design. Raises what `predicate` raises; `on_error="skip"` drops
        items it fails on, counted, `rx.replace(True)` keeps them. With a `TypeGuard` or
        `TypeIs`, the stream's item type is narrowed.

        ```python
        rx.range(10).filter(lambda x: x % 2 == 0)
        ```
        """
        check_plain("filter", predicate)
        check_policy(on_error)
        return self._then(Filter(predicate, on_error))

    def filter_map(
        self,
        fn: Callable[[T_co], U | None],
        *,
        on_error: ErrorPolicy[U | None] = "raise",
    ) -> Stream[U]:
        """Apply a function and keep the results that are not `None`.

        ```text
        --1--2--3--4--|
        filter_map(lambda x: x * 10 if x % 2 == 0 else None)
        -----20----40-|
        ```

        Emits each result but `None`. Backpressures and completes with its neighbours. Drops the
        others, by design. Raises what `fn` raises.

        ```python
        rx.of("a", "1").filter_map(lambda x: int(x) if x.isdigit() else None)
        ```
        """
        check_plain("filter_map", fn)
        check_policy(on_error)
        return self._then(FilterMap(fn, on_error))

    @overload
    def partition(
        self,
        predicate: Callable[[T_co], TypeGuard[U]],
        *,
        on_error: ErrorPolicy[bool] = "raise",
    ) -> tuple[Stream[U], Stream[T_co]]: ...

    @overload
    def partition(
        self,
        predicate: Callable[[T_co], TypeIs[U]],
        *,
        on_error: ErrorPolicy[bool] = "raise",
    ) -> tuple[Stream[U], Stream[T_co]]: ...

    @overload
    def partition(
        self, predicate: Callable[[T_co], object], *, on_error: ErrorPolicy[bool] = "raise"
    ) -> tuple[Stream[T_co], Stream[T_co]]: ...

    def partition(
        self, predicate: Callable[[T_co], object], *, on_error: ErrorPolicy[bool] = "raise"
    ) -> tuple[Stream[Any], Stream[Any]]:
        """Two streams: the items for which `predicate` holds, and the others.

        ```text
        --1--2--3--4--|
        partition(lambda x: x % 2 == 0)
        -----2-----4--|
        --1-----3-----|
        ```

        Emits each item in one of the two, in order. Used in one run, both together take each item
        once, and `predicate` is called once for it. Backpressures when either does: one that is
        not taken from holds the other back once its edge is full; give it `buffer`. Completes
        and fails in both. Loses nothing. Raises what `predicate` raises; `on_error` as in
        `filter`. With a `TypeGuard` or `TypeIs`, the first stream's item type is narrowed.

        ```python
        even, odd = rx.range(10).partition(lambda x: x % 2 == 0)
        both = await even.sum().zip(odd.sum()).collect()
        ```
        """
        check_plain("partition", predicate)
        check_policy(on_error)
        tagged = self._then(Partition(predicate, on_error))
        return tagged._then(Part(True)), tagged._then(Part(False))

    def distinct(
        self,
        key: Callable[[T_co], Hashable] | None = None,
        *,
        within: float | None = None,
        count: int | None = None,
    ) -> Stream[T_co]:
        """Keep the first item of each value, or of each `key(item)`.

        ```text
        --1--2--1--3--|
        distinct()
        --1--2-----3--|
        ```

        Emits an item when its key is not remembered, and remembers that key: for `within` seconds
        of the loop's clock, and as one of the last `count`. Repeats do not renew it. Without the
        two it remembers every key, so memory grows with their number. Backpressures and completes
        with its neighbours. Drops repeats, by design. Raises `TypeError` for a key that cannot be
        hashed, with the operator's line; `ValueError` for a time not above 0 or a count below 1.

        ```text
        --1--1--1--2--|
        distinct(within=5)
        --1-----1--2--|
        ```

        ```python
        rx.of("a", "B", "A").distinct(str.lower)
        ```
        """
        if key is not None:
            check_plain("distinct", key)
        if count is not None:
            check_count("distinct", count, 1)
        if within is None:
            return self._then(Distinct(key, count))
        check_seconds("distinct", "`within`", within)
        return self._then(DistinctWithin(key, within, count))

    def distinct_until_changed(self, key: Callable[[T_co], Any] | None = None) -> Stream[T_co]:
        """Drop items that equal the one before them, by value or by `key(item)`.

        ```text
        --1--1--2--1--|
        distinct_until_changed()
        --1-----2--1--|
        ```

        Emits an item when its key differs from the last. Remembers one key. Backpressures and
        completes with its neighbours. Drops repeats, by design.

        ```python
        rx.of(1, 1, 2, 1).distinct_until_changed()
        ```
        """
        if key is not None:
            check_plain("distinct_until_changed", key)
        return self._then(DistinctUntilChanged(key))

    def ignore_items(self) -> Stream[Never]:
        """Drop every item: only the end or the failure comes through.

        ```text
        --1--2--#
        ignore_items()
        --------#
        ```

        Emits nothing. Completes with upstream. Never backpressures: drops all items, by design, as
        fast as they come.

        ```python
        saved = rx.range(3).tap(print).ignore_items().concat(rx.of("done"))
        ```
        """
        return self._then(IgnoreItems())

    def default_if_empty(self, value: U) -> Stream[T_co | U]:
        """Give `value` if there are no items.

        ```text
        ------|
        default_if_empty(0)
        ------(0|)
        ```

        Emits every item; `value` when upstream completes without one. Backpressures and completes
        with its neighbours, loses nothing. A failing upstream gives no `value`.

        ```python
        rx.range(3).filter(lambda x: x > 5).default_if_empty(-1)
        ```
        """
        return self._then(DefaultIfEmpty(value))
