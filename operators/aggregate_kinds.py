"""The aggregators beside `count` and `sum`: of numbers, of what comes before others, and of all."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from operators.aggregate_code import AggregateCode
from operators.aggregates import Aggregator, NoResult
from operators.checking import MISSING, check_count, check_plain
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from operators.folding import SupportsLess

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class _Of(Aggregator[Any, Any, Any]):
    """What looks at `of(item)`, or at the item."""

    of: Callable[[Any], Any] | None

    def value(self, item: Any) -> Any:
        return item if self.of is None else self.of(item)

    def value_code(self, code: AggregateCode) -> str:
        return code.item if self.of is None else f"{code.bind('of', self.of)}({code.item})"


@dataclass(frozen=True)
class Mean(_Of):
    """`mean`, as the count and the sum."""

    in_place: ClassVar[bool] = True

    def create(self) -> Any:
        return [0, 0]

    def add(self, accumulator: Any, item: Any) -> Any:
        accumulator[0] += 1
        accumulator[1] = accumulator[1] + self.value(item)
        return accumulator

    def add_code(self, code: AggregateCode) -> None:
        value = self.value_code(code)
        code.line(f"{code.held}[1] = {code.held}[1] + {value}")
        code.line(f"{code.held}[0] += 1")

    def merge(self, accumulator: Any, other: Any) -> Any:
        accumulator[0] += other[0]
        accumulator[1] = accumulator[1] + other[1]
        return accumulator

    def result(self, accumulator: Any) -> Any:
        count, total = accumulator
        if not count:
            raise NoResult
        return total / count


@dataclass(frozen=True)
class Variance(_Of):
    """`variance`: count, mean and squared distances from it, by Welford's formulas, as the fold of
    that name; merged by those of T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae
    and a pairwise algorithm for computing sample variances", 1979."""

    in_place: ClassVar[bool] = True

    population: bool = False

    def create(self) -> Any:
        return [0, 0, 0]

    def add(self, accumulator: Any, item: Any) -> Any:
        value = self.value(item)
        count, mean, squares = accumulator
        delta = value - mean
        mean = mean + delta / (count + 1)
        accumulator[:] = count + 1, mean, squares + delta * (value - mean)
        return accumulator

    def merge(self, accumulator: Any, other: Any) -> Any:
        count, mean, squares = accumulator
        others, its_mean, its_squares = other
        if others:
            total = count + others
            delta = its_mean - mean
            accumulator[:] = (
                total,
                mean + delta * others / total,
                squares + its_squares + delta * delta * count * others / total,
            )
        return accumulator

    def result(self, accumulator: Any) -> Any:
        count, _, squares = accumulator
        of = count if self.population else count - 1
        return squares / of if of > 0 else None


@dataclass(frozen=True)
class _Extreme(_Of):
    """The first of the values that no other comes before: pairs of keys and values, or without a
    key the values alone."""

    sign: ClassVar[str]

    key: Callable[[Any], Any] | None

    @property
    def in_order(self) -> bool:  # type: ignore[override]
        return self.key is not None

    def create(self) -> Any:
        return MISSING

    def add(self, accumulator: Any, item: Any) -> Any:
        value = self.value(item)
        return self.merge(accumulator, value if self.key is None else (self.key(value), value))

    def create_code(self, code: AggregateCode) -> str:
        return code.bind("missing", MISSING)

    def add_code(self, code: AggregateCode) -> None:
        if self.key is not None:
            super().add_code(code)
            return
        value = code.fresh("value")
        code.line(f"{value} = {self.value_code(code)}")
        better = f"{value} {self.sign} {code.held}"
        missing = code.bind("missing", MISSING)
        code.block(f"if {code.held} is {missing} or {better}:", f"{code.held} = {value}")

    def merge(self, accumulator: Any, other: Any) -> Any:
        if other is MISSING:
            return accumulator
        return other if accumulator is MISSING or self._before(other, accumulator) else accumulator

    def _before(self, one: Any, other: Any) -> bool:
        if self.key is not None:
            one, other = one[0], other[0]
        return bool(one < other if self.sign == "<" else one > other)

    def result(self, accumulator: Any) -> Any:
        if accumulator is MISSING:
            raise NoResult
        return accumulator if self.key is None else accumulator[1]


