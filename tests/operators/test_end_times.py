"""The event time of what operators hold back until their input ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, Pair, pairs, signals

import reactive as rx
from reactive.execution import Execution
from reactive.plan import JobPlan, make_plan

Build = Callable[[rx.Stream[Any]], rx.Stream[Any]]

TO_THE_END: dict[str, Build] = {
    "batch": lambda s: s.batch(10),
    "sum": lambda s: s.sum(),
    "last": lambda s: s.last(),
    "default_if_empty": lambda s: s.filter(lambda x: False).default_if_empty(0),
    "one after the other": lambda s: s.batch(10).flat_map(list).count(),
    "after a long time": lambda s: s.flat_map(lambda x: range(5000)).count(),
}


async def after(*script: Any, build: Build) -> list[Pair]:
    return pairs(await signals(build(Feed(script).stream)))


@pytest.mark.parametrize("name", TO_THE_END)
async def test_what_is_given_at_the_end_is_not_behind_the_last_watermark(name: str) -> None:
    build = TO_THE_END[name]
    items = rx.Chunk([1, 2], [10, 20])
    ((_, time),) = await after(items, rx.Watermark(15), rx.Watermark(40), build=build)
    assert time == 40
    ((_, time),) = await after(rx.Watermark(5), items, build=build)
    assert time == (5 if name == "default_if_empty" else 20)


async def test_without_items_the_watermark_alone_gives_the_time() -> None:
    assert await after(rx.Watermark(5), build=lambda s: s.count()) == [(0, 5)]
    assert await after(build=lambda s: s.count()) == [(0, None)]


async def test_what_ends_by_itself_heeds_the_watermarks_before() -> None:
    script = rx.Chunk([1], [10]), rx.Watermark(30), rx.Chunk([2], [40]), rx.Watermark(50)
    assert await after(*script, build=lambda s: s.take(2).batch(5)) == [([1, 2], 40)]
    assert await after(*script, build=lambda s: s.first(lambda x: x > 1)) == [(2, 40)]


async def test_take_last_keeps_times_and_lets_watermarks_wait() -> None:
    feed = Feed(
        (rx.Watermark(5), rx.Chunk([1, 2, 3], [10, 20, 30]), rx.Watermark(15), rx.Watermark(30))
    )
    given = await signals(feed.stream.take_last(2))
    assert given == [rx.Watermark(5), rx.Chunk([2, 3], [20, 30]), rx.Watermark(30)]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda s: s.count(), [rx.Chunk([1], [40])]),
        (lambda s: s.batch(5), [rx.Chunk([[1]], [40])]),
        (lambda s: s.take_last(1), [rx.Chunk([1], [10]), rx.Watermark(40)]),
    ],
)
async def test_a_checkpoint_keeps_the_watermark_that_passed(
    build: Build, expected: list[Any]
) -> None:
    states: dict[str, Any] = {}

    async def run(feed: Feed, restored: dict[str, Any]) -> list[Any]:
        plan = make_plan([JobPlan(build(feed.stream).node)])
        keeper = lambda _, kept: states.update(kept)  # noqa: E731
        execution = Execution(plan, keeper=keeper, restored=restored)
        await execution.open()
        given: list[Any] = []
        while (signal := await execution.read()) is not None:
            given.append(signal)
        await execution.close()
        return given

    chunk = rx.Chunk([1], [10])
    whole = await run(Feed((chunk, rx.Watermark(40), rx.Barrier(1))), {})
    assert whole[-len(expected) :] == expected
    assert await run(Feed(()), dict(states)) == expected
