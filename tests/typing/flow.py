"""Only type-checked: lambdas are inferred through flow control, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


async def fetch(number: int) -> bytes:
    return b""


def longer(one: str, other: str) -> str:
    return max(one, other, key=len)


def flowing() -> None:
    assert_type(words.buffer(3, overflow="latest", unit="bytes"), rx.Stream[str])
    assert_type(words.journal("words", serializer=(str.encode, bytes.decode)), rx.Stream[str])
    assert_type(words.prefetch(3), rx.Stream[str])
    assert_type(words.conflate(lambda waiting, w: waiting.upper() + w), rx.Stream[str])
    assert_type(words.conflate(longer), rx.Stream[str])
    assert_type(words.aggregate_while_busy(), rx.Stream[list[str]])
    assert_type(words.aggregate_while_busy(limit=5), rx.Stream[list[str]])
    assert_type(words.aggregate_while_busy(lambda a, b: a.upper() + b), rx.Stream[str])
    assert_type(numbers.limit_in_flight(3, lambda s: s.map(fetch)), rx.Stream[bytes])
    assert_type(
        numbers.limit_in_flight(3, lambda s: s.map(fetch, concurrency=9).batch(2)),
        rx.Stream[list[bytes]],
    )
    words.conflate(lambda waiting, w: waiting.nope)  # type: ignore[attr-defined]
    numbers.limit_in_flight(3, lambda s: 5)  # type: ignore[arg-type, return-value]
