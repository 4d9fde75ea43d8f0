"""A checkpoint writes the keys that have changed, whatever the operator and however many it has."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

import reactive as rx
from connectors import memory
from reactive.testing import MemoryStore

KEYS = 3_000

Event: TypeAlias = tuple[int, int]
"""A key, and a time in seconds."""


class Told(rx.Source[Event]):
    """Gives what it is told to."""

    replayable = True

    def __init__(self) -> None:
        self.given: asyncio.Queue[list[Event]] = asyncio.Queue()

    def reader(self, context: rx.Context) -> rx.Reader[Event]:
        return _Reader(self.given)


class _Reader(rx.Reader[Event]):
    def __init__(self, given: asyncio.Queue[list[Event]]) -> None:
        self._given = given
        self._count = 0

    def position(self) -> int:
        return self._count

    async def seek(self, position: int) -> None:
        self._count = position

    async def read(self, limit: int) -> rx.Signal[Event]:
        events = await self._given.get()
        self._count += len(events)
        return rx.Chunk(events)


def keyed(events: rx.Stream[Event]) -> rx.KeyedStream[int, Event]:
    return timed(events).key_by(lambda event: event[0])


def timed(events: rx.Stream[Event]) -> rx.Stream[Event]:
    return events.event_time(lambda event: event[1], lateness=5)


def windows(events: rx.Stream[Event], window: rx.WindowAssigner, **options: Any) -> rx.Stream[Any]:
    return keyed(events).window(window, **options).aggregate(rx.count())


class Latest(rx.KeyedProcess[int, Event, int]):
    latest = rx.ValueState(0)

    def on_item(self, item: Event, context: Any) -> Iterator[int]:
        self.latest = item[1]
        yield item[1]

    def on_timer(self, time: int, context: Any) -> Iterator[int]:
        yield time


def pattern() -> rx.Pattern[Event]:
    first = rx.Pattern[Event]("first", lambda event: event[1] < 50)
    return first.followed_by("second", lambda event: event[1] > 50).within(100)


PIPELINES: dict[str, Callable[[rx.Stream[Event], rx.Stream[Event]], rx.Stream[Any]]] = {
    "interval join": lambda a, b: keyed(a).interval_join(keyed(b), before=9, after=9),
    "interval join, full": lambda a, b: keyed(a).interval_join(keyed(b), before=9, how="full"),
    "join of tables": lambda a, b: keyed(a).table().join(keyed(b).table(), how="full"),
    "lookup": lambda a, b: keyed(a).lookup(keyed(b).table(limit=KEYS)),
    "lookup as of event time": lambda a, b: keyed(a).lookup(keyed(b).table(), as_of="event time"),
    "window join": lambda a, b: keyed(a).join(keyed(b), window=rx.Tumbling(99)),
    "distinct": lambda a, b: a.merge(b).distinct(),
    "distinct of the last": lambda a, b: a.merge(b).distinct(count=2 * KEYS),
    "distinct within": lambda a, b: a.merge(b).distinct(within=99),
    "deduplicate": lambda a, b: keyed(a.merge(b)).deduplicate(within=99),
    "windows of so many": lambda a, b: windows(a.merge(b), rx.Count(9)),
    "windows of time": lambda a, b: windows(a.merge(b), rx.Tumbling(99)),
    "sessions": lambda a, b: windows(a.merge(b), rx.Session(99)),
    "late panes": lambda a, b: windows(a.merge(b), rx.Tumbling(99), allowed_lateness=9),
    "a keyed handler": lambda a, b: keyed(a.merge(b)).process(Latest),
    "scan": lambda a, b: keyed(a.merge(b)).scan(lambda total, event: total + event[1], 0),
    "match": lambda a, b: keyed(a.merge(b)).match(pattern()),
    "then": lambda a, b: a.assume_bounded().then(b, key=lambda event: event[0]),
    "event time by partition": lambda a, b: a.merge(b).event_time(
        lambda event: event[1], partition=lambda event: event[0], partition_limit=2 * KEYS
    ),
}
BATCH: dict[str, Callable[[rx.Stream[Event], rx.Stream[Event]], rx.Stream[Any]]] = {
    "a keyed handler, in batch": lambda a, b: keyed(a.merge(b).assume_bounded()).process(Latest),
    "sort": lambda a, b: a.merge(b).assume_bounded().sort(),
    "sort on disk": lambda a, b: a.merge(b).assume_bounded().sort(memory=10_000),
    "group": lambda a, b: a.merge(b).assume_bounded().group(lambda event: event[0]),
}


@pytest.mark.parametrize("name", [*PIPELINES, *BATCH])
async def test_what_has_changed_is_what_is_written(name: str, virtual_time: object) -> None:
    sources = Told(), Told()
    built = (PIPELINES | BATCH)[name](*map(rx.from_source, sources))
    store = MemoryStore()
    checkpoint = rx.Checkpoint(store, every=1e6, retain=3)
    async with rx.start(
        built.to(memory.call(lambda _: None)),
        mode="batch" if name in BATCH else "stream",
        checkpoint=checkpoint,
    ) as run:
        for events in ([(key, 3) for key in range(KEYS)], [(KEYS // 2, 4)], []):
            for source in sources:
                if events:
                    source.given.put_nowait(events)
            await asyncio.sleep(1)
            await run.checkpoint()
        await run.stop(drain=False)
    whole, one, nothing = (epoch.size for epoch in store.epochs())
    assert whole > 8 * KEYS
    assert one < whole / 40
    assert nothing <= one


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_collector_of_cycles_is_left_as_it_was(
    virtual_time: object, enabled: bool
) -> None:
    store = MemoryStore()
    seen: list[int] = []

    async def run_for(events: list[Event]) -> None:
        source = Told()
        job = rx.from_source(source).map(lambda event: event[0]).distinct()
        async with rx.start(
            job.to(memory.call(seen.append)), checkpoint=rx.Checkpoint(store)
        ) as run:
            source.given.put_nowait(events)
            await asyncio.sleep(1)
            await run.stop(drain=True)

    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        await run_for([(1, 0), (2, 0)])
        await run_for([(2, 0), (3, 0)])
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert seen == [1, 2, 3]
