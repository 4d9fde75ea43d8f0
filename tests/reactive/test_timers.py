"""Timers: in the order of time, one for a key and name, and bounded however often they move."""

from __future__ import annotations

import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reactive.timers import Timers

keys = st.sampled_from("ab")
names = st.sampled_from(["x", "y", 1, 2])
times = st.integers(0, 9)
actions = st.one_of(
    st.tuples(st.just("set"), keys, names, times),
    st.tuples(st.just("delete"), keys, names),
    st.tuples(st.just("take"), times),
    st.tuples(st.just("again")),
)


@given(st.lists(actions, max_size=40))
def test_timers_are_those_of_a_list(script: list[tuple[Any, ...]]) -> None:
    timers = Timers()
    model: dict[tuple[Any, Any], tuple[int, int]] = {}
    for order, (kind, *told) in enumerate(script):
        if kind == "set":
            key, name, time = told
            timers.set(key, name, time, note=time)
            if model.get((key, name), (None,))[0] != time:
                model[key, name] = (time, order)
        elif kind == "delete":
            key, name = told
            assert timers.delete(key, name) is (model.pop((key, name), None) is not None)
        elif kind == "take":
            due = timers.take(told[0])
            first = min(model, key=lambda place: model[place], default=None)
            if first is None or model[first][0] > told[0]:
                assert due is None
            else:
                assert due == (model[first][0], *first, model[first][0])
                del model[first]
        else:
            saved = [(key, timer) for key in timers.keys() for timer in timers.saved(key)]  # noqa: SIM118
            timers = Timers()
            timers.load(pickle.loads(pickle.dumps(saved)))
        assert len(timers) == len(model)
        assert timers.first() == min((time for time, _ in model.values()), default=None)
        assert set(timers.keys()) == {key for key, _ in model}


def test_timers_that_move_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(20_000):
        timers.set(number % 10, "quiet", number)
        timers.set("again", "and again", 5)
        timers.delete("again", "and again")
    assert len(timers) == 10
    assert len(timers._queue) < 2_000
    assert [timers.take(10**9) for _ in range(10)] == [
        (number, number % 10, "quiet", None) for number in range(19_990, 20_000)
    ]
    assert timers.take(10**9) is None
