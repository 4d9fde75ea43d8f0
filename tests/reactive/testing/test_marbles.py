"""Marble diagrams: what each sign means, what is refused, and that drawing and reading agree."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.testing.marbles import (
    DiagramError,
    End,
    Event,
    Failure,
    Item,
    MarbleError,
    draw,
    name_items,
    parse,
    render,
)

BOOM = MarbleError("boom")


@pytest.mark.parametrize(
    ("diagram", "events"),
    [
        ("", []),
        ("---", []),
        ("a", [Item(0.0, "a")]),
        ("-a-b-|", [Item(1.0, "a"), Item(3.0, "b"), End(5.0)]),
        ("|", [End(0.0)]),
        ("--#", [Failure(2.0, BOOM)]),
        ("-(ab)-c", [Item(1.0, "a"), Item(1.0, "b"), Item(3.0, "c")]),
        ("(ab|)", [Item(0.0, "a"), Item(0.0, "b"), End(0.0)]),
        ("(a b)", [Item(0.0, "a"), Item(0.0, "b")]),
        ("(a#)-", [Item(0.0, "a"), Failure(0.0, BOOM)]),
        ("- a - b |", [Item(1.0, "a"), Item(3.0, "b"), End(4.0)]),
        ("a 5s b|", [Item(0.0, "a"), Item(6.0, "b"), End(7.0)]),
        ("5s a", [Item(5.0, "a")]),
        ("-5s", [Item(1.0, "5"), Item(2.0, "s")]),
        ("a 500ms b", [Item(0.0, "a"), Item(1.5, "b")]),
        ("a 1.5m b", [Item(0.0, "a"), Item(91.0, "b")]),
        ("a 0.25ms b", [Item(0.0, "a"), Item(1.00025, "b")]),
        ("a 2s 3s b", [Item(0.0, "a"), Item(6.0, "b")]),
        ("-a-^-b-|", [Item(-2.0, "a"), Item(2.0, "b"), End(4.0)]),
        ("a(^b)", [Item(-1.0, "a"), Item(0.0, "b")]),
    ],
)
def test_what_a_diagram_says(diagram: str, events: list[Event[str]]) -> None:
    assert parse(diagram, error=BOOM) == events


def test_values_and_frame() -> None:
    assert parse("-a-b", {"a": [1]}, frame=0.1) == [Item(0.1, [1]), Item(0.3, "b")]


def test_ten_frames_are_exactly_ten_frames() -> None:
    assert [event.time for event in parse("a" * 11, frame=0.1)][-1] == 1.0


def test_a_failure_without_an_error_is_a_marble_error() -> None:
    (failure,) = parse("#")
    assert isinstance(failure, Failure) and isinstance(failure.error, MarbleError)


@pytest.mark.parametrize(
    ("diagram", "complaint"),
    [
        ("-a-*", "none of letters, digits"),
        ("-a|b", "something after the end"),
        ("-#|", "something after the end"),
        ("(|a)", "something after the end"),
        ("-(ab", r"a \( without its \)"),
        ("-()-", "an empty group"),
        ("(a-b)", "time inside a group"),
        ("((a))", "time inside a group"),
        ("ab)", "none of letters, digits"),
        ("^-^", "a second"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(diagram: str, complaint: str) -> None:
    with pytest.raises(DiagramError, match=complaint) as caught:
        parse(diagram)
    pointed = str(caught.value).splitlines()[-1]
    assert diagram in str(caught.value)
    assert pointed.index("^") - 4 < len(diagram)


@pytest.mark.parametrize("frame", [0, -1, 1e-12])
def test_a_frame_takes_time(frame: float) -> None:
    with pytest.raises(ValueError, match="above 0 seconds"):
        parse("-a", frame=frame)


@pytest.mark.parametrize(
    ("events", "diagram"),
    [
        ([], ""),
        ([Item(1.0, "a"), End(3.0)], "-a-|"),
        ([Item(0.0, "a"), Item(0.0, "b")], "(ab)"),
        ([Item(0.0, "a"), Item(31.0, "b")], "a 30s b"),
        ([Item(0.0, "a"), Item(1.25, "b")], "a 250ms b"),
        ([Item(0.0, "a"), Item(181.0, "b")], "a 3m b"),
        ([Item(-2.0, "a"), End(1.0)], "a-^|"),
        ([Item(-2.0, "a"), End(0.0)], "a-(^|)"),
        ([Item(30.0, "5"), Item(31.0, "s")], "30s (5)s"),
        ([Item(0.0, "5"), Item(1.0, "s")], "(5)s"),
    ],
)
def test_how_events_are_drawn(events: list[Event[str]], diagram: str) -> None:
    assert render(events) == diagram


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([Item(0.0, "ab")], "no letter stands for 'ab'; give values="),
        ([Item(0.0, "*")], "no letter stands for"),
        ([Item(0.0, "a"), Item(0.5, "b")], "less than a frame of 1.0 s"),
        ([Item(-0.5, "a"), Item(0.5, "b")], "less than a frame of 1.0 s"),
        ([End(0.0), Item(1.0, "a")], "after the end"),
        ([Item(1.0, "a"), Item(0.0, "b")], "after what is later"),
    ],
)
def test_what_cannot_be_drawn(events: list[Event[str]], complaint: str) -> None:
    with pytest.raises(DiagramError, match=complaint):
        render(events)


def test_a_letter_stands_for_one_thing_only() -> None:
    with pytest.raises(DiagramError):
        render([Item(0.0, "a")], {"a": 1})
    assert name_items(["a", 1, True, 1.0], {"a": 1}) == {"a": 1, "b": "a", "c": True, "d": 1.0}


def test_more_items_than_letters() -> None:
    with pytest.raises(DiagramError, match="more than 62"):
        name_items(range(63))


def test_pictures_for_people() -> None:
    assert draw([Item(1.0, "a"), End(2.0)]) == "-a|"
    assert draw([Item(1.0, {"n": 1}), End(2.0)]) == "-a|   (a = {'n': 1})"
    assert draw([Item(0.0, "a"), Item(0.25, "b")]) == "a 150ms b   (a frame is 0.1 s)"
    assert draw([Item(0.0, "a"), Item(0.0001, "b")]).count("\n") == 1
    assert draw([Item(0.0, number) for number in range(100)]).count("\n") == 99
    assert draw([]) == "(nothing)"


frames = st.sampled_from([1.0, 0.1, 0.01, 0.001, 2.5, 60.0])
items: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from("abc5smZ0é"), st.integers(-3, 3), st.booleans(), st.none(), st.text(max_size=3)
)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Event[Any]], float]:
    """Events whose moments are at least a frame apart, in whole milliseconds."""
    frame = draw(frames)
    length = round(frame * 1000)
    whole = st.integers(0, 15).map(lambda count: count * length)
    gaps = st.one_of(whole, st.integers(0, 200_000))
    moments = st.lists(st.tuples(gaps, st.lists(items, min_size=1, max_size=3)), max_size=5)
    events: list[Event[Any]] = []
    time = 0
    for gap, group in draw(moments):
        time -= length + gap
        events = [*(Item(time / 1000, item) for item in group), *events]
    time = draw(st.sampled_from([0, length])) if events else 0
    for gap, group in draw(moments):
        time += gap if time else 0
        events += [Item(time / 1000, item) for item in group]
        time += length
    last = draw(st.sampled_from([None, End(time / 1000), Failure(time / 1000, BOOM)]))
    return [*events, *([] if last is None else [last])], frame


@given(recordings())
def test_what_was_drawn_reads_the_same(recording: tuple[list[Event[Any]], float]) -> None:
    events, frame = recording
    values = name_items([event.value for event in events if isinstance(event, Item)])
    again = parse(render(events, values, frame=frame), values, BOOM, frame=frame)
    assert [type(event) for event in again] == [type(event) for event in events]
    for one, other in zip(again, events, strict=True):
        assert math.isclose(one.time, other.time, abs_tol=1e-9)
        if isinstance(one, Item) and isinstance(other, Item):
            assert type(one.value) is type(other.value) and one.value == other.value


pieces = st.one_of(
    st.sampled_from(["-", "--", "a", "b", "5", " ", "(ab)", "(b)", " 5s ", " 20s ", " 250ms "]),
    st.integers(1, 10**6).map(lambda count: f" {count}ms "),
)


@given(
    st.lists(pieces, max_size=12).map("".join),
    st.sampled_from(["", "|", "#", "(a|)", "(b#)"]),
    st.one_of(st.none(), st.integers(0, 12)),
    frames,
)
def test_what_was_read_draws_the_same(
    diagram: str, last: str, subscription: int | None, frame: float
) -> None:
    if subscription is not None:
        head, tail = diagram[:subscription], diagram[subscription:]
        if head.count("(") == head.count(")"):
            diagram = f"{head} ^ {tail}"
    events = parse(diagram + last, error=BOOM, frame=frame)
    drawn = render(events, frame=frame)
    assert parse(drawn, error=BOOM, frame=frame) == events
    assert render(parse(drawn, error=BOOM, frame=frame), frame=frame) == drawn
