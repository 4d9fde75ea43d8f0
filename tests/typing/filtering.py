"""Only type-checked: parts, defaults, and streams of nothing."""

from __future__ import annotations

from typing import Never, TypeGuard, assert_type

from typing_extensions import TypeIs

import reactive as rx

words = rx.of("a", "bb")
mixed: rx.Stream[int | str] = rx.of(1)


def is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def is_number(value: int | str) -> TypeIs[int]:
    return isinstance(value, int)


def parts() -> None:
    assert_type(words.partition(lambda w: w.isupper()), tuple[rx.Stream[str], rx.Stream[str]])
    texts, others = mixed.partition(is_text)
    assert_type(texts, rx.Stream[str])
    assert_type(others, rx.Stream[int | str])
    numbers, rest = mixed.partition(is_number)
    assert_type(numbers, rx.Stream[int])
    assert_type(rest, rx.Stream[int | str])
    assert_type(mixed.filter(is_number), rx.Stream[int])


def distinct() -> None:
    assert_type(words.distinct(lambda w: w.lower(), within=5), rx.Stream[str])
    assert_type(words.distinct(count=100), rx.Stream[str])
    assert_type(words.distinct_until_changed(lambda w: w.lower()), rx.Stream[str])
    words.distinct_until_changed(lambda w: w.nope)  # type: ignore[attr-defined]
    words.distinct(lambda w: [w])  # type: ignore[arg-type, return-value]


def nothing() -> None:
    assert_type(words.ignore_items(), rx.Stream[Never])
    only: rx.Stream[int] = words.ignore_items()
    only.map(lambda n: n + 1)
    assert_type(words.default_if_empty(None), rx.Stream[str | None])
    assert_type(words.default_if_empty("").map(lambda w: w.upper()), rx.Stream[str])
