"""sharing: one run of a stream for many consumers that come and go."""

from __future__ import annotations

from typing import TypeVar

from reactive.graph import Blueprint

T_co = TypeVar("T_co", covariant=True)


class Sharing(Blueprint[T_co]):
    """one run of a stream for many consumers that come and go."""

    __slots__ = ()
