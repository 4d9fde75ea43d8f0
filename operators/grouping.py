"""grouping: one stream split into many by a key."""

from __future__ import annotations

from typing import TypeVar

from reactive.graph import Blueprint, Node

T_co = TypeVar("T_co", covariant=True)


def live_groups(node: Node) -> int | None:
    """How many groups may be live at once, where a stream is one of groups."""
    return None


class Grouping(Blueprint[T_co]):
    """one stream split into many by a key."""

    __slots__ = ()
