"""The queries with Apache Beam's Python SDK on its runner within the process, in batch.

Those that its own suite has (apache_beam/testing/benchmarks/nexmark) are written as there, without
its limits of windows that grow early. Beam has no order among items of one time and price: which
of equals wins is any. q12 is missing, since windows of processing time are not supported in batch,
and q10, since its sinks do not commit by the watermark. In q7 a window ends before its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import window
from apache_beam.transforms.combiners import Count, Top

from benchmarks.nexmark.aggregators import CountBids, LatestTime, SummarizePrices
from benchmarks.nexmark.auctions import (
    AuctionBid,
    CategoryMean,
    LocalAuction,
    Ranked,
    SellerMean,
    Won,
    auction_of,
    closing,
    higher,
    later,
    rank,
)
from benchmarks.nexmark.bids import (
    EUROS,
    HOUR,
    SIDE,
    ClassifiedBid,
    ConvertedBid,
    EnrichedBid,
    Price,
    UrlBid,
    daytime,
    every_123rd,
    with_channel_id,
)
from benchmarks.nexmark.events import Auction, Bid, Event, Person
from benchmarks.nexmark.queries import Surroundings
from benchmarks.nexmark.windows import (
    Activity,
    AuctionDay,
    ChannelDay,
    Day,
    HighestBid,
    HotAuction,
    NewSeller,
)

Items: TypeAlias = Any
"""A collection of Beam."""

EVENTS: list[Event] = []
RESULTS: list[Any] = []
"""Reached by name: to hand items to `Create`, or take them from a file, would cost more."""


def all_events(_: None) -> list[Event]:
    return EVENTS


def keep(item: Any) -> None:
    RESULTS.append(item)


def flow(
    build: Callable[[Items], Items],
) -> Callable[[Sequence[Event], Surroundings], list[Any]]:
    """A run of what `build` makes of the events."""

    def run(events: Sequence[Event], around: Surroundings) -> list[Any]:
        EVENTS[:] = events
        RESULTS.clear()
        options = PipelineOptions(["--direct_running_mode=in_memory"])
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            start = pipeline | beam.Create([None], reshuffle=False)
            source = start | "events" >> beam.FlatMap(all_events)
            _ = build(source) | "keep" >> beam.Map(keep)
        return list(RESULTS)

    return run


def timed(items: Items) -> Items:
    return items | "time" >> beam.Map(lambda item: window.TimestampedValue(item, item.time / 1000))


def bids_of(events: Items) -> Items:
    return events | "bids" >> beam.Filter(lambda event: isinstance(event, Bid))


def auctions_of(events: Items) -> Items:
    return events | "auctions" >> beam.Filter(lambda event: isinstance(event, Auction))


def persons_of(events: Items) -> Items:
    return events | "persons" >> beam.Filter(lambda event: isinstance(event, Person))


def milliseconds(moment: Any) -> int:
    return int(moment.micros // 1000)


def q0(events: Items) -> Items:
    return bids_of(events)


def q1(events: Items) -> Items:
    return bids_of(events) | beam.Map(
        lambda bid: ConvertedBid(bid.auction, bid.bidder, bid.price * EUROS, bid.time)
    )


def q2(events: Items) -> Items:
    return (
        bids_of(events)
        | beam.Filter(lambda bid: every_123rd(bid.auction))
        | beam.Map(lambda bid: Price(bid.auction, bid.price))
    )


def q3(events: Items) -> Items:
    sellers = (
        persons_of(events)
        | beam.Filter(lambda person: person.state in ("OR", "ID", "CA"))
        | "by person" >> beam.Map(lambda person: (person.id, person))
    )
    offers = (
        auctions_of(events)
        | beam.Filter(lambda auction: auction.category == 10)
        | "by seller" >> beam.Map(lambda auction: (auction.seller, auction))
    )

    def rows(group: tuple[int, dict[str, Any]]) -> Iterator[LocalAuction]:
        for person in group[1]["sellers"]:
            for auction in group[1]["offers"]:
                yield LocalAuction(person.name, person.city, person.state, auction.id)

    return {"sellers": sellers, "offers": offers} | beam.CoGroupByKey() | beam.FlatMap(rows)


def winners(events: Items) -> Items:
    """Auctions with their winning bids."""
    by_id = auctions_of(events) | "by id" >> beam.Map(lambda auction: (auction.id, auction))
    by_auction = bids_of(events) | "by auction" >> beam.Map(lambda bid: (bid.auction, bid))

    def won(group: tuple[int, dict[str, Any]]) -> Iterator[Won]:
        for auction in group[1]["auctions"]:
            best = None
            for bid in group[1]["bids"]:
                if auction.time <= bid.time <= auction.expires and (
                    best is None or higher(bid, best)
                ):
                    best = bid
            if best is not None:
                yield Won(auction, best)

    sides = {"auctions": by_id, "bids": by_auction}
    return sides | beam.CoGroupByKey() | "won" >> beam.FlatMap(won)


def q4(events: Items) -> Items:
    return (
        winners(events)
        | beam.Map(lambda won: (won.auction.category, won.bid.price))
        | beam.combiners.Mean.PerKey()
        | beam.MapTuple(CategoryMean)
    )


class MostBids(beam.CombineFn):
    """The auctions with the highest count."""

    def create_accumulator(self) -> tuple[list[int], int]:
        return [], 0

    def add_input(
        self, accumulator: tuple[list[int], int], element: tuple[int, int]
    ) -> tuple[list[int], int]:
        auctions, most = accumulator
        auction, count = element
        if count < most:
            return accumulator
        return ([auction], count) if count > most else ([*auctions, auction], most)

    def merge_accumulators(
        self, accumulators: Iterable[tuple[list[int], int]]
    ) -> tuple[list[int], int]:
        auctions: list[int] = []
        most = 0
        for some, count in accumulators:
            if count > most:
                auctions, most = list(some), count
            elif count == most:
                auctions = auctions + some
        return auctions, most

    def extract_output(self, accumulator: tuple[list[int], int]) -> tuple[list[int], int]:
        return accumulator


def q5(events: Items) -> Items:
    def rows(
        hottest: tuple[list[int], int], span: Any = beam.DoFn.WindowParam
    ) -> Iterator[HotAuction]:
        auctions, bids = hottest
        start, end = milliseconds(span.start), milliseconds(span.end)
        for auction in auctions:
            yield HotAuction(auction, bids, start, end)

    return (
        timed(bids_of(events))
        | beam.WindowInto(window.SlidingWindows(10, 2))
        | beam.Map(lambda bid: bid.auction)
        | Count.PerElement()
        | beam.CombineGlobally(MostBids()).without_defaults()
        | beam.FlatMap(rows)
    )


def q6(events: Items) -> Items:
    def means(sales: tuple[int, Iterable[Won]]) -> Iterator[SellerMean]:
        seller, won = sales
        prices = [sale.bid.price for sale in sorted(won, key=lambda sale: closing(sale.auction))]
        for end in range(1, len(prices) + 1):
            yield SellerMean(seller, fmean(prices[max(end - 10, 0) : end]))

    return (
        winners(events)
        | beam.Map(lambda sale: (sale.auction.seller, sale))
        | beam.GroupByKey()
        | beam.FlatMap(means)
    )


def q7(events: Items) -> Items:
    bids = timed(bids_of(events)) | beam.WindowInto(window.FixedWindows(10))
    highest = bids | beam.Map(lambda bid: bid.price) | beam.CombineGlobally(max).without_defaults()
    return (
        bids
        | beam.Filter(lambda bid, most: bid.price == most, beam.pvalue.AsSingleton(highest))
        | "row" >> beam.Map(lambda bid: HighestBid(bid.auction, bid.price, bid.bidder, bid.time))
    )


def q8(events: Items) -> Items:
    windowed = timed(events) | beam.WindowInto(window.FixedWindows(10))
    persons = persons_of(windowed) | "by id" >> beam.Map(lambda person: (person.id, person))
    auctions = auctions_of(windowed) | "by seller" >> beam.Map(
        lambda auction: (auction.seller, auction)
    )

    def rows(
        group: tuple[int, dict[str, Any]], span: Any = beam.DoFn.WindowParam
    ) -> Iterator[NewSeller]:
        key, sides = group
        if sides["auctions"]:
            for person in sides["persons"]:
                yield NewSeller(key, person.name, milliseconds(span.start))

    sides = {"persons": persons, "auctions": auctions}
    return sides | beam.CoGroupByKey() | beam.FlatMap(rows)


def q9(events: Items) -> Items:
    return winners(events)


def q11(events: Items) -> Items:
    def row(pair: tuple[int, int], span: Any = beam.DoFn.WindowParam) -> Activity:
        return Activity(*pair, milliseconds(span.start), milliseconds(span.end))

    return (
        timed(bids_of(events))
        | beam.Map(lambda bid: bid.bidder)
        | beam.WindowInto(window.Sessions(10))
        | Count.PerElement()
        | "row" >> beam.Map(row)
    )


def q13(events: Items) -> Items:
    side = events.pipeline | "side" >> beam.Create([(row.key, row.value) for row in SIDE])

    def enrich(bid: Bid, rows: dict[int, str]) -> EnrichedBid:
        value = rows[bid.auction % 10_000]
        return EnrichedBid(bid.auction, bid.bidder, bid.price, bid.time, value)

    return bids_of(events) | beam.Map(enrich, beam.pvalue.AsDict(side))


def q14(events: Items) -> Items:
    def classify(price: Any, bid: Bid) -> ClassifiedBid:
        when = daytime(bid.time // HOUR % 24)
        return ClassifiedBid(bid.auction, bid.bidder, price, when, bid.time, bid.extra.count("c"))

    return (
        bids_of(events)
        | beam.Map(lambda bid: (bid.price * EUROS, bid))
        | "priced" >> beam.Filter(lambda pair: 1_000_000 < pair[0] < 50_000_000)
        | beam.MapTuple(classify)
    )


class Combined(beam.CombineFn):
    """Combines with several of our aggregators."""

    def __init__(self, *aggregators: Any) -> None:
        self.aggregators = aggregators

    def create_accumulator(self) -> list[Any]:
        return [aggregator.create() for aggregator in self.aggregators]

    def add_input(self, accumulator: list[Any], element: Bid) -> list[Any]:
        pairs = zip(self.aggregators, accumulator, strict=True)
        return [aggregator.add(held, element) for aggregator, held in pairs]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged = [
                aggregator.merge(one, other)
                for aggregator, one, other in zip(
                    self.aggregators, merged, accumulator, strict=True
                )
            ]
        return merged

    def extract_output(self, accumulator: list[Any]) -> list[Any]:
        pairs = zip(self.aggregators, accumulator, strict=True)
        return [aggregator.result(held) for aggregator, held in pairs]


def by_day(events: Items, key: Callable[[Bid], Any], *aggregators: Any) -> Items:
    return (
        timed(bids_of(events))
        | beam.WindowInto(window.FixedWindows(86_400))
        | "by key" >> beam.Map(lambda bid: (key(bid), bid))
        | beam.CombinePerKey(Combined(*aggregators))
    )


def day_of(span: Any) -> Any:
    return datetime.fromtimestamp(span.start.seconds(), UTC).date()


def q15(events: Items) -> Items:
    def row(result: tuple[None, list[Any]], span: Any = beam.DoFn.WindowParam) -> Day:
        return Day(day_of(span), *result[1])

    return by_day(events, lambda bid: None, CountBids()) | "row" >> beam.Map(row)


def q16(events: Items) -> Items:
    def row(result: tuple[str, list[Any]], span: Any = beam.DoFn.WindowParam) -> ChannelDay:
        channel, (latest, counts) = result
        minute = f"{datetime.fromtimestamp(latest / 1000, UTC):%H:%M}"
        return ChannelDay(channel, day_of(span), minute, counts)

    counted = by_day(events, lambda bid: bid.channel, LatestTime(), CountBids())
    return counted | "row" >> beam.Map(row)


def q17(events: Items) -> Items:
    def row(result: tuple[int, list[Any]], span: Any = beam.DoFn.WindowParam) -> AuctionDay:
        return AuctionDay(result[0], day_of(span), *result[1])

    summed = by_day(events, lambda bid: bid.auction, SummarizePrices())
    return summed | "row" >> beam.Map(row)


def latest_of(bids: Iterable[Bid]) -> Bid:
    last = None
    for bid in bids:
        last = bid if last is None else later(last, bid)
    assert last is not None
    return last


def q18(events: Items) -> Items:
    return (
        bids_of(events)
        | beam.Map(lambda bid: ((bid.bidder, bid.auction), bid))
        | beam.CombinePerKey(latest_of)
        | beam.Values()
    )


def q19(events: Items) -> Items:
    return (
        bids_of(events)
        | beam.Map(lambda bid: (bid.auction, bid))
        | Top.PerKey(10, key=rank, reverse=True)
        | beam.MapTuple(lambda auction, bids: Ranked(auction, tuple(bids)))
    )


def q20(events: Items) -> Items:
    def rows(group: tuple[int, dict[str, Any]]) -> Iterator[AuctionBid]:
        for auction in group[1]["auctions"]:
            for bid in group[1]["bids"]:
                yield AuctionBid(bid, auction)

    auctions = (
        auctions_of(events)
        | beam.Filter(lambda auction: auction.category == 10)
        | "by id" >> beam.Map(lambda auction: (auction_of(auction), auction))
    )
    bids = bids_of(events) | "by auction" >> beam.Map(lambda bid: (auction_of(bid), bid))
    return {"auctions": auctions, "bids": bids} | beam.CoGroupByKey() | beam.FlatMap(rows)


def q21(events: Items) -> Items:
    return (
        bids_of(events)
        | beam.Map(with_channel_id)
        | "known" >> beam.Filter(lambda bid: bid is not None)
    )


def q22(events: Items) -> Items:
    return bids_of(events) | beam.Map(
        lambda bid: UrlBid(
            bid.auction, bid.bidder, bid.price, bid.channel, *bid.url.split("/", 6)[3:6]
        )
    )


RUNS = {
    int(name[1:]): flow(build)
    for name, build in list(globals().items())
    if name[0] == "q" and name[1:].isdigit()
}
