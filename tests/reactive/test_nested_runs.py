"""Runs within runs: how deep they may go, what they share, and how they are stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

import reactive as rx
from connectors import memory
from reactive.execution import NESTED_RUNS
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime


def deferred(depth: int, inner: rx.Stream[int]) -> rx.Stream[int]:
    """A stream made within a stream, and so on."""
    return rx.defer(lambda: deferred(depth - 1, inner)) if depth else inner


def through_stages(depth: int, inner: rx.Stream[int]) -> rx.Stream[int]:
    """The same with as many stages pulled within each other as a region may have."""
    stream = rx.defer(lambda: through_stages(depth - 1, inner)) if depth else inner
    for _ in range(30):
        stream = stream.concat(rx.empty())
    return stream


async def test_as_many_runs_as_may_be_within_each_other() -> None:
    probe = Probe([1, 2, 3])
    assert await deferred(NESTED_RUNS, probe.stream).collect() == [1, 2, 3]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    probe.check()


async def test_more_are_refused_by_what_they_are() -> None:
    probe = Probe([1])
    with pytest.raises(rx.PlanError, match=r"defer \(.*\) would run a stream within 100 others"):
        await deferred(NESTED_RUNS + 1, probe.stream).collect()
    assert probe.opens == 0


async def test_an_endless_recursion_is_refused() -> None:
    def again() -> rx.Stream[int]:
        return rx.of(1).concat(rx.defer(again))

    given: list[int] = []
    with pytest.raises(rx.PlanError, match="unfold"):
        await again().tap(given.append).collect()
    assert given == [1] * (NESTED_RUNS + 1)


async def test_deep_runs_with_deep_regions_leave_room_on_the_stack() -> None:
    frames = 0

    def look(item: int) -> int:
        nonlocal frames
        frame: Any = sys._getframe()
        while frame is not None:
            frames, frame = frames + 1, frame.f_back
        return item

    stream = rx.of(1).map(look)
    assert await through_stages(30, stream).collect() == [1]
    assert frames < 300


async def test_a_failure_comes_out_of_deep_runs_as_it_is() -> None:
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await deferred(60, rx.fail(error)).collect()
    assert caught.value is error


async def test_deep_runs_are_closed_before_control_returns(virtual_time: VirtualTime) -> None:
    probe = Probe(rx.interval(1))
    async with deferred(60, probe.stream).open() as items:
        assert await anext(items) == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.5):
            await deferred(60, probe.stream).collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    probe.check()


@pytest.mark.parametrize(
    "build", [lambda s: s.retry(1).retry(1), lambda s: rx.fail(OSError()).recover(s.retry(1))]
)
async def test_side_outputs_are_fed_from_any_depth(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
) -> None:
    bad: rx.SideOutput[rx.DeadLetter[str]] = rx.SideOutput("bad")
    stream = build(rx.of("1", "x").map(int, on_error=bad))
    good: list[Any] = []
    letters: list[rx.DeadLetter[str]] = []
    await rx.run(stream.to(memory.append(good)), bad.to(memory.append(letters)))
    assert good == [1]
    assert [letter.item for letter in letters] == ["x"]


async def test_a_run_that_begins_while_the_one_around_drains_takes_nothing(
    virtual_time: VirtualTime,
) -> None:
    probe = Probe(rx.interval(1))
    given: list[int] = []
    stream = rx.interval(1).concat(rx.defer(lambda: probe.stream))
    async with rx.start(stream.to(memory.append(given))) as run:
        await asyncio.sleep(2.5)
        await asyncio.wait_for(run.stop(drain=True), 1)
    assert given == [0, 1]
    probe.check()
