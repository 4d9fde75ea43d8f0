"""What a fused group binds, without writing its code again.

Streams that are made at run time are mostly of the same few kinds, and writing a loop takes far
longer than running it over an item. Operators that say what they only bind (`Inline.binds`) are
written twice; what both times bound the same object is bound again for every group of the kind.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from reactive.fast_dataclasses import dataclass
from reactive.operator import Inline

_PLAIN = {bool, bytes, float, int, str, type(None)}
"""Kinds of parameters that tell what is written by their value, and keep nothing alive."""


@dataclass(slots=True)
class Recipe:
    """How to make the functions of a kind of group: the source, and what it binds in order, each
    either a parameter of an operator or always the same object."""

    source: Any
    always: list[Any]
    """What is bound, with None in the places of parameters."""
    bound: list[tuple[int, int, str]]
    """The places, and the operators and their parameters that belong there."""
    written: list[tuple[int, str, Any]]
    """The parameters that the source is written from, and what they are."""

    def fits(self, operators: Sequence[Inline]) -> bool:
        """Whether operators of the same classes are of this kind."""
        for index, name, value in self.written:
            given = getattr(operators[index], name)
            if given is not value and (type(given) is not type(value) or given != value):
                return False
        return True

    def values(self, operators: Sequence[Inline]) -> list[Any]:
        """What these operators bind."""
        values = self.always.copy()
        for place, index, name in self.bound:
            values[place] = getattr(operators[index], name)
        return values


def kind_of(operators: Sequence[Inline]) -> Hashable | None:
    """What two groups have in common that are written the same; None if that is not known."""
    kind: list[object] = []
    for operator in operators:
        written = _written(type(operator))
        if written is None:
            return None
        kind.append(type(operator))
        for name in written:
            value = getattr(operator, name)
            if type(value) not in _PLAIN:
                return None
            kind.append(type(value))
            kind.append(value)
    return tuple(kind)


@lru_cache(maxsize=1024)
def _written(operator: type[Inline]) -> tuple[str, ...] | None:
    """The parameters that code may be written from."""
    binds = vars(operator).get("binds")
    if binds is None:
        return None
    return tuple(field.name for field in fields(operator) if field.name not in binds)


def make_recipe(
    source: Any,
    names: Sequence[str],
    operators: Sequence[Inline],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
) -> Recipe | None:
    """The recipe of a group from what its operators bound both times they were written; None where
    something belongs to a single run, or cannot be told from something else."""
    always: list[Any] = []
    bound: list[tuple[int, int, str]] = []
    used: set[tuple[int, str]] = set()
    for place, name in enumerate(names):
        value = first[name]
        index = int(name.rpartition("_")[2])
        operator = operators[index]
        binds = vars(type(operator))["binds"]
        parameters = [each for each in binds if getattr(operator, each) is value]
        if value is not second.get(name) or any((index, each) in used for each in parameters):
            return None
        used.update((index, each) for each in parameters)
        if parameters:
            bound.append((place, index, parameters[0]))
        always.append(None if parameters else value)
    written = [
        (index, name, getattr(operator, name))
        for index, operator in enumerate(operators)
        for name in _written(type(operator)) or ()
    ]
    return Recipe(source, always, bound, written)
