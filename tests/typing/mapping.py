"""Only type-checked: the options of `map`, and the other ways to change items."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


async def fetch(number: int) -> bytes:
    return b""


def options_of_map() -> None:
    backoff = rx.Backoff(attempts=3)
    assert_type(numbers.map(fetch, concurrency=3, by=lambda x: x % 2), rx.Stream[bytes])
    assert_type(words.map(lambda w: fetch(len(w)), concurrency=2, buffer=9), rx.Stream[bytes])
    assert_type(numbers.map(fetch, timeout=5, retry=backoff), rx.Stream[bytes])
    assert_type(
        numbers.map(fetch, timeout=5, retry=3, retry_on=(OSError, TimeoutError), on_error="skip"),
        rx.Stream[bytes],
    )
    assert_type(numbers.map(fetch, retry=3, on_error=rx.replace(None)), rx.Stream[bytes | None])
    assert_type(words.map(lambda w: len(w), on="thread", by=str.lower, retry=1), rx.Stream[int])
    assert_type(words.map(len, on="process", buffer=3), rx.Stream[int])


def scans() -> None:
    assert_type(numbers.scan(lambda total, x: total + x), rx.Stream[int])
    assert_type(words.scan(lambda total, w: total + len(w), 0), rx.Stream[int])
    assert_type(words.scan(lambda seen, w: seen | {w}, factory=set[str]), rx.Stream[set[str]])


def refused() -> None:
    words.map(lambda w: len(w), timeout=3)  # type: ignore[arg-type, return-value]
    words.map(lambda w: len(w), on="thread", timeout=3)  # type: ignore[call-overload]
    words.map(len, retry=3)  # type: ignore[arg-type]
    words.scan(lambda seen, w: seen | {w}, set(), factory=set)  # type: ignore[call-overload]
