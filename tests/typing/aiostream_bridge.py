"""Only type-checked: what mypy and pyright both know of aiostream's operators is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from aiostream import pipe, stream

import reactive as rx

numbers = rx.range(10)


async def every_other(items: AsyncIterator[int], shift: int) -> AsyncIterator[str]:
    async for item in items:
        yield str(item + shift)
        await anext(items, None)


def through() -> None:
    assert_type(numbers.through(every_other, 3), rx.Stream[str])
    assert_type(numbers.through(every_other, shift=3), rx.Stream[str])
    numbers.through(every_other, "3")  # type: ignore[arg-type]
    assert_type(numbers.through(stream.merge, numbers), rx.Stream[int])
    batches: rx.Stream[list[int]] = numbers.through(pipe.chunks(3))
    few: rx.Stream[Any] = numbers.through(lambda items: stream.iterate(items) | pipe.take(3))
    assert_type(batches.map(lambda batch: len(batch)), rx.Stream[int])
    assert_type(few.enumerate(), rx.Stream[tuple[int, Any]])


def sources() -> None:
    assert_type(rx.from_async_iterable(stream.range(3)), rx.Stream[int])
    assert_type(rx.from_async_iterable(stream.merge(numbers, numbers)), rx.Stream[int])
