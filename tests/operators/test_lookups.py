"""lookup: with the latest row, and with the row of an item's time, against plain lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from disorder import (
    BARRIERS,
    SECOND,
    Event,
    Input,
    Pair,
    bounds,
    by_key,
    cuts,
    items_of,
    timed,
    two_inputs,
    whole_and_rest,
)
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from reactive.testing import scripted_source
from reactive.testing.observing import Given
from reactive.testing.plugin import VirtualTime
from reactive.testing.scripts import Pause
from reactive.testing.virtual_time import run


def deleted(event: Event) -> bool:
    return event.number % 4 == 3


def as_of(
    left: list[Event], right: list[Event], how: str, gone: Any = lambda event: False
) -> list[tuple[Any, int]]:
    given = []
    for event in left:
        known = [row for row in right if row.key == event.key and row.time <= event.time]
        row = max(known, key=lambda row: (row.time, row.number), default=None)
        if row is not None and gone(row):
            row = None
        if row is not None or how == "left":
            given.append(((event, row), event.time * SECOND))
    return given


@model_of("KeyedStream.lookup", "KeyedStream.table")
@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("gone", [None, deleted])
def test_as_of_event_time_is_the_row_of_that_time(how: Any, gone: Any) -> None:
    async def check(inputs: Pair, settings: rx.Settings, buffer: int) -> None:
        left, right = inputs
        table = by_key(right.stream).table(deleted=gone)
        stream = by_key(left.stream).lookup(table, how=how, as_of="event time", buffer=buffer)
        expected = as_of(left.events, right.events, how, gone or (lambda event: False))
        given = await signals(stream, settings)
        assert pairs(given) == expected
        # Nothing but the items differs from what came.
        marks = [one for one in await signals(left.stream) if isinstance(one, rx.Watermark)]
        assert [one for one in given if isinstance(one, rx.Watermark)] == marks
        assert await stream.collect(mode="batch") == [item for item, _ in expected]

    @given(two_inputs, bounds, st.sampled_from([1, 3, 100]))
    @examples(40)
    def law(inputs: Pair, settings: rx.Settings, buffer: int) -> None:
        run(check(inputs, settings, buffer))

    law()


@model_of("KeyedStream.lookup")
@given(two_inputs, bounds, st.integers(0, 6))
@examples(60)
async def test_late_items_find_their_rows_for_as_long_as_allowed(
    inputs: Pair, settings: rx.Settings, allowed: int
) -> None:
    """With the lateness of event_time left out, some items come late."""
    left, right = Input(*inputs[0][:3], lateness=0), inputs[1]
    late = rx.SideOutput[Event]("late")
    dropped: list[Event] = []
    stream = by_key(left.stream).lookup(
        by_key(right.stream).table(), as_of="event time", allowed_lateness=allowed, late=late
    )
    stream = stream.merge(late.tap(dropped.append).ignore_items())
    kept: list[Event] = []
    too_late: list[Event] = []
    for event in left.events:
        passed = max((each.time for each in (*kept, *too_late)), default=0) - allowed
        (too_late if event.time < passed else kept).append(event)
    assert pairs(await signals(stream, settings)) == as_of(kept, right.events, "inner")
    assert dropped == too_late


@model_of("KeyedStream.table")
@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(1, 5))
@examples(60)
async def test_a_table_has_the_keys_updated_last(keys: list[str], limit: int) -> None:
    rows: dict[str, int] = {}
    for number, key in enumerate(keys):
        rows.pop(key, None)
        rows[key] = number
    rows = dict(list(rows.items())[-limit:])
    updates = rx.from_iterable(keys).enumerate().event_time(lambda row: 1)
    table = updates.key_by(lambda row: row[1]).table(limit=limit)
    items = rx.of(*"abcdef").event_time(lambda item: 5).key_by(lambda item: item)
    found = await items.lookup(table, as_of="event time").collect()
    assert {item: row[0] for item, row in found} == rows


@given(st.tuples(cuts(), cuts()), st.sampled_from([1, 100]), st.booleans())
@examples(60)
async def test_as_of_event_time_goes_on_from_a_barrier(
    feeds: tuple[tuple[Feed, Feed], ...], buffer: int, changes: bool
) -> None:
    # Of three keys, none is evicted: when that happens depends on which stream is quicker.
    after, again = await whole_and_rest(as_of_build(limit=3, buffer=buffer), feeds, changes)
    assert items_of(again) == items_of(after)


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("as_of", ["event time", "latest"])
async def test_it_knows_after_a_barrier_what_was_updated_longest_ago(
    as_of: Any, changes: bool
) -> None:
    asked = [timed(Event(key, 10, 5)) for key in "abc"]
    rows = [timed(Event(key, number, number)) for number, key in enumerate("abac")]
    first, second = BARRIERS
    passed = rx.Watermark(9 * SECOND)
    feeds = [
        (Feed((first, second, *asked)), Feed(tuple(asked))),
        (Feed((*rows[:2], first, rows[2], second, rows[3], passed)), Feed((rows[3], passed))),
    ]

    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        return by_key(left).lookup(by_key(right).table(limit=2), how="left", as_of=as_of)

    after, again = await whole_and_rest(build, feeds, changes)
    assert items_of(again) == items_of(after)
    found = [entry.value[1] for entry in again if isinstance(entry, Given)]
    assert found == [Event("a", 2, 2), None, Event("c", 3, 3)]


@pytest.mark.parametrize("changes", [False, True])
async def test_what_is_replaced_and_forgotten_after_a_barrier_is_there_for_who_begins_at_it(
    changes: bool,
) -> None:
    first, second = BARRIERS
    asked = timed(Event("a", 1, 5)), rx.Watermark(9 * SECOND), timed(Event("a", 2, 10))
    rows = timed(Event("a", 0, 0)), timed(Event("a", 6, 7))
    passed = rx.Watermark(20 * SECOND)
    feeds = [
        (Feed((first, second, *asked)), Feed(asked)),
        (Feed((first, *rows, second, passed)), Feed((passed,))),
    ]
    after, again = await whole_and_rest(as_of_build(limit=9, buffer=9), feeds, changes)
    assert items_of(again) == items_of(after)
    found = [entry.value[1].number for entry in again if isinstance(entry, Given)]
    assert found == [0, 6]


def as_of_build(limit: int, buffer: int) -> Callable[..., rx.Stream[Any]]:
    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        table = by_key(right).table(deleted=deleted, limit=limit)
        return by_key(left).lookup(table, how="left", as_of="event time", buffer=buffer)

    return build


@given(two_inputs, bounds)
@examples(40)
async def test_the_latest_row_is_one_that_was_known(inputs: Pair, settings: rx.Settings) -> None:
    left, right = inputs
    stream = by_key(left.stream).lookup(by_key(right.stream).table(), how="left")
    given = pairs(await signals(stream, settings))
    assert [event for (event, _), _ in given] == left.events
    seen: dict[str, int] = {}
    for (event, row), time in given:
        assert time == max(event.time, event.time if row is None else row.time) * SECOND
        if row is None:
            assert event.key not in seen
            continue
        assert row.key == event.key and row.time >= seen.get(event.key, -1)
        seen[event.key] = row.time


def at(time: int, *items: Any) -> rx.Chunk[Any]:
    return rx.Chunk(list(items), [time * SECOND] * len(items))


def mark(time: int) -> rx.Watermark:
    return rx.Watermark(time * SECOND)


WAIT = [Pause()] * 20


def first(item: str) -> str:
    return item[0]


@pytest.mark.virtual_time
async def test_updates_that_wait_come_before_the_items() -> None:
    table = rx.of("a1", "b1", "a2").key_by(first).table()
    given = await rx.of("a7", "c7", "b7").key_by(first).lookup(table, how="left").collect()
    assert given == [("a7", "a2"), ("c7", None), ("b7", "b1")]


async def test_what_has_no_row_is_counted() -> None:
    stream = rx.of("a7", "c7").key_by(first).lookup(rx.of("a1").key_by(first).table())
    kept: list[Any] = []
    async with rx.start(stream.named("lookup").to(memory.append(kept))) as running:
        await running.wait()
        (meter,) = [one for one in running.metrics().operators if one.name == "lookup"]
    assert kept == [("a7", "a1")]
    assert meter.counters["unmatched"] == 1


async def test_the_lookup_ends_with_its_own_stream(virtual_time: VirtualTime) -> None:
    table = rx.of("a1").concat(rx.never()).key_by(first).table()
    assert await rx.of("a2").key_by(first).lookup(table).collect() == [("a2", "a1")]
    timed = rx.of("a1").concat(rx.never()).event_time(lambda item: 1, idle=5).key_by(first)
    stream = rx.of("a2").event_time(lambda item: 2).key_by(first)
    # The table says nothing for so long that it is idle.
    assert await stream.lookup(timed.table(), as_of="event time").collect() == [("a2", "a1")]


async def test_deleted_and_outdated_rows() -> None:
    rows = [at(5, "a5"), at(3, "a3"), at(7, "a-"), at(6, "a6"), at(4, "b4"), at(8, "c8")]
    table = Feed(tuple(rows)).stream.key_by(first).table(deleted=lambda row: row[1] == "-")
    items = rx.of("a", "b", "c").key_by(first)
    kept: list[Any] = []
    stream = items.lookup(table, how="left").named("lookup")
    async with rx.start(stream.to(memory.append(kept))) as running:
        await running.wait()
        (meter,) = [one for one in running.metrics().operators if one.name == "lookup"]
    assert kept == [("a", None), ("b", "b4"), ("c", "c8")]
    assert meter.counters["outdated"] == 2


@pytest.mark.virtual_time
async def test_a_limited_table_forgets_what_was_updated_longest_ago() -> None:
    table = rx.of("a1", "b1", "a2", "c1").key_by(first).table(limit=2)
    given = await rx.of("a", "b", "c").key_by(first).lookup(table, how="left").collect()
    assert given == [("a", "a2"), ("b", None), ("c", "c1")]
    timed = rx.of("a1", "b1", "a2", "c1").event_time(lambda item: 1).key_by(first)
    items = rx.of("a", "b", "c").event_time(lambda item: 5).key_by(first)
    stream = items.lookup(timed.table(limit=2), how="left", as_of="event time")
    assert await stream.collect() == given


async def test_versions_that_nobody_asks_for_any_more_are_dropped() -> None:
    both = rx.range(2000).event_time(lambda n: n, every=0)
    stream = both.key_by(lambda n: 0).lookup(
        both.key_by(lambda n: 0).table(), as_of="event time", allowed_lateness=10
    )
    most = 0.0

    def look(item: Any) -> None:
        nonlocal most
        (meter,) = [one for one in running.metrics().operators if one.name == "lookup"]
        most = max(most, meter.gauges["versions"])

    settings = rx.Settings(chunk=4, edge=4, mode="stream")
    job = stream.named("lookup").tap(look).to(memory.append([]))
    async with rx.start(job, settings=settings) as running:
        await running.wait()
    assert 10 <= most < 80


async def test_a_late_item_finds_its_row_while_it_is_allowed_to() -> None:
    late = rx.SideOutput[str]("late")
    left = scripted_source([at(10, "a10"), mark(10), at(7, "a7"), at(4, "a4")]).key_by(first)
    table = scripted_source([at(1, "A1"), at(6, "A6"), at(9, "A9"), mark(20)])
    rows = table.key_by(lambda row: "a").table()
    stream = left.lookup(rows, as_of="event time", allowed_lateness=5, late=late)
    kept: list[Any] = []
    lost: list[str] = []
    jobs = stream.to(memory.append(kept)), late.to(memory.append(lost))
    await rx.run(*jobs, mode="stream")
    assert kept == [("a10", "A9"), ("a7", "A6")]
    assert lost == ["a4"]


async def test_items_wait_for_the_table_in_their_order() -> None:
    left = scripted_source([at(1, "a1"), at(9, "a9"), mark(2), at(2, "a2")]).key_by(first)
    table = scripted_source([at(0, "a0"), *WAIT, mark(5), *WAIT, at(8, "a8"), mark(10)])
    stream = left.lookup(table.key_by(first).table(), as_of="event time")
    given = await signals(stream)
    assert given == [
        at(1, ("a1", "a0")),
        at(9, ("a9", "a8")),
        mark(2),
        at(2, ("a2", "a0")),
    ]


async def test_items_without_time_are_told() -> None:
    timed = rx.of("a").event_time(lambda n: 1).key_by(first)
    plain = rx.of("a").key_by(first)
    with pytest.raises(TypeError, match=r"no event time, came from the right"):
        await timed.lookup(plain.table(), as_of="event time").collect()
    with pytest.raises(TypeError, match=r"no event time, came from the left"):
        await plain.lookup(timed.table(), as_of="event time").collect()


def test_bad_arguments() -> None:
    keyed = rx.of("a").key_by(first)
    with pytest.raises(TypeError, match=r"lookup needs a table, such as .* not KeyedStream"):
        keyed.lookup(keyed)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="how must be one of 'inner', 'left', not 'full'"):
        keyed.lookup(keyed.table(), how="full")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="as_of must be 'latest' or 'event time', not 'now'"):
        keyed.lookup(keyed.table(), as_of="now")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="are for as_of="):
        keyed.lookup(keyed.table(), allowed_lateness=1)
    with pytest.raises(ValueError, match="at least 1"):
        keyed.lookup(keyed.table(), buffer=0)
    with pytest.raises(ValueError, match="at least 1"):
        keyed.table(limit=0)
    with pytest.raises(TypeError, match="table"):
        keyed.table(deleted=3)  # type: ignore[arg-type]
