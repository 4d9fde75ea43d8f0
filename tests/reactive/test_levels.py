"""What is held by key between barriers: nothing is lost, and what is pickled is of the barrier."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.keys import key_group
from reactive.levels import (
    GONE,
    PICKLED,
    VALUES,
    Levels,
    Pieces,
    Tracked,
    pieces,
    put_together,
    saved_pieces,
)

_keys = st.integers(0, 8)
_actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _keys),
        st.tuples(st.just("forget"), _keys),
        st.tuples(st.just("pickle"), st.integers(1, 3)),
        st.tuples(st.just("barrier"), st.just(0)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=60,
)


class Store:
    """Puts together what it is given at each barrier."""

    def __init__(self) -> None:
        self._rows: dict[int, list[bytes]] = {}

    def take(self, made: list[tuple[int, bytes]]) -> None:
        for group, data in made:
            self._rows.setdefault(group, []).append(data)

    def held(self) -> dict[Any, Any]:
        held: dict[Any, Any] = {}
        for group, rows in self._rows.items():
            found = put_together([b"".join(rows)])
            assert all(key_group(key) == group for key in found)
            held |= found
        return held


@given(_actions)
def test_what_is_pickled_is_what_was_held_at_the_barrier(actions: list[tuple[str, int]]) -> None:
    levels: Levels[int] = Levels()
    model: dict[int, list[int]] = {}
    at_barrier: dict[int, list[int]] = {}
    store = Store()
    under_way: Pieces = iter(())

    def finish() -> None:
        for made in under_way:
            store.take(made)
        assert store.held() == at_barrier

    for number, (action, what) in enumerate(actions):
        if action == "add":
            held = levels.get(what)
            if held is None and (held := levels.recall(what)) is None:
                held = levels[what] = []
            held.append(number)
            model.setdefault(what, []).append(number)
        elif action == "forget" and what in model:
            assert levels.find(what) == model.pop(what)
            levels.forget(what)
        elif action == "pickle":
            for _, made in zip(range(what), under_way, strict=False):
                store.take(made)
        elif action == "settle":
            list(levels.settle())
        elif action == "barrier":
            finish()
            at_barrier = pickle.loads(pickle.dumps(model))
            levels, under_way = levels.freeze()
        assert dict(levels.everything()) == model
        assert levels.count() == len(model)
    finish()
    list(levels.free())


@given(_actions)
def test_what_is_told_of_is_pickled_as_it_was_at_the_barrier(
    actions: list[tuple[str, int]],
) -> None:
    held: Tracked[int] = Tracked()
    at_barrier: dict[int, list[int]] = {}
    store = Store()
    under_way: Pieces = iter(())

    def finish() -> None:
        for made in under_way:
            store.take(made)
        assert store.held() == at_barrier

    for number, (action, what) in enumerate(actions):
        if action == "add":
            held.touch(what)
            held.setdefault(what, []).append(number)
        elif action == "forget" and what in held:
            held.take(what)
        elif action == "pickle":
            for _, made in zip(range(what), under_way, strict=False):
                store.take(made)
        elif action == "barrier":
            finish()
            at_barrier = pickle.loads(pickle.dumps(dict(held)))
            under_way = held.freeze()
        elif action == "settle":
            # Another run goes on from there.
            finish()
            held = Tracked()
            held.load(store.held())
    finish()


def test_what_has_not_to_be_kept_costs_nothing() -> None:
    held: Tracked[int] = Tracked(False)
    held.touch(1)
    held[1] = [1]
    assert not held.changed
    kept: Tracked[int] = Tracked()
    kept.load(held.whole())
    assert dict(kept) == {1: [1]}
    assert kept.changed == {1}
    store = Store()
    for made in kept.freeze():
        store.take(made)
    assert store.held() == {1: [1]}


def test_a_barrier_waits_for_what_the_one_before_set_aside() -> None:
    levels: Levels[int] = Levels({1: "base"})
    levels[2] = "changed"
    levels, _ = levels.freeze()
    with pytest.raises(RuntimeError, match="not pickled yet"):
        levels.freeze()
    tracked: Tracked[int] = Tracked()
    tracked.touch(1)
    tracked[1] = "changed"
    tracked.freeze()
    with pytest.raises(RuntimeError, match="not pickled yet"):
        tracked.freeze()


def test_much_is_pickled_a_little_at_a_time() -> None:
    levels: Levels[int] = Levels()
    levels.update((key, [key]) for key in range(5_000))
    levels, made = levels.freeze()
    store = Store()
    steps = 0
    for some in made:
        steps += 1
        store.take(some)
    assert steps > 5
    assert store.held() == {key: [key] for key in range(5_000)}
    assert sum(1 for _ in levels.free()) > 5


def test_keys_are_saved_one_by_one_and_early() -> None:
    values = {"a": 1, "b": None}
    store = Store()
    store.take(pieces(VALUES, [("b", 2), ("d", 4)]))
    keys = {"a", "b"}
    early: list[tuple[str, bytes | None]] = [("c", pickle.dumps(3))]
    for made in saved_pieces(keys, values.__getitem__, early):
        store.take(made)
    assert store.held() == {"a": 1, "c": 3, "d": 4}


def test_later_pickles_go_before_earlier_ones() -> None:
    rows = [pieces(VALUES, [(1, "a")]), pieces(PICKLED, [(1, pickle.dumps("b"))])]
    assert put_together(data for row in rows for _, data in row) == {1: "b"}
    rows.append(pieces(GONE, [(1, None)]))
    assert put_together(data for row in rows for _, data in row) == {}
