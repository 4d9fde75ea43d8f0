"""Control signals where several inputs meet: aligned, in place, and never a deadlock."""

from __future__ import annotations

from typing import Any

import pytest

import reactive as rx
from reactive.testing import run, scripted_source
from reactive.testing.observing import Outcome, Script, observe

BARRIER = rx.Barrier(1)


def outcome(stream: rx.Stream[Any]) -> Outcome:
    return run(observe(stream))


@pytest.mark.parametrize("place", range(7))
def test_an_input_that_is_ahead_is_read_up_to_a_barrier(place: int) -> None:
    source = scripted_source(Script(tuple(range(6)), {place: (BARRIER,)}).steps([3]))
    pairs = outcome(source.zip(source.filter(lambda x: x % 2)))
    assert pairs.values == [(0, 1), (1, 3), (2, 5)]
    assert pairs.barriers == [BARRIER]


@pytest.mark.parametrize("place", range(7))
def test_the_end_of_an_input_waits_for_the_barrier_before_it(place: int) -> None:
    source = scripted_source(Script(tuple(range(6)), {place: (BARRIER,)}).steps())
    pairs = outcome(source.zip(source.map(str)))
    assert [value for value, _ in pairs.values[:place]] == list(range(place))
    assert pairs.barriers == [BARRIER]


def test_control_signals_next_to_each_other_are_all_read() -> None:
    source = scripted_source(Script((0, 1), {0: (rx.Watermark(0), BARRIER)}).steps())
    merged = outcome(source.merge(source.map(str)))
    assert merged.entries[:2] == (rx.Watermark(0), BARRIER)
    assert sorted(map(str, merged.values)) == ["0", "0", "1", "1"]
