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


class Animal:
    pass


class Dog(Animal):
    pass


def reshaping() -> None:
    mixed: rx.Stream[int | str | None] = rx.of(1, "a", None)
    animals: rx.Stream[Animal] = rx.of(Animal(), Dog())
    assert_type(numbers.batch(3).flatten(), rx.Stream[int])
    assert_type(numbers.batch(3).flatten().map(lambda x: x + 1), rx.Stream[int])
    assert_type(rx.of({"a": 1}.items()).flatten(), rx.Stream[tuple[str, int]])
    assert_type(numbers.zip(words).unzip(), tuple[rx.Stream[int], rx.Stream[str]])
    counts, texts = words.enumerate().unzip()
    assert_type(counts.map(lambda n: n + 1), rx.Stream[int])
    assert_type(texts.map(lambda w: w.upper()), rx.Stream[str])
    assert_type(mixed.cast(int), rx.Stream[int])
    assert_type(mixed.cast(list[int]).flatten(), rx.Stream[int])
    assert_type(mixed.of_type(int), rx.Stream[int])
    assert_type(mixed.of_type(int, str), rx.Stream[int | str])
    assert_type(animals.of_type(Dog), rx.Stream[Dog])
    assert_type(numbers.expand(lambda x: [x - 1] if x else []), rx.Stream[int])
    assert_type(words.expand(lambda w: (w[n:] for n in range(1, len(w)))), rx.Stream[str])
    assert_type(numbers.map_chunks(lambda xs: [str(x) for x in xs]), rx.Stream[str])
    assert_type(words.map_chunks(lambda ws: tuple(len(w) for w in ws)), rx.Stream[int])
    assert_type(words.map_chunks(sorted, on_error="skip"), rx.Stream[str])
    assert_type(
        words.map_chunks(lambda ws: [len(w) for w in ws], on_error=rx.replace(None)),
        rx.Stream[int | None],
    )


def refused_reshaping() -> None:
    numbers.flatten()  # type: ignore[misc]
    numbers.unzip()  # type: ignore[misc]
    numbers.of_type("int")  # type: ignore[call-overload]
    numbers.map_chunks(lambda xs: len(xs))  # type: ignore[arg-type, return-value]
    numbers.expand(lambda x: x)  # type: ignore[arg-type, return-value]
