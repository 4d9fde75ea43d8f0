"""nesting: streams made of each item, run inside the pipeline."""

from __future__ import annotations

from typing import TypeVar

from reactive.graph import Blueprint

T_co = TypeVar("T_co", covariant=True)


class Nesting(Blueprint[T_co]):
    """streams made of each item, run inside the pipeline."""

    __slots__ = ()
