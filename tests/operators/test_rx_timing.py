"""Our operators give the same items at the same times as those of RxPY, or say why not.

Both run on the same random inputs, each in its own virtual time: ours in a `VirtualTimeLoop`,
RxPY's in its `VirtualTimeScheduler`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import reactivex
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from mapping_pages import problems_of, rows
from reactivex import operators as ops
from rx_functions import FUNCTIONS, FUNCTIONS_ELSEWHERE
from rx_pairs import ELSEWHERE, PAIRS
from rx_parts import moment, our_inner
from rx_runs import UNTIL, plain, rx_gives
from test_rx_sharing import PAIRS as SHARED
from timelines import ERROR, Timeline, stream_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, record, run
from reactive.testing.marbles import Event


def ours_gives(build: Callable[..., Any], inputs: tuple[Timeline, ...]) -> list[Event[Any]]:
    """What a pipeline of ours gives, and when."""

    async def recorded() -> list[Event[Any]]:
        clock = asyncio.get_running_loop().time
        with patch("operators.until.wall_clock", lambda: moment(clock())):
            return list((await record(build(*map(stream_of, inputs)), until=UNTIL)).events)

    return run(recorded())


EVERY = {**PAIRS, **{f"reactivex.{name}": pair for name, pair in FUNCTIONS.items()}}
KINDS = sorted({(pair.inputs, pair.fails) for pair in EVERY.values()})


@pytest.mark.parametrize(("count", "fails"), KINDS)
def test_items_and_times_are_those_of_rx(count: int, fails: bool) -> None:
    """All that take so many inputs, on the same ones."""
    pairs = {name: p for name, p in EVERY.items() if (p.inputs, p.fails) == (count, fails)}

    @examples(15 if count else 1)
    @given(st.tuples(*(timelines(n, fails=fails, endless=True) for n in range(count))))
    def check(inputs: tuple[Timeline, ...]) -> None:
        for name, pair in pairs.items():
            theirs = rx_gives(pair.theirs, inputs)
            if pair.differs is not None:
                theirs = pair.differs(theirs, *inputs)
            ours = ours_gives(pair.ours, inputs)
            assert (name, *map(plain, ours)) == (name, *map(plain, theirs))

    check()


def test_where_ours_differs_its_docstring_says_so() -> None:
    for name, pair in EVERY.items():
        if pair.said is not None:
            operator, words = pair.said
            text = " ".join((inspect.getdoc(operator) or "").split())
            assert words in text, f"the docstring of {operator.__name__} does not say so: {name}"


def rx_and_ours(theirs: Any, ours: Any, *inputs: Timeline) -> tuple[list[Any], list[Any]]:
    """The items of both, their ends and their times."""
    return (
        list(map(plain, rx_gives(theirs, inputs))),
        list(map(plain, ours_gives(ours, inputs))),
    )


AHEAD: Timeline = (Item(0.0, 2), Item(1.0, 2), Failure(2.0, ERROR))
AT_ONCE = [(2.0, "failure", True)]


@pytest.mark.parametrize(("name", "met"), [("zip", 6.001), ("sequence_equal", 6.001)])
def test_a_failure_waits_for_its_turn_where_rx_fails_at_once(name: str, met: float) -> None:
    pair = PAIRS[name]
    behind: Timeline = (Item(5.001, 2), Item(6.001, 2), Item(7.001, 2), End(9.001))
    theirs, ours = rx_and_ours(pair.theirs, pair.ours, AHEAD, *[behind] * (pair.inputs - 1))
    assert theirs == AT_ONCE
    assert ours[-1] == (met, "failure", True)


def test_a_failure_of_upstream_waits_for_the_items_before_it() -> None:
    def one_at_a_time(s: Any) -> Any:
        return s.merge_map(our_inner, concurrency=1)

    theirs, ours = rx_and_ours(PAIRS["flat_map"].theirs, one_at_a_time, AHEAD)
    assert theirs == AT_ONCE
    assert ours[-2:] == [(8.889, "item", (2, 2)), (8.889, "failure", True)]


def test_a_batch_begins_with_its_first_item_where_that_of_rx_follows_the_one_before() -> None:
    timeline: Timeline = (Item(1.0, 1), Item(7.0, 2), End(9.0))
    theirs, ours = rx_and_ours(
        lambda o: o.pipe(ops.buffer_with_time_or_count(3, 9)),
        lambda s: s.batch(9, within=3),
        timeline,
    )
    assert theirs == [(3, "item", [1]), (6, "item", []), (9, "item", [2]), (9, "end")]
    assert ours == [(4, "item", [1]), (9, "item", [2]), (9, "end")]


def test_an_item_gives_retry_all_its_attempts_back_where_rx_counts_them_across_items() -> None:
    timeline: Timeline = (Item(1.0, 1), Failure(2.0, ERROR))
    theirs, ours = rx_and_ours(
        lambda o: o.pipe(ops.retry(2)),
        lambda s: s.retry(rx.Backoff(initial=0, jitter=0, attempts=1)).take(5),
        timeline,
    )
    assert theirs == [(1, "item", 1), (3, "item", 1), (4, "failure", True)]
    assert ours == [*((time, "item", 1) for time in (1, 3, 5, 7, 9)), (9, "end")]


def functions_of_rx() -> set[str]:
    return {
        name
        for name, value in vars(reactivex).items()
        if inspect.isfunction(value) and value.__module__.startswith("reactivex")
    }


def test_every_difference_is_said() -> None:
    assert [name for name, pair in EVERY.items() if pair.differs and not pair.said] == []


def test_the_page_says_what_was_compared() -> None:
    compared = {name: pair.ours for name, pair in PAIRS.items()}
    for names, (ours, _) in SHARED.items():
        compared |= dict.fromkeys(names.partition(", so ")[0].split(", "), ours)
    assert problems_of(rows("rxpy.md", "Operators"), compared, ELSEWHERE) == []
    compared = {name: pair.ours for name, pair in FUNCTIONS.items()}
    table = rows("rxpy.md", "Functions that make streams")
    assert problems_of(table, compared, FUNCTIONS_ELSEWHERE) == []


def test_every_operator_of_rx_is_compared_or_it_is_said_why_not() -> None:
    known = {name.partition(",")[0] for name in PAIRS} | ELSEWHERE.keys()
    assert set(ops.__all__) - known == set()
    functions = functions_of_rx()
    known = {name.partition(",")[0] for name in FUNCTIONS} | FUNCTIONS_ELSEWHERE.keys()
    assert functions - known == set()
