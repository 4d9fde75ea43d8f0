"""timing: when items come: pauses, delays, deadlines, rates."""

from __future__ import annotations

from typing import TypeVar

from reactive.graph import Blueprint

T_co = TypeVar("T_co", covariant=True)


class Timing(Blueprint[T_co]):
    """when items come: pauses, delays, deadlines, rates."""

    __slots__ = ()
