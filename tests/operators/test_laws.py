"""Every operator keeps the laws: chunks, signals, cancellation, backpressure, reuse, state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import reactive as rx
from reactive.testing import check_laws, failing_source, scripted_source

ITEMS = [3, 1, 1, 4, 1, 5, 9, 2]

Build = Callable[[rx.Stream[int]], rx.Stream[Any]]


async def add_one(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


async def slower_for_less(number: int) -> int:
    await asyncio.sleep(1 / (number + 1))
    return number


def fail_on_nine(number: int) -> int:
    if number == 9:
        raise LookupError("nine")
    return number


async def fail_on_nine_later(number: int) -> int:
    await asyncio.sleep(0.01)
    return fail_on_nine(number)


def fail_at_first() -> Callable[[int], int]:
    failed = False

    def check(number: int) -> int:
        nonlocal failed
        if not failed:
            failed = True
            raise LookupError("at first")
        return number

    return check


async def every_other(items: AsyncIterator[int]) -> AsyncIterator[int]:
    async for item in items:
        yield item
        await anext(items, None)


BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")

OPERATORS: dict[str, Build] = {
    # mapping
    "map": lambda s: s.map(lambda x: x + 1),
    "map that fails": lambda s: s.map(fail_on_nine),
    "map, skipping errors": lambda s: s.map(fail_on_nine, on_error="skip"),
    "map, replacing errors": lambda s: s.map(fail_on_nine, on_error=rx.replace(0)),
    "map to a side output": lambda s: s.map(fail_on_nine, on_error=BAD),
    "map, awaited": lambda s: s.map(add_one),
    "map, awaited, that fails": lambda s: s.map(fail_on_nine_later),
    "map, three at a time": lambda s: s.map(slower_for_less, concurrency=3),
    "map, three at a time, that fails": lambda s: s.map(fail_on_nine_later, concurrency=3),
    "starmap": lambda s: s.map(lambda x: (x, 2)).starmap(lambda a, b: a * b),
    "flat_map": lambda s: s.flat_map(range),
    "flat_map twice": lambda s: s.flat_map(range).flat_map(range),
    "tap": lambda s: s.tap(fail_on_nine),
    "enumerate": lambda s: s.enumerate(1),
    "pairwise": lambda s: s.pairwise(),
    "scan": lambda s: s.scan(lambda total, x: total + x),
    "scan from a start": lambda s: s.scan(lambda total, x: [*total, x], [0]),
    # filtering
    "filter": lambda s: s.filter(lambda x: x % 2),
    "filter_map": lambda s: s.filter_map(lambda x: x * 2 if x > 2 else None),
    "distinct": lambda s: s.distinct(),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
    # limiting
    "take none": lambda s: s.take(0),
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(3),
    "take_while": lambda s: s.take_while(lambda x: x < 5),
    "take_while, inclusive": lambda s: s.take_while(lambda x: x < 5, inclusive=True),
    "skip_while": lambda s: s.skip_while(lambda x: x != 4),
    "take_last": lambda s: s.take_last(3),
    "take_until": lambda s: s.take_until(rx.timer(1500)),
    # folding
    "reduce": lambda s: s.reduce(lambda a, b: a * b),
    "count": lambda s: s.count(),
    "sum": lambda s: s.sum(),
    "mean": lambda s: s.mean(),
    "min": lambda s: s.min(),
    "max": lambda s: s.max(),
    "first": lambda s: s.first(),
    "last": lambda s: s.last(),
    "to_list": lambda s: s.to_list(),
    "to_set": lambda s: s.to_set(),
    "to_dict": lambda s: s.to_dict(lambda x: x % 3),
    # batching and flow
    "batch": lambda s: s.batch(3),
    "batch within": lambda s: s.batch(3, within=5),
    "sliding": lambda s: s.sliding(3),
    "sliding by steps": lambda s: s.sliding(2, step=3),
    "buffer": lambda s: s.buffer(2),
    "rebatch": lambda s: s.rebatch(3),
    # combining
    "concat": lambda s: s.concat(rx.of(7, 8)),
    "concat after another": lambda s: rx.of(7, 8).concat(s),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s.map(str)),
    # rescuing
    "recover": lambda s: s.map(fail_on_nine).recover(rx.of(-1)),
    "recover from the start": lambda s: failing_source([7], OSError()).recover(s),
    # through, and several together
    "through": lambda s: s.through(every_other),
    "a long chain": lambda s: (
        s.filter(lambda x: x != 4)
        .enumerate()
        .batch(2)
        .flat_map(lambda pairs: pairs)
        .map(slower_for_less_pair, concurrency=2)
        .buffer(3)
        .pairwise()
        .take(4)
    ),
}


async def slower_for_less_pair(pair: tuple[int, int]) -> int:
    return await slower_for_less(pair[1])


# What these hold and give when their input ends keeps its time, which watermarks that passed
# meanwhile have left behind.
HOLDING = {"take_last", "reduce", "count", "sum", "mean", "min", "max", "first", "last", "batch"}
HOLDING |= {"to_list", "to_set", "to_dict"}


@pytest.mark.parametrize("name", OPERATORS)
def test_the_laws(name: str) -> None:
    check_laws(
        OPERATORS[name],
        ITEMS,
        readahead=8 if "three at a time" in name else 0,
        skip=["lateness"] if name in HOLDING else [],
        examples=12,
    )


@pytest.mark.parametrize("name", ["map", "scan", "take", "sum", "batch", "zip", "concat", "buffer"])
def test_the_laws_of_nothing(name: str) -> None:
    check_laws(OPERATORS[name], [], examples=6)


UNORDERED: dict[str, Build] = {
    "merge": lambda s: s.merge(rx.of(100, 200)),
    "merge with itself": lambda s: s.merge(s.map(str)),
    "map, as they complete": lambda s: s.map(slower_for_less, concurrency=3, ordered=False),
}


@pytest.mark.parametrize("name", UNORDERED)
def test_the_laws_without_order(name: str) -> None:
    check_laws(UNORDERED[name], ITEMS, ordered=False, readahead=8, examples=12)


def test_the_laws_in_threads() -> None:
    check_laws(
        lambda s: s.map(fail_on_nine, on="thread", concurrency=2), ITEMS, readahead=8, examples=5
    )


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
def test_a_buffer_that_drops_keeps_the_others(overflow: Any) -> None:
    check_laws(
        lambda s: s.buffer(2, overflow=overflow),
        ITEMS[:2],
        skip=["chunking", "backpressure", "signals", "reuse", "pickling"],
    )


def test_retry() -> None:
    # Each attempt is a run from the beginning, which gives its control signals again.
    check_laws(lambda s: s.map(fail_at_first()).retry(2), ITEMS, skip=["signals"])


def test_take_until_an_event() -> None:
    check_laws(lambda s: s.take_until(asyncio.Event()), ITEMS, skip=["pickling"])


def test_two_sources_that_take_turns() -> None:
    check_laws(
        lambda s: s.merge(scripted_source([rx.Chunk([1, 2])])).batch(2).flat_map(list),
        ITEMS,
        ordered=False,
    )
