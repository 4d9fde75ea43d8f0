"""Several aggregators at once, and the row of their results."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from operators.aggregate_code import AggregateCode, code_of
from operators.aggregates import Aggregator
from reactive.fast_dataclasses import dataclass


class Row(tuple[Any, ...]):
    """What several aggregators give: a named tuple, one field for each, by the names that they
    were given."""

    __slots__ = ()

    if TYPE_CHECKING:
        _fields: tuple[str, ...]

        def __getattr__(self, name: str) -> Any: ...

        def _asdict(self) -> dict[str, Any]: ...

        def _replace(self, **values: Any) -> Row: ...


@lru_cache(maxsize=256)
def row_type(names: tuple[str, ...]) -> type[Any]:
    """The class of rows with these fields: equal names, equal class."""
    fields = namedtuple("Row", names)  # type: ignore[misc]
    members = {"__slots__": (), "__reduce__": _reduce, "__module__": __name__}
    return type("Row", (fields, Row), members)


def _reduce(row: Any) -> tuple[Any, ...]:
    return make_row, (row._fields, tuple(row))


def make_row(names: tuple[str, ...], values: Sequence[Any]) -> Row:
    """A row of these fields."""
    row: Row = row_type(names)._make(values)
    return row


@dataclass(frozen=True)
class Rows(Aggregator[Any, list[Any], Row]):
    """Several aggregators by name. The accumulator is the list of theirs."""

    in_place: ClassVar[bool] = True

    names: tuple[str, ...]
    aggregators: tuple[Aggregator[Any, Any, Any], ...]

    @property
    def in_order(self) -> bool:  # type: ignore[override]
        return any(aggregator.in_order for aggregator in self.aggregators)

    @property
    def whole(self) -> bool:  # type: ignore[override]
        return any(aggregator.whole for aggregator in self.aggregators)

    @cached_property
    def _row(self) -> type[Any]:
        return row_type(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names, "aggregators": self.aggregators}

    def __str__(self) -> str:
        parts = zip(self.names, self.aggregators, strict=True)
        return ", ".join(f"{name}: {aggregator}" for name, aggregator in parts)

    def create(self) -> list[Any]:
        return [aggregator.create() for aggregator in self.aggregators]

    def add(self, accumulator: list[Any], item: Any) -> list[Any]:
        for index, aggregator in enumerate(self.aggregators):
            accumulator[index] = aggregator.add(accumulator[index], item)
        return accumulator

    def merge(self, accumulator: list[Any], other: list[Any]) -> list[Any]:
        for index, aggregator in enumerate(self.aggregators):
            accumulator[index] = aggregator.merge(accumulator[index], other[index])
        return accumulator

    def result(self, accumulator: list[Any]) -> Row:
        pairs = zip(self.aggregators, accumulator, strict=True)
        row: Row = self._row._make(aggregator.result(held) for aggregator, held in pairs)
        return row

    def create_code(self, code: AggregateCode) -> str:
        parts = [code_of(aggregator, "create")(code) for aggregator in self.aggregators]
        return f"[{', '.join(parts)}]"

    def add_code(self, code: AggregateCode) -> None:
        held = code.held
        for index, aggregator in enumerate(self.aggregators):
            code.held = f"{held}[{index}]"
            code_of(aggregator, "add")(code)
        code.held = held

    def result_code(self, code: AggregateCode) -> str:
        held, parts = code.held, []
        for index, aggregator in enumerate(self.aggregators):
            code.held = f"{held}[{index}]"
            parts.append(code_of(aggregator, "result")(code))
        code.held = held
        return self.row_code(code, parts)

    def row_code(self, code: AggregateCode, parts: Sequence[str]) -> str:
        """An expression for the row of these expressions."""
        make, row = code.bind("make", tuple.__new__), code.bind("row", self._row)
        return f"{make}({row}, ({', '.join(parts)},))"


def one_aggregator(
    operator: str,
    alone: Sequence[Aggregator[Any, Any, Any]],
    named: Mapping[str, Aggregator[Any, Any, Any]],
) -> Aggregator[Any, Any, Any]:
    """What the arguments of `aggregate` amount to; refuse what is no aggregator."""
    for each in [*alone, *named.values()]:
        if not isinstance(each, Aggregator):
            raise TypeError(f"{operator} needs aggregators such as rx.count(), not {each!r}")
    if len(alone) + bool(named) != 1:
        raise TypeError(
            f"{operator} takes one aggregator, or several by name: n=rx.count(), total=rx.sum()"
        )
    if alone:
        return alone[0]
    for name in named:
        if name.startswith("_"):
            raise ValueError(
                f"{operator} cannot name a field {name!r}: names of fields do not begin with an "
                "underscore"
            )
    return Rows(tuple(named), tuple(named.values()))
