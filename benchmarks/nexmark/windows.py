"""The queries over windows of time: q5, q7, q8, q11, q12, q15, q16 and q17."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import reactive as rx
from benchmarks.nexmark.aggregators import (
    BidCounts,
    CountBids,
    HighestBids,
    PriceSummary,
    SummarizePrices,
)
from benchmarks.nexmark.events import Auction, Bid, Event, Person


class HotAuction(NamedTuple):
    auction: int
    bids: int
    start: int
    end: int


class HighestBid(NamedTuple):
    auction: int
    price: int
    bidder: int
    time: int


class NewSeller(NamedTuple):
    id: int
    name: str
    start: int


class Activity(NamedTuple):
    bidder: int
    bids: int
    start: int
    end: int


class Day(NamedTuple):
    day: date
    counts: BidCounts


class ChannelDay(NamedTuple):
    channel: str
    day: date
    minute: str
    counts: BidCounts


class AuctionDay(NamedTuple):
    auction: int
    day: date
    prices: PriceSummary


def milliseconds(window: rx.Window) -> tuple[int, int]:
    """Start and end in the unit of the events."""
    return window.start // 1000, window.end // 1000


def q5(events: rx.Stream[Event]) -> rx.Stream[HotAuction]:
    """The auctions with the most bids of the last ten seconds, every two seconds."""
    counts = (
        events.of_type(Bid)
        .key_by(lambda bid: bid.auction)
        .window(rx.Sliding(10, every=2))
        .aggregate(rx.count())
    )
    # The counts of one window have its end as their time, and no others have a time so near.
    hottest = counts.window(rx.Tumbling(2)).process(most_bids)
    return hottest.map(
        lambda hot: HotAuction(hot.value.key, hot.value.value, *milliseconds(hot.value.window))
    )


def most_bids(counts: list[rx.Windowed[int, int]]) -> Iterator[rx.Windowed[int, int]]:
    """Those with the highest count, ties included."""
    most = max(each.value for each in counts)
    return (each for each in counts if each.value == most)


def q7(events: rx.Stream[Event]) -> rx.Stream[HighestBid]:
    """The highest bids of every ten seconds, of which the end counts too: a bid at that very
    moment is also given if it equals the highest price before it."""
    windows = events.of_type(Bid).window(rx.Tumbling(10)).aggregate(HighestBids(10_000))
    neighbours = windows.scan(lambda pair, window: (pair[1], window), NEIGHBOURS)
    return neighbours.flat_map(highest_of).map(
        lambda bid: HighestBid(bid.auction, bid.price, bid.bidder, bid.time)
    )


Highest: TypeAlias = rx.Windowed[None, tuple[list[Bid], list[Bid]]]
NEIGHBOURS: tuple[Highest | None, Highest | None] = (None, None)


def highest_of(neighbours: tuple[Highest | None, Highest | None]) -> Iterator[Bid]:
    """The highest bids of a window, and those at its start that equal the highest before it."""
    before, window = neighbours
    assert window is not None
    highest, at_start = window.value
    yield from highest
    if before is not None and before.window.end == window.window.start:
        yield from (bid for bid in at_start if bid.price == before.value[0][0].price)


def q8(events: rx.Stream[Event]) -> rx.Stream[NewSeller]:
    """Who registered and opened an auction within the same ten seconds."""
    persons = events.of_type(Person).key_by(lambda person: person.id)
    auctions = events.of_type(Auction).key_by(lambda auction: auction.seller)
    return (
        persons.cogroup(auctions, window=rx.Tumbling(10))
        .filter(lambda both: bool(both.value[0] and both.value[1]))
        .map(lambda both: NewSeller(both.key, both.value[0][0].name, both.window.start // 1000))
    )


def q11(events: rx.Stream[Event]) -> rx.Stream[Activity]:
    """How often each bidder bids until there is a pause of ten seconds."""
    sessions = events.of_type(Bid).key_by(lambda bid: bid.bidder).window(rx.Session(10))
    return sessions.aggregate(rx.count()).map(
        lambda session: Activity(session.key, session.value, *milliseconds(session.window))
    )


def q12(events: rx.Stream[Event], clock: Callable[[], float] = time.time) -> rx.Stream[Activity]:
    """How often each bidder bids every ten seconds by the clock, whenever the bids were made."""
    by_clock = events.of_type(Bid).event_time(lambda bid: clock())
    counts = by_clock.key_by(lambda bid: bid.bidder).window(rx.Tumbling(10)).aggregate(rx.count())
    return counts.map(lambda count: Activity(count.key, count.value, *milliseconds(count.window)))


def q15(events: rx.Stream[Event]) -> rx.Stream[Day]:
    """Bids, bidders and auctions of each day, in all and by the band of the price."""
    days = events.of_type(Bid).window(rx.Calendar("day")).aggregate(CountBids())
    return days.map(lambda day: Day(day.window.begins.date(), day.value))


def q16(events: rx.Stream[Event]) -> rx.Stream[ChannelDay]:
    """The same for each channel, with the last minute in which it had a bid."""
    days = events.of_type(Bid).key_by(lambda bid: bid.channel).window(rx.Calendar("day"))
    return days.aggregate(latest=rx.max(attrgetter("time")), counts=CountBids()).map(
        lambda day: ChannelDay(
            day.key,
            day.window.begins.date(),
            f"{day.value.latest // 3_600_000 % 24:02}:{day.value.latest // 60_000 % 60:02}",
            day.value.counts,
        )
    )


def q17(events: rx.Stream[Event]) -> rx.Stream[AuctionDay]:
    """Bids, and the lowest, highest, mean and sum of their prices, of each auction and day."""
    days = events.of_type(Bid).key_by(lambda bid: bid.auction).window(rx.Calendar("day"))
    return days.aggregate(SummarizePrices()).map(
        lambda day: AuctionDay(day.key, day.window.begins.date(), day.value)
    )
