"""filtering: which items go on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, overload

from operators.mapping import bind_plain, check_plain
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

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.fn)
        code.skip_unless(self.call(code, fn))


@dataclass(frozen=True)
class FilterMap(_Selecting):
    """`filter_map`."""

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.fn)
        code.let(self.call(code, fn))
        code.skip_unless(f"{code.item} is not None")


@dataclass(frozen=True)
class Distinct(Inline):
    """`distinct`."""

    key: Callable[[Any], Hashable] | None

    def emit(self, code: Code) -> None:
        seen = code.state("seen", "set()")
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        code.skip_unless(f"{key} not in {seen}")
        code.line(f"{seen}.add({key})")


class _Nothing:
    """Equal to nothing, itself included."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True


@dataclass(frozen=True)
class DistinctUntilChanged(Inline):
    """`distinct_until_changed`."""

    key: Callable[[Any], Any] | None

    def emit(self, code: Code) -> None:
        last = code.state("last", code.bind("nothing", _Nothing()))
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        code.skip_unless(f"{last} != {key}")
        code.line(f"{last} = {key}")


class Filtering(Blueprint[T_co]):
    """filter, filter_map, distinct, distinct_until_changed."""

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

    def distinct(self, key: Callable[[T_co], Hashable] | None = None) -> Stream[T_co]:
        """Keep the first item of each value, or of each `key(item)`.

        ```text
        --1--2--1--3--|
        distinct()
        --1--2-----3--|
        ```

        Emits an item when its key was not seen before. Remembers every key, so memory grows with
        their number. Completes with upstream. Drops repeats, by design. Raises `TypeError` for a
        key that cannot be hashed, with the operator's line.

        ```python
        rx.of("a", "B", "A").distinct(str.lower)
        ```
        """
        if key is not None:
            check_plain("distinct", key)
        return self._then(Distinct(key))

    def distinct_until_changed(self, key: Callable[[T_co], Any] | None = None) -> Stream[T_co]:
        """Drop items that equal the one before them, by value or by `key(item)`.

        ```text
        --1--1--2--1--|
        distinct_until_changed()
        --1-----2--1--|
        ```

        Emits an item when its key differs from the last. Remembers one key. Completes with
        upstream. Drops repeats, by design.

        ```python
        rx.of(1, 1, 2, 1).distinct_until_changed()
        ```
        """
        if key is not None:
            check_plain("distinct_until_changed", key)
        return self._then(DistinctUntilChanged(key))
