"""match: the matches of a pattern, compared with looking through each key's sorted items."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle
import pytest
from catalogue import model_of
from feeds import Feed, controls, examples, feed_of, pairs, push, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from operators.patterns import Part
from operators.processing import Process
from reactive.metrics import Meter
from reactive.signals import AnySignal

SECOND = 1_000_000
Event = tuple[str, str, int]
"""Key, letter, number."""


class Is:
    """A predicate that prints."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def __call__(self, event: Event) -> bool:
        return event[1] in self.letters

    def __repr__(self) -> str:
        return f"Is({self.letters!r})"


def rises(event: Event, earlier: Mapping[str, Event]) -> bool:
    return all(event[2] > other[2] for other in earlier.values())


def key_of(event: Event) -> str:
    return event[0]


class Found:
    """A match as the reference finds it: the places of its items among the sorted ones, when it
    is complete, and in what order."""

    def __init__(self, places: list[int], time: int, complete: tuple[int, int]) -> None:
        self.places = places
        self.time = time
        self.complete = complete


def look_for(
    parts: Sequence[Part], span: int, events: Sequence[tuple[Event, int]], start: int
) -> Found | None:
    """Go from a start through everything that is later, part by part."""
    names: dict[str, Event] = {}
    places: list[int] = []
    end = events[start][1] + span
    rest = list(parts)

    def fits(part: Part, event: Event) -> bool:
        return bool(part.predicate(event) and (part.where is None or part.where(event, names)))

    at = start
    while rest:
        forbidden: list[Part] = []
        while rest and rest[0].how == "not followed by":
            forbidden.append(rest.pop(0))
        part = rest.pop(0) if rest else None
        while True:
            over = at == len(events) or events[at][1] >= end
            if over and part is None:
                return Found(places, end, (end, 0))
            if over:
                return None
            event = events[at][0]
            if any(fits(each, event) for each in forbidden):
                return None
            at += 1
            if part is not None and fits(part, event):
                names[part.name] = event
                places.append(at - 1)
                break
            if part is not None and part.how in ("first", "then"):
                return None
    return Found(places, events[places[-1]][1], (events[places[-1]][1] + 1, -1))


def matches(
    pattern: rx.Pattern[Event], feed: Feed, overlapping: bool
) -> tuple[list[Any], list[Event]]:
    watermark = -(2**63)
    on_time: dict[str, list[tuple[Event, int]]] = {}
    late: list[Event] = []
    for signal in feed.script:
        if isinstance(signal, rx.Watermark):
            watermark = signal.time
        elif isinstance(signal, rx.Chunk):
            for event, time in zip(signal.items, signal.times or (), strict=True):
                if time < watermark:
                    late.append(event)
                else:
                    on_time.setdefault(event[0], []).append((event, time))
    result: list[Any] = []
    names = [part.name for part in pattern.parts if part.how != "not followed by"]
    assert pattern.seconds is not None
    span = round(pattern.seconds * SECOND)
    for key, events in on_time.items():
        events.sort(key=lambda pair: pair[1])
        found = [
            one
            for start in range(len(events))
            if (one := look_for(pattern.parts, span, events, start)) is not None
        ]
        # Those that an item completes come in the order of items, before those that time does.
        found.sort(key=lambda one: (*one.complete, one.places[-1] if one.complete[1] else 0))
        past = -1
        for one in found:
            if not overlapping and one.places[0] <= past:
                continue
            past = max(past, one.places[-1])
            items = dict(zip(names, (events[place][0] for place in one.places), strict=True))
            begins, ends = events[one.places[0]][1], events[one.places[-1]][1]
            result.append((rx.Match(key, items, begins, ends), one.time))
    return result, late


letters = st.sampled_from(["a", "b", "c", "ab", "bc", "abc"]).map(Is)
wheres = st.sampled_from([None, None, rises])


@st.composite
def patterns(draw: st.DrawFn) -> rx.Pattern[Event]:
    pattern = rx.Pattern[Event]("1", draw(letters))
    negated = False
    for name in "234"[: draw(st.integers(0, 3))]:
        how = draw(st.sampled_from(["then", "followed_by", "followed_by", "not_followed_by"]))
        if negated and how == "then":
            how = "followed_by"
        negated = how == "not_followed_by"
        pattern = getattr(pattern, how)(name, draw(letters), draw(wheres))
    return pattern.within(draw(st.sampled_from([0.5, 1, 2, 4, 10])))


