"""Aggregators: many items to one result, bit by bit, mergeable: for windows and folds.

An aggregator is a combiner: `create` an accumulator, `add` items to it, `merge` two of them (of
two sessions that became one, of two shards), and read its `result`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from operators.checking import check_plain

T_contra = TypeVar("T_contra", contravariant=True)
A = TypeVar("A")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Aggregator(ABC, Generic[T_contra, A, R_co]):
    """How items become one result. Subclass it, as a frozen dataclass, for one of your own.

    Accumulators belong to the run: `add` and `merge` may change and return their first argument.
    They must pickle, since they are the state that checkpoints keep.
    """

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
        """What it amounts to. It may be asked several times; the accumulator stays as it is."""


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
