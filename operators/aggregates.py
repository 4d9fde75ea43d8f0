"""Aggregators: many items to one result, bit by bit, mergeable: for windows and folds.

An aggregator is a combiner: `create` an accumulator, `add` items to it, `merge` two of them (of
two sessions that became one, of two shards), and read its `result`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from operators.aggregate_code import AggregateCode
from operators.checking import check_plain
from reactive.fast_dataclasses import dataclass
from reactive.operator import snake_case

T_contra = TypeVar("T_contra", contravariant=True)
A = TypeVar("A")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Aggregator(ABC, Generic[T_contra, A, R_co]):
    """How items become one result. Subclass it, as a frozen dataclass, for one of your own.

    Accumulators belong to the run: `add` and `merge` may change and return their first argument.
    What `merge` gets second has to stay as it is, also when the result goes on changing.
    They must pickle, since they are the state that checkpoints keep.

    The `_code` methods are for speed: those that are overridden write what their method does into
    the loop that is generated around it, so that adding an item takes no call.
    """

    in_order: ClassVar[bool] = False
    """Whether the result depends on the order in which items came. Otherwise items of one window
    may be added to several accumulators, which are merged."""
    whole: ClassVar[bool] = False
    """Whether it holds all items or much of each, so that its state grows with them."""
    in_place: ClassVar[bool] = False
    """Whether `add` always changes the accumulator that it is given, and gives that back."""

    def __str__(self) -> str:
        return snake_case(type(self).__name__)

    @abstractmethod
    def create(self) -> A:
        """An accumulator of nothing."""

    @abstractmethod
    def add(self, accumulator: A, item: T_contra) -> A:
        """The accumulator with one more item."""

    @abstractmethod
    def merge(self, accumulator: A, other: A) -> A:
        """The accumulator of what both hold."""

    @abstractmethod
    def result(self, accumulator: A) -> R_co:
        """What it amounts to. It may be asked several times; the accumulator stays as it is.
        Raises `NoResult` if no items amount to nothing."""

    def create_code(self, code: AggregateCode) -> str:
        """An expression for a new accumulator."""
        return f"{code.bind('create', self.create)}()"

    def add_code(self, code: AggregateCode) -> None:
        """Write the code that adds `code.item` to `code.held`."""
        code.line(f"{code.held} = {code.bind('add', self.add)}({code.held}, {code.item})")

    def result_code(self, code: AggregateCode) -> str:
        """An expression for the result of `code.held`."""
        return f"{code.bind('result', self.result)}({code.held})"


class NoResult(Exception):
    """Raised by the `result` of an aggregator that has none for no items; a pane without items
    is then left out."""


@dataclass(frozen=True)
class Count(Aggregator[Any, int, int]):
    """See `count`."""

    def create(self) -> int:
        return 0

    def add(self, accumulator: int, item: Any) -> int:
        return accumulator + 1

    def merge(self, accumulator: int, other: int) -> int:
        return accumulator + other

    def result(self, accumulator: int) -> int:
        return accumulator

    def create_code(self, code: AggregateCode) -> str:
        return "0"

    def add_code(self, code: AggregateCode) -> None:
        code.line(f"{code.held} += 1")

    def result_code(self, code: AggregateCode) -> str:
        return code.held


@dataclass(frozen=True)
class Sum(Aggregator[Any, Any, Any]):
    """See `sum`."""

    of: Callable[[Any], Any] | None

    def create(self) -> Any:
        return 0

    def add(self, accumulator: Any, item: Any) -> Any:
        return accumulator + (item if self.of is None else self.of(item))

    def merge(self, accumulator: Any, other: Any) -> Any:
        return accumulator + other

    def result(self, accumulator: Any) -> Any:
        return accumulator

    def create_code(self, code: AggregateCode) -> str:
        return "0"

    def add_code(self, code: AggregateCode) -> None:
        value = code.item if self.of is None else f"{code.bind('of', self.of)}({code.item})"
        code.line(f"{code.held} = {code.held} + {value}")

    def result_code(self, code: AggregateCode) -> str:
        return code.held


def count() -> Aggregator[Any, Any, int]:
    """How many items.

    ```python
    rx.count()
    ```
    """
    return Count()


def sum(of: Callable[[T], Any] | None = None) -> Aggregator[T, Any, Any]:
    """The sum of the items, or of `of(item)`.

    ```python
    rx.sum(lambda order: order.amount)
    ```
    """
    if of is not None:
        check_plain("sum", of)
    return Sum(of)
