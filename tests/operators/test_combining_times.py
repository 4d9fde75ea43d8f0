"""What comes out of several streams and when, against models after the Rx definitions.

Where an input that is ahead waits instead of being buffered, its end and its failure wait behind
its items.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
from catalogue import model_of
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item
from reactive.testing.marbles import Event

Model: TypeAlias = Callable[..., Sequence[Event[Any]]]
Queues: TypeAlias = list[deque[Event[Any]]]


def ticks(inputs: Sequence[Timeline]) -> Iterator[tuple[int, Event[Any]]]:
    """All events in the order of their times, with the number of their input."""
    marked = [[(event.time, n, event) for event in events] for n, events in enumerate(inputs)]
    return ((number, event) for _, number, event in heapq.merge(*marked))


def pulled(step: Callable[[Queues, float], list[Event[Any]]]) -> Model:
    """A model that queues the events of every input, and gives what `step` makes of the queues,
    until that is an end or a failure."""

    def model(*inputs: Timeline) -> list[Event[Any]]:
        queues: Queues = [deque() for _ in inputs]
        given: list[Event[Any]] = []
        for number, event in ticks(inputs):
            queues[number].append(event)
            while more := step(queues, event.time):
                given += more
                if not isinstance(given[-1], Item):
                    return given
        return given

    return model


def failures(queues: Queues, time: float) -> list[Event[Any]]:
    return [
        Failure(time, queue[0].error) for queue in queues if queue and isinstance(queue[0], Failure)
    ][:1]


def ended(queue: deque[Event[Any]]) -> bool:
    return bool(queue) and isinstance(queue[0], End)


def values(queues: Sequence[deque[Event[Any]]]) -> tuple[Any, ...]:
    """Take the next item of each."""
    return tuple(queue.popleft().value for queue in queues)  # type: ignore[union-attr]


@pulled
def zip_model(queues: Queues, time: float) -> list[Event[Any]]:
    if failed := failures(queues, time):
        return failed
    if any(map(ended, queues)):
        return [End(time)]
    return [Item(time, values(queues))] if all(queues) else []


@pulled
def zip_longest_model(queues: Queues, time: float) -> list[Event[Any]]:
    if failed := failures(queues, time):
        return failed
    if all(map(ended, queues)):
        return [End(time)]
    if not all(queues):
        return []
    return [Item(time, tuple("-" if ended(q) else values([q])[0] for q in queues))]


@pulled
def merge_sorted_model(queues: Queues, time: float) -> list[Event[Any]]:
    if failed := failures(queues, time):
        return failed
    if all(map(ended, queues)):
        return [End(time)]
    if not all(queues):
        return []
    least = min((q for q in queues if not ended(q)), key=lambda q: abs(q[0].value))  # type: ignore[union-attr]
    return [Item(time, *values([least]))]


@pulled
def sequence_equal_model(queues: Queues, time: float) -> list[Event[Any]]:
    while not (failed := failures(queues, time)) and all(queues):
        if any(map(ended, queues)):
            return [Item(time, all(map(ended, queues))), End(time)]
        first, second = values(queues)
        if first != second:
            return [Item(time, False), End(time)]
    return failed


def interleave_model(count: int) -> Model:
    def model(*inputs: Timeline) -> list[Event[Any]]:
        turn = given_in_turn = 0

        @pulled
        def step(queues: Queues, time: float) -> list[Event[Any]]:
            nonlocal turn, given_in_turn
            if all(map(ended, queues)):
                return [End(time)]
            while ended(queues[turn]) or given_in_turn == count:
                turn, given_in_turn = (turn + 1) % len(queues), 0
            if queues[turn] and isinstance(queues[turn][0], Item):
                given_in_turn += 1
                return [Item(time, *values([queues[turn]]))]
            return failures(queues, time)

        return step(*inputs)

    return model


def merge_model(*inputs: Timeline) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    left = len(inputs)
    for _, event in ticks(inputs):
        left -= isinstance(event, End)
        if not isinstance(event, End) or not left:
            given.append(event)
        if isinstance(event, Failure):
            break
    return given


def concat_model(*inputs: Timeline) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    begun = 0.0
    for number, events in enumerate(inputs):
        given += [Item(begun + item.time, item.value) for item in items_of(events)]
        (ending,) = ending_of(events)
        begun += ending.time
        if isinstance(ending, Failure):
            return [*given, Failure(begun, ending.error)]
        if number == len(inputs) - 1:
            given.append(End(begun))
    return given


def race_model(*inputs: Timeline) -> Sequence[Event[Any]]:
    first = next(ticks(inputs), None)
    return () if first is None else inputs[first[0]]


def combine_latest_model(*inputs: Timeline) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    latest: dict[int, Any] = {}
    left = len(inputs)
    for number, event in ticks(inputs):
        if isinstance(event, Failure):
            return [*given, event]
        if isinstance(event, End):
            left -= 1
            if number not in latest or not left:
                return [*given, event]
            continue
        latest[number] = event.value
        if len(latest) == len(inputs):
            given.append(Item(event.time, tuple(latest[n] for n in range(len(inputs)))))
    return given


def with_latest_from_model(*inputs: Timeline) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    latest: dict[int, Any] = {}
    for number, event in ticks(inputs):
        if isinstance(event, Failure) or (number == 0 and isinstance(event, End)):
            return [*given, event]
        if not isinstance(event, Item):
            continue
        if number:
            latest[number] = event.value
        elif len(latest) == len(inputs) - 1:
            others = (latest[n] for n in range(1, len(inputs)))
            given.append(Item(event.time, (event.value, *others)))
    return given


def fork_join_model(*inputs: Timeline) -> list[Event[Any]]:
    latest: dict[int, Any] = {}
    left = len(inputs)
    for number, event in ticks(inputs):
        if isinstance(event, Failure):
            return [event]
        if isinstance(event, Item):
            latest[number] = event.value
            continue
        left -= 1
        if number not in latest:
            return [event]
        if not left:
            row = tuple(latest[n] for n in range(len(inputs)))
            return [Item(event.time, row), event]
    return []


OPERATORS: dict[str, tuple[Callable[..., rx.Stream[Any]], Model]] = {
    "merge": (lambda s, *others: s.merge(*others), merge_model),
    "merge by priorities": (
        lambda s, *others: s.merge(*others, priorities=range(1 + len(others))),
        merge_model,
    ),
    "interleave": (lambda s, *others: s.interleave(*others), interleave_model(1)),
    "interleave by two": (lambda s, *others: s.interleave(*others, count=2), interleave_model(2)),
    "race": (lambda s, *others: s.race(*others), race_model),
    "zip": (lambda s, *others: s.zip(*others), zip_model),
    "zip_longest": (lambda s, *others: s.zip_longest(*others, fill="-"), zip_longest_model),
    "combine_latest": (lambda s, *others: s.combine_latest(*others), combine_latest_model),
    "with_latest_from": (lambda s, *others: s.with_latest_from(*others), with_latest_from_model),
    "fork_join": (lambda s, *others: s.fork_join(*others), fork_join_model),
}


@pytest.mark.parametrize("name", OPERATORS)
@model_of(
    "zip",
    "zip_longest",
    "interleave",
    "merge",
    "race",
    "combine_latest",
    "with_latest_from",
    "fork_join",
)
def test_two_streams(name: str) -> None:
    build, model = OPERATORS[name]

    @given(st.tuples(timelines(0, endless=True), timelines(1, endless=True)))
    @examples(50)
    def check(inputs: tuple[Timeline, ...]) -> None:
        check_times(build, inputs, model)

    check()


@pytest.mark.parametrize("name", OPERATORS)
def test_three_streams(name: str) -> None:
    build, model = OPERATORS[name]

    @given(st.tuples(*(timelines(number, fails=False, max_size=4) for number in range(3))))
    @examples(30)
    def check(inputs: tuple[Timeline, ...]) -> None:
        check_times(build, inputs, model)

    check()


@model_of("concat")
@given(st.lists(timelines(), min_size=1, max_size=3))
@examples(30)
def test_concat(inputs: list[Timeline]) -> None:
    check_times(lambda s, *others: s.concat(*others), inputs, concat_model)


@st.composite
def sorted_timelines(draw: st.DrawFn, number: int) -> Timeline:
    events = draw(timelines(number))
    rising = iter(sorted((item.value for item in items_of(events)), key=abs))
    return tuple(
        Item(event.time, next(rising)) if isinstance(event, Item) else event for event in events
    )


@model_of("merge_sorted")
@given(st.tuples(sorted_timelines(0), sorted_timelines(1)))
@examples(50)
def test_merge_sorted(inputs: tuple[Timeline, ...]) -> None:
    check_times(lambda s, other: s.merge_sorted(other, key=abs), inputs, merge_sorted_model)


few = st.integers(0, 1)


@model_of("sequence_equal")
@given(st.tuples(*(timelines(number, elements=few, max_size=4) for number in range(2))))
@examples(80)
def test_sequence_equal(inputs: tuple[Timeline, ...]) -> None:
    check_times(lambda s, other: s.sequence_equal(other), inputs, sequence_equal_model)


@model_of("start_with", "end_with")
@given(timelines(), st.lists(st.integers(), max_size=3))
@examples(30)
def test_start_with_and_end_with(events: Timeline, added: list[int]) -> None:
    first = [Item(0.0, item) for item in added]
    check_times(lambda s: s.start_with(*added), [events], lambda events: [*first, *events])

    def model(events: Timeline) -> list[Event[Any]]:
        (ending,) = ending_of(events)
        last = [Item(ending.time, item) for item in added] * isinstance(ending, End)
        return [*items_of(events), *last, ending]

    check_times(lambda s: s.end_with(*added), [events], model)
