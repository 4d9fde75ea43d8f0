"""The aggregators that the queries bring along: what they count of bids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

import reactive as rx
from benchmarks.nexmark.events import Bid

MIDDLE, DEAR = 10_000, 1_000_000
"""From which price on a bid is in the second and in the third band."""


class BidCounts(NamedTuple):
    """Bids, bidders and auctions, in all and by the band of the price."""

    bids: int
    cheap_bids: int
    middle_bids: int
    dear_bids: int
    bidders: int
    cheap_bidders: int
    middle_bidders: int
    dear_bidders: int
    auctions: int
    cheap_auctions: int
    middle_auctions: int
    dear_auctions: int


class PriceSummary(NamedTuple):
    """Bids, in all and by the band of the price, and their prices."""

    bids: int
    cheap_bids: int
    middle_bids: int
    dear_bids: int
    lowest: int
    highest: int
    mean: float
    total: int


def band(price: int) -> int:
    """Of cheap, middle and dear, 0, 1 or 2."""
    return 0 if price < MIDDLE else 1 if price < DEAR else 2


class Seen:
    """How many bids there were in a band, and who bid on what."""

    __slots__ = ("auctions", "bidders", "bids")

    def __init__(self) -> None:
        self.bids = 0
        self.bidders: set[int] = set()
        self.auctions: set[int] = set()

    def merge(self, other: Seen) -> None:
        self.bids += other.bids
        self.bidders |= other.bidders
        self.auctions |= other.auctions


@dataclass(frozen=True)
class CountBids(rx.Aggregator[Bid, tuple[Seen, Seen, Seen], BidCounts]):
    """Counts bids, bidders and auctions by the band of the price."""

    in_place: ClassVar[bool] = True

    def create(self) -> tuple[Seen, Seen, Seen]:
        return Seen(), Seen(), Seen()

    def add(self, accumulator: tuple[Seen, Seen, Seen], item: Bid) -> tuple[Seen, Seen, Seen]:
        seen = accumulator[band(item.price)]
        seen.bids += 1
        seen.bidders.add(item.bidder)
        seen.auctions.add(item.auction)
        return accumulator

    def merge(
        self, accumulator: tuple[Seen, Seen, Seen], other: tuple[Seen, Seen, Seen]
    ) -> tuple[Seen, Seen, Seen]:
        for ours, theirs in zip(accumulator, other, strict=True):
            ours.merge(theirs)
        return accumulator

    def result(self, accumulator: tuple[Seen, Seen, Seen]) -> BidCounts:
        bids = [seen.bids for seen in accumulator]
        bidders = [seen.bidders for seen in accumulator]
        auctions = [seen.auctions for seen in accumulator]
        return BidCounts(
            *(sum(bids), *bids),
            *(len(set().union(*bidders)), *map(len, bidders)),
            *(len(set().union(*auctions)), *map(len, auctions)),
        )


@dataclass(frozen=True)
class SummarizePrices(rx.Aggregator[Bid, list[int], PriceSummary]):
    """Counts bids by the band of the price, with the lowest, highest, mean and sum of them."""

    in_place: ClassVar[bool] = True

    def create(self) -> list[int]:
        return [0, 0, 0, 0, 0, 0]

    def add(self, accumulator: list[int], item: Bid) -> list[int]:
        price = item.price
        if not accumulator[3] or price < accumulator[3]:
            accumulator[3] = price
        if price > accumulator[4]:
            accumulator[4] = price
        accumulator[5] += price
        accumulator[band(price)] += 1
        return accumulator

    def merge(self, accumulator: list[int], other: list[int]) -> list[int]:
        lows = [low for low in (accumulator[3], other[3]) if low]
        accumulator[3] = min(lows, default=0)
        accumulator[4] = max(accumulator[4], other[4])
        for index in (0, 1, 2, 5):
            accumulator[index] += other[index]
        return accumulator

    def result(self, accumulator: list[int]) -> PriceSummary:
        cheap, middle, dear, lowest, highest, total = accumulator
        bids = cheap + middle + dear
        return PriceSummary(bids, cheap, middle, dear, lowest, highest, total / bids, total)


Bids: TypeAlias = list[Bid]


@dataclass(frozen=True)
class HighestBids(rx.Aggregator[Bid, tuple[Bids, Bids], tuple[Bids, Bids]]):
    """The highest bids, and those at the start of a window of so many milliseconds."""

    in_place: ClassVar[bool] = True

    size: int

    def create(self) -> tuple[Bids, Bids]:
        return [], []

    def add(self, accumulator: tuple[Bids, Bids], item: Bid) -> tuple[Bids, Bids]:
        highest, at_start = accumulator
        if not item.time % self.size:
            at_start.append(item)
        if not highest or item.price > highest[0].price:
            highest[:] = [item]
        elif item.price == highest[0].price:
            highest.append(item)
        return accumulator

    def merge(self, accumulator: tuple[Bids, Bids], other: tuple[Bids, Bids]) -> tuple[Bids, Bids]:
        highest, at_start = accumulator
        at_start += other[1]
        both = highest + other[0]
        most = max((bid.price for bid in both), default=0)
        highest[:] = [bid for bid in both if bid.price == most]
        return accumulator

    def result(self, accumulator: tuple[Bids, Bids]) -> tuple[Bids, Bids]:
        return accumulator
