"""Keys in groups: where the state of a key belongs, in whatever process it is asked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from numbers import Number
from typing import Any, Final, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEY_GROUPS: Final = 128
"""State is kept, moved and restored in this many groups of keys."""

_pack = struct.Struct("<q").pack


def key_group(key: Hashable) -> int:
    """The group that a key belongs to, the same in every process."""
    return stable_hash(key) % KEY_GROUPS


def stable_hash(key: Hashable) -> int:
    """A hash of 32 bits that is the same in every process, and for keys that are equal.

    For text, bytes, numbers, dates and times, UUIDs, members of an `Enum`, classes, None, and
    tuples, frozen sets and frozen dataclasses of these. `TypeError` for other keys: Python's own
    `hash` of them may differ from process to process.
    """
    if isinstance(key, str):
        return zlib.crc32(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bytes):
        return zlib.crc32(key)
    if isinstance(key, int | float | Number):
        # Equal numbers of any type have one hash in Python, which no process changes.
        return _mix(hash(key) if key == key else 0)
    if isinstance(key, tuple):
        return _mix(len(key), *map(stable_hash, key))
    if key is None:
        return 0
    return _of_other(key)


def _mix(*numbers: int) -> int:
    mixed = 0
    for number in numbers:
        mixed = zlib.crc32(_pack(number), mixed)
    return mixed


def _of_other(key: Any) -> int:
    if isinstance(key, frozenset):
        return _mix(sum(map(stable_hash, key)))
    if isinstance(key, Enum):
        return stable_hash((_title(type(key)), key.name))
    if isinstance(key, type):
        return stable_hash(_title(key))
    if isinstance(key, datetime):
        whole = key if key.utcoffset() is None else key.astimezone(UTC)
        return stable_hash(whole.replace(fold=0).isoformat())
    if isinstance(key, date) or (isinstance(key, time) and key.tzinfo is None):
        return stable_hash(key.isoformat())
    if isinstance(key, timedelta):
        return _mix(key // timedelta(microseconds=1))
    if is_dataclass(key) and getattr(key, "__dataclass_params__").frozen:  # noqa: B009
        values = [getattr(key, field.name) for field in fields(key) if field.compare]
        return stable_hash((_title(type(key)), *values))
    from uuid import UUID

    if isinstance(key, UUID):
        return _mix(hash(key.int))
    raise TypeError(
        f"the key {key!r} of type {type(key).__name__} has no hash that is the same in every "
        "process; use text, numbers, dates, or tuples or frozen dataclasses of such as keys"
    )


def _title(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
