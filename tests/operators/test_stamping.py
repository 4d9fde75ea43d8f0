"""with_timestamp and with_interval: when items come, on which clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, examples, feeds
from feeds import check as check_feed
from flurries import bounds, check_model, flurries
from hypothesis import given
from timelines import Timeline, ending_of, items_of

import reactive as rx
from reactive.testing import Item, Pause, record, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


def loop_time() -> float:
    return asyncio.get_running_loop().time()


@model_of("with_timestamp")
@given(flurries(), bounds)
@examples(40)
def test_with_timestamp(timeline: Timeline, settings: rx.Settings) -> None:
    def model(timeline: Timeline) -> list[Event[Any]]:
        pairs = [Item(one.time, (one.time, one.value)) for one in items_of(timeline)]
        return [*pairs, *ending_of(timeline)]

    check_model(lambda s: s.with_timestamp(loop_time), timeline, settings, model)


@model_of("with_interval")
@given(flurries(), bounds)
@examples(40)
def test_with_interval(timeline: Timeline, settings: rx.Settings) -> None:
    def model(timeline: Timeline) -> list[Event[Any]]:
        items = items_of(timeline)
        moments = [0.0, *(item.time for item in items)]
        return [
            *(
                Item(item.time, (item.time - before, item.value))
                for item, before in zip(items, moments, strict=False)
            ),
            *ending_of(timeline),
        ]

    check_model(lambda s: s.with_interval(), timeline, settings, model)


def with_some_interval(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    return stream.with_interval().map(lambda pair: (pair[0] * 0, pair[1]))


@given(feeds())
@examples(30)
async def test_stamping_leaves_event_time_and_signals_alone(feed: Feed) -> None:
    for build in (with_some_interval, lambda s: s.with_timestamp(lambda: 0)):
        await check_feed(build, feed, lambda pairs: [((0, item), time) for item, time in pairs])


async def test_a_timestamp_is_an_aware_datetime_of_the_systems_clock() -> None:
    before = datetime.now(UTC)
    ((moment, item),) = await rx.of("a").with_timestamp().collect()
    assert item == "a"
    assert moment.utcoffset() == timedelta(0)
    assert before <= moment <= datetime.now(UTC)


async def test_timestamps_follow_the_systems_clock_to_the_microsecond_and_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = iter([5_000, 5_999, 6_000, 6_001, 2_500, 2_999, 9_000])
    made = []

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            assert tz is UTC
            made.append(f"stamp {len(made)}")
            return made[-1]

    monkeypatch.setattr("operators.stamping.time_ns", lambda: next(read))
    monkeypatch.setattr("operators.stamping.datetime", Clock)
    stamps = [stamp for stamp, _ in await rx.range(7).with_timestamp().collect()]
    assert stamps == [f"stamp {number}" for number in (0, 0, 1, 1, 2, 2, 3)]


async def test_an_interval_is_counted_from_the_opening_of_its_own_stream(
    virtual_time: VirtualTime,
) -> None:
    second = scripted_source([Pause(2), rx.Chunk(["a", "b"]), Pause(3), rx.Chunk(["c"])])
    recorded = await record(scripted_source([Pause(5)]).concat(second.with_interval()))
    assert recorded.items == [(2, "a"), (0, "b"), (3, "c")]


async def test_a_clock_that_has_to_be_awaited_is_refused() -> None:
    async def clock() -> float:
        return 0.0

    with pytest.raises(TypeError, match="with_timestamp takes a plain function"):
        rx.of(1).with_timestamp(clock)
    with pytest.raises(TypeError, match="nobody would await"):
        await rx.of(1).with_timestamp(lambda: clock()).collect()
