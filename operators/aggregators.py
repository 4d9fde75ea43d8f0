"""`rx.mean(...)` and the other functions that make the aggregators beside `count` and `sum`."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.aggregate_kinds import (
    Distinct,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    ToDict,
    ToList,
    Top,
    ToSet,
    Variance,
)
from operators.aggregates import Aggregator
from operators.checking import check_count, check_plain

if TYPE_CHECKING:
    from operators.folding import SupportsLess

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K", bound=Hashable)


def _checked(name: str, *functions: object) -> None:
    for fn in functions:
        if fn is not None:
            check_plain(name, fn)


def mean(of: Callable[[T], Any] | None = None) -> Aggregator[T, Any, Any]:
    """The arithmetic mean of the items, or of `of(item)`: the sum divided by the count.

    ```python
    rx.mean(lambda order: order.amount)
    ```
    """
    _checked("mean", of)
    return Mean(of)


def variance(
    of: Callable[[T], Any] | None = None, *, population: bool = False
) -> Aggregator[T, Any, Any]:
    """The variance of the items, or of `of(item)`, as a sample, or with `population` as all there
    are; None of too few, which are fewer than two for a sample.

    ```python
    rx.variance(lambda order: order.amount)
    ```
    """
    _checked("variance", of)
    return Variance(of, bool(population))


@overload
def min(*, key: Callable[[T], SupportsLess]) -> Aggregator[T, Any, T]: ...
@overload
def min(
    of: Callable[[T], V], *, key: Callable[[V], SupportsLess] | None = None
) -> Aggregator[T, Any, V]: ...
@overload
def min() -> Aggregator[Any, Any, Any]: ...
def min(
    of: Callable[[Any], Any] | None = None, *, key: Callable[[Any], SupportsLess] | None = None
) -> Aggregator[Any, Any, Any]:
    """The smallest item, or the smallest `of(item)`, by value or by `key`; the first of equals.

    ```python
    rx.min(lambda order: order.amount)       # the amount
    rx.min(key=lambda order: order.amount)   # the order
    ```
    """
    _checked("min", of, key)
    return Min(of, key)


@overload
def max(*, key: Callable[[T], SupportsLess]) -> Aggregator[T, Any, T]: ...
@overload
def max(
    of: Callable[[T], V], *, key: Callable[[V], SupportsLess] | None = None
) -> Aggregator[T, Any, V]: ...
@overload
def max() -> Aggregator[Any, Any, Any]: ...
def max(
    of: Callable[[Any], Any] | None = None, *, key: Callable[[Any], SupportsLess] | None = None
) -> Aggregator[Any, Any, Any]:
    """The largest item, or the largest `of(item)`, by value or by `key`; the first of equals.

    ```python
    rx.max(key=lambda order: order.amount)
    ```
    """
    _checked("max", of, key)
    return Max(of, key)


@overload
def first() -> Aggregator[Any, Any, Any]: ...
@overload
def first(of: Callable[[T], V]) -> Aggregator[T, Any, V]: ...
def first(of: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any, Any]:
    """The item that came first, or `of(item)` of it. For the earliest take `rx.min(key=...)`.

    ```python
    rx.first(lambda order: order.amount)
    ```
    """
    _checked("first", of)
    return First(of)


@overload
def last() -> Aggregator[Any, Any, Any]: ...
@overload
def last(of: Callable[[T], V]) -> Aggregator[T, Any, V]: ...
def last(of: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any, Any]:
    """The item that came last, or `of(item)` of it. For the latest take `rx.max(key=...)`.

    ```python
    rx.last(lambda order: order.amount)
    ```
    """
    _checked("last", of)
    return Last(of)


def top(
    count: int, key: Callable[[T], SupportsLess] | None = None
) -> Aggregator[T, Any, builtins.list[T]]:
    """The `count` largest items, by value or by `key(item)`, the largest first; the first of
    equals stay. Holds so many items. `ValueError` for a count below 1.

    ```python
    rx.top(3, lambda order: order.amount)
    ```
    """
    check_count("top", count, 1)
    _checked("top", key)
    return Top(count, key)


@overload
def distinct() -> Aggregator[Any, Any, builtins.list[Any]]: ...
@overload
def distinct(of: Callable[[T], V]) -> Aggregator[T, Any, builtins.list[V]]: ...
def distinct(of: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any, builtins.list[Any]]:
    """The items, or `of(item)`, each once, in the order in which they came first; they have to be
    hashable. Holds all that differ.

    ```python
    rx.distinct(lambda order: order.country)
    ```
    """
    _checked("distinct", of)
    return Distinct(of)


def quantile(q: float, of: Callable[[T], Any] | None = None) -> Aggregator[T, Any, Any]:
    """The value that the part `q` (0 to 1) of the items, or of `of(item)`, lie below: 0.5 is the
    median. Between two values it is interpolated, as `statistics.quantiles` does with
    `method="inclusive"`. Holds all values; `Stream.approximate_quantiles` does not. `ValueError`
    for a `q` that is not from 0 to 1.

    ```python
    rx.quantile(0.95, lambda request: request.seconds)
    ```
    """
    if not 0 <= q <= 1:
        raise ValueError(f"quantile needs a part from 0 to 1, not {q}")
    _checked("quantile", of)
    return Quantile(of, q)


@overload
def to_list() -> Aggregator[Any, Any, builtins.list[Any]]: ...
@overload
def to_list(of: Callable[[T], V]) -> Aggregator[T, Any, builtins.list[V]]: ...
def to_list(of: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any, builtins.list[Any]]:
    """All items, or `of(item)`, in the order in which they came.

    ```python
    rx.to_list(lambda order: order.amount)
    ```
    """
    _checked("to_list", of)
    return ToList(of)


@overload
def to_set() -> Aggregator[Any, Any, builtins.set[Any]]: ...
@overload
def to_set(of: Callable[[T], V]) -> Aggregator[T, Any, builtins.set[V]]: ...
def to_set(of: Callable[[Any], Any] | None = None) -> Aggregator[Any, Any, builtins.set[Any]]:
    """The set of the items, or of `of(item)`, which have to be hashable.

    ```python
    rx.to_set(lambda order: order.country)
    ```
    """
    _checked("to_set", of)
    return ToSet(of)


@overload
def to_dict(key: Callable[[T], K]) -> Aggregator[T, Any, builtins.dict[K, T]]: ...
@overload
def to_dict(
    key: Callable[[T], K], of: Callable[[T], V]
) -> Aggregator[T, Any, builtins.dict[K, V]]: ...
def to_dict(
    key: Callable[[Any], Any], of: Callable[[Any], Any] | None = None
) -> Aggregator[Any, Any, builtins.dict[Any, Any]]:
    """A dictionary of `key(item)` to the item, or to `of(item)`; the item that came last counts.

    ```python
    rx.to_dict(lambda order: order.country, lambda order: order.amount)
    ```
    """
    check_plain("to_dict", key)
    _checked("to_dict", of)
    return ToDict(of, key)
