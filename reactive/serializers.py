"""How items become bytes where they are kept: what a user may choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

Serializer: TypeAlias = (
    Literal["plain", "pickle"] | tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
)

OTHERWISE: Final = (
    'serializer="pickle" takes whatever pickles, and serializer=(encode, decode) two functions of '
    "one's own, to bytes and back"
)


def check_serializer(operator: str, serializer: object) -> None:
    """Refuse what is no serializer."""
    if isinstance(serializer, str) and serializer in ("plain", "pickle"):
        return
    pair = isinstance(serializer, tuple) and len(serializer) == 2
    if not pair or not all(callable(part) for part in serializer):  # type: ignore[attr-defined]
        raise TypeError(
            f'{operator} needs as serializer "plain", "pickle" or a pair of functions, '
            f"(encode, decode), not {serializer!r}"
        )


def describe_serializer(serializer: Serializer) -> str:
    """As `explain()` shows it."""
    return serializer if isinstance(serializer, str) else "functions"
