"""Only type-checked: what is found, narrowed by predicates, widened by defaults."""

from __future__ import annotations

from typing import TypeGuard, assert_type

from typing_extensions import TypeIs

import reactive as rx

words = rx.of("a", "bb")
mixed: rx.Stream[int | str] = rx.of(1)


def is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def is_number(value: int | str) -> TypeIs[int]:
    return isinstance(value, int)


async def ends() -> None:
    assert_type(words.first(), rx.Single[str])
    assert_type(await words.first(), str)
    assert_type(await words.first(default=None), str | None)
    assert_type(await words.first(lambda w: w.isupper()), str)
    assert_type(await words.first(lambda w: len(w), default=0), str | int)
    assert_type(await mixed.first(is_text), str)
    assert_type(await mixed.first(is_number), int)
    assert_type(await mixed.first(is_text, default=None), str | None)
    assert_type(await words.last(), str)
    assert_type(await words.last(default=0), str | int)
    assert_type(await words.last(lambda w: w.isupper()), str)
    assert_type(await mixed.last(is_number), int)
    assert_type(await mixed.last(is_number, default=None), int | None)


async def one() -> None:
    assert_type(await words.single(), str)
    assert_type(await words.single(default=None), str | None)
    assert_type(await words.element_at(3), str)
    assert_type(await words.element_at(3, default=0), str | int)


async def find() -> None:
    assert_type(await words.find(lambda w: w.isupper()), str | None)
    assert_type(await words.find(lambda w: len(w), 0), str | int)
    assert_type(await mixed.find(is_text), str | None)
    assert_type(await mixed.find(is_number), int | None)
    assert_type(await mixed.find(is_number, b""), int | bytes)
    assert_type(words.find(lambda w: w.isupper()).map(lambda w: w or ""), rx.Stream[str])


async def questions() -> None:
    assert_type(await words.is_empty(), bool)
    assert_type(await words.all(), bool)
    assert_type(await words.all(lambda w: w.isupper()), bool)
    assert_type(await words.any(lambda w: w.isupper()), bool)
    assert_type(words.contains("a"), rx.Single[bool])


def refused() -> None:
    words.first(default="", unknown=1)  # type: ignore[call-overload]
    words.find(lambda w: w.nope)  # type: ignore[arg-type]
    words.element_at("1")  # type: ignore[call-overload]
