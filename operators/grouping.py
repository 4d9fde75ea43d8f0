"""grouping: one stream split into many by a key."""

from __future__ import annotations

from typing import TypeVar

from reactive.graph import Blueprint

T_co = TypeVar("T_co", covariant=True)


class Grouping(Blueprint[T_co]):
    """one stream split into many by a key."""

    __slots__ = ()
