"""The queries with Apache Beam's Python SDK on its runner within the process, in batch.

Those that its own suite has (apache_beam/testing/benchmarks/nexmark) are written as there, without
its limits of windows that grow early. Beam has no order among items of one time and price: which
of equals wins is any. q12 is missing, since windows of processing time are not supported in batch,
and q10, since its sinks do not commit by the watermark. In q7 a window ends before its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from statistics import fmean
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import window
from apache_beam.transforms.combiners import Count, SingleInputTupleCombineFn, Top

from benchmarks.nexmark import auctions, bids, windows
from benchmarks.nexmark.aggregators import CountBids, SummarizePrices
from benchmarks.nexmark.events import Auction, Bid, Event, Person
from benchmarks.nexmark.queries import Results, Surroundings, numbered

Items: TypeAlias = Any
"""A collection of Beam."""

EVENTS: list[Event] = []
RESULTS: Results = []
"""Reached by name: to hand items to `Create`, or take them from a file, would cost more."""


def all_events(_: None) -> list[Event]:
    return EVENTS


def keep(item: Any) -> None:
    RESULTS.append(item)


def flow(
    build: Callable[[Items], Items],
) -> Callable[[Sequence[Event], Surroundings, Results], None]:
    """A run of what `build` makes of the events."""

    def run(events: Sequence[Event], around: Surroundings, results: Results) -> None:
        global RESULTS
        EVENTS[:], RESULTS = events, results
        options = PipelineOptions(["--direct_running_mode=in_memory"])
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            start = pipeline | beam.Create([None], reshuffle=False)
            source = start | "events" >> beam.FlatMap(all_events)
            _ = build(source) | "keep" >> beam.Map(keep)

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
    return bids_of(events) | beam.Map(bids.in_euros)


def q2(events: Items) -> Items:
    return (
        bids_of(events)
        | beam.Filter(lambda bid: bids.every_123rd(bid.auction))
        | beam.Map(lambda bid: bids.Price(bid.auction, bid.price))
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

    def rows(group: tuple[int, dict[str, Any]]) -> Iterator[auctions.LocalAuction]:
        for person in group[1]["sellers"]:
            for auction in group[1]["offers"]:
                yield auctions.LocalAuction(person.name, person.city, person.state, auction.id)

    return {"sellers": sellers, "offers": offers} | beam.CoGroupByKey() | beam.FlatMap(rows)


def winners(events: Items) -> Items:
    """Auctions with their winning bids."""
    by_id = auctions_of(events) | "by id" >> beam.Map(lambda auction: (auction.id, auction))
    by_auction = bids_of(events) | "by auction" >> beam.Map(lambda bid: (bid.auction, bid))

    def won(group: tuple[int, dict[str, Any]]) -> Iterator[auctions.Won]:
        for auction in group[1]["auctions"]:
            best = None
            for bid in group[1]["bids"]:
                if auction.time <= bid.time <= auction.expires and (
                    best is None or auctions.higher(bid, best)
                ):
                    best = bid
            if best is not None:
                yield auctions.Won(auction, best)

    sides = {"auctions": by_id, "bids": by_auction}
    return sides | beam.CoGroupByKey() | "won" >> beam.FlatMap(won)


def q4(events: Items) -> Items:
    return (
        winners(events)
        | beam.Map(lambda won: (won.auction.category, won.bid.price))
        | beam.combiners.Mean.PerKey()
        | beam.MapTuple(auctions.CategoryMean)
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
    ) -> Iterator[windows.HotAuction]:
        hot, most = hottest
        start, end = milliseconds(span.start), milliseconds(span.end)
        for auction in hot:
            yield windows.HotAuction(auction, most, start, end)

    return (
        timed(bids_of(events))
        | beam.WindowInto(window.SlidingWindows(10, 2))
        | beam.Map(lambda bid: bid.auction)
        | Count.PerElement()
        | beam.CombineGlobally(MostBids()).without_defaults()
        | beam.FlatMap(rows)
    )


def q6(events: Items) -> Items:
    def means(sales: tuple[int, Iterable[auctions.Won]]) -> Iterator[auctions.SellerMean]:
        seller, won = sales
        prices = [
            sale.bid.price for sale in sorted(won, key=lambda sale: auctions.closing(sale.auction))
        ]
        for end in range(1, len(prices) + 1):
            yield auctions.SellerMean(seller, fmean(prices[max(end - 10, 0) : end]))

    return (
        winners(events)
        | beam.Map(lambda sale: (sale.auction.seller, sale))
        | beam.GroupByKey()
        | beam.FlatMap(means)
    )


def q7(events: Items) -> Items:
    made = timed(bids_of(events)) | beam.WindowInto(window.FixedWindows(10))
    highest = made | beam.Map(lambda bid: bid.price) | beam.CombineGlobally(max).without_defaults()
    return (
        made
        | beam.Filter(lambda bid, most: bid.price == most, beam.pvalue.AsSingleton(highest))
        | "row"
        >> beam.Map(lambda bid: windows.HighestBid(bid.auction, bid.price, bid.bidder, bid.time))
    )


def q8(events: Items) -> Items:
    windowed = timed(events) | beam.WindowInto(window.FixedWindows(10))
    persons = persons_of(windowed) | "by id" >> beam.Map(lambda person: (person.id, person))
    opened = auctions_of(windowed) | "by seller" >> beam.Map(
        lambda auction: (auction.seller, auction)
    )

    def rows(
        group: tuple[int, dict[str, Any]], span: Any = beam.DoFn.WindowParam
    ) -> Iterator[windows.NewSeller]:
        key, sides = group
        if sides["auctions"]:
            for person in sides["persons"]:
                yield windows.NewSeller(key, person.name, milliseconds(span.start))

    sides = {"persons": persons, "auctions": opened}
    return sides | beam.CoGroupByKey() | beam.FlatMap(rows)


def q9(events: Items) -> Items:
    return winners(events)


def q11(events: Items) -> Items:
    def row(pair: tuple[int, int], span: Any = beam.DoFn.WindowParam) -> windows.Activity:
        return windows.Activity(*pair, milliseconds(span.start), milliseconds(span.end))

    return (
        timed(bids_of(events))
        | beam.Map(lambda bid: bid.bidder)
        | beam.WindowInto(window.Sessions(10))
        | Count.PerElement()
        | "row" >> beam.Map(row)
    )


def q13(events: Items) -> Items:
    side = events.pipeline | "side" >> beam.Create([(row.key, row.value) for row in bids.SIDE])

    def enrich(bid: Bid, rows: dict[int, str]) -> bids.EnrichedBid:
        value = rows[bid.auction % 10_000]
        return bids.EnrichedBid(bid.auction, bid.bidder, bid.price, bid.time, value)

    return bids_of(events) | beam.Map(enrich, beam.pvalue.AsDict(side))


def known(events: Items, make: Callable[[Bid], Any]) -> Items:
    """What there is to make of the bids: some have nothing."""
    return bids_of(events) | beam.Map(make) | "known" >> beam.Filter(lambda made: made is not None)


def q14(events: Items) -> Items:
    return known(events, bids.classified)


class Folded(beam.CombineFn):
    """Combines with an aggregator of ours."""

    def __init__(self, aggregator: Any) -> None:
        self.aggregator = aggregator

    def create_accumulator(self) -> Any:
        return self.aggregator.create()

    def add_input(self, accumulator: Any, element: Bid) -> Any:
        return self.aggregator.add(accumulator, element)

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        return reduce(self.aggregator.merge, accumulators, self.aggregator.create())

    def extract_output(self, accumulator: Any) -> Any:
        return self.aggregator.result(accumulator)


def latest_of(made: Iterable[Bid]) -> Bid:
    last = None
    for bid in made:
        last = bid if last is None else auctions.later(last, bid)
    assert last is not None
    return last


def by_day(events: Items, key: Callable[[Bid], Any], combine: beam.CombineFn) -> Items:
    return (
        timed(bids_of(events))
        | beam.WindowInto(window.FixedWindows(86_400))
        | "by key" >> beam.Map(lambda bid: (key(bid), bid))
        | beam.CombinePerKey(combine)
    )


def day_of(span: Any) -> Any:
    return datetime.fromtimestamp(span.start.seconds(), UTC).date()


def q15(events: Items) -> Items:
    def row(result: tuple[None, Any], span: Any = beam.DoFn.WindowParam) -> windows.Day:
        return windows.Day(day_of(span), result[1])

    return by_day(events, lambda bid: None, Folded(CountBids())) | "row" >> beam.Map(row)


def q16(events: Items) -> Items:
    def row(
        result: tuple[str, tuple[Bid, Any]], span: Any = beam.DoFn.WindowParam
    ) -> windows.ChannelDay:
        channel, (latest, counts) = result
        minute = f"{datetime.fromtimestamp(latest.time / 1000, UTC):%H:%M}"
        return windows.ChannelDay(channel, day_of(span), minute, counts)

    combine = SingleInputTupleCombineFn(latest_of, Folded(CountBids()))
    return by_day(events, lambda bid: bid.channel, combine) | "row" >> beam.Map(row)


def q17(events: Items) -> Items:
    def row(result: tuple[int, Any], span: Any = beam.DoFn.WindowParam) -> windows.AuctionDay:
        return windows.AuctionDay(result[0], day_of(span), result[1])

    summed = by_day(events, lambda bid: bid.auction, Folded(SummarizePrices()))
    return summed | "row" >> beam.Map(row)


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
        | Top.PerKey(10, key=auctions.rank, reverse=True)
        | beam.MapTuple(lambda auction, best: auctions.Ranked(auction, tuple(best)))
    )


def q20(events: Items) -> Items:
    def rows(group: tuple[int, dict[str, Any]]) -> Iterator[auctions.AuctionBid]:
        for auction in group[1]["auctions"]:
            for bid in group[1]["bids"]:
                yield auctions.AuctionBid(bid, auction)

    chosen = (
        auctions_of(events)
        | beam.Filter(lambda auction: auction.category == 10)
        | "by id" >> beam.Map(lambda auction: (auction.id, auction))
    )
    made = bids_of(events) | "by auction" >> beam.Map(lambda bid: (bid.auction, bid))
    return {"auctions": chosen, "bids": made} | beam.CoGroupByKey() | beam.FlatMap(rows)


def q21(events: Items) -> Items:
    return known(events, bids.with_channel_id)


def q22(events: Items) -> Items:
    return bids_of(events) | beam.Map(bids.with_folders)


RUNS = {number: flow(build) for number, build in numbered(globals()).items()}
