"""Only type-checked: slices, and what streams are limited by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import assert_type

import reactive as rx

words = rx.of("a", "bb")


def slices() -> None:
    assert_type(words[2:10:2], rx.Stream[str])
    assert_type(words[-3:], rx.Stream[str])
    assert_type(words[:-2].map(lambda w: len(w)), rx.Stream[int])
    assert_type(words.skip_last(2), rx.Stream[str])


def until(event: asyncio.Event) -> None:
    assert_type(words.take_until(rx.timer(1)), rx.Stream[str])
    assert_type(words.skip_until(rx.timer(1)), rx.Stream[str])
    assert_type(words.skip_until(event), rx.Stream[str])
    assert_type(words.take_until(datetime.now(UTC)), rx.Stream[str])
    assert_type(words.take_for(5), rx.Stream[str])


def refused() -> None:
    words[3]  # type: ignore[index]
    words["a":]  # type: ignore[index]
    words.take_until(5)  # type: ignore[arg-type]
    list(words)  # type: ignore[call-overload]
    for _ in words:  # type: ignore[misc]
        pass
