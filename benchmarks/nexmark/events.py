"""What happens on the auction site: persons register, auctions are opened, bids are made."""

from __future__ import annotations

from operator import attrgetter
from typing import NamedTuple, TypeAlias

import reactive as rx

LATENESS = 4
"""By how many seconds the watermark trails the latest event, as in the benchmark's tables."""


class Person(NamedTuple):
    """Somebody registers. Times are milliseconds since 1970, in UTC."""

    id: int
    name: str
    email: str
    credit_card: str
    city: str
    state: str
    time: int
    extra: str


class Auction(NamedTuple):
    """Somebody, the seller, opens an auction."""

    id: int
    item: str
    description: str
    initial_bid: int
    reserve: int
    time: int
    expires: int
    seller: int
    category: int
    extra: str


class Bid(NamedTuple):
    """Somebody bids on an auction."""

    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    time: int
    extra: str


Event: TypeAlias = Person | Auction | Bid


def timed(events: rx.Stream[Event]) -> rx.Stream[Event]:
    """The events with their event times: what every query begins with."""
    return events.event_time(attrgetter("time"), unit="ms", lateness=LATENESS)