@st.composite
def histories(draw: st.DrawFn) -> Feed:
    """Events of two keys in disorder, some of one time, some late."""
    script: list[AnySignal] = []
    low = 0
    event = st.tuples(st.sampled_from("xy"), st.sampled_from("aabbcd"), st.integers(0, 3))
    for _ in range(draw(st.integers(0, 8))):
        some = draw(st.lists(st.tuples(event, st.integers(-1, 6)), max_size=5))
        if some:
            times = [(low + time) * SECOND // 2 for _, time in some]
            script.append(rx.Chunk([item for item, _ in some], times))
        low += draw(st.integers(0, 5))
        if draw(st.booleans()):
            script.append(rx.Watermark(low * SECOND // 2))
    return Feed(tuple(script))


@model_of("KeyedStream.match")
@given(histories(), patterns(), st.booleans())
@examples(120)
async def test_matches_are_those_of_the_sorted_items(
    feed: Feed, pattern: rx.Pattern[Event], overlapping: bool
) -> None:
    stream = feed.stream.key_by(key_of).match(pattern, overlapping=overlapping)
    found = await signals(stream)
    wanted, late = matches(pattern, feed, overlapping)
    given = pairs(found)
    for key in "xy":
        assert [one for one in given if one[0].key == key] == [
            one for one in wanted if one[0].key == key
        ]
    assert controls(found) == feed.controls
    assert len(given) == len(wanted)
    low = -(2**63)
    for signal in found:
        if isinstance(signal, rx.Watermark):
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            assert min(signal.times or [low]) >= low
    kept: list[Event] = []
    side = rx.SideOutput[Event]("late")
    await rx.run(
        feed.stream.key_by(key_of).match(pattern, late=side).to(memory.append([])),
        side.to(memory.append(kept)),
        mode="stream",
    )
    assert kept == late


@given(histories(), patterns(), st.randoms())
@examples(60)
async def test_disorder_and_mode_make_no_difference(
    feed: Feed, pattern: rx.Pattern[Event], shuffle: Any
) -> None:
    items = feed.pairs
    shuffle.shuffle(items)
    # Those of one time stay as they were.
    items.sort(key=lambda pair: -(pair[1] or 0))
    inverted = Feed(tuple(rx.Chunk([item], [time or 0]) for item, time in items))
    ordered = sorted(items, key=lambda pair: pair[1] or 0)
    straight = [
        signal
        for item, time in ordered
        for signal in (rx.Chunk([item], [time or 0]), rx.Watermark(time or 0))
    ]
    results = [
        pairs(await signals(one.stream.key_by(key_of).match(pattern)))
        for one in (inverted, Feed(tuple(straight)))
    ]
    results.append(
        [
            (match, time)
            for match, time in zip(
                await inverted.stream.key_by(key_of).match(pattern).collect(mode="batch"),
                [time for _, time in results[0]],
                strict=True,
            )
        ]
    )
    for key in "xy":
        one, *others = [[each for each in given if each[0].key == key] for given in results]
        assert all([match for match, _ in other] == [match for match, _ in one] for other in others)


async def found_in(text: str, pattern: rx.Pattern[Event], overlapping: bool = True) -> list[str]:
    """The matches in letters that come a second apart."""
    events = [("x", letter, place) for place, letter in enumerate(text)]
    feed = feed_of(*events, times=[place * SECOND for place in range(len(text))])
    given = await feed.stream.key_by(key_of).match(pattern, overlapping=overlapping).collect()
    return ["".join(f"{item[1]}{item[2]}" for item in match.items.values()) for match in given]


A = rx.Pattern[Event]("a", Is("a"))


async def test_followed_by_skips_to_the_next_that_fits() -> None:
    pattern = A.followed_by("b", Is("b")).within(100)
    assert await found_in("acabb", pattern) == ["a0b3", "a2b3"]
    assert await found_in("acabb", pattern, overlapping=False) == ["a0b3"]
    assert await found_in("abab", pattern, overlapping=False) == ["a0b1", "a2b3"]


async def test_then_takes_only_the_very_next() -> None:
    pattern = A.then("b", Is("b")).within(100)
    assert await found_in("acbabb", pattern) == ["a3b4"]


async def test_within_ends_before_its_time() -> None:
    pattern = A.followed_by("b", Is("b"))
    assert await found_in("acb", pattern.within(2)) == []
    assert await found_in("acb", pattern.within(2.000001)) == ["a0b2"]


async def test_what_must_not_come_between() -> None:
    pattern = A.not_followed_by("c", Is("c")).followed_by("b", Is("b")).within(100)
    assert await found_in("adbacb", pattern) == ["a0b2"]
    both = A.not_followed_by("c", Is("b")).followed_by("b", Is("b")).within(100)
    assert await found_in("ab", both) == []


async def test_what_must_not_come_at_the_end() -> None:
    pattern = A.not_followed_by("b", Is("b")).within(2)
    given = await signals(
        feed_of(("x", "a", 0), ("x", "b", 1), ("x", "a", 2), times=[0, SECOND, 2 * SECOND])
        .stream.key_by(key_of)
        .match(pattern)
    )
    ((match, time),) = pairs(given)
    assert (match["a"], match.begins, match.ends) == (("x", "a", 2), 2 * SECOND, 2 * SECOND)
    assert time == 4 * SECOND


async def test_three_in_a_row_and_a_rise() -> None:
    three = A.then("second", Is("a")).then("third", Is("a")).within(60)
    assert await found_in("aabaaaa", three) == ["a3a4a5", "a4a5a6"]
    assert await found_in("aabaaaaaa", three, overlapping=False) == ["a3a4a5", "a6a7a8"]
    rise = A.followed_by("more", Is("a"), lambda event, got: event[2] > got["a"][2] + 1)
    assert await found_in("aaaa", rise.within(60)) == ["a0a2", "a1a3"]


async def test_a_match_that_stayed_alone_ends_those_that_began_before_its_last_item() -> None:
    pattern = A.followed_by("b", Is("b")).not_followed_by("c", Is("c")).within(4)
    assert await found_in("aabaddb", pattern) == ["a0b2", "a1b2", "a3b6"]
    assert await found_in("aabaddb", pattern, overlapping=False) == ["a0b2", "a3b6"]


async def test_attempts_that_lag_are_over_in_their_time() -> None:
    pattern = A.followed_by("m", Is("am"), rises).followed_by("z", Is("z")).within(5)
    events = [("x", "a", 5), ("x", "a", 1), ("x", "m", 3), ("x", "m", 9), ("x", "z", 0)]
    for last, first_ones in ((4.5, [5, 1]), (5.5, [1]), (6.5, [])):
        times = [0, SECOND, 2 * SECOND, 3 * SECOND, round(last * SECOND)]
        feed = feed_of(*events, times=times)
        given = await feed.stream.key_by(key_of).match(pattern).collect()
        assert [match["a"][2] for match in given] == first_ones


async def test_matches_come_as_the_watermark_passes() -> None:
    pattern = A.followed_by("b", Is("b")).within(5)
    feed = Feed(
        (
            rx.Chunk([("x", "b", 0)], [3]),
            rx.Chunk([("x", "a", 0)], [1]),
            rx.Watermark(3),
            rx.Watermark(4),
            rx.Watermark(9),
        )
    )
    first, passed, *rest = await signals(feed.stream.key_by(key_of).match(pattern))
    assert first == rx.Watermark(3)
    assert pairs([passed])[0][1] == 3
    assert rest == [rx.Watermark(4), rx.Watermark(9)]


async def test_what_is_over_is_forgotten() -> None:
    stream = rx.never().key_by(key_of).match(A.followed_by("b", Is("b")).within(5))
    operator = stream.node.operator
    assert isinstance(operator, Process)
    context = rx.Context("it", None, rx.Settings(mode="stream"), Meter("it"))
    step: Any = operator.step(context)
    for second in range(500):
        events = [("x", "a", 0), (f"only {second}", "a", 0), ("x", "d", 0)]
        push(step, rx.Chunk(events, [second * SECOND] * 3))
        push(step, rx.Watermark(second * SECOND))
        assert context.meter.gauges["keys"]() <= 10
        assert context.meter.gauges["timers"]() <= 20
    push(step, rx.Watermark(1000 * SECOND))
    assert context.meter.gauges["keys"]() == context.meter.gauges["timers"]() == 0
    assert step.snapshot().states == {}


async def test_many_matches_at_once_let_others_in() -> None:
    pattern = A.followed_by("b", Is("b")).within(5)
    events = [("x", "a", n) for n in range(3000)] + [("x", "b", 0)]
    feed = feed_of(*events, times=[0] * 3000 + [1])
    given = await signals(feed.stream.key_by(key_of).match(pattern))
    assert max(len(one) for one in given if isinstance(one, rx.Chunk)) <= 512
    assert [match["a"][2] for match, _ in pairs(given)] == list(range(3000))


def test_patterns_say_what_they_are() -> None:
    pattern = A.then("b", Is("b")).not_followed_by("c", Is("c")).followed_by("d", Is("d"))
    text = "a, then b, not followed by c, followed by d"
    assert str(pattern) == text
    assert repr(pattern.within(2.5)) == f"<Pattern {text}, within 2.5 s>"
    assert str(A) == "a"
    stream = rx.of(("x", "a", 0)).key_by(key_of).match(A.within(1), overlapping=False)
    assert "match(pattern=a, within 1 s, overlapping=False)" in repr(stream)
    copy = cloudpickle.loads(cloudpickle.dumps(pattern.within(2)))
    assert str(copy) == f"{text}, within 2 s"


def test_bad_patterns_are_refused() -> None:
    keyed = rx.of(("x", "a", 0)).key_by(key_of)
    with pytest.raises(ValueError, match="two parts named 'a'; each needs its own"):
        A.followed_by("a", Is("b"))
    with pytest.raises(ValueError, match=r"says nothing before then\('c'\).*use followed_by"):
        A.not_followed_by("b", Is("b")).then("c", Is("c"))
    with pytest.raises(ValueError, match=r"hold attempts at the pattern \(a\) for ever"):
        keyed.match(A)
    with pytest.raises(TypeError, match="match needs a rx"):
        keyed.match("abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not_followed_by needs a function, not int 3"):
        A.not_followed_by("b", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Pattern takes a plain function"):
        rx.Pattern[Event]("b", asyncio.sleep)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="then needs a name for its part, not"):
        A.then(Is("b"), Is("b"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="followed_by needs a name for its part that is not empty"):
        A.followed_by("", Is("b"))
    with pytest.raises(ValueError, match="within needs a time above 0 seconds, not 0"):
        A.within(0)


async def test_event_time_is_asked_for() -> None:
    with pytest.raises(TypeError, match="there is no event time"):
        await rx.of(("x", "a", 0)).key_by(key_of).match(A.within(1)).collect()
