"""Only type-checked: what comes out of several streams is inferred, in both checkers."""

from __future__ import annotations

from typing import Any, assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")
halves = rx.of(0.5)
flags = rx.of(b"")


def one_by_one() -> None:
    assert_type(numbers.merge(words), rx.Stream[int | str])
    assert_type(numbers.merge(words, halves), rx.Stream[int | str | float])
    assert_type(numbers.merge(words, halves, flags), rx.Stream[int | str | float | bytes])
    assert_type(numbers.merge(words, priorities=[1, 0.5]), rx.Stream[int | str])
    assert_type(numbers.concat(words, halves, flags), rx.Stream[int | str | float | bytes])
    assert_type(numbers.interleave(words, halves, count=2), rx.Stream[int | str | float])
    assert_type(numbers.race(words), rx.Stream[int | str])
    assert_type(numbers.merge_sorted(numbers), rx.Stream[int])
    assert_type(numbers.merge_sorted(halves, key=lambda x: -x), rx.Stream[int | float])
    assert_type(words.merge_sorted(words, words, key=lambda w: w.lower()), rx.Stream[str])
    assert_type(numbers.start_with("a"), rx.Stream[int | str])
    assert_type(numbers.start_with(1).end_with(None), rx.Stream[int | None])


def tuples() -> None:
    assert_type(numbers.zip(words), rx.Stream[tuple[int, str]])
    assert_type(numbers.zip(words, halves, flags), rx.Stream[tuple[int, str, float, bytes]])
    assert_type(numbers.zip(words).starmap(lambda n, w: f"{n}{w}"), rx.Stream[str])
    assert_type(numbers.zip_longest(words), rx.Stream[tuple[int | None, str | None]])
    assert_type(numbers.zip_longest(words, fill=b""), rx.Stream[tuple[int | bytes, str | bytes]])
    assert_type(
        numbers.zip_longest(words, halves, flags),
        rx.Stream[tuple[int | None, str | None, float | None, bytes | None]],
    )
    assert_type(numbers.combine_latest(words), rx.Stream[tuple[int, str]])
    assert_type(numbers.combine_latest(words, halves), rx.Stream[tuple[int, str, float]])
    assert_type(
        numbers.with_latest_from(words, halves, flags), rx.Stream[tuple[int, str, float, bytes]]
    )
    assert_type(numbers.fork_join(words).map(lambda row: row[1].upper()), rx.Stream[str])
    assert_type(numbers.combine_latest(words, halves, flags, words), rx.Stream[tuple[Any, ...]])


async def comparisons() -> None:
    assert_type(numbers.sequence_equal(halves), rx.Single[bool])
    assert_type(await numbers.sequence_equal(numbers).named("same"), bool)


def functions(many: list[rx.Stream[int]]) -> None:
    assert_type(rx.merge(*many), rx.Stream[int])
    assert_type(rx.merge(numbers, words), rx.Stream[int | str])
    assert_type(rx.concat(numbers, words, halves), rx.Stream[int | str | float])
    assert_type(rx.interleave(*many, count=3), rx.Stream[int])
    assert_type(rx.race(numbers, words, halves, flags), rx.Stream[int | str | float | bytes])
    assert_type(rx.merge_sorted(*many, key=lambda n: -n), rx.Stream[int])
    assert_type(rx.merge_sorted(words, words, key=lambda w: len(w)), rx.Stream[str])
    assert_type(rx.zip(numbers, words), rx.Stream[tuple[int, str]])
    assert_type(rx.zip(*many), rx.Stream[tuple[Any, ...]])
    assert_type(rx.zip_longest(numbers, words), rx.Stream[tuple[int | None, str | None]])
    assert_type(rx.zip_longest(numbers, words, fill=0), rx.Stream[tuple[int, str | int]])
    assert_type(rx.combine_latest(numbers, words, halves), rx.Stream[tuple[int, str, float]])
    assert_type(rx.fork_join(numbers, words), rx.Stream[tuple[int, str]])


def history_then_live() -> None:
    assert_type(numbers.then(words), rx.Stream[int | str])
    assert_type(numbers.then(numbers, sequence=lambda n: -n), rx.Stream[int])
    assert_type(numbers.then(numbers, key=lambda n: n % 7, remember=10), rx.Stream[int])
    assert_type(words.then(words, key=lambda word: word.lower()), rx.Stream[str])
    assert_type(words.then(lambda last: rx.of(last or "")), rx.Stream[str])


def refused(any_key: object) -> None:
    numbers.merge([numbers])  # type: ignore[call-overload]
    numbers.merge_sorted(words, key=any_key)  # type: ignore[call-overload]
    numbers.zip_longest([1])  # type: ignore[call-overload]
    rx.race(numbers, 3)  # type: ignore[call-overload]
