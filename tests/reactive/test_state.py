"""Keyed state: each key sees its own, what is over is not seen, and memory is given back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reactive as rx
from reactive.handles import Expires, Scope
from reactive.state import States

SECOND = 1_000_000
TTL = 3


class Holder:
    """As bare as a handler can be."""

    value = rx.ValueState[int | None](None)
    items = rx.ListState[int]()
    entries = rx.MapState[str, int]()
    total = rx.ReducingState(rx.sum())


class Young:
    value = rx.ValueState[int | None](None, ttl=TTL)
    items = rx.ListState[int](ttl=TTL)
    entries = rx.MapState[str, int](ttl=TTL)
    total = rx.ReducingState(rx.sum(), ttl=TTL)


class Lenient:
    value = rx.ValueState[int | None](None, ttl=TTL, expires="watermark")
    items = rx.ListState[int](ttl=TTL, expires="watermark")
    entries = rx.MapState[str, int](ttl=TTL, expires="watermark")
    total = rx.ReducingState(rx.sum(), ttl=TTL, expires="watermark")


def started(kind: Callable[[], Any]) -> tuple[Any, Scope, States]:
    holder, scope = kind(), Scope()
    return holder, scope, States(holder, scope)


class Model:
    """Everything with the time at which it is over, looked through every time."""

    def __init__(self, ttl: float, expires: Expires) -> None:
        self.ttl = ttl
        self.expires = expires
        self.watermark = -1
        self.values: dict[str, list[Any]] = {}
        self.totals: dict[str, list[Any]] = {}
        self.items: dict[str, list[list[Any]]] = {}
        self.entries: dict[str, dict[str, list[Any]]] = {}

    def over(self, until: float, now: int) -> bool:
        return until <= (now if self.expires == "item" else self.watermark)

    def put(self, held: dict[str, list[Any]], key: str, value: Any, now: int) -> None:
        old = held.get(key, [None, -1])[1]
        held.pop(key, None) if self.over(old, now) else None
        held[key] = [value, max(old, now + self.ttl)]

    def get(self, held: dict[str, list[Any]], key: str, default: Any, now: int) -> Any:
        value, until = held.get(key, [default, float("inf")])
        return default if self.over(until, now) else value

    def forget(self, watermark: int) -> None:
        self.watermark = max(watermark, self.watermark)

        def alive(held: Any) -> Any:
            return {key: one for key, one in held.items() if one[1] > self.watermark}

        self.values, self.totals = alive(self.values), alive(self.totals)
        self.entries = {key: left for key, one in self.entries.items() if (left := alive(one))}
        self.items = {
            key: left
            for key, one in self.items.items()
            if (left := [each for each in one if each[1] > self.watermark])
        }

    def seen(self, key: str, now: int) -> Any:
        return (
            self.get(self.values, key, None, now),
            [each[0] for each in self.items.get(key, []) if not self.over(each[1], now)],
            [
                (name, each[0])
                for name, each in self.entries.get(key, {}).items()
                if not self.over(each[1], now)
            ],
            self.get(self.totals, key, 0, now),
        )

    def keys(self) -> set[str]:
        return {*self.values, *self.totals, *self.items, *self.entries}


keys = st.sampled_from("ab")
numbers = st.integers(0, 5)
actions = st.one_of(
    st.tuples(st.just("assign"), numbers),
    st.tuples(st.just("append"), numbers),
    st.tuples(st.just("enter"), st.sampled_from("xyz"), numbers),
    st.tuples(st.just("remove"), st.sampled_from("xyz")),
    st.tuples(st.just("add"), numbers),
    st.tuples(st.just("clear"), st.sampled_from(["value", "items", "entries", "total"])),
    st.tuples(st.just("forget"), st.integers(0, 12)),
    st.tuples(st.just("again")),
)


def look(holder: Any) -> Any:
    entries = [(name, holder.entries[name]) for name in holder.entries]
    assert len(holder.items) == len(list(holder.items))
    assert len(holder.entries) == len(entries)
    assert all(name in holder.entries and holder.entries.get(name) == one for name, one in entries)
    return holder.value, list(holder.items), entries, holder.total.result()


@given(
    st.sampled_from([Holder, Young, Lenient]),
    st.lists(st.tuples(keys, st.integers(0, 12), actions), max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_states_are_those_of_the_model(kind: Any, script: list[Any]) -> None:
    holder, scope, states = started(kind)
    ttl = float("inf") if kind is Holder else TTL
    model = Model(ttl, "watermark" if kind is Lenient else "item")
    for key, time, (action, *told) in script:
        now = max(time, model.watermark)
        scope.key, scope.now = key, now * SECOND
        if action == "assign":
            holder.value = told[0]
            model.put(model.values, key, told[0], now)
        elif action == "append":
            holder.items.append(told[0])
            model.items.setdefault(key, []).append([told[0], now + ttl])
        elif action == "enter":
            holder.entries[told[0]] = told[1]
            mine = model.entries.setdefault(key, {})
            old = mine.get(told[0], [None, -1])[1]
            mine[told[0]] = [told[1], max(old, now + ttl)]
        elif action == "remove":
            seen = told[0] in dict(model.seen(key, now)[2])
            if seen:
                del holder.entries[told[0]]
                del model.entries[key][told[0]]
            else:
                with pytest.raises(KeyError):
                    del holder.entries[told[0]]
        elif action == "add":
            holder.total.add(told[0])
            total = model.get(model.totals, key, 0, now) + told[0]
            model.put(model.totals, key, total, now)
        elif action == "clear":
            delattr(holder, told[0])
            held = {"value": model.values, "total": model.totals}.get(told[0])
            if held is None:
                held = model.items if told[0] == "items" else model.entries
            held.pop(key, None)
        elif action == "forget":
            list(states.forget(told[0] * SECOND))
            model.forget(told[0])
            assert states.keys() == model.keys()
        else:
            saved = {one: pickle.dumps(states.saved(one)) for one in states.keys()}  # noqa: SIM118
            holder, scope, states = started(kind)
            scope.key, scope.now = key, now * SECOND
            for one, what in saved.items():
                states.load(one, pickle.loads(what))
        assert look(holder) == model.seen(key, now)
    list(states.forget(10**9 * SECOND))
    if kind is not Holder:
        assert not states.keys()
        for handle in states.handles.values():
            assert handle._lives is not None
            assert not handle._lives._until
            assert not handle._lives._queue


def test_what_is_written_again_and_again_waits_in_one_place() -> None:
    holder, scope, states = started(Young)
    for number in range(1000):
        scope.key, scope.now = number % 2, number * 1000
        holder.value = number
        holder.entries["x"] = number
        del holder.value
        del holder.entries
    for handle in states.handles.values():
        assert handle._lives is not None
        assert len(handle._lives._queue) <= 2


def test_times_of_the_clock_begin_anew_when_restored() -> None:
    holder, scope, states = started(Young)
    scope.key, scope.now = "a", 100 * SECOND
    holder.value, holder.items, holder.entries = 1, [1], {"x": 1}
    saved = states.saved("a")
    holder, scope, states = started(Young)
    scope.key, scope.now = "a", 7 * SECOND
    states.load("a", saved, later=-95 * SECOND)
    assert look(holder)[:3] == (1, [1], [("x", 1)])
    scope.now = 8 * SECOND
    assert look(holder)[:3] == (None, [], [])


def test_which_keys_changed() -> None:
    holder, scope, states = started(Young)

    def changes(act: Callable[[Any], Any]) -> bool:
        states.changed.clear()
        act(holder)
        return bool(states.changed)

    scope.key = "a"
    for act in (
        lambda h: setattr(h, "value", 1),
        lambda h: h.items.append(1),
        lambda h: setattr(h, "items", [1, 2]),
        lambda h: h.items.extend([3]),
        lambda h: h.entries.update(x=1),
        lambda h: h.entries.setdefault("y", 1),
        lambda h: h.entries.pop("y"),
        lambda h: h.total.add(1),
        lambda h: h.total.clear(),
        lambda h: delattr(h, "value"),
        lambda h: h.items.clear(),
    ):
        assert changes(act)
    for act in (
        look,
        lambda h: delattr(h, "value"),
        lambda h: h.items.clear(),
        lambda h: h.entries.get("z"),
        lambda h: h.entries.pop("z", None),
        lambda h: "x" in h.entries,
    ):
        assert not changes(act)
    assert changes(lambda h: list(states.forget(TTL * SECOND)))


def test_lists_and_maps_are_read_like_lists_and_maps() -> None:
    holder, scope, _ = started(Holder)
    scope.key = "a"
    holder.items = range(5)
    holder.items += [5]
    assert (holder.items[0], holder.items[-1], holder.items[1:3]) == (0, 5, [1, 2])
    assert 3 in holder.items
    assert repr(holder.items) == "[0, 1, 2, 3, 4, 5]"
    holder.items = holder.items
    assert len(holder.items) == 6
    holder.entries = {"x": 1, "y": 2}
    holder.entries = holder.entries
    assert holder.entries == {"x": 1, "y": 2}
    assert repr(holder.entries) == "{'x': 1, 'y': 2}"
    assert holder.entries.pop("x") == 1
    assert list(holder.entries.items()) == [("y", 2)]
    assert holder.entries.get("z", 7) == 7
    assert [*holder.items, *map(str, holder.entries)] != []
    scope.key = "b"
    assert not holder.items
    assert not holder.entries
    with pytest.raises(IndexError):
        holder.items[0]
    with pytest.raises(KeyError):
        holder.entries["y"]


def test_states_are_inherited_and_overridden() -> None:
    class More(Holder):
        value = None  # type: ignore[assignment]
        other = rx.ValueState("default")

    holder, scope, states = started(More)
    assert set(states.handles) == {"items", "entries", "total", "other"}
    scope.key = "a"
    assert holder.other == "default"
    assert isinstance(More.other, rx.ValueState)
    assert isinstance(More.items, rx.ListState)


def test_what_cannot_be_a_state_is_refused() -> None:
    with pytest.raises(TypeError, match="would be one object for all keys"):
        rx.ValueState[list[int]]([])
    with pytest.raises(ValueError, match="a ttl is above 0 seconds, not 0"):
        rx.ValueState(0, ttl=0)
    with pytest.raises(TypeError, match="a ttl is seconds, not '1'"):
        rx.ListState(ttl="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='expires is "item" or "watermark", not \'clock\''):
        rx.MapState(ttl=1, expires="clock")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"needs an aggregator such as rx.sum\(\), not 3"):
        rx.ReducingState(3)  # type: ignore[arg-type]
    holder, *_ = started(Holder)
    with pytest.raises(AttributeError, match=r"total takes items by add\(item\)"):
        holder.total = 3
    one = rx.ValueState(0)
    with pytest.raises((TypeError, RuntimeError)) as caught:
        type("Twice", (), {"left": one, "right": one})
    # Python 3.11 says so in a RuntimeError.
    told = caught.value.__cause__ or caught.value
    assert "the state 'left' needs an object of its own as 'right'" in str(told)


def test_states_outside_of_a_run_are_told() -> None:
    holder = Holder()
    for act in (
        lambda: holder.value,
        lambda: setattr(holder, "value", 1),
        lambda: holder.items,
        lambda: delattr(holder, "entries"),
    ):
        with pytest.raises(RuntimeError, match="of Holder is there only in a run"):
            act()


def test_a_snapshot_that_does_not_fit_is_told() -> None:
    _, _, states = started(Holder)
    with pytest.raises(rx.PlanError, match="has a state 'gone', and Holder declares 'value'"):
        states.load("a", {"gone": 1})
