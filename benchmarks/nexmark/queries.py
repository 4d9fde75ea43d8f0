"""All queries by their numbers: how each is run, and the rows that are left in the end."""

from __future__ import annotations

import csv
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import reactive as rx
from benchmarks.nexmark import auctions, bids, windows
from benchmarks.nexmark.auctions import Ranked, Won
from benchmarks.nexmark.bids import Partition
from benchmarks.nexmark.events import Bid, Event, timed

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = Iterable[Row]
Results: TypeAlias = list[Any] | deque[Any]
"""What results are added to: a list keeps them, and a deque that may be 0 long lets them go."""
F = TypeVar("F")


@dataclass(frozen=True)
class Surroundings:
    """What a query needs besides the events: a folder for its files, and the clock."""

    folder: Path
    clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class Query:
    """A query: what it makes of the events, and the rows, as of a table, that its results leave."""

    number: int
    title: str
    pipeline: Callable[[rx.Stream[Event], Surroundings], rx.Stream[Any]]
    rows: Callable[[Sequence[Any]], Rows]
    timed: bool = True
    """Whether it needs to know when things happened."""

    @property
    def name(self) -> str:
        return f"q{self.number}"

    def over(self, events: rx.Stream[Event], around: Surroundings) -> rx.Stream[Any]:
        """The results over events that have no event times yet."""
        return self.pipeline(timed(events) if self.timed else events, around)


def as_they_are(results: Sequence[Row]) -> Rows:
    """Every result is a row."""
    return results


def flat(results: Sequence[Row]) -> Iterator[Row]:
    """Every result is a row, the last of whose columns are in a tuple."""
    return ((*first, *last) for *first, last in results)


def last_of(key: Callable[[Any], Hashable]) -> Callable[[Sequence[Any]], list[Any]]:
    """Of each key the last result counts: it takes the place of those before it."""
    return lambda results: list({key(result): result for result in results}.values())


def winners(results: Sequence[Won]) -> Iterator[Row]:
    """Auctions without their last column, and the first columns of their last winners."""
    last = last_of(lambda won: won.auction.id)(results)
    return ((*won.auction[:9], *won.bid[:3], won.bid.time) for won in last)


def ranks(results: Sequence[Ranked]) -> Iterator[Row]:
    """The last highest bids of each auction with their ranks."""
    for ranked in last_of(lambda ranked: ranked.auction)(results):
        for rank, bid in enumerate(ranked.bids, 1):
            yield *bid, rank


def from_files(results: Sequence[Partition]) -> Iterator[Row]:
    """The bids that are in the files, with the day and minute of those."""
    for (path,) in results:
        with path.open(newline="") as file:
            for auction, bidder, price, _, _, at, _ in csv.reader(file):
                yield int(auction), int(bidder), int(price), int(at), path.parent.name, path.stem


def without(pipeline: Callable[[rx.Stream[Event]], rx.Stream[Any]]) -> Any:
    """A query that needs nothing but the events."""
    return lambda events, around: pipeline(events)


def _bid_and_auction(results: Sequence[auctions.AuctionBid]) -> Iterator[Row]:
    return ((*pair.bid, *pair.auction[1:]) for pair in results)


def _bid_of(bid: Bid) -> tuple[int, int]:
    return bid.bidder, bid.auction


ALL = (
    Query(0, "every bid", without(bids.q0), as_they_are, False),
    Query(1, "bids in euros", without(bids.q1), as_they_are, False),
    Query(2, "bids on every 123rd auction", without(bids.q2), as_they_are, False),
    Query(3, "local sellers, joined without a window", without(auctions.q3), as_they_are, False),
    Query(
        4,
        "mean winning price by category",
        without(auctions.q4),
        last_of(lambda mean: mean.category),
        False,
    ),
    Query(5, "hottest auctions, sliding windows", without(windows.q5), as_they_are),
    Query(6, "mean of a seller's last ten sales", without(auctions.q6), as_they_are),
    Query(7, "highest bids, tumbling windows", without(windows.q7), as_they_are),
    Query(8, "new sellers, joined in windows", without(windows.q8), as_they_are),
    Query(9, "winning bids", without(auctions.q9), winners, False),
    Query(
        10,
        "bids in files by minute",
        lambda events, around: bids.q10(events, around.folder),
        from_files,
        False,
    ),
    Query(11, "bids by session of a bidder", without(windows.q11), as_they_are),
    Query(
        12,
        "bids by bidder, windows of processing time",
        lambda events, around: windows.q12(events, around.clock),
        as_they_are,
        False,
    ),
    Query(
        13,
        "bids with a row of a table",
        # The events end here; of streams that are made on the way nothing else tells.
        lambda events, around: bids.q13(events).assume_bounded(),
        as_they_are,
        False,
    ),
    Query(14, "calculations and a filter", without(bids.q14), as_they_are, False),
    Query(15, "statistics by day", without(windows.q15), flat),
    Query(16, "statistics by channel and day", without(windows.q16), flat),
    Query(17, "prices by auction and day", without(windows.q17), flat),
    Query(18, "last bid of each bidder", without(auctions.q18), last_of(_bid_of), False),
    Query(19, "ten highest bids of each auction", without(auctions.q19), ranks, False),
    Query(20, "bids with their auction", without(auctions.q20), _bid_and_auction, False),
    Query(21, "channel ids", without(bids.q21), as_they_are, False),
    Query(22, "folders of urls", without(bids.q22), as_they_are, False),
)


def numbered(functions: Mapping[str, F]) -> dict[int, F]:
    """Those of a module's functions that are named as queries are, by their numbers."""
    named = {name: each for name, each in functions.items() if name[0] == "q"}
    return {int(name[1:]): each for name, each in named.items() if name[1:].isdigit()}


QUERIES = {query.number: query for query in ALL}
