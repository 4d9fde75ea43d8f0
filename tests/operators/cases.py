"""What the tests that hold for every operator are run on, collected from one module a family.

Each `cases_FAMILY.py` may have: `LAWS`, for test_laws.py, pipelines over a few small integers;
`RULES`, for test_rules.py, pipelines over objects of which nothing is known, that give at least
one item, named by their method first; and `CALLBACKS`, pipelines whose user function raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import reactive as rx

Build = Callable[[rx.Stream[Any]], rx.Stream[Any]]


@dataclass(frozen=True)
class Case:
    """A pipeline with what the laws have to know of it; see `check_laws`."""

    build: Build
    ordered: bool = True
    readahead: int = 0
    skip: tuple[Any, ...] = ()
    examples: int = 12


def collected(registry: str) -> dict[str, Any]:
    """Everything of one kind, of all families."""
    found: dict[str, Any] = {}
    for path in sorted(Path(__file__).parent.glob("cases_*.py")):
        for name, case in getattr(import_module(path.stem), registry, {}).items():
            assert name not in found, f"two cases are named {name!r}"
            found[name] = case
    return found


ITEMS = [3, 1, 1, 4, 1, 5, 9, 2]
"""What the laws feed."""

BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")


async def add_one(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


async def slower_for_less(number: int) -> int:
    await asyncio.sleep(1 / (number + 1))
    return number


async def same_later(x: Any) -> Any:
    await asyncio.sleep(0)
    return x


class Failure(Exception):
    """What the user's function raises."""


def fail(*args: Any) -> Any:
    raise Failure


async def fail_later(*args: Any) -> Any:
    await asyncio.sleep(0)
    raise Failure


def fail_on_nine(number: int) -> int:
    if number == 9:
        raise LookupError("nine")
    return number


async def fail_on_nine_later(number: int) -> int:
    await asyncio.sleep(0.01)
    return fail_on_nine(number)
