"""How much memory items take, roughly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

_POINTERS: Final = 24
"""Of an item in the lists that hold it, and what the allocator rounds up."""
_BYTES_HEAD: Final = sys.getsizeof(b"")
_FLAT: Final = frozenset({str, bytes, int, float, bool, complex, type(None)})
_SAMPLES: Final = 16
_DEPTH: Final = 6
_LOOKED_AT: Final = 64
"""How many members of a container are looked at; the others are taken to be like them."""


def held_bytes(items: Sequence[Any]) -> int:
    """What these items take in memory: exact for text, bytes and numbers; for others it is that of
    a few of them with all they refer to, as if nothing was shared but the keys of dictionaries."""
    count = len(items)
    kinds = set(map(type, items))
    if kinds == {bytes}:
        return sum(map(len, items)) + count * (_BYTES_HEAD + _POINTERS)
    if kinds <= _FLAT:
        return sum(map(sys.getsizeof, items)) + count * _POINTERS
    step = -(-count // _SAMPLES)
    sample = items[::step]
    return sum(map(_deep, sample)) * count // len(sample) + count * _POINTERS


def _deep(item: Any, depth: int = _DEPTH) -> int:
    size = sys.getsizeof(item, 64)
    kind = type(item)
    if kind in _FLAT or depth == 0:
        return size
    if isinstance(item, dict):
        keys = [key for key in item if type(key) is not str]
        return size + _members(keys, depth) + _members(list(item.values()), depth)
    if isinstance(item, (list, tuple, set, frozenset)):
        size += _members(list(item), depth)
    attributes = getattr(item, "__dict__", None)
    if type(attributes) is dict:
        size += sys.getsizeof(attributes) + _members(list(attributes.values()), depth)
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            size += _deep(getattr(item, name, None), depth - 1)
    return size


def _members(members: list[Any], depth: int) -> int:
    looked_at = members[:_LOOKED_AT]
    if not looked_at:
        return 0
    return sum(_deep(one, depth - 1) for one in looked_at) * len(members) // len(looked_at)
