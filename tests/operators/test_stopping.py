"""Who needs no more closes upstream, at that moment and before anything else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[int]], rx.Stream[Any]]

ENDS: dict[str, tuple[Build, float]] = {
    "take": (lambda s: s.take(3), 3),
    "take none": (lambda s: s.take(0), 0),
    "take_while": (lambda s: s.take_while(lambda x: x < 2), 3),
    "take_while, inclusive": (lambda s: s.take_while(lambda x: x < 2, inclusive=True), 3),
    "take_until": (lambda s: s.take_until(rx.timer(2.5)), 2.5),
    "take_for": (lambda s: s.take_for(2.5), 2.5),
    "slices": (lambda s: s[1:4:2], 4),
    "first": (lambda s: s.first(), 1),
    "first that": (lambda s: s.first(lambda x: x == 2), 3),
    "element_at": (lambda s: s.element_at(3), 4),
    "find": (lambda s: s.find(lambda x: x == 1), 2),
    "is_empty": (lambda s: s.is_empty(), 1),
    "all": (lambda s: s.all(lambda x: x < 3), 4),
    "any": (lambda s: s.any(lambda x: x > 1), 3),
    "contains": (lambda s: s.contains(4), 5),
    "single": (lambda s: s.single(), 2),
    "zip": (lambda s: s.zip(rx.interval(1).take(2)), 2),
    "zip, the other": (lambda s: rx.interval(1).take(2).zip(s), 2),
    "fork_join": (lambda s: s.fork_join(rx.timer(2.5).ignore_items()), 2.5),
    "combine_latest": (lambda s: s.combine_latest(rx.timer(2.5).ignore_items()), 2.5),
    "with_latest_from": (lambda s: rx.timer(2.5).with_latest_from(s), 2.5),
    "sequence_equal": (lambda s: s.sequence_equal(rx.of(0, 1, 5).concat(rx.never())), 3),
    "race": (lambda s: s.race(rx.timer(0.5)), 0.5),
    "timeout": (lambda s: s.filter(lambda x: False).timeout(2.5), 2.5),
    "timeout in all": (lambda s: s.timeout(total=2.5), 2.5),
    "merge with what fails": (lambda s: s.merge(failing_after(2.5)), 2.5),
    "the function of map": (lambda s: s.map(lambda x: 6 // (2 - x)), 3),
    "a call of map": (lambda s: s.map(divide_later, concurrency=3), 3.5),
    "concat": (lambda s: s.concat(rx.of(1)).take(3), 3),
    "merge": (lambda s: s.merge(rx.never()).take(3), 3),
    "merge_map": (lambda s: s.merge_map(lambda x: rx.never().start_with(x)).take(3), 3),
    "merge_map, inner": (lambda s: rx.of(1).merge_map(lambda x: s).take(3), 3),
    "group_by": (lambda s: s.group_by(lambda x: x % 2).merge_map(lambda g: g).take(3), 3),
    "batch": (lambda s: s.batch(2).take(1), 2),
    "batch, within a time": (lambda s: s.batch(9, within=1.5).take(1), 2.5),
    "buffer": (lambda s: s.buffer(2).take(3), 3),
    "debounce": (lambda s: s.debounce(0.5).take(1), 1.5),
    "share": (lambda s: s.share().take(3), 3),
    "retry": (lambda s: s.retry().take(3), 3),
    "recover": (lambda s: s.recover(rx.of(1)).take(3), 3),
    "through": (lambda s: s.through(passing).take(3), 3),
}


def failing_after(seconds: float) -> rx.Stream[Any]:
    return rx.timer(seconds).map(lambda _: 1 // 0)


async def divide_later(x: int) -> float:
    await asyncio.sleep(0.5)
    return 6 // (2 - x)


async def passing(items: Any) -> Any:
    async for item in items:
        yield item


@pytest.mark.parametrize("name", ENDS)
async def test_upstream_is_closed_at_the_moment_it_is_not_needed(
    virtual_time: VirtualTime, name: str
) -> None:
    build, moment = ENDS[name]
    probe = Probe(rx.interval(1))
    with suppress(ZeroDivisionError, TimeoutError, rx.TooManyItemsError):
        await build(probe.stream).collect()
    assert virtual_time.now == moment
    assert probe.opens == probe.closes == (name != "take none")
    probe.check()


LEAVES: dict[str, tuple[Build, float]] = {
    "the other of take_until": (lambda s: rx.interval(2).take(1).take_until(s.skip(9)), 2),
    "the other of skip_until": (lambda s: rx.interval(2).skip_until(s.skip(1)), 2),
    "an inner stream of switch_map": (
        lambda s: rx.interval(2.5).take(2).switch_map(lambda x: rx.never() if x else s),
        5,
    ),
    "who loses a race": (lambda s: rx.timer(0.5).concat(rx.never()).race(s), 0.5),
    "what fails, before it is tried again": (lambda s: s.map(lambda x: 1 // x).retry(), 1),
    "what fails, before another takes over": (
        lambda s: s.map(lambda x: 1 // x).recover(rx.never()),
        1,
    ),
    "what is silent, before another takes over": (
        lambda s: s.filter(lambda x: False).timeout(2.5, fallback=rx.never()),
        2.5,
    ),
    "the first of a concat": (lambda s: s.take(3).concat(rx.never()), 3),
    "a shorter input of zip_longest": (lambda s: s.take(3).zip_longest(rx.interval(1)), 3),
    "one input of merge": (lambda s: s.take(3).merge(rx.never()), 3),
}
"""Who is left while the stream itself goes on."""


@pytest.mark.parametrize("name", LEAVES)
async def test_who_is_not_needed_is_closed_while_the_others_go_on(
    virtual_time: VirtualTime, name: str
) -> None:
    build, moment = LEAVES[name]
    closed: list[float] = []
    source = rx.interval(1).finally_(lambda: closed.append(virtual_time.now))
    with suppress(TimeoutError):
        await asyncio.wait_for(build(source).collect(), 8.75)
    assert closed[0] == moment
