"""Stable hashes: the same in every process and for equal keys; groups of keys."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from reactive.keys import KEY_GROUPS, key_group, stable_hash


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    HELLO = "hello"


class Pair(NamedTuple):
    left: str
    right: int


@dataclass(frozen=True)
class Place:
    country: str
    town: str


NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
KEYS = """[
    "text", "", "\\udc80", b"bytes", 0, 1, -1, 2**70, -2**70, 1.5, float("inf"), float("nan"), None,
    True, (), ("a", 1, ("b", None)), frozenset({"a", "b", "c", "d"}), Decimal("1.25"),
    datetime(2025, 1, 1, 12, tzinfo=UTC), datetime(2025, 1, 1), date(2025, 1, 1), time(12),
    timedelta(days=1), UUID(int=7), dict, (str, int),
]"""
PROGRAM = f"""
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from reactive.keys import stable_hash
print([stable_hash(key) for key in {KEYS}])
"""


def test_hashes_are_the_same_in_every_process() -> None:
    given = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(given) == 1
    keys = eval(KEYS, {**globals(), "UUID": UUID})
    assert given == {f"{[stable_hash(key) for key in keys]}\n"}


def test_hashes_do_not_change_with_versions() -> None:
    assert stable_hash("user-1") == 2116437524
    assert stable_hash(1) == 2844319735
    assert stable_hash(("a", 1)) == 2350654759
    assert key_group("user-1") == 20


@pytest.mark.parametrize(
    "equal",
    [
        (1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j),
        (3, Level.HIGH),
        ("hello", Word.HELLO),
        (("a", 1), Pair("a", 1), ("a", 1.0)),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5))), NOON.replace(fold=1)),
        (frozenset({1, 2}), frozenset({2.0, 1.0})),
        (Place("at", "Graz"), Place("at", "Graz")),
        (0.0, -0.0, 0, False),
    ],
)
def test_equal_keys_have_one_hash(equal: tuple[Any, ...]) -> None:
    assert len(set(equal)) == 1
    assert len({stable_hash(key) for key in equal}) == 1


def test_different_keys_have_different_hashes() -> None:
    keys: list[Any] = [
        *("a", "b", "ab", 1, 2, -1, ("a",), ("a", "b"), (("a", "b"),), (), Colour.RED, Colour),
        *(Place("a", "b"), Place("b", "a"), date(2025, 1, 1), datetime(2025, 1, 1), str, int),
        *(frozenset("ab"), frozenset("abc"), 0.5, 0.25, timedelta(1), timedelta(2), time(1)),
    ]
    assert len({stable_hash(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("key", [object(), range(3), len, Place, time(1, tzinfo=UTC)])
def test_other_keys_are_refused(key: Any) -> None:
    if key is Place:
        assert stable_hash(key)
        return
    with pytest.raises(TypeError, match="has no hash that is the same in every process"):
        stable_hash(key)


@pytest.mark.parametrize(
    "keys", [range(12_800), range(0, 12_800_000, 1000), map(str, range(12_800))]
)
def test_keys_spread_over_the_groups(keys: Any) -> None:
    counts = Counter(map(key_group, keys))
    assert len(counts) == KEY_GROUPS
    assert max(counts.values()) < 200
    assert min(counts.values()) > 40
