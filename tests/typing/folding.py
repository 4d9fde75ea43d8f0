"""Only type-checked: lambdas are inferred through folds, in both checkers."""

from __future__ import annotations

from collections import Counter, deque
from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


def lengths(so_far: dict[int, str], word: str) -> dict[int, str]:
    so_far[len(word)] = word
    return so_far


def counted() -> dict[int, str]:
    return {}


async def folding() -> None:
    assert_type(await words.fold(lambda n, w: n + len(w), int), int)
    assert_type(await words.fold(lengths, counted), dict[int, str])
    assert_type(await numbers.variance(), float)
    assert_type(await numbers.variance(population=True), float)
    assert_type(await words.top(3), list[str])
    assert_type(await words.top(3, key=lambda w: len(w)), list[str])
    assert_type(words.top(3).map(lambda best: best[0]), rx.Stream[str])
    assert_type(await words.min(lambda w: len(w)), str)
    assert_type(await words.max(lambda w: len(w), default=None), str | None)
    words.min(lambda w: w.nope)  # type: ignore[attr-defined]
    words.top(3, lambda w: w.nope)  # type: ignore[attr-defined]


async def containers(kept: list[str]) -> None:
    assert_type(await words.collect_into(list), list[str])
    assert_type(await words.collect_into(set), set[str])
    assert_type(await words.collect_into(deque), deque[str])
    assert_type(await words.collect_into(bytearray), bytearray)
    assert_type(await words.collect_into(Counter[str]), Counter[str])
    assert_type(await words.collect_into(lambda: deque[str](maxlen=3)), deque[str])
    assert_type(await words.collect_into(kept), list[str])
