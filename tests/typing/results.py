"""Only type-checked: unions of inputs, policies and defaults; tuples spread; what is refused."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Literal, assert_type

from typing_extensions import TypeIs

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")
blobs = rx.of(b"")


async def fetch(number: int) -> bytes:
    return b""


async def rate(number: int) -> float:
    return 0.5


def is_number(value: object) -> TypeIs[int]:
    return isinstance(value, int)


def of_nothing() -> None:
    assert_type(numbers.concat(rx.empty()), rx.Stream[int])
    assert_type(rx.empty().concat(numbers), rx.Stream[int])
    assert_type(numbers.merge(rx.never(), rx.fail(ValueError())), rx.Stream[int])
    assert_type(words.recover(rx.never()), rx.Stream[str])
    empty: rx.Stream[str] = rx.empty()
    empty.map(str.upper)


def unions() -> None:
    assert_type(numbers.merge(words, blobs), rx.Stream[int | str | bytes])
    assert_type(numbers.concat(words, blobs), rx.Stream[int | str | bytes])
    assert_type(numbers.merge(words, blobs, numbers), rx.Stream[int | str | bytes])
    assert_type(numbers.merge(*[numbers, numbers]), rx.Stream[int])
    assert_type(numbers.zip(words, blobs, words), rx.Stream[tuple[int, str, bytes, str]])
    assert_type(numbers.zip(words, strict=True), rx.Stream[tuple[int, str]])
    mixed: rx.Stream[int | str] = numbers.merge(words)
    assert_type(mixed.filter(is_number), rx.Stream[int])


def spreading() -> None:
    pairs = numbers.zip(words)
    assert_type(pairs.starmap(lambda n, w: w * n), rx.Stream[str])
    assert_type(pairs.starmap(lambda n, w: n, on_error=rx.replace(None)), rx.Stream[int | None])
    assert_type(numbers.zip(words, blobs).starmap(lambda n, w, b: b), rx.Stream[bytes])
    assert_type(numbers.enumerate().starmap(lambda n, x: x / 2), rx.Stream[float])
    assert_type(numbers.pairwise().starmap(max), rx.Stream[int])
    shapes: rx.Stream[tuple[int, ...]] = rx.of((1, 2))
    assert_type(shapes.starmap(lambda *sides: len(sides)), rx.Stream[int])
    numbers.batch(2).starmap(operator.add)
    unknown: rx.Stream[Any] = rx.of(1)
    unknown.starmap(lambda a, b: a)


def policies() -> None:
    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    for policy in (bad, rx.replace(0)):
        assert_type(numbers.map(lambda x: x + 1, on_error=policy), rx.Stream[int])
    assert_type(numbers.map(fetch, on_error=rx.replace(None)), rx.Stream[bytes | None])
    assert_type(numbers.map(fetch, concurrency=2, on_error="skip"), rx.Stream[bytes])
    assert_type(numbers.map(rate).map(lambda r: r * 2), rx.Stream[float])
    assert_type(
        numbers.map(str, on_error=rx.replace_with(lambda item, error: (item, error))),
        rx.Stream[str | tuple[Any, Exception]],
    )
    assert_type(numbers.flat_map(lambda x: [x], on_error=rx.replace([""])), rx.Stream[int | str])
    assert_type(numbers.filter(lambda x: x > 1, on_error=bad), rx.Stream[int])
    assert_type(numbers.filter(lambda x: x > 1, on_error=rx.replace(True)), rx.Stream[int])
    assert_type(numbers.tap(print, on_error="skip"), rx.Stream[int])
    assert_type(numbers.filter_map(lambda x: str(x), on_error=bad), rx.Stream[str])
    kept: Literal["skip", "raise"] = "skip"
    assert_type(numbers.map(str, on_error=kept), rx.Stream[str])


async def singles() -> None:
    assert_type(words.count(), rx.Single[int])
    assert_type(words.count().named("words"), rx.Single[int])
    assert_type(words.count().map(lambda n: n + 1), rx.Stream[int])
    assert_type(await words.first(default=None), str | None)
    assert_type(await words.last(default=0), str | int)
    assert_type(await words.min(len, default=None), str | None)
    assert_type(await words.max(default=b""), str | bytes)
    assert_type(await numbers.sum(0.5), int | float)
    assert_type(await numbers.scan(lambda total, x: [*total, x], list[int]()).last(), list[int])
    assert_type(await words.reduce(lambda found, w: found | {w}, set[str]()), set[str])


def resources(
    file: Callable[[], AbstractContextManager[list[str]]],
    connection: Callable[[], AbstractAsyncContextManager[int]],
    later: Callable[[], Awaitable[rx.Stream[bytes]]],
) -> None:
    assert_type(rx.using(file, rx.from_iterable), rx.Stream[str])
    assert_type(rx.using(connection, lambda number: rx.of(number)), rx.Stream[int])
    assert_type(rx.defer(later), rx.Stream[bytes])


class Animal:
    pass


class Dog(Animal):
    pass


def covariance(
    animals: rx.Stream[Animal], dogs: rx.Stream[Dog], sink: rx.Sink[Animal], kennel: rx.Sink[Dog]
) -> None:
    assert_type(animals.merge(dogs), rx.Stream[Animal | Dog])
    one: rx.Stream[Animal] = dogs
    one.to(sink)
    dogs.to(sink)
    animals.to(kennel)  # type: ignore[arg-type]


def contravariance(source: rx.Source[Dog]) -> None:
    wider: rx.Source[Animal] = source
    assert_type(rx.from_source(source), rx.Stream[Dog])
    rx.from_source(wider)


async def refused() -> None:
    await numbers  # type: ignore[misc]
    numbers.starmap(max)  # type: ignore[misc]
    numbers.filter(5)  # type: ignore[call-overload]
    numbers.map(str, on_error="ignore")  # type: ignore[call-overload]
    words.map(str.upper).map(lambda w: w + 1)  # type: ignore[operator]
    numbers.merge([1])  # type: ignore[call-overload]
    numbers.retry("often")  # type: ignore[call-overload]
    numbers.take_until(5)  # type: ignore[arg-type]
    numbers.batch()  # type: ignore[call-overload]
    rx.interval("1")  # type: ignore[arg-type]
    rx.from_iterable(5)  # type: ignore[arg-type]
    rx.run(numbers)  # type: ignore[arg-type, unused-coroutine]