@dataclass(frozen=True)
class Min(_Extreme):
    """`min`."""

    sign: ClassVar[str] = "<"


@dataclass(frozen=True)
class Max(_Extreme):
    """`max`."""

    sign: ClassVar[str] = ">"


@dataclass(frozen=True)
class First(_Of):
    """`first`, in a list."""

    in_order: ClassVar[bool] = True

    def create(self) -> Any:
        return ()

    def add(self, accumulator: Any, item: Any) -> Any:
        return accumulator or (self.value(item),)

    def merge(self, accumulator: Any, other: Any) -> Any:
        return accumulator or other

    def result(self, accumulator: Any) -> Any:
        if not accumulator:
            raise NoResult
        return accumulator[0]


@dataclass(frozen=True)
class Last(First):
    """`last`."""

    def add(self, accumulator: Any, item: Any) -> Any:
        return (self.value(item),)

    def merge(self, accumulator: Any, other: Any) -> Any:
        return other or accumulator


@dataclass(frozen=True)
class Top(Aggregator[Any, Any, Any]):
    """`top`: pairs of keys and items, the largest first, of equals the first."""

    in_order: ClassVar[bool] = True
    in_place: ClassVar[bool] = True

    count: int
    key: Callable[[Any], Any] | None

    def create(self) -> Any:
        return []

    def add(self, accumulator: Any, item: Any) -> Any:
        key = item if self.key is None else self.key(item)
        self._put(accumulator, (key, item))
        return accumulator

    def _put(self, largest: Any, entry: Any) -> None:
        if len(largest) == self.count:
            if not largest[-1][0] < entry[0]:
                return
            largest.pop()
        place = len(largest)
        while place and largest[place - 1][0] < entry[0]:
            place -= 1
        largest.insert(place, entry)

    def merge(self, accumulator: Any, other: Any) -> Any:
        for entry in other:
            self._put(accumulator, entry)
        return accumulator

    def result(self, accumulator: Any) -> Any:
        return [item for _, item in accumulator]


@dataclass(frozen=True)
class _Whole(_Of):
    """What holds all values, or all that differ, in a container."""

    in_order: ClassVar[bool] = True
    in_place: ClassVar[bool] = True
    whole: ClassVar[bool] = True


@dataclass(frozen=True)
class ToList(_Whole):
    """`to_list`."""

    def create(self) -> Any:
        return []

    def add(self, accumulator: Any, item: Any) -> Any:
        accumulator.append(self.value(item))
        return accumulator

    def merge(self, accumulator: Any, other: Any) -> Any:
        accumulator += other
        return accumulator

    def result(self, accumulator: Any) -> Any:
        return list(accumulator)


@dataclass(frozen=True)
class Quantile(ToList):
    """`quantile`."""

    in_order: ClassVar[bool] = False

    q: float = 0.5

    def result(self, accumulator: Any) -> Any:
        if not accumulator:
            raise NoResult
        values = sorted(accumulator)
        place = (len(values) - 1) * self.q
        low = math.floor(place)
        below = values[low]
        return below if low == place else below + (values[low + 1] - below) * (place - low)


@dataclass(frozen=True)
class Distinct(_Whole):
    """`distinct`, as the keys of a dictionary."""

    def create(self) -> Any:
        return {}

    def add(self, accumulator: Any, item: Any) -> Any:
        accumulator.setdefault(self.value(item))
        return accumulator

    def merge(self, accumulator: Any, other: Any) -> Any:
        for value in other:
            accumulator.setdefault(value)
        return accumulator

    def result(self, accumulator: Any) -> Any:
        return list(accumulator)


@dataclass(frozen=True)
class ToSet(Distinct):
    """`to_set`."""

    def result(self, accumulator: Any) -> Any:
        return set(accumulator)


@dataclass(frozen=True)
class ToDict(_Whole):
    """`to_dict`; `of` gives the values."""

    key: Callable[[Any], Any]

    def create(self) -> Any:
        return {}

    def add(self, accumulator: Any, item: Any) -> Any:
        accumulator[self.key(item)] = self.value(item)
        return accumulator

    def merge(self, accumulator: Any, other: Any) -> Any:
        accumulator |= other
        return accumulator

    def result(self, accumulator: Any) -> Any:
        return dict(accumulator)


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
