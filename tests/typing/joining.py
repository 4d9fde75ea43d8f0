"""Only type-checked: what comes out of joins, lookups and enrichment, in both checkers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

import reactive as rx


@dataclass
class Order:
    user: str
    amount: float


@dataclass
class User:
    name: str
    age: int


async def fetch_user(name: str) -> User:
    return User(name, 30)


orders = rx.of(Order("ann", 3.0))
users = rx.of(User("ann", 30))
by_user = orders.key_by(lambda order: order.user)
by_name = users.key_by(lambda user: user.name)
hour = rx.Tumbling(3600)


def windowed() -> None:
    assert_type(by_user, rx.KeyedStream[str, Order])
    assert_type(by_user.join(by_name, window=hour), rx.Stream[rx.Windowed[str, tuple[Order, User]]])
    assert_type(
        by_user.join(by_name, window=hour, how="left"),
        rx.Stream[rx.Windowed[str, tuple[Order, User | None]]],
    )
    assert_type(
        by_user.join(by_name, window=hour, how="right"),
        rx.Stream[rx.Windowed[str, tuple[Order | None, User]]],
    )
    assert_type(
        by_user.join(by_name, how="full"),
        rx.Stream[rx.Windowed[str, tuple[Order | None, User | None]]],
    )
    assert_type(
        by_user.cogroup(by_name, window=hour),
        rx.Stream[rx.Windowed[str, tuple[list[Order], list[User]]]],
    )
    ages = by_user.join(by_name, window=hour).map(lambda w: w.value[1].age)
    assert_type(ages, rx.Stream[int])


def near() -> None:
    assert_type(by_user.interval_join(by_name, after=5), rx.Stream[tuple[Order, User]])
    assert_type(
        by_user.interval_join(by_name, before=1, how="left"),
        rx.Stream[tuple[Order, User | None]],
    )
    assert_type(
        by_user.interval_join(by_name, before=1, how="right"),
        rx.Stream[tuple[Order | None, User]],
    )
    assert_type(
        by_user.interval_join(by_name, before=1, how="full"),
        rx.Stream[tuple[Order | None, User | None]],
    )


def tables() -> None:
    table = by_name.table(deleted=lambda user: user.age < 0, limit=10)
    assert_type(table, rx.Table[str, User])
    assert_type(by_user.lookup(table), rx.Stream[tuple[Order, User]])
    assert_type(
        by_user.lookup(table, how="left", as_of="event time"),
        rx.Stream[tuple[Order, User | None]],
    )
    total = by_user.lookup(table).starmap(lambda order, user: order.amount * user.age)
    assert_type(total, rx.Stream[float])
    left = by_user.table()
    assert_type(left.join(table), rx.Stream[rx.Change[str, tuple[Order, User]]])
    assert_type(left.join(table, how="left"), rx.Stream[rx.Change[str, tuple[Order, User | None]]])
    assert_type(left.join(table, how="right"), rx.Stream[rx.Change[str, tuple[Order | None, User]]])
    assert_type(
        left.join(table, how="full"),
        rx.Stream[rx.Change[str, tuple[Order | None, User | None]]],
    )


def enriched() -> None:
    fetched = orders.enrich(fetch_user, key=lambda order: order.user, cache=rx.Cache(ttl=60))
    assert_type(fetched, rx.Stream[tuple[Order, User]])
    assert_type(rx.of("ann").enrich(fetch_user, concurrency=4), rx.Stream[tuple[str, User]])
    assert_type(
        rx.of("ann").enrich(fetch_user, on_error=rx.replace(None)),
        rx.Stream[tuple[str, User | None]],
    )


def refused() -> None:
    by_user.join(orders, window=hour)  # type: ignore[call-overload]
    by_user.join(by_name, how="outer")  # type: ignore[call-overload]
    by_user.lookup(by_name)  # type: ignore[call-overload]
    orders.enrich(fetch_user)  # type: ignore[arg-type]
