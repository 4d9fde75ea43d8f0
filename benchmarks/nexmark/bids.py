"""The queries that look at one bid at a time: q0, q1, q2, q10, q13, q14, q21 and q22."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import reactive as rx
from benchmarks.nexmark.events import LATENESS, Bid, Event

EUROS = Decimal("0.908")
HOUR = 3_600_000


class ConvertedBid(NamedTuple):
    auction: int
    bidder: int
    price: Decimal
    time: int


class Price(NamedTuple):
    auction: int
    price: int


class Side(NamedTuple):
    """A row of the table that q13 looks things up in."""

    key: int
    value: str


class EnrichedBid(NamedTuple):
    auction: int
    bidder: int
    price: int
    time: int
    value: str


class ClassifiedBid(NamedTuple):
    auction: int
    bidder: int
    price: Decimal
    daytime: str
    time: int
    letters: int


class ChannelBid(NamedTuple):
    auction: int
    bidder: int
    price: int
    channel: str
    channel_id: str


class UrlBid(NamedTuple):
    auction: int
    bidder: int
    price: int
    channel: str
    first: str
    second: str
    third: str


class Partition(NamedTuple):
    """A file of q10 that is complete."""

    path: Path


def q0(events: rx.Stream[Event]) -> rx.Stream[Bid]:
    """Every bid, unchanged."""
    return events.of_type(Bid)


def q1(events: rx.Stream[Event]) -> rx.Stream[ConvertedBid]:
    """Every bid with its price in euros."""
    return events.of_type(Bid).map(in_euros)


def in_euros(bid: Bid) -> ConvertedBid:
    return ConvertedBid(bid.auction, bid.bidder, bid.price * EUROS, bid.time)


def every_123rd(auction: int) -> bool:
    return auction % 123 == 0


def q2(events: rx.Stream[Event], chosen: Callable[[int], bool] = every_123rd) -> rx.Stream[Price]:
    """The prices bid on a few auctions."""
    bids = events.of_type(Bid).filter(lambda bid: chosen(bid.auction))
    return bids.map(lambda bid: Price(bid.auction, bid.price))


def q10(events: rx.Stream[Event], folder: Path) -> rx.Stream[Partition]:
    """The bids in files by day and minute, each complete a minute after its minute is over."""
    # With a watermark that trails by a minute more, that is when a window is complete.
    bids = events.of_type(Bid).event_time(attrgetter("time"), unit="ms", lateness=LATENESS + 60)
    return (
        bids.window(rx.Tumbling(60))
        .to_list()
        .map(
            lambda minute: write_partition(folder, minute.window.begins, minute.value), on="thread"
        )
    )


def write_partition(folder: Path, minute: datetime, bids: Iterable[Bid]) -> Partition:
    """Write the file of a minute, which is there when it is complete."""
    path = folder / f"{minute:%Y-%m-%d/%H:%M}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(bids)
    unfinished.rename(path)
    return Partition(path)


SIDE = tuple(Side(key, str(key)) for key in range(10_000))


def q13(events: rx.Stream[Event], side: Iterable[Side] = SIDE) -> rx.Stream[EnrichedBid]:
    """Every bid with what a bounded table has for it, all of which is read first."""
    table = rx.from_iterable(side).to_dict(lambda row: row.key, lambda row: row.value)
    bids = events.of_type(Bid)
    return table.concat_map(
        lambda value_of: bids.map(
            lambda bid: EnrichedBid(
                bid.auction, bid.bidder, bid.price, bid.time, value_of[bid.auction % 10_000]
            )
        )
    )


def q14(events: rx.Stream[Event]) -> rx.Stream[ClassifiedBid]:
    """Bids of a certain price, with what of the day it was and how many letters c they have."""
    return events.of_type(Bid).filter_map(classified)


def classified(bid: Bid) -> ClassifiedBid | None:
    price = bid.price * EUROS
    if not 1_000_000 < price < 50_000_000:
        return None
    when = daytime(bid.time // HOUR % 24)
    return ClassifiedBid(bid.auction, bid.bidder, price, when, bid.time, bid.extra.count("c"))


def daytime(hour: int) -> str:
    if 8 <= hour <= 18:
        return "dayTime"
    return "nightTime" if hour <= 6 or hour >= 20 else "otherTime"


CHANNELS = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}


def with_channel_id(bid: Bid) -> ChannelBid | None:
    """With the number of a known channel, or the one in the url, if there is one."""
    channel_id = CHANNELS.get(bid.channel.lower())
    if channel_id is None:
        _, found, rest = bid.url.partition("&channel_id=")
        if not found:
            return None
        channel_id, _, _ = rest.partition("&")
    return ChannelBid(bid.auction, bid.bidder, bid.price, bid.channel, channel_id)


def q21(events: rx.Stream[Event]) -> rx.Stream[ChannelBid]:
    """The bids whose channel has an id, with that."""
    return events.of_type(Bid).filter_map(with_channel_id)


def q22(events: rx.Stream[Event]) -> rx.Stream[UrlBid]:
    """Every bid with the three folders of its url."""
    return events.of_type(Bid).map(with_folders)


def with_folders(bid: Bid) -> UrlBid:
    first, second, third = bid.url.split("/", 6)[3:6]
    return UrlBid(bid.auction, bid.bidder, bid.price, bid.channel, first, second, third)
