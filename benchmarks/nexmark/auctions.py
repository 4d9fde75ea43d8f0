"""The queries that bring together auctions, bids and persons, whenever they come, and those that
keep the best or last of something: q3, q4, q6, q9, q18, q19 and q20."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias, TypeVar

import reactive as rx
from benchmarks.nexmark.events import LATENESS, Auction, Bid, Event, Person

U = TypeVar("U")


class LocalAuction(NamedTuple):
    name: str
    city: str
    state: str
    auction: int


class CategoryMean(NamedTuple):
    category: int
    mean: float


class SellerMean(NamedTuple):
    seller: int
    mean: float


class Lead(NamedTuple):
    """A bid that has become the best of an auction, and the one that was."""

    auction: Auction
    before: Bid | None
    bid: Bid


class Won(NamedTuple):
    """An auction with its winning bid."""

    auction: Auction
    bid: Bid


class Ranked(NamedTuple):
    """The highest bids of an auction, the highest first."""

    auction: int
    bids: tuple[Bid, ...]


class AuctionBid(NamedTuple):
    bid: Bid
    auction: Auction


class Together(rx.KeyedProcess[int, Any, tuple[Any, Any]]):
    """Pairs the one item of its kind that a key has with all others of the key, whichever comes
    first. Holds it for ever, and the others until it comes: there is no window."""

    one = rx.ValueState[Any](None)
    waiting = rx.ListState[Any]()

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def on_item(
        self, item: Any, context: rx.ProcessContext[int]
    ) -> Iterable[tuple[Any, Any]] | None:
        if isinstance(item, self.kind):
            self.one = item
            pairs = [(item, other) for other in self.waiting]
            self.waiting.clear()
            return pairs
        one = self.one
        if one is not None:
            return ((one, item),)
        self.waiting.append(item)
        return None


def q3(events: rx.Stream[Event]) -> rx.Stream[LocalAuction]:
    """Who sells things of category 10 in Oregon, Idaho or California."""

    def wanted(event: Event) -> bool:
        if isinstance(event, Person):
            return event.state.upper() in ("OR", "ID", "CA")
        return isinstance(event, Auction) and event.category == 10

    sellers = events.of_type(Person, Auction).filter(wanted).key_by(person_of)
    return sellers.process(lambda: Together(Person)).starmap(
        lambda person, auction: LocalAuction(person.name, person.city, person.state, auction.id)
    )


def person_of(event: Person | Auction) -> int:
    return event.id if isinstance(event, Person) else event.seller


def q20(events: rx.Stream[Event]) -> rx.Stream[AuctionBid]:
    """Every bid on an auction of category 10, with the auction."""
    auctions = events.of_type(Auction, Bid).key_by(auction_of)
    return (
        auctions.process(lambda: Together(Auction))
        .filter(lambda pair: pair[0].category == 10)
        .starmap(lambda auction, bid: AuctionBid(bid, auction))
    )


def auction_of(event: Auction | Bid) -> int:
    return event.id if isinstance(event, Auction) else event.auction


Better: TypeAlias = Callable[[Bid, Bid], bool]


def higher(bid: Bid, best: Bid) -> bool:
    """Whether a bid wins over the one that was best; the earlier of equals does."""
    return bid.price > best.price or (bid.price == best.price and bid.time < best.time)


class Bidding(rx.KeyedProcess[int, Auction | Bid, U]):
    """Keeps each auction with its best bid, and bids that came before their auction, which may be
    of the same moment."""

    open = rx.ValueState[tuple[Auction, Bid | None] | None](None)
    early = rx.ListState[Bid]()

    def __init__(self, better: Better = higher) -> None:
        self.better = better

    def on_item(self, item: Auction | Bid, context: rx.ProcessContext[int]) -> Iterable[U]:
        if isinstance(item, Auction):
            self.open = item, None
            bids = list(self.early)
            self.early.clear()
            return [given for bid in bids for given in self.offer(bid)]
        return self.offer(item)

    def offer(self, bid: Bid) -> Iterable[U]:
        """Look at a bid."""
        held = self.open
        if held is None:
            self.early.append(bid)
            return ()
        auction, best = held
        if best is not None and not self.better(bid, best):
            return ()
        if not auction.time <= bid.time <= auction.expires:
            return ()
        self.open = auction, bid
        return self.leads(auction, best, bid)

    def leads(self, auction: Auction, before: Bid | None, bid: Bid) -> Iterable[U]:
        """What to give when a bid has become the best."""
        return ()


class Leading(Bidding[Lead]):
    """Every bid that becomes the best of its auction. Holds auctions for ever, as `Together`."""

    def leads(self, auction: Auction, before: Bid | None, bid: Bid) -> Iterable[Lead]:
        return (Lead(auction, before, bid),)


class Closed(Bidding[Won]):
    """The winning bid of an auction, which is held until it has closed."""

    early = rx.ListState[Bid](ttl=2 * LATENESS, expires="watermark")

    def on_item(self, item: Auction | Bid, context: rx.ProcessContext[int]) -> Iterable[Won]:
        if isinstance(item, Auction):
            context.set_timer(closing(item))
        return super().on_item(item, context)

    def on_timer(self, time: int, context: rx.ProcessContext[int]) -> Iterable[Won]:
        assert self.open is not None
        auction, best = self.open
        del self.open
        return () if best is None else (Won(auction, best),)


def closing(auction: Auction) -> int:
    """The microsecond at which an auction closes, after the millisecond in which it takes its
    last bids. Those that close in one millisecond do so in the order of their ids."""
    return (auction.expires + 1) * 1000 + auction.id % 1000


def leading(events: rx.Stream[Event]) -> rx.Stream[Lead]:
    """Every change of the winning bid of an auction, as soon as there is one."""
    return events.of_type(Auction, Bid).key_by(auction_of).process(Leading)


def q4(events: rx.Stream[Event]) -> rx.Stream[CategoryMean]:
    """The mean of the winning prices of each category, whenever one changes."""
    means = leading(events).key_by(lambda lead: lead.auction.category).scan(revise, (0, 0))
    return means.starmap(lambda category, held: CategoryMean(category, held[0] / held[1]))


def revise(held: tuple[int, int], lead: Lead) -> tuple[int, int]:
    """The sum and count of prices after a change of one of them."""
    total, count = held
    if lead.before is None:
        return total + lead.bid.price, count + 1
    return total + lead.bid.price - lead.before.price, count


def q6(events: rx.Stream[Event]) -> rx.Stream[SellerMean]:
    """The mean of the winning prices of the last ten auctions of each seller that have closed."""
    return mean_of_last(closed(events), 10)


def closed(events: rx.Stream[Event], better: Better = higher) -> rx.Stream[Won]:
    """Auctions as they close, with the bids that won; those without any are left out."""
    return events.of_type(Auction, Bid).key_by(auction_of).process(lambda: Closed(better))


NOTHING: tuple[int, ...] = ()


def mean_of_last(sales: rx.Stream[Won], count: int) -> rx.Stream[SellerMean]:
    """The mean price of the last so many sales of each seller, at each of them."""

    def newest(prices: tuple[int, ...], sale: Won) -> tuple[int, ...]:
        return (*prices, sale.bid.price)[-count:]

    prices = sales.key_by(lambda sale: sale.auction.seller).scan(newest, NOTHING)
    return prices.starmap(lambda seller, last: SellerMean(seller, fmean(last)))


def q9(events: rx.Stream[Event]) -> rx.Stream[Won]:
    """Every auction with its winning bid, whenever that changes."""
    return leading(events).map(lambda lead: Won(lead.auction, lead.bid))


def later(last: Bid, bid: Bid) -> Bid:
    """The later of two bids, and of those of one moment the one that came second."""
    return bid if bid.time >= last.time else last


def q18(events: rx.Stream[Event], newest: Callable[[Bid, Bid], Bid] = later) -> rx.Stream[Bid]:
    """The last bid of each bidder on each auction, at each of them."""
    bids = events.of_type(Bid).key_by(lambda bid: (bid.bidder, bid.auction))
    return bids.scan(newest).starmap(lambda _, bid: bid)


class Highest(rx.KeyedProcess[int, Bid, Ranked]):
    """The ten highest bids of each auction, whenever they change; the earlier of equals."""

    bids = rx.ValueState[tuple[Bid, ...]](())

    def on_item(self, item: Bid, context: rx.ProcessContext[int]) -> Iterable[Ranked] | None:
        bids = self.bids
        if len(bids) == 10 and not higher(item, bids[-1]):
            return None
        self.bids = bids = tuple(sorted((*bids, item), key=rank)[:10])
        return (Ranked(item.auction, bids),)


def rank(bid: Bid) -> tuple[int, int]:
    return -bid.price, bid.time


def q19(events: rx.Stream[Event]) -> rx.Stream[Ranked]:
    """The ten highest bids of each auction, whenever they change."""
    return events.of_type(Bid).key_by(lambda bid: bid.auction).process(Highest)
