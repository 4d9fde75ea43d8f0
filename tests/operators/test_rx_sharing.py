"""Consumers of `share` and `replay` that come and go get what those of RxPY get, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from rx_runs import UNTIL, cold, note, plain
from timelines import Timeline, stream_of, timelines

import reactive as rx
from reactive.testing import End, Item, record, run
from reactive.testing.marbles import Event

Consumer: TypeAlias = tuple[float, int]
"""When it joins, and how many items it takes."""

Ours: TypeAlias = Callable[[rx.Stream[Any]], rx.Stream[Any]]
Theirs: TypeAlias = Callable[[Any, VirtualTimeScheduler], Any]

ALL = 1000


def rx_gives(
    build: Theirs, timeline: Timeline, consumers: Sequence[Consumer]
) -> list[list[Event[Any]]]:
    scheduler = VirtualTimeScheduler()
    shared = build(cold(timeline, scheduler), scheduler)
    noted: list[list[Event[Any]]] = []
    for joins, count in consumers:
        scheduler.advance_to(joins)
        noted.append(note(shared.pipe(ops.take(count)), scheduler))
    scheduler.advance_to(UNTIL)
    return noted


def ours_gives(
    build: Ours, timeline: Timeline, consumers: Sequence[Consumer]
) -> list[list[Event[Any]]]:
    async def consume(shared: rx.Stream[Any], joins: float, count: int) -> list[Event[Any]]:
        await asyncio.sleep(joins)
        given = await record(shared.take(count), until=UNTIL - joins)
        return [replace(event, time=event.time + joins) for event in given.events]

    async def consume_all() -> list[list[Event[Any]]]:
        shared = build(stream_of(timeline))
        return await asyncio.gather(*(consume(shared, *each) for each in consumers))

    return run(consume_all())


def check(ours: Ours, theirs: Theirs, timeline: Timeline, consumers: Sequence[Consumer]) -> None:
    given = ours_gives(ours, timeline, consumers)
    wanted = rx_gives(theirs, timeline, consumers)
    assert [list(map(plain, each)) for each in given] == [list(map(plain, each)) for each in wanted]


PAIRS: dict[str, tuple[Ours, Theirs]] = {
    "share": (lambda s: s.share(), lambda o, _: o.pipe(ops.share())),
    "publish, ref_count": (
        lambda s: s.share(),
        lambda o, _: o.pipe(ops.publish(), ops.ref_count()),
    ),
    "multicast": (
        lambda s: s.share(),
        lambda o, _: o.pipe(ops.multicast(Subject()), ops.ref_count()),
    ),
    "publish_value": (
        lambda s: s.start_with(7).replay(1),
        lambda o, _: o.pipe(ops.publish_value(7), ops.ref_count()),
    ),
    "replay, so many": (
        lambda s: s.replay(2),
        lambda o, scheduler: o.pipe(ops.replay(2, scheduler=scheduler), ops.ref_count()),
    ),
    "replay, so long": (
        lambda s: s.replay(seconds=5.2),
        lambda o, scheduler: o.pipe(ops.replay(window=5.2, scheduler=scheduler), ops.ref_count()),
    ),
}


def joining(leaves: bool) -> st.SearchStrategy[list[Consumer]]:
    """Consumers that join between two items, whichever of them begins the run; with `leaves`, they
    may leave before the end."""
    times = st.integers(1, 20).map(lambda number: 0.37 + 1.0137 * number)
    counts = st.integers(1, 4) if leaves else st.just(ALL)
    return st.lists(st.tuples(times, counts), min_size=1, max_size=4, unique_by=lambda one: one[0])


GOING_ON = timelines(endless=True).filter(lambda events: all(isinstance(e, Item) for e in events))
ENDING_LATE = timelines(last=25).map(lambda events: tuple(_later(event) for event in events))


def _later(event: Event[Any]) -> Event[Any]:
    """Ends come when all have joined."""
    return event if isinstance(event, Item) else replace(event, time=event.time + 22)


@given(events=GOING_ON, consumers=joining(leaves=True))
@examples(30)
def test_who_shares_gets_what_comes_from_then_on(
    events: Timeline, consumers: list[Consumer]
) -> None:
    check(*PAIRS["share"], events, sorted(consumers))


@pytest.mark.parametrize("name", PAIRS)
def test_who_joins_late(name: str) -> None:
    @given(events=ENDING_LATE, consumers=joining(leaves=False))
    @examples(15)
    def law(events: Timeline, consumers: list[Consumer]) -> None:
        check(*PAIRS[name], events, sorted(consumers))

    law()


def test_who_joins_after_the_end_starts_a_new_run_where_rx_completes() -> None:
    timeline: Timeline = (Item(1.0, 1), End(2.0))
    consumers = [(0.5, ALL), (5.5, ALL)]
    share, rx_share = PAIRS["share"]
    theirs = rx_gives(rx_share, timeline, consumers)
    ours = ours_gives(share, timeline, consumers)
    assert list(map(plain, theirs[1])) == [(5.5, "end")]
    assert list(map(plain, ours[1])) == [(6.5, "item", 1), (7.5, "end")]
    assert "RxPY completes at once" in " ".join((rx.Stream.share.__doc__ or "").split())
