"""Joins in windows against nested loops over lists, and what becomes of late items."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from catalogue import model_of
from disorder import (
    HOWS,
    SECOND,
    Event,
    Input,
    Pair,
    bounds,
    by_key,
    cuts,
    grouped,
    items_of,
    joined,
    two_inputs,
    whole_and_rest,
)
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from reactive.testing import scripted_source
from reactive.testing.scripts import Pause
from reactive.testing.virtual_time import run

GAP = 4


def shared_windows(assigner: rx.WindowAssigner, sides: list[list[Event]]) -> list[tuple[Any, ...]]:
    """Every window with the events of both sides that are in it."""
    held: dict[rx.Window, list[list[Event]]] = {}
    for side, events in enumerate(sides):
        for event in events:
            for window in assigner.assign(event, event.time * SECOND):
                held.setdefault(window, [[], []])[side].append(event)
    ordered = sorted(held.items(), key=lambda pair: (pair[0].end, pair[0].start))
    return [(window, *rows) for window, rows in ordered]


def sessions(sides: list[list[Event]]) -> list[tuple[Any, ...]]:
    """The same for sessions, of one key at a time."""
    found: list[tuple[Any, ...]] = []
    for key in sorted({event.key for events in sides for event in events}):
        times = sorted(event.time for events in sides for event in events if event.key == key)
        start = times[0]
        for time, later in zip(times, [*times[1:], 10**6], strict=True):
            if later - time >= GAP:
                rows = [
                    [e for e in events if e.key == key and start <= e.time <= time]
                    for events in sides
                ]
                found.append((rx.Window(start * SECOND, (time + GAP) * SECOND), *rows))
                start = later

    # Those that end together by what came first on the left, then on the right.
    def place(row: tuple[Any, ...]) -> tuple[float, ...]:
        window, *rows = row
        return (window.end, *(min((e.number for e in each), default=10**6) for each in rows))

    return sorted(found, key=place)


WINDOWS: dict[str, rx.WindowAssigner] = {
    "tumbling": rx.Tumbling(5, offset=1),
    "sliding": rx.Sliding(9, every=4),
    "calendar": rx.Calendar("day"),
    "global": rx.Global(),
    "session": rx.Session(GAP),
}


def held_in(name: str, inputs: Pair) -> list[tuple[Any, ...]]:
    sides = [inputs[0].events, inputs[1].events]
    return sessions(sides) if name == "session" else shared_windows(WINDOWS[name], sides)


async def check(stream: rx.Stream[Any], settings: rx.Settings, expected: list[Any]) -> None:
    given = pairs(await signals(stream, settings))
    assert [item for item, _ in given] == expected
    assert [time for _, time in given] == [item.window.end - 1 for item in expected]
    assert await stream.collect(mode="batch") == expected


@model_of("KeyedStream.join")
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", WINDOWS)
def test_pairs_are_those_of_nested_loops(name: str, how: Any) -> None:
    @given(two_inputs, bounds)
    @examples(15)
    def law(inputs: Pair, settings: rx.Settings) -> None:
        left, right = (by_key(one.stream.assume_bounded()) for one in inputs)
        stream = left.join(right, window=WINDOWS[name], how=how)
        run(check(stream, settings, joined(held_in(name, inputs), how)))

    law()


@model_of("KeyedStream.cogroup")
@pytest.mark.parametrize("name", WINDOWS)
def test_groups_are_those_of_nested_loops(name: str) -> None:
    @given(two_inputs, bounds)
    @examples(15)
    def law(inputs: Pair, settings: rx.Settings) -> None:
        left, right = (by_key(one.stream.assume_bounded()) for one in inputs)
        stream = left.cogroup(right, window=WINDOWS[name])
        run(check(stream, settings, grouped(held_in(name, inputs))))

    law()


@model_of("KeyedStream.join")
@given(two_inputs, st.sampled_from(HOWS), bounds)
@examples(40)
async def test_a_window_that_waits_for_late_items_gives_the_same(
    inputs: Pair, how: Any, settings: rx.Settings
) -> None:
    """With the lateness of event_time left out, the same items come late: what was given and not
    taken back are the pairs of all."""
    assigner = rx.Tumbling(5)
    left, right = (by_key(Input(*one[:3], lateness=0).stream) for one in inputs)
    stream = left.join(right, window=assigner, how=how, allowed_lateness=6)
    rows: list[Any] = []
    for item, time in pairs(await signals(stream, settings)):
        assert time == item.window.end - 1
        row = item._replace(pane=rx.Pane())
        if item.pane.retracted:
            rows.remove(row)
        else:
            rows.append(row)
    expected = joined(shared_windows(assigner, [one.events for one in inputs]), how)
    assert sorted(map(repr, rows)) == sorted(map(repr, expected))


@model_of("KeyedStream.cogroup")
@given(two_inputs, bounds)
@examples(30)
async def test_groups_that_wait_for_late_items_give_all_of_them_last(
    inputs: Pair, settings: rx.Settings
) -> None:
    assigner = rx.Tumbling(5)
    left, right = (by_key(Input(*one[:3], lateness=0).stream) for one in inputs)
    last: dict[Any, Any] = {}
    panes: dict[Any, list[rx.Pane]] = {}
    for item, _ in pairs(
        await signals(left.cogroup(right, window=assigner, allowed_lateness=6), settings)
    ):
        last[item.key, item.window] = item._replace(pane=rx.Pane())
        panes.setdefault((item.key, item.window), []).append(item.pane)
    expected = grouped(shared_windows(assigner, [one.events for one in inputs]))
    assert sorted(map(repr, last.values())) == sorted(map(repr, expected))
    for row in panes.values():
        assert [pane.index for pane in row] == list(range(len(row)))
        assert [pane.first for pane in row] == [True] + [False] * (len(row) - 1)
        assert all(pane.timing == "late" for pane in row[1:])


@pytest.mark.parametrize("name", WINDOWS)
def test_it_goes_on_from_a_barrier(name: str) -> None:
    lateness = 0 if name in ("session", "global") else 3

    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        return by_key(left).join(
            by_key(right), window=WINDOWS[name], how="full", allowed_lateness=lateness
        )

    @given(st.tuples(cuts(), cuts()), st.booleans())
    @examples(30)
    def law(feeds: tuple[tuple[Feed, Feed], ...], changes: bool) -> None:
        after, again = run(whole_and_rest(build, feeds, changes))
        if changes:
            # Nothing says in what order keys come back that were kept apart.
            assert Counter(map(repr, items_of(again))) == Counter(map(repr, items_of(after)))
        else:
            assert items_of(again) == items_of(after)

    law()


def at(time: int, *items: Any) -> rx.Chunk[Any]:
    return rx.Chunk(list(items), [time * SECOND] * len(items))


async def test_late_items_of_either_side_are_counted_and_sent_away() -> None:
    late = rx.SideOutput[str]("late")
    left = Feed((at(1, "a1"), rx.Watermark(10 * SECOND), at(2, "a2"), at(11, "a3")))
    right = Feed((at(12, "a4"), rx.Watermark(10 * SECOND), at(9, "a5")))
    by_first = [feed.stream.key_by(lambda item: item[0]) for feed in (left, right)]
    stream = by_first[0].join(by_first[1], window=rx.Tumbling(10), how="full", late=late)
    kept: list[Any] = []
    lost: list[str] = []
    main = stream.named("join").to(memory.append(kept))
    async with rx.start(main, late.to(memory.append(lost)), mode="stream") as running:
        await running.wait()
        report = running.metrics()
    (meter,) = [one for one in report.operators if one.name == "join"]
    assert [item.value for item in kept] == [("a1", None), ("a3", "a4")]
    assert sorted(lost) == ["a2", "a5"]
    assert meter.counters["late"] == 2


async def test_a_row_without_partner_is_taken_back_when_one_comes() -> None:
    left = scripted_source([at(1, "a1", "a2"), rx.Watermark(10 * SECOND)])
    later = [at(2, "a3"), at(3, "a4"), rx.Watermark(15 * SECOND)]
    right = scripted_source([rx.Watermark(10 * SECOND), *[Pause()] * 20, *later])
    by_first = [stream.key_by(lambda item: item[0]) for stream in (left, right)]
    stream = by_first[0].join(by_first[1], window=rx.Tumbling(10), how="left", allowed_lateness=5)
    given = [(item.value, item.pane) for item, _ in pairs(await signals(stream))]
    late, back = rx.Pane("late", 1, False, False), rx.Pane("late", 1, False, False, True)
    first = rx.Pane("on time", 0, True, False)
    second = rx.Pane("late", 2, False, False)
    assert given == [
        (("a1", None), first),
        (("a2", None), first),
        (("a1", None), back),
        (("a2", None), back),
        (("a1", "a3"), late),
        (("a2", "a3"), late),
        (("a1", "a4"), second),
        (("a2", "a4"), second),
    ]


async def test_a_key_with_many_items_comes_in_pieces() -> None:
    many = rx.range(700)
    stream = many.key_by(lambda n: 0).join(many.key_by(lambda n: 0))
    given = await signals(stream.map(lambda w: w.value))
    chunks = [len(one) for one in given if isinstance(one, rx.Chunk)]
    assert sum(chunks) == 490_000
    assert max(chunks) <= 1100
    first = [item for item, _ in pairs(given)]
    assert first[:3] == [(0, 0), (0, 1), (0, 2)] and first[-1] == (699, 699)


async def test_in_batch_no_watermark_of_a_source_makes_anything_late() -> None:
    stream = Feed((at(20, "20"), rx.Watermark(20 * SECOND), at(1, "1"))).stream.key_by(bool)
    other = Feed((rx.Watermark(9 * SECOND), at(2, "2"), at(21, "21"))).stream.key_by(bool)
    joined = stream.join(other, window=rx.Tumbling(10))
    assert [w.value for w in await joined.collect(mode="batch")] == [("1", "2"), ("20", "21")]
    near = stream.interval_join(other, after=1, how="full")
    assert sorted(await near.collect(mode="batch")) == [("1", "2"), ("20", "21")]
    looked = stream.lookup(other.table(), how="left", as_of="event time", buffer=1)
    assert await looked.collect(mode="batch") == [("20", "2"), ("1", None)]


async def test_one_stream_with_itself() -> None:
    stream = rx.range(10).event_time(lambda n: n).key_by(lambda n: n % 2)
    given = await stream.join(stream, window=rx.Tumbling(4)).collect()
    assert [w.value for w in given][:4] == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert len(given) == 8 + 8 + 2


def test_all_time_needs_an_end() -> None:
    endless = rx.interval(1).key_by(lambda n: n)
    for window in (None, rx.Global()):
        stream = rx.range(3).key_by(lambda n: n).join(endless, window=window)
        with pytest.raises(rx.PlanError, match=r"join .*window=rx.Tumbling.*interval_join.*table"):
            stream.explain()
    with pytest.raises(rx.PlanError, match="cogroup"):
        endless.cogroup(endless).explain()
    endless.join(endless, window=rx.Tumbling(1)).explain()


async def test_items_that_cannot_be_joined_are_told() -> None:
    timed = rx.of(1).event_time(lambda n: n).key_by(lambda n: n)
    plain = rx.of(1).key_by(lambda n: n)
    with pytest.raises(TypeError, match=r"join .*1, which has no event time, .* the right"):
        await timed.join(plain, window=rx.Tumbling(1)).collect()
    lists = rx.of(1).event_time(lambda n: n).key_by(lambda n: [n])
    for window in (rx.Tumbling(1), rx.Sliding(2, 1), rx.Session(1)):
        with pytest.raises(TypeError, match=r"key_by gave \[1\], a list, which cannot be hashed"):
            await lists.join(lists, window=window).collect()  # type: ignore[type-var]

    async def later(n: int) -> int:
        return n

    awaited: Any = rx.of(1).key_by(lambda n: later(n))  # type: ignore[type-var]
    with pytest.raises(TypeError, match="coroutine, which nobody would await"):
        await awaited.join(plain).collect()


def test_bad_arguments() -> None:
    keyed = rx.of(1).key_by(lambda n: n)
    with pytest.raises(TypeError, match=r"join needs another keyed stream.* not Stream"):
        keyed.join(rx.of(1))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"cogroup needs windows such as rx.Tumbling\(60\), not 5"):
        keyed.cogroup(keyed, window=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="join needs windows"):
        keyed.join(keyed, window=rx.Count(3))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"how must be one of 'inner', .*, not 'outer'"):
        keyed.join(keyed, how="outer")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="take no allowed_lateness"):
        keyed.join(keyed, window=rx.Session(1), allowed_lateness=1)
    with pytest.raises(ValueError, match="allowed_lateness"):
        keyed.join(keyed, allowed_lateness=-1)
    with pytest.raises(TypeError, match=r"late must be a rx.SideOutput"):
        keyed.join(keyed, late=rx.of(1))  # type: ignore[call-overload]
