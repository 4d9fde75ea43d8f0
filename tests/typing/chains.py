"""Only type-checked: lambdas are inferred through every fluent method, in both checkers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeGuard, assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


async def fetch(number: int) -> bytes:
    return b""


def is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def sources(queue: asyncio.Queue[bytes], feed: AsyncIterator[float]) -> None:
    assert_type(numbers, rx.Stream[int])
    assert_type(words, rx.Stream[str])
    assert_type(rx.from_iterable({"a": 1}.items()), rx.Stream[tuple[str, int]])
    assert_type(rx.from_async_iterable(queue), rx.Stream[bytes])
    assert_type(rx.from_async_iterable(feed), rx.Stream[float])
    assert_type(rx.interval(1), rx.Stream[int])
    assert_type(rx.unfold(1, lambda n: (str(n), n + 1) if n < 5 else None), rx.Stream[str])
    assert_type(rx.defer(lambda: numbers), rx.Stream[int])
    assert_type(rx.Subject[int](), rx.Subject[int])


def mapping() -> None:
    assert_type(numbers.map(lambda x: x + 1), rx.Stream[int])
    assert_type(numbers.map(lambda x: str(x)).map(lambda s: s.upper()), rx.Stream[str])
    assert_type(numbers.map(fetch), rx.Stream[bytes])
    assert_type(numbers.map(fetch, concurrency=5, ordered=False), rx.Stream[bytes])
    assert_type(numbers.map(float, on="thread"), rx.Stream[float])
    assert_type(words.flat_map(lambda w: w.split()), rx.Stream[str])
    assert_type(words.flat_map(lambda w: [len(w)]).map(lambda n: n + 1), rx.Stream[int])
    assert_type(words.tap(lambda w: w.upper()), rx.Stream[str])
    assert_type(words.enumerate().map(lambda pair: pair[0] + len(pair[1])), rx.Stream[int])
    assert_type(words.pairwise(), rx.Stream[tuple[str, str]])
    assert_type(numbers.scan(lambda total, x: total + x), rx.Stream[int])
    assert_type(words.scan(lambda total, w: total + len(w), 0), rx.Stream[int])


def filtering() -> None:
    assert_type(numbers.filter(lambda x: x > 1), rx.Stream[int])
    mixed: rx.Stream[object] = rx.of(1, "a")
    assert_type(mixed.filter(is_text), rx.Stream[str])
    assert_type(words.filter_map(lambda w: len(w) or None), rx.Stream[int])
    assert_type(words.distinct(lambda w: w.lower()), rx.Stream[str])
    assert_type(words.distinct_until_changed(), rx.Stream[str])


def limiting() -> None:
    assert_type(numbers.take(1).skip(1).take_last(1), rx.Stream[int])
    assert_type(numbers.take_while(lambda x: x < 3, inclusive=True), rx.Stream[int])
    assert_type(numbers.skip_while(lambda x: x < 3), rx.Stream[int])
    assert_type(numbers.take_until(rx.timer(1)), rx.Stream[int])
    assert_type(numbers.take_until(asyncio.Event()), rx.Stream[int])


def batching_and_flow() -> None:
    assert_type(words.batch(3, within=1), rx.Stream[list[str]])
    assert_type(words.sliding(3).map(lambda ws: ws[0]), rx.Stream[str])
    assert_type(words.buffer(10, overflow="drop_oldest").rebatch(3), rx.Stream[str])


def combining() -> None:
    assert_type(numbers.merge(words), rx.Stream[int | str])
    assert_type(numbers.concat(numbers), rx.Stream[int])
    assert_type(numbers.zip(words), rx.Stream[tuple[int, str]])
    assert_type(numbers.zip(words, numbers), rx.Stream[tuple[int, str, int]])
    assert_type(numbers.zip(words).starmap(lambda n, w: f"{n}{w}"), rx.Stream[str])


def rescuing() -> None:
    bad = rx.SideOutput[rx.DeadLetter[str]]("bad")
    assert_type(words.map(int, on_error="skip"), rx.Stream[int])
    assert_type(words.map(int, on_error=bad), rx.Stream[int])
    assert_type(words.map(int, on_error=rx.replace(None)), rx.Stream[int | None])
    assert_type(bad.map(lambda letter: letter.item.upper()), rx.Stream[str])
    assert_type(words.map(int).retry(3), rx.Stream[int])
    assert_type(words.map(int).recover(rx.of("x")), rx.Stream[int | str])
    assert_type(words.recover_with(lambda error: rx.of(str(error))), rx.Stream[str])


async def folding() -> None:
    assert_type(await numbers.sum(), int)
    assert_type(await numbers.count(), int)
    assert_type(await numbers.mean(), float)
    assert_type(await words.max(key=len), str)
    assert_type(await words.reduce(lambda a, b: a + b), str)
    assert_type(await words.reduce(lambda n, w: n + len(w), 0), int)
    assert_type(await words.first(), str)
    assert_type(await words.to_list(), list[str])
    assert_type(await words.to_set(), set[str])
    assert_type(await words.to_dict(lambda w: len(w)), dict[int, str])
    assert_type(await words.to_dict(lambda w: len(w), lambda w: w.encode()), dict[int, bytes])
    assert_type(await words.collect(), list[str])
    assert_type(words.count().map(lambda n: n / 2), rx.Stream[float])
    async for word in words:
        assert_type(word, str)
    async with numbers.open() as items:
        async for item in items:
            assert_type(item, int)


async def halves(items: AsyncIterator[int], by: float) -> AsyncIterator[float]:
    async for item in items:
        yield item / by


def squares(stream: rx.Stream[int], power: int = 2) -> rx.Stream[int]:
    return stream.map(lambda x: x**power)


def extending() -> None:
    assert_type(numbers.through(halves, 2.0), rx.Stream[float])
    assert_type(numbers.pipe(squares).pipe(squares, power=3), rx.Stream[int])
    assert_type(numbers.pipe(lambda s: s.map(str)), rx.Stream[str])


async def jobs(sink: rx.Sink[int], any_sink: rx.Sink[Any]) -> None:
    assert_type(numbers.to(sink), rx.Job)
    words.to(any_sink)
    words.to(sink)  # type: ignore[arg-type]
    async with rx.start(numbers.to(sink)) as run:
        assert_type(run, rx.Run)
        assert_type(await run.stop(), rx.Report)


def refused() -> None:
    numbers.through(halves)  # type: ignore[call-arg]
    words.map(lambda w: w.nope)  # type: ignore[attr-defined]
    numbers.buffer(3, overflow="nope")  # type: ignore[arg-type]
    numbers.take("3")  # type: ignore[arg-type]
    numbers.zip(3)  # type: ignore[call-overload]
    numbers.map(lambda x: x, on="gpu")  # type: ignore[call-overload]
