"""Only type-checked: lambdas are inferred through the event time family, in both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_type

import reactive as rx


@dataclass
class Order:
    placed_at: datetime
    millis: int
    country: str
    closes: bool


orders = rx.of(Order(datetime.now(UTC), 1, "nl", False))
BAD = rx.SideOutput[rx.DeadLetter[Order]]("bad")


class Counted(rx.WatermarkStrategy[Order]):
    def on_item(self, item: Order, time: int) -> int | None:
        return time if item.closes else None


def event_time() -> None:
    assert_type(orders.event_time(lambda o: o.placed_at, lateness=5), rx.Stream[Order])
    assert_type(orders.event_time(lambda o: o.millis, unit="ms"), rx.Stream[Order])
    assert_type(
        orders.event_time(lambda o: o.placed_at, partition=lambda o: o.country, idle=None),
        rx.Stream[Order],
    )
    assert_type(orders.event_time(lambda o: o.millis / 1000, on_error=BAD), rx.Stream[Order])
    assert_type(
        orders.event_time(lambda o: o.millis, on_error=rx.replace_with(lambda o, e: 0.0)),
        rx.Stream[Order],
    )


def strategies() -> None:
    assert_type(
        orders.event_time(lambda o: o.placed_at, watermarks=rx.Monotonic()), rx.Stream[Order]
    )
    assert_type(
        orders.event_time(
            lambda o: o.placed_at,
            watermarks=rx.Punctuated(lambda o: o.placed_at if o.closes else None),
        ),
        rx.Stream[Order],
    )
    assert_type(orders.event_time(lambda o: o.placed_at, watermarks=Counted()), rx.Stream[Order])
    rx.of("a").event_time(
        lambda w: 0.0,
        watermarks=Counted(),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    rx.of("a").event_time(lambda w: w)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType, reportReturnType]
