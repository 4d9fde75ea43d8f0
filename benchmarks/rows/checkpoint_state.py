"""Checkpoints of a million keys: all of them, one in a hundred, the pause, and going on after a
crash."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reactive as rx
from benchmarks import loops
from benchmarks.model import (
    Bar,
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    duration,
)
from connectors import memory
from reactive.signals import Chunk

WINDOWS, SESSIONS, HANDLER = "tumbling windows", "sessions", "a keyed handler with a value"
TABLE, INTERVAL = "a table for lookups", "one side of an interval join"
LONG = 1e6
_PERIOD = 0.001
_SETTLE = 0.3

Event = tuple[int, int, float]
"""A key, a value, and when it was sent, if it is one of those whose delay is measured."""


class Counting(rx.KeyedProcess[int, Event, int]):
    seen = rx.ValueState(0)

    def on_item(self, item: Event, context: Any) -> None:
        self.seen += 1


class Feed(rx.Source[Event]):
    """First every key once, then one event a millisecond, and some more when told."""

    replayable = True

    def __init__(self, keys: int) -> None:
        self.keys = keys
        self.filled = asyncio.Event()
        self.more = 0

    def reader(self, context: rx.Context) -> rx.Reader[Event]:
        return _Reader(self)


class _Reader(rx.Reader[Event]):
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._next = 0

    def position(self) -> int:
        return self._next

    async def seek(self, position: int) -> None:
        self._next = position

    async def read(self, limit: int) -> rx.Signal[Event]:
        feed, start = self._feed, self._next
        if start < feed.keys:
            self._next = min(feed.keys, start + limit)
            return Chunk([(key, key, 0.0) for key in range(start, self._next)])
        feed.filled.set()
        if feed.more:
            count = min(feed.more, limit)
            feed.more -= count
            self._next += count
            return Chunk([(random.randrange(feed.keys), 1, 0.0) for _ in range(count)])
        await asyncio.sleep(_PERIOD)
        self._next += 1
        return Chunk([(start % feed.keys, 1, time.perf_counter())])


def _jobs(name: str, feed: Feed, late: Callable[[float], object]) -> list[rx.Job]:
    events = rx.from_source(feed)
    keyed = events.key_by(lambda event: event[0])
    timed = events.event_time(lambda event: 0).key_by(lambda event: event[0])
    # Of the other side of a join, nothing is held.
    none = events.filter(lambda event: event[1] < 0).event_time(lambda event: 0)
    none_by_key = none.key_by(lambda event: event[0])
    if name == HANDLER:
        held: rx.Stream[Any] = keyed.process(Counting)
    elif name == TABLE:
        held = none_by_key.lookup(keyed.table())
    elif name == INTERVAL:
        held = timed.interval_join(none_by_key, before=LONG, after=LONG)
    else:
        window = rx.Session(LONG) if name == SESSIONS else rx.Tumbling(LONG)
        held = timed.window(window).aggregate(n=rx.count(), total=rx.sum(lambda event: event[1]))
    # Both jobs take every chunk before the next is read: what one waits for, the other does.
    sent = events.filter(lambda event: event[2] > 0)
    return [
        held.to(memory.call(lambda result: None)),
        sent.to(memory.call(lambda event: late(time.perf_counter() - event[2]))),
    ]


async def _measure(name: str, keys: int) -> Outcome:
    delays: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = rx.Checkpoint(Path(folder, "state.db"), every=LONG)
        feed = Feed(keys)
        async with rx.start(
            *_jobs(name, feed, delays.append), mode="stream", checkpoint=checkpoint
        ) as run:
            await feed.filled.wait()
            await asyncio.sleep(_SETTLE)

            async def take() -> float:
                before = time.perf_counter()
                await run.checkpoint()
                return time.perf_counter() - before

            full = await take()
            feed.more = keys // 100
            await asyncio.sleep(_SETTLE)
            delays.clear()
            part = await take()
            await asyncio.sleep(_SETTLE)
            delays.sort()
            pause = delays[int(len(delays) * 0.99)]
            await run.stop(drain=False)
        going = asyncio.Event()
        before = time.perf_counter()
        async with rx.start(
            *_jobs(name, Feed(keys), lambda delay: going.set()),
            mode="stream",
            checkpoint=checkpoint,
        ) as run:
            await going.wait()
            recovery = time.perf_counter() - before
            await run.stop(drain=False)
    figures = {"seconds": full, "part": part, "pause": pause, "recovery": recovery}
    return Outcome(None, figures)


def contestant(name: str) -> Contestant:
    def run(settings: Settings) -> Outcome:
        return loops.run(_measure(name, settings["keys"]))

    return Contestant(name, run, "ours", "reactive")


def _bars(name: str) -> tuple[Bar, ...]:
    def pause(samples: Samples) -> float | None:
        value = samples.median(name, "pause")
        return None if value is None else value * 1e3

    return (
        Bar(
            f"one key in a hundred under 1/20 of all: {name}",
            lambda samples: _share(samples, name),
            0.05,
        ),
        Bar(f"items are late by less than 20 ms, p99: {name}", pause, 20, unit=" ms"),
        Bar(
            f"the next run goes on in under 5 s: {name}",
            lambda samples: samples.median(name, "recovery"),
            5,
            unit=" s",
        ),
    )


def _share(samples: Samples, name: str) -> float | None:
    full, part = samples.by_round(name, "seconds"), samples.by_round(name, "part")
    shares = sorted(part[number] / full[number] for number in full.keys() & part.keys())
    return shares[len(shares) // 2] if shares else None


def _show(label: str, figure: str) -> Column:
    def column(samples: Samples, name: str, settings: Settings) -> str:
        value = samples.median(name, figure)
        return "" if value is None else duration(value)

    return Column(label, column)


NAMES = (WINDOWS, SESSIONS, HANDLER, TABLE, INTERVAL)

ROW = Row(
    name="checkpoint-state",
    title="a checkpoint of a million keys",
    contestants=tuple(map(contestant, NAMES)),
    bars=tuple(bar for name in NAMES for bar in _bars(name)),
    columns=(
        _show("all keys", "seconds"),
        _show("one in a hundred", "part"),
        _show("items late by, p99", "pause"),
        _show("going on", "recovery"),
    ),
    full={"keys": 1_000_000},
    quick={"keys": 200_000},
    warm=None,
    rounds=3,
    quick_rounds=1,
    generation=1,
    seconds_for_a_contestant=60.0,
    computes=False,
)
