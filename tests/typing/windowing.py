"""Only type-checked: keys, items and results of windows are inferred, in both checkers."""

from __future__ import annotations

from typing import NamedTuple, assert_type

import reactive as rx


class Order(NamedTuple):
    country: str
    amount: float


orders = rx.of(Order("nl", 1.5))


def windows() -> None:
    keyed = orders.key_by(lambda order: order.country)
    assert_type(keyed, rx.KeyedStream[str, Order])
    windowed = keyed.window(
        rx.Tumbling(60),
        trigger=rx.AfterWatermark(early=rx.AfterCount(10)),
        accumulation="accumulating",
        allowed_lateness=30,
        late=rx.SideOutput[Order]("late"),
        timestamp="latest",
    )
    assert_type(windowed, rx.WindowedStream[str, Order])
    assert_type(windowed.aggregate(rx.count()).map(lambda w: w.key), rx.Stream[str])
    rows = windowed.aggregate(n=rx.count(), total=rx.sum(lambda order: order.amount))
    assert_type(rows, rx.Stream[rx.Windowed[str, rx.Row]])
    assert_type(rows.map(lambda w: w.window.seconds), rx.Stream[float])
    assert_type(windowed.to_list(), rx.Stream[rx.Windowed[str, list[Order]]])
    assert_type(
        windowed.reduce(lambda a, b: a if a.amount > b.amount else b),
        rx.Stream[rx.Windowed[str, Order]],
    )
    assert_type(
        windowed.process(lambda items: [max(order.amount for order in items)]),
        rx.Stream[rx.Windowed[str, float]],
    )
    assert_type(orders.window(rx.Count(3)), rx.WindowedStream[None, Order])
    assert_type(orders.window(rx.Session(30)).to_list().map(lambda w: len(w.value)), rx.Stream[int])


def aggregators() -> None:
    windowed = orders.window(rx.Tumbling(60))
    assert_type(
        windowed.aggregate(rx.max(key=lambda order: order.amount)),
        rx.Stream[rx.Windowed[None, Order]],
    )
    assert_type(
        windowed.aggregate(rx.min(lambda order: order.amount)),
        rx.Stream[rx.Windowed[None, float]],
    )
    assert_type(
        windowed.aggregate(rx.to_set(lambda order: order.country)),
        rx.Stream[rx.Windowed[None, set[str]]],
    )
    assert_type(
        windowed.aggregate(rx.top(3, lambda order: order.amount)),
        rx.Stream[rx.Windowed[None, list[Order]]],
    )
    assert_type(
        windowed.aggregate(rx.to_dict(lambda order: order.country)),
        rx.Stream[rx.Windowed[None, dict[str, Order]]],
    )
