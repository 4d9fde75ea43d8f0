"""Cases of `operators/arranging.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import Build, Case, fail

WHOLE: tuple[Any, ...] = ("signals",)
"""Watermarks wait for the end, and idleness ends there."""

LAWS: dict[str, Build | Case] = {
    "assume_bounded": lambda s: s.assume_bounded(),
    "sort": Case(lambda s: s.sort(), skip=WHOLE),
    "sort by a key": Case(lambda s: s.sort(key=lambda x: x % 3, reverse=True), skip=WHOLE),
    # Little fits into so little memory: items go to disk one by one.
    "sort on disk": Case(lambda s: s.sort(memory=100), skip=WHOLE, examples=6),
    "group": Case(lambda s: s.group(lambda x: x % 3), skip=WHOLE),
    "group on disk": Case(lambda s: s.group(lambda x: x % 3, memory=500), skip=WHOLE, examples=6),
}

RULES: dict[str, Build] = {
    "assume_bounded": lambda s: s.assume_bounded(),
    "sort": lambda s: s.assume_bounded().sort(id),
    "group": lambda s: s.assume_bounded().group(id),
}

CALLBACKS: dict[str, Build] = {
    "sort": lambda s: s.sort(fail),
    "group": lambda s: s.group(fail),
}
