"""Joins of tables: the changes given are those of the joined rows, and add up to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from catalogue import model_of
from disorder import (
    BARRIERS,
    HOWS,
    Event,
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
from reactive.testing.plugin import VirtualTime
from reactive.testing.virtual_time import run


def gone(event: Event) -> bool:
    return event.number % 5 == 4


def final(events: list[Event]) -> dict[str, Event]:
    """The row of each key: the latest by time, of several the last that came."""
    rows: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.time):
        rows[event.key] = event
    return {key: event for key, event in rows.items() if not gone(event)}


def joined(left: dict[str, Any], right: dict[str, Any], how: str) -> dict[str, tuple[Any, Any]]:
    keys = {
        "inner": left.keys() & right.keys(),
        "left": left.keys(),
        "right": right.keys(),
        "full": left.keys() | right.keys(),
    }[how]
    return {key: (left.get(key), right.get(key)) for key in keys}


def applied(changes: list[rx.Change[str, Any]]) -> dict[str, Any]:
    """The rows that changes make, each of which has to fit the ones before it."""
    rows: dict[str, Any] = {}
    for change in changes:
        assert rows.pop(change.key, None) == change.old
        assert change.old is not None or change.new is not None
        if change.new is not None:
            rows[change.key] = change.new
    return rows


@model_of("Table.join", "KeyedStream.table")
@pytest.mark.parametrize("how", HOWS)
def test_the_changes_add_up_to_the_join_of_the_last_rows(how: Any) -> None:
    async def check(inputs: Pair, settings: rx.Settings) -> None:
        left, right = (by_key(one.stream).table(deleted=gone) for one in inputs)
        stream = left.join(right, how=how)
        expected = joined(final(inputs[0].events), final(inputs[1].events), how)
        given = pairs(await signals(stream, settings))
        assert applied([change for change, _ in given]) == expected
        assert all(
            time >= max(row.time for row in change.new or () if row is not None) * 1_000_000
            for change, time in given
            if change.new is not None and time is not None
        )
        assert applied(await stream.collect(mode="batch")) == expected

    @given(two_inputs, bounds)
    @examples(40)
    def law(inputs: Pair, settings: rx.Settings) -> None:
        run(check(inputs, settings))

    law()


@given(st.tuples(cuts(), cuts()), st.booleans())
@examples(60)
async def test_it_goes_on_from_a_barrier(
    feeds: tuple[tuple[Feed, Feed], ...], changes: bool
) -> None:
    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        tables = (by_key(one).table(deleted=gone) for one in (left, right))
        return next(tables).join(next(tables), how="full")

    after, again = await whole_and_rest(build, feeds, changes)
    last: list[dict[str, Any]] = []
    for entries in (after, again):
        rows: dict[str, Any] = {}
        for entry in items_of(entries):
            rows[entry.value.key] = entry.value.new  # type: ignore[union-attr]
        last.append(rows)
    assert last[0] == last[1]


@pytest.mark.parametrize("changes", [False, True])
async def test_what_was_deleted_does_not_come_back_after_a_barrier(changes: bool) -> None:
    first, second = BARRIERS
    late, kept = timed(Event("a", 5, 5)), timed(Event("a", 1, 1))
    rows = timed(Event("a", 0, 0)), timed(Event("a", 4, 9))
    feeds = [
        (Feed((first, *rows, second, late)), Feed((late,))),
        (Feed((first, kept, second)), Feed(())),
    ]

    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        return by_key(left).table(deleted=gone).join(by_key(right).table())

    after, again = await whole_and_rest(build, feeds, changes)
    assert items_of(again) == items_of(after) == []


def key(row: tuple[str, Any]) -> str:
    return row[0]


async def test_changes_one_by_one(virtual_time: VirtualTime) -> None:
    users: rx.Subject[Any] = rx.Subject()
    orders: rx.Subject[Any] = rx.Subject()
    left = orders.key_by(key).table(deleted=lambda row: row[1] is None)
    right = users.key_by(key).table(limit=1)
    given: list[rx.Change[str, Any]] = []
    job = left.join(right, how="left").to(memory.append(given))
    async with rx.start(job) as running:
        for subject, row in (
            (orders, ("a", 1)),
            (users, ("a", "Ann")),
            (orders, ("a", 2)),
            (users, ("b", "Bob")),
            (orders, ("a", None)),
        ):
            await asyncio.sleep(1)
            await subject.send(row)
        orders.close()
        users.close()
        await running.wait()
    assert [change[1:] for change in given] == [
        (None, (("a", 1), None)),
        ((("a", 1), None), (("a", 1), ("a", "Ann"))),
        ((("a", 1), ("a", "Ann")), (("a", 2), ("a", "Ann"))),
        ((("a", 2), ("a", "Ann")), (("a", 2), None)),
        ((("a", 2), None), None),
    ]


async def test_tables_need_no_end(virtual_time: VirtualTime) -> None:
    endless = rx.interval(1).key_by(lambda n: n % 2).table(limit=2)
    changes = await endless.join(endless).take(3).collect()
    assert all(change.new[0] is not None for change in changes)


def test_bad_arguments() -> None:
    keyed = rx.of(("a", 1)).key_by(key)
    with pytest.raises(TypeError, match=r"join needs a table, such as .*\.table\(\), not KeyedSt"):
        keyed.table().join(keyed)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="how must be one of"):
        keyed.table().join(keyed.table(), how="outer")  # type: ignore[call-overload]
