"""Only type-checked: the items of inner streams are inferred from lambdas, in both checkers."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import assert_type

import reactive as rx

numbers = rx.range(10)


async def letters(count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield "a"


def streams() -> None:
    assert_type(numbers.concat_map(lambda n: rx.of(str(n))), rx.Stream[str])
    assert_type(numbers.merge_map(lambda n: rx.of(n / 2), concurrency=3), rx.Stream[float])
    assert_type(numbers.switch_map(lambda n: rx.interval(n).map(str)), rx.Stream[str])
    assert_type(numbers.exhaust_map(lambda n: rx.of((n, n))), rx.Stream[tuple[int, int]])
    assert_type(numbers.merge_map(lambda n: rx.of(n).count()), rx.Stream[int])
    assert_type(numbers.concat_map(lambda n: rx.of(n)).map(lambda n: n + 1), rx.Stream[int])


def async_iterables() -> None:
    assert_type(numbers.concat_map(letters), rx.Stream[str])
    assert_type(numbers.merge_map(lambda n: letters(n), 2), rx.Stream[str])
    assert_type(numbers.switch_map(letters).map(lambda s: s.upper()), rx.Stream[str])
    assert_type(numbers.exhaust_map(lambda n: letters(n)), rx.Stream[str])


def streams_of_streams(feeds: rx.Stream[AsyncIterable[bytes]]) -> None:
    nested = numbers.map(lambda n: rx.of(str(n)))
    assert_type(nested.concat_all(), rx.Stream[str])
    assert_type(nested.merge_all(4), rx.Stream[str])
    assert_type(nested.switch(), rx.Stream[str])
    assert_type(feeds.switch().map(lambda b: b.decode()), rx.Stream[str])
    assert_type(numbers.map(letters).merge_all(), rx.Stream[str])
