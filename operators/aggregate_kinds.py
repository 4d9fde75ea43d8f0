"""The aggregators beside `count` and `sum`: of numbers, of what comes before others, and of all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from operators.aggregate_code import AggregateCode
from operators.aggregates import Aggregator, NoResult
from operators.checking import MISSING
from reactive.fast_dataclasses import dataclass


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
