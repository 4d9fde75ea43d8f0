"""Only type-checked: lambdas are inferred through the timing family, in both checkers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


def quieting() -> None:
    assert_type(words.debounce(0.3), rx.Stream[str])
    assert_type(words.debounce(lambda w: len(w) / 10), rx.Stream[str])
    assert_type(words.throttle(1), rx.Stream[str])
    assert_type(words.throttle(1, leading=False, trailing=True), rx.Stream[str])
    assert_type(words.sample(1), rx.Stream[str])
    assert_type(words.sample(rx.interval(1)).map(lambda w: w.upper()), rx.Stream[str])


def delaying() -> None:
    assert_type(words.delay(1, limit=5), rx.Stream[str])
    assert_type(words.delay_each(1), rx.Stream[str])
    assert_type(words.delay_each(lambda w: len(w)), rx.Stream[str])
    assert_type(words.rate_limit(10), rx.Stream[str])
    assert_type(words.rate_limit(1e6, burst=65536, weight=lambda w: len(w)), rx.Stream[str])
    assert_type(words.rate_limit(1e6, weight=len).map(lambda w: w.upper()), rx.Stream[str])


def silences() -> None:
    assert_type(numbers.timeout(5), rx.Stream[int])
    assert_type(numbers.timeout(first=5, total=60), rx.Stream[int])
    assert_type(numbers.timeout(5, fallback=words), rx.Stream[int | str])
    assert_type(numbers.timeout(5, fallback=lambda e: rx.of(str(e))), rx.Stream[int | str])
    assert_type(numbers.heartbeat(5, "alive"), rx.Stream[int | str])
    assert_type(numbers.heartbeat(5, lambda: b"alive"), rx.Stream[int | bytes])
    assert_type(numbers.heartbeat(5, None), rx.Stream[int | None])


def stamping() -> None:
    assert_type(words.with_timestamp(), rx.Stream[tuple[datetime, str]])
    assert_type(words.with_timestamp(asyncio.get_event_loop().time), rx.Stream[tuple[float, str]])
    assert_type(words.with_timestamp(lambda: 3).starmap(lambda n, w: w * n), rx.Stream[str])
    assert_type(words.with_interval(), rx.Stream[tuple[float, str]])
    assert_type(words.with_interval().map(lambda p: p[0] + len(p[1])), rx.Stream[float])
