"""event_time: timestamps read exactly, watermarks at places of the items, bad times met."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import starmap
from typing import Any
from unittest.mock import patch

import pytest
from cases_event_time import Trailing
from catalogue import model_of
from feeds import Feed, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from operators import timestamps
from operators.timestamps import Unit, all_microseconds, microseconds
from reactive.metrics import Meter
from reactive.operator import Stepwise
from reactive.signals import AnySignal
from reactive.testing import Pause, chunked, run, scripted_source
from reactive.testing.observing import Given, Stepping

SECOND = 1_000_000


@dataclass(frozen=True)
class Live(Feed):
    """The same from a source of which nobody knows that it ends."""

    @property
    def bounded(self) -> bool:
        return False


def entries(given: Iterable[AnySignal]) -> list[Any]:
    """Items with times, and signals, without the boundaries of chunks."""
    flat: list[Any] = []
    for signal in given:
        flat += pairs([signal]) if isinstance(signal, rx.Chunk) else [signal]
    return flat


def live(feed: Feed) -> rx.Stream[Any]:
    return Live(feed.script).stream


# Timestamps


aware = st.datetimes(timezones=st.just(UTC) | st.timezones()).filter(
    lambda moment: datetime(1, 1, 2, tzinfo=UTC) < moment < datetime(9999, 12, 30, tzinfo=UTC)
)


@given(aware)
@examples(100)
async def test_a_datetime_is_exact_in_any_time_zone(moment: datetime) -> None:
    expected = (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )
    assert microseconds(moment, None) == expected
    assert all_microseconds([moment, moment], "ms") == [expected] * 2


FACTORS: dict[Unit | None, int] = {None: SECOND, "s": SECOND, "ms": 1000, "us": 1}
units = st.sampled_from(list(FACTORS))
numbers = (
    st.integers(-(10**10), 10**10)
    | st.floats(-1e10, 1e10)
    | st.fractions(-(10**10), 10**10, max_denominator=10**9)
    | st.decimals(-(10**10), 10**10, places=6)
)


@given(st.lists(numbers, min_size=1, max_size=6), units)
@examples(200)
async def test_a_number_is_rounded_to_the_nearest_microsecond(
    values: list[Any], unit: Unit | None
) -> None:
    factor = FACTORS[unit]
    together = all_microseconds(values, unit)
    assert together == [microseconds(value, unit) for value in values]
    for value, time in zip(values, together, strict=True):
        assert type(time) is int
        assert (
            abs(Fraction(value) * factor - time)
            <= Fraction(1, 2) + abs(Fraction(value) * factor) / 2**52
        )


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
@examples(100)
async def test_whole_numbers_are_exact(time: int) -> None:
    assert microseconds(time, "us") == time
    assert all_microseconds([time, time], "us") == [time, time]
    assert microseconds(time // 1000, "ms") == time // 1000 * 1000
    assert all_microseconds([time // 1000], "ms") == [time // 1000 * 1000]
    assert all_microseconds([time // SECOND], None) == [time // SECOND * SECOND]


async def test_a_fraction_of_a_second_of_today_is_the_microsecond_meant() -> None:
    for time in range(1_767_225_600_000_000, 1_767_225_600_000_999):
        assert microseconds(time / SECOND, "s") == time


@pytest.mark.parametrize(
    ("value", "unit", "error", "fix"),
    [
        (datetime(2026, 1, 1), None, ValueError, "no time zone.*tzinfo=UTC.*astimezone"),
        (None, None, TypeError, "None is NoneType, and a timestamp is a datetime"),
        ("2026-01-01", None, TypeError, "is str"),
        (float("nan"), None, ValueError, "nan is not a moment"),
        (float("inf"), "ms", ValueError, "not in the years 1 to 9999"),
        (1e305, "s", ValueError, "not in the years 1 to 9999"),
        (Decimal("NaN"), "s", ValueError, "is not a moment"),
        (1_767_225_600_000, None, ValueError, 'seconds after 1970.*unit="s", "ms" or "us"'),
        (1_767_225_600_000_000, "ms", ValueError, "milliseconds after 1970"),
        (-(2**70), "us", ValueError, "not in the years"),
    ],
)
async def test_what_is_no_timestamp_is_refused_with_the_fix(
    value: Any, unit: Unit | None, error: type[Exception], fix: str
) -> None:
    # Among others of its kind, and among others of another kind.
    for others in ([], [1.5], [value], [datetime.now(UTC)]):
        items = [1, *others, value]
        values = [0.25, *others, value]
        script = list(zip(items, values, strict=True))
        stream = rx.from_iterable(script).event_time(lambda pair: pair[1], unit=unit)
        with pytest.raises(error, match=fix) as caught:
            await stream.collect()
        assert "for the item (" in str(caught.value)
        assert any("event_time" in note for note in caught.value.__notes__)


async def test_the_function_is_called_once_for_each_item_whatever_happens() -> None:
    called: list[int] = []

    def fn(item: int) -> Any:
        called.append(item)
        if item == 3:
            raise LookupError("three")
        return None if item == 5 else item

    stream = feed_of(*range(8)).stream.event_time(fn, on_error="skip")
    assert await stream.collect() == [0, 1, 2, 4, 6, 7]
    assert called == list(range(8))


async def test_stop_iteration_out_of_the_function_loses_nothing() -> None:
    called: list[int] = []

    def fn(item: int) -> float:
        called.append(item)
        return next(iter([item] if item != 2 else []))

    given: list[int] = []
    with pytest.raises(RuntimeError, match="event_time raised StopIteration"):
        await feed_of(*range(5)).stream.event_time(fn).tap(given.append).collect()
    assert (given, called) == ([0, 1], [0, 1, 2])
    assert await feed_of(*range(5)).stream.event_time(fn, on_error="skip").collect() == [0, 1, 3, 4]


async def test_a_function_whose_result_would_have_to_be_awaited_is_refused() -> None:
    async def later(item: Any) -> float:
        return 0.0

    with pytest.raises(TypeError, match="event_time takes a plain function"):
        rx.of(1).event_time(later)  # type: ignore[arg-type]
    for build in (
        lambda s: s.event_time(lambda x: later(x)),
        lambda s: s.event_time(lambda x: 0, partition=lambda x: later(x)),
        lambda s: s.event_time(lambda x: 0, watermarks=rx.Punctuated(lambda x: later(x))),
    ):
        with pytest.raises(TypeError, match="nobody would await"):
            await build(rx.of(1)).collect()


# Bad arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unit": "min"}, ValueError, 'unit must be "s", "ms" or "us"'),
        ({"lateness": -1}, ValueError, "event_time needs `lateness` of 0 seconds or more"),
        ({"lateness": timedelta(1)}, TypeError, "event_time needs `lateness` in seconds"),
        ({"every": -0.1}, ValueError, "`every`"),
        ({"idle": 0}, ValueError, "`idle` above 0 seconds"),
        ({"idle": "never"}, TypeError, '`idle` must be seconds, None or "auto"'),
        ({"future": -1}, ValueError, "`future` of 0 seconds or more"),
        ({"partition_limit": 0}, ValueError, "partition_limit"),
        ({"partition": "key"}, TypeError, "event_time .partition. needs a function"),
        ({"watermarks": 5}, TypeError, "strategy such as rx.Punctuated"),
        ({"watermarks": rx.Monotonic(), "lateness": 1}, TypeError, "not both"),
        ({"on_error": "ignore"}, TypeError, "on_error must be"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_described(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rx.of(1).event_time(lambda x: x, **options)


def test_strategies_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="BoundedOutOfOrderness needs its bound of 0 seconds"):
        rx.BoundedOutOfOrderness(-1)
    with pytest.raises(TypeError, match="Punctuated needs a function"):
        rx.Punctuated(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Punctuated: unit must be"):
        rx.Punctuated(lambda x: x, unit="h")  # type: ignore[arg-type]


# Watermarks at places of the items

Strategy = Callable[[], Callable[[Any, int], int | None]]


def trailing(lateness: float) -> Strategy:
    return lambda: lambda item, time: time - round(lateness * SECOND)


def told(item: Any, time: int) -> int | None:
    return int(item[0] * SECOND) if item[0] % 3 == 0 else None


def model(
    items: Sequence[tuple[Any, ...]],
    strategy: Strategy,
    granule: int,
    partition: Callable[[Any], Hashable] = lambda item: None,
) -> tuple[list[Any], dict[str, int]]:
    """Everything that has to come out for items `(number, ...)` whose time is the number, in
    seconds, without a clock; and the counters."""
    given: list[Any] = []
    counters = {"out_of_order": 0, "late": 0}
    rules: dict[Hashable, Callable[[Any, int], int | None]] = {}
    highs: dict[Hashable, int] = {}
    lows: dict[Hashable, int | None] = {}
    said: int | None = None
    for item in items:
        key, time = partition(item), round(item[0] * SECOND)
        given.append((item, time))
        counters["out_of_order"] += time < highs.get(key, time)
        counters["late"] += said is not None and time < said
        highs[key] = max(time, highs.get(key, time))
        low, before = rules.setdefault(key, strategy())(item, time), lows.setdefault(key, None)
        if low is not None and (before is None or low > before):
            lows[key] = low
        known = [low for low in lows.values() if low is not None]
        if len(known) < len(lows):
            continue
        lowest = min(known)
        if said is None or lowest // granule > said // granule:
            said = lowest
            given.append(rx.Watermark(said))
    return given, {name: count for name, count in counters.items() if count}


async def counted(stream: rx.Stream[Any]) -> dict[str, int]:
    report = await rx.run(stream.named("clock").to(memory.call(lambda item: None)))
    return report["clock"].counters


seconds = st.integers(-20, 20) | st.floats(-20, 20, width=16).map(lambda x: round(x, 3))
rows = st.tuples(seconds, st.sampled_from("abc"))


@model_of("event_time")
@given(
    feeds(rows, signals=False, timed=False),
    st.sampled_from([0, 0.5, 3]),
    st.sampled_from([0, 0.2, 1, 7]),
)
@examples(100)
async def test_watermarks_trail_the_latest_time(feed: Feed, lateness: float, every: float) -> None:
    granule = max(1, round(every * SECOND))
    expected, counters = model(feed.items, trailing(lateness), granule)
    stream = live(feed).event_time(lambda row: row[0], lateness=lateness, every=every)
    assert entries(await signals(stream)) == expected
    assert await counted(stream) == counters
    same = live(feed).event_time(
        lambda row: row[0], watermarks=rx.BoundedOutOfOrderness(lateness), every=every
    )
    assert entries(await signals(same)) == expected


STRATEGIES: list[tuple[rx.WatermarkStrategy[Any], Strategy, bool]] = [
    (rx.BoundedOutOfOrderness(3), trailing(3), False),
    (Trailing(), lambda: Trailing().on_item, False),
    (rx.Punctuated(lambda row: row[0] if row[0] % 3 == 0 else None), lambda: told, True),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["trailing", "own", "told"])
@model_of("event_time")
@given(
    items=st.lists(st.tuples(st.integers(-8, 0), st.sampled_from("ab")), min_size=12, max_size=30),
    sizes=st.lists(st.integers(1, 9), max_size=9),
    every=st.sampled_from([0, 0.2, 3]),
    parts=st.booleans(),
)
@examples(60)
async def test_the_lowest_watermark_of_all_partitions_counts(
    strategy: tuple[rx.WatermarkStrategy[Any], Strategy, bool],
    items: list[tuple[int, str]],
    sizes: list[int],
    every: float,
    parts: bool,
) -> None:
    watermarks, rule, exact = strategy
    granule = 1 if exact else max(1, round(every * SECOND))
    rows = list(starmap(advance, enumerate(items)))
    partition = parts_of if parts else None
    expected, counters = model(rows, rule, granule, partition or nothing)
    stream = live(Feed(tuple(chunked(rows, sizes)))).event_time(
        lambda row: row[0], watermarks=watermarks, every=every, partition=partition
    )
    assert entries(await signals(stream)) == expected
    assert await counted(stream) == counters


def advance(place: int, row: tuple[int, str]) -> tuple[int, str]:
    """Times that go on, more or less."""
    return place + row[0], row[1]


def parts_of(row: tuple[int, str]) -> str:
    return row[1]


def nothing(row: Any) -> None:
    return None


@model_of("event_time")
@given(
    feeds(st.none() | st.integers(-100, 100), signals=False),
    st.sampled_from(["s", "ms", "us"]),
    st.integers(0, 60),
    st.sampled_from(["raise", "skip", "replace", "side"]),
)
@examples(100)
async def test_times_of_no_use_are_met_by_the_policy(
    feed: Feed, unit: Unit, future: int, policy: str
) -> None:
    """It is 40 s after 1970; None is no time."""
    expected: list[Any] = []
    dead: list[Any] = []
    for item in feed.items:
        time = None if item is None else item * FACTORS[unit]
        if time is not None and time <= (40 + future) * SECOND:
            expected.append((item, time))
        elif policy == "replace":
            expected.append((item, 5 * FACTORS[unit]))
        else:
            dead.append(item)
            if policy == "raise":
                break
    bad = rx.SideOutput[rx.DeadLetter[Any]]("bad")
    letters: list[Any] = []
    policies: dict[str, Any] = {"replace": rx.replace_with(lambda item, error: 5), "side": bad}
    given: list[Any] = []
    stream = live(feed).event_time(
        lambda item: item,
        unit=unit,
        future=future,
        idle=None,
        on_error=policies.get(policy, policy),
    )
    with patch("operators.timestamps.wall_clock", lambda: 40.0):
        if policy == "raise" and dead:
            with pytest.raises(
                (TypeError, ValueError), match=f"for the item {dead[0]!r}|item {dead[0]!r} is"
            ):
                await stream.tap(given.append).collect()
            assert given == [item for item, _ in expected]
            return
        if policy == "side":
            stream = stream.merge(bad.tap(letters.append).ignore_items())
        assert pairs(await signals(stream)) == expected
    assert [letter.item for letter in letters] == dead * (policy == "side")


@model_of("event_time")
@given(feeds(st.integers(0, 40), signals=False), st.integers(1, 9), st.integers(1, 9))
@examples(40)
async def test_as_many_partitions_as_there_may_be(feed: Feed, parts: int, limit: int) -> None:
    given: list[int] = []
    stream = live(feed).event_time(
        lambda x: x, partition=lambda x: x % parts, partition_limit=limit, idle=None
    )
    expected: list[int] = []
    for x in feed.items:
        if len({each % parts for each in [*expected, x]}) > limit:
            with pytest.raises(rx.OverflowFailure):
                await stream.tap(given.append).collect()
            break
        expected.append(x)
    else:
        await stream.tap(given.append).collect()
    assert given == expected


@given(feeds(st.integers(0, 40)))
@examples(50)
async def test_barriers_and_idleness_pass_and_earlier_watermarks_do_not(feed: Feed) -> None:
    stream = live(feed).event_time(lambda x: x, lateness=2)
    given = entries(await signals(stream))
    kept = [one for one in given if not isinstance(one, rx.Watermark)]
    expected = [
        (one[0], one[0] * SECOND) if isinstance(one, tuple) else one
        for one in entries(feed.script)
        if not isinstance(one, rx.Watermark)
    ]
    assert kept == expected
    without = [one for one in given if isinstance(one, (tuple, rx.Watermark))]
    rows = [(item,) for item in feed.items]
    placed, _ = model(rows, trailing(2), SECOND // 5)
    assert without == [(*one[0], one[1]) if isinstance(one, tuple) else one for one in placed]


async def test_a_watermark_lifts_all_that_is_windowed_before_it() -> None:
    stream = live(feed_of(0, 1, 7, 3, 12)).event_time(lambda x: x, lateness=4, every=1)
    assert entries(await signals(stream)) == [
        (0, 0),
        rx.Watermark(-4 * SECOND),
        (1, SECOND),
        rx.Watermark(-3 * SECOND),
        (7, 7 * SECOND),
        rx.Watermark(3 * SECOND),
        (3, 3 * SECOND),
        (12, 12 * SECOND),
        rx.Watermark(8 * SECOND),
    ]


async def test_no_watermark_at_the_end_so_that_another_stream_may_follow() -> None:
    first = live(feed_of(1, 100)).event_time(lambda x: x, lateness=50)
    second = live(feed_of(60, 40, 200)).event_time(lambda x: x, lateness=50)
    given = entries(await signals(first.concat(second)))
    watermarks = [one.time // SECOND for one in given if isinstance(one, rx.Watermark)]
    assert watermarks == [-49, 50, 150]
    assert [one[0] for one in given if isinstance(one, tuple)] == [1, 100, 60, 40, 200]


@pytest.mark.parametrize("partition", [None, lambda x: x % 2])
async def test_in_batch_no_watermark_is_told_and_nothing_is_late(
    virtual_time: None, partition: Callable[[int], Hashable] | None
) -> None:
    items = rx.of(1, 500, 2, 700, 3).concat(rx.timer(7200).map(lambda _: 900))
    stream = items.event_time(lambda x: x, partition=partition, idle=60)
    given = entries(await signals(stream, mode="batch"))
    assert given == [(x, x * SECOND) for x in (1, 500, 2, 700, 3, 900)]
    assert any(isinstance(one, rx.Watermark) for one in entries(await signals(stream)))

    async with rx.start(stream.to(memory.call(lambda _: None)), mode="batch") as run:
        report = await run.wait()
    assert "late" not in report["event_time"].counters


async def test_several_inputs_have_the_lowest_watermark_of_all() -> None:
    slow = live(Feed((rx.Chunk([1]), rx.Chunk([2]))))
    fast = live(Feed((rx.Chunk([50]), rx.Chunk([90]))))
    merged = slow.event_time(lambda x: x).merge(fast.event_time(lambda x: x, lateness=5))
    given = entries(await signals(merged))
    times = [one.time // SECOND for one in given if isinstance(one, rx.Watermark)]
    # Once the slow one has ended, the other goes on alone.
    assert times == sorted(times)
    assert times[-1] == 85
    assert all(time <= 2 or time in (45, 85) for time in times)


# Bad input


async def test_a_time_that_goes_back_is_met_by_the_policy_of_the_operator() -> None:
    items = [1, 5, 3, 5, 4, 9]

    def build(**options: Any) -> rx.Stream[int]:
        return rx.from_iterable(items).event_time(lambda x: x, watermarks=rx.Monotonic(), **options)

    with pytest.raises(ValueError, match="of the item 3 goes back from 1970-01-01T00:00:05"):
        await build().collect()
    assert await build(on_error="skip").collect() == [1, 5, 5, 9]
    fixed = build(on_error=rx.replace_with(lambda item, error: 5.5))
    assert pairs(await signals(fixed.take(3))) == [
        (1, SECOND),
        (5, 5 * SECOND),
        (3, 5_500_000),
    ]
    with pytest.raises(ValueError, match="goes back from"):
        await build(on_error=rx.replace(0.0)).collect()


async def test_monotonic_is_so_within_each_partition() -> None:
    rows = [(1, "a"), (9, "b"), (2, "a"), (8, "b")]
    stream = rx.from_iterable(rows).event_time(
        lambda row: row[0], watermarks=rx.Monotonic(), partition=lambda row: row[1]
    )
    with pytest.raises(ValueError, match=r"item \(8, 'b'\) goes back"):
        await stream.collect()


async def test_items_without_a_time_are_dead_letters() -> None:
    bad = rx.SideOutput[rx.DeadLetter[Any]]("bad")
    good: list[Any] = []
    letters: list[rx.DeadLetter[Any]] = []
    stream = rx.of({"at": 5}, {}, {"at": None}, {"at": 6}).event_time(
        lambda item: item["at"], on_error=bad
    )
    report = await rx.run(stream.to(memory.append(good)), bad.to(memory.append(letters)))
    assert good == [{"at": 5}, {"at": 6}]
    assert [letter.item for letter in letters] == [{}, {"at": None}]
    assert [type(letter.error) for letter in letters] == [KeyError, TypeError]
    assert report["event_time"].counters["dead_letters"] == 2


async def test_a_replacement_that_is_no_timestamp_fails() -> None:
    stream = rx.of(1).event_time(lambda x: None, on_error=rx.replace("now"))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="'now' is str"):
        await stream.collect()


NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps, "wall_clock", NOW.timestamp)


def ahead(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


@pytest.mark.usefixtures("wall_clock")
async def test_one_wrong_clock_does_not_lift_the_watermark() -> None:
    items = [ahead(0), ahead(23), ahead(25), ahead(-1), ahead(9000)]
    stream = live(feed_of(*items)).event_time(lambda moment: moment, lateness=3600)
    with pytest.raises(ValueError, match=r"more than 86400 s after the wall clock.*future=None"):
        await stream.collect()
    skipping = live(feed_of(*items)).event_time(lambda m: m, lateness=3600, on_error="skip")
    given = entries(await signals(skipping))
    assert [one[0] for one in given if isinstance(one, tuple)] == [items[0], items[1], items[3]]
    watermarks = [one.time for one in given if isinstance(one, rx.Watermark)]
    assert watermarks[-1] == microseconds(ahead(22), None)
    assert await counted(skipping) == {"future": 2, "skipped": 2, "out_of_order": 1, "late": 1}


@pytest.mark.usefixtures("wall_clock")
async def test_how_far_the_future_goes_can_be_said() -> None:
    items = [ahead(0), ahead(25)]
    for unlimited in (
        live(feed_of(*items)).event_time(lambda m: m, future=None),
        live(feed_of(*items)).event_time(lambda m: m, future=25 * 3600),
        feed_of(*items).stream.event_time(lambda m: m),
    ):
        assert await unlimited.collect() == items
    near = feed_of(*items).stream.event_time(
        lambda m: m, future=0, on_error=rx.replace_with(lambda item, error: NOW)
    )
    assert [time for _, time in pairs(await signals(near))] == [microseconds(NOW, None)] * 2


# Partitions


async def test_more_active_partitions_than_there_may_be_fail() -> None:
    stream = rx.range(10).event_time(lambda x: x, partition=lambda x: x % 4, partition_limit=3)
    with pytest.raises(rx.OverflowFailure, match="3 would be one more than 3 active partitions"):
        await stream.collect(mode="stream")
    assert await stream.collect(mode="batch") == list(range(10))


async def test_a_partition_that_cannot_be_a_key_says_where() -> None:
    stream = rx.of(1).event_time(lambda x: x, partition=lambda x: [x])  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="unhashable") as caught:
        await stream.collect()
    assert any("event_time" in note for note in caught.value.__notes__)


# What is shown


@pytest.mark.usefixtures("wall_clock")
async def test_the_watermark_and_its_lag_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.advancing.wall_clock", NOW.timestamp)
    items = [ahead(-1)]
    report = await rx.run(
        live(feed_of(*items)).event_time(lambda m: m, lateness=60).to(memory.append([]))
    )
    gauges = report["event_time"].gauges
    assert gauges == {"watermark": NOW.timestamp() - 3660, "lag": 3660}
    assert (report["event_time"].items_in, report["event_time"].items_out) == (1, 1)


async def test_before_any_watermark_there_is_no_lag() -> None:
    report = await rx.run(rx.empty().event_time(lambda x: 0).to(memory.append([])))
    assert report["event_time"].gauges == {}


def test_explain_says_the_terms() -> None:
    assert rx.never().event_time(lambda x: 0, lateness=5).node.operator.details() == {
        "watermark": "latest time less 5 s",
        "every": "0.2 s",
        "future": "86400 s",
        "idle": "after 60 s",
    }
    told_by_items = rx.of(1).event_time(
        lambda x: x, watermarks=rx.Punctuated(lambda x: x), partition=str
    )
    assert told_by_items.node.operator.details() == {
        "watermark": "told by items",
        "limit": "1024 partitions",
    }
    assert rx.of(1).event_time(lambda x: x, idle=5).node.operator.label == "event_time"


def test_a_strategy_is_copied_for_every_run_and_partition() -> None:
    strategy = Trailing()
    stream = rx.of(1, 50).event_time(lambda x: x, watermarks=strategy, partition=lambda x: x)
    for _ in range(2):
        assert run(stream.collect()) == [1, 50]
    assert strategy.highest == 0


@pytest.mark.parametrize("wrong", [10**15, -(10**15)])
@pytest.mark.parametrize("place", range(5))
async def test_a_time_out_of_bounds_among_others_changes_nothing_for_them(
    wrong: int, place: int
) -> None:
    async def counts(seconds: list[int]) -> list[rx.Windowed[None, int]]:
        timed = rx.from_iterable(seconds).event_time(lambda second: second, on_error="skip")
        return await timed.window(rx.Tumbling(2)).aggregate(rx.count()).collect(mode="stream")

    seconds = [0, 5, 3, 9, 7]
    without = await counts(seconds)
    assert [each.value for each in without] == [1, 1, 1]
    assert await counts([*seconds[:place], wrong, *seconds[place:]]) == without


@given(st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=9), max_size=9), st.booleans())
@examples(100)
async def test_the_times_of_a_chunk_lie_in_the_span_that_it_says(
    chunks: list[list[int]], batch: bool
) -> None:
    operator = rx.of(1).event_time(lambda x: x, lateness=9, every=20).node.operator
    assert isinstance(operator, Stepwise)
    settings = rx.Settings(mode="batch" if batch else "stream")
    step = operator.step(rx.Context("event_time", None, settings, Meter("event_time")))
    out: list[Any] = []
    for items in chunks:
        step.on_chunk(rx.Chunk(items), out)
    given = [signal for signal in out if isinstance(signal, rx.Chunk)]
    assert [item for chunk in given for item in chunk.items] == [x for each in chunks for x in each]
    for chunk in given:
        for part in (chunk, *chunk.split(len(chunk) // 2)):
            assert part.span is not None and part.times is not None
            assert all(part.span[0] <= time <= part.span[1] for time in part.times)


async def _kept_and_restored(
    before: list[Any], after: list[Any], changes: bool
) -> tuple[list[Any], list[Any]]:
    """What comes after the second barrier, and what when it is restored there."""

    def build(script: list[Any]) -> rx.Stream[Any]:
        return scripted_source(script).event_time(
            lambda event: event[1], partition=lambda event: event[0], partition_limit=2, idle=9
        )

    last = rx.Barrier(2)
    script = [*before, last, *after]
    async with Stepping(build(script), changes_until=last if changes else None) as whole:
        await whole.read_until(last)
        wanted, _ = await whole.read_until(None)
        kept = await whole.saved()
    async with Stepping(build(after), kept) as restored:
        return wanted, (await restored.read_until(None))[0]


@pytest.mark.parametrize("changes", [False, True])
async def test_a_partition_goes_on_from_a_barrier_where_it_was(changes: bool) -> None:
    before = [rx.Chunk([("a", 1), ("b", 1)]), rx.Barrier(1), rx.Chunk([("a", 50)])]
    wanted, again = await _kept_and_restored(before, [rx.Chunk([("b", 60)])], changes)
    assert again == wanted
    assert rx.Watermark(50 * SECOND) in wanted


@pytest.mark.parametrize("changes", [False, True])
async def test_a_partition_that_made_room_does_not_come_back(
    virtual_time: None, changes: bool
) -> None:
    before = [rx.Chunk([("a", 1), ("b", 1)]), rx.Barrier(1), Pause(30), rx.Chunk([("c", 50)])]
    wanted, again = await _kept_and_restored(before, [rx.Chunk([("c", 60)])], changes)
    given = [[one.value for one in some if isinstance(one, Given)] for some in (wanted, again)]
    assert given == [[("c", 60)], [("c", 60)]]
