"""Nexmark: every query against a published run, and against SQL over the same events."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import reactive as rx
from benchmarks.nexmark import auctions, bids, windows
from benchmarks.nexmark.check import MODES, Mode, difference, rows_of
from benchmarks.nexmark.events import LATENESS, Auction, Bid, Event, Person, timed
from benchmarks.nexmark.generator import Site
from benchmarks.nexmark.queries import ALL, QUERIES, Query, Row, Surroundings
from benchmarks.nexmark.sql import Database
from reactive.testing import check_modes

ROOT = Path(__file__).parents[2]
ORACLE = ROOT.parent / "shared" / "oracles" / "nexmark"

needs_oracle = pytest.mark.skipif(not ORACLE.exists(), reason="needs ../shared/oracles/nexmark")
each_mode = pytest.mark.parametrize("mode", MODES)


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def plain(value: Any) -> Any:
    """A value of the published run as the pipelines give it: times as milliseconds."""
    if isinstance(value, str) and value.startswith("2015-07-15T"):
        return milliseconds(value)
    return value


def small_events() -> list[Event]:
    """The events of the published run, as they happened."""
    tables = json.loads((ORACLE / "small_input.json").read_text())
    kinds: dict[str, Callable[..., Event]] = {"person": Person, "auction": Auction, "bid": Bid}
    events = [
        kind(*map(plain, row)) for table, kind in kinds.items() for row in tables[table]["rows"]
    ]
    assert Counter(map(type, events)) == {Person: 20, Auction: 40, Bid: 50}
    return sorted(events, key=lambda event: event.time)


def published(query: str) -> list[Row]:
    expected = json.loads((ORACLE / "small_expected.json").read_text())["queries"][query]
    return [tuple(map(plain, row)) for row in expected["rows"]]


def later_by_extra(last: Bid, bid: Bid) -> Bid:
    if bid.time == last.time:
        return min(last, bid, key=lambda each: each.extra)
    return auctions.later(last, bid)


def lower(bid: Bid, best: Bid) -> bool:
    return bid.price < best.price or (bid.price == best.price and bid.time < best.time)


def q6_of_lowest(events: rx.Stream[Event]) -> rx.Stream[Any]:
    """As published: the lowest bids, in the order of their times, and a frame of eleven rows."""
    sales = auctions.closed(events, lower).sort(lambda sale: sale.bid.time)
    return auctions.mean_of_last(sales, 11)


FEW = {1007, 1020, 2001, 2019, 2087}
DEVIATIONS: dict[int, Callable[[rx.Stream[Event]], rx.Stream[Any]]] = {
    2: lambda events: bids.q2(events, FEW.__contains__),
    6: q6_of_lowest,
    18: lambda events: auctions.q18(events, later_by_extra),
}
"""Where the published run was made with other choices than the benchmark's."""

SHAPES: dict[int, Callable[[Row], Row]] = {
    0: lambda row: (*row[:3], row[5]),
    1: lambda row: (*row[:2], float(row[2]), row[3]),
    5: lambda row: row[:2],
    10: lambda row: (*row[:5], datetime.strptime(row[5], "%H:%M").strftime("%I:%M")),
    14: lambda row: (*row[:2], float(row[2]), *row[3:]),
    15: lambda row: (str(row[0]), *row[1:]),
    # What it has for the minute is hour and month: 12 at night, and July.
    16: lambda row: (row[0], str(row[1]), {"00:00": "12:07"}[row[2]], *row[3:]),
    17: lambda row: (row[0], str(row[1]), *row[2:]),
}
"""Which columns the published run has, and how it writes them."""


@needs_oracle
@each_mode
@pytest.mark.parametrize(
    "query", [each for each in ALL if each.number not in (12, 13)], ids=lambda each: each.name
)
def test_the_published_run(query: Query, mode: Mode) -> None:
    pipeline = DEVIATIONS.get(query.number)
    if pipeline is not None:
        chosen = pipeline
        query = Query(query.number, query.title, lambda events, around: chosen(events), query.rows)
    names = {6: "6_group_top1", 11: "11_derived"}
    given = rows_of(query, small_events(), mode)
    shape = SHAPES.get(query.number, lambda row: row)
    expected = published(names.get(query.number, str(query.number)))
    assert difference(map(shape, given), expected) is None


@needs_oracle
@each_mode
async def test_q0_and_q22_keep_the_order_of_the_input(mode: Mode) -> None:
    events = small_events()
    made = [event for event in events if isinstance(event, Bid)]
    source = timed(rx.from_iterable(events))
    assert await bids.q0(source).collect(mode=mode) == made
    urls = await bids.q22(source).collect(mode=mode)
    assert [url[:4] for url in urls] == [bid[:4] for bid in made]


@needs_oracle
@each_mode
async def test_q12_goes_by_the_clock(virtual_time: None, mode: Mode) -> None:
    """Bids that come when they are made, while the clock runs from the first of them."""
    events = small_events()
    begin = events[0].time
    clock = asyncio.get_running_loop().time
    began = clock()

    async def as_they_happen() -> AsyncIterator[Event]:
        for event in events:
            await asyncio.sleep((event.time - begin) / 1000 - (clock() - began))
            yield event

    def now() -> float:
        return begin / 1000 + clock() - began

    source = rx.from_async_iterable(as_they_happen()).assume_bounded()
    given = await windows.q12(source, now).collect(mode=mode)
    made = Counter(
        (event.bidder, event.time - event.time % 10_000)
        for event in events
        if isinstance(event, Bid)
    )
    expected = [(bidder, bids, at, at + 10_000) for (bidder, at), bids in made.items()]
    assert len({at for _, _, at, _ in expected}) == 3
    assert difference(given, expected) is None


@needs_oracle
@each_mode
def test_q13_adds_a_column(mode: Mode) -> None:
    events = small_events()
    made = [event for event in events if isinstance(event, Bid)]
    assert rows_of(QUERIES[13], events, mode) == [
        (bid.auction, bid.bidder, bid.price, bid.time, str(bid.auction)) for bid in made
    ]


@needs_oracle
def test_a_pipeline_that_is_wrong_is_found() -> None:
    """The comparison can fail: the highest bid is not the lowest."""
    given = rows_of(QUERIES[6], small_events(), "stream")
    assert difference(given, published("6_group_top1")) is not None


SITES: dict[str, tuple[Site, int]] = {
    "in order": (Site(), 100_000),
    "a midnight in disorder": (
        Site(seed=2, rate=50, start=datetime(2015, 7, 14, 23, 59, 30, tzinfo=UTC), disorder=50),
        5_000,
    ),
    "a morning": (Site(seed=3, rate=2, start=datetime(2015, 7, 15, 6, 40, tzinfo=UTC)), 3_000),
}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest) -> Iterator[tuple[Sequence[Event], Database]]:
    pytest.importorskip("duckdb")
    chosen, count = SITES[request.param]
    events = list(chosen.events(count))
    database = Database(events)
    yield events, database
    database.close()


@pytest.mark.parametrize("query", ALL, ids=lambda each: each.name)
def test_against_sql(site: tuple[Sequence[Event], Database], query: Query) -> None:
    events, database = site
    expected = database.rows(query.number)
    assert expected
    # Many events in batch: `python -m benchmarks.nexmark --check`.
    for mode in MODES if len(events) <= 10_000 else MODES[:1]:
        assert difference(rows_of(query, events, mode), expected) is None, mode


@each_mode
def test_q7_has_windows_whose_end_counts(mode: Mode) -> None:
    pytest.importorskip("duckdb")

    def bid(auction: int, at: int, price: int) -> Bid:
        return Bid(auction, 0, price, "Apple", "https://www.nexmark.com/a/b/c", at, "")

    events = [
        *(bid(1, 1_000, 500), bid(2, 9_999, 500), bid(3, 10_000, 500), bid(4, 10_000, 400)),
        *(bid(5, 15_000, 700), bid(6, 30_000, 700), bid(7, 31_000, 800)),
        *(bid(8, 40_000, 800), bid(9, 50_000, 800)),
    ]
    database = Database(events)
    given = rows_of(QUERIES[7], events, mode)
    assert [auction for auction, *_ in given] == [1, 2, 5, 3, 7, 8, 8, 9, 9]
    assert difference(given, database.rows(7)) is None
    database.close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", [3, 5, 6, 7, 8, 11, 15, 16, 17, 20])
def test_modes_agree_however_events_arrive(number: int) -> None:
    """For the queries that give each row once."""
    around = Surroundings(Path())
    check_modes(
        lambda events: QUERIES[number].over(events, around),
        list(Site(seed=number, rate=8).events(150)),
        time=lambda event: event.time,
        unit="ms",
        lateness=LATENESS,
        examples=8,
        seed=number,
    )


async def test_q10_gives_a_file_a_minute_after_its_minute(tmp_path: Path) -> None:
    async def live() -> AsyncIterator[Event]:
        for at in (10, 50, 70, 123):
            yield Bid(1, 2, 300, "Apple", "https://www.nexmark.com/a/b/c", at * 1000, "")
        assert not files_in(tmp_path)
        # With the four seconds that the watermark trails, a minute after the end of the first.
        yield Bid(1, 2, 300, "Apple", "https://www.nexmark.com/a/b/c", 124_000, "")
        await asyncio.Event().wait()

    first = tmp_path / "1970-01-01" / "00:00.csv"
    async with bids.q10(rx.from_async_iterable(live()), tmp_path).open() as given:
        assert await anext(aiter(given)) == (first,)
        assert files_in(tmp_path) == [first]
    assert len(first.read_text().splitlines()) == 2


def test_the_command_checks_and_measures(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    page = tmp_path / "page.md"
    for *arguments, expected in (
        ("--check", "q5   Reactive, batch    ok, 5 rows of 2,000 events"),
        ("--rounds", "1", "--page", str(page), "hottest auctions"),
        ("--explain", "aggregate (windows: Sliding(size=10, every=2"),
    ):
        command = [sys.executable, "-m", "benchmarks.nexmark", "5", "--events", "2000", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    written = page.read_text()
    assert "| q5 | hottest auctions, sliding windows |" in written
    exactly = f"`python -m benchmarks.nexmark 5 --events 2000 --rounds 1 --page {page}`"
    assert exactly in written


def test_the_generator_keeps_the_proportions() -> None:
    events = list(Site().events(50_000))
    assert Counter(map(type, events)) == {Person: 1000, Auction: 3000, Bid: 46_000}
    assert [event.id for event in events if isinstance(event, Person)] == list(range(1000, 2000))
    opened = [event for event in events if isinstance(event, Auction)]
    assert [auction.id for auction in opened] == list(range(1000, 4000))
    assert {auction.category for auction in opened} == set(range(10, 15))
    assert [event.time for event in events] == [
        milliseconds("2015-07-15T00:00:00") + number // 10 for number in range(50_000)
    ]


def test_the_generator_has_hot_sellers_auctions_and_bidders() -> None:
    events = list(Site().events(50_000))
    made = [event for event in events if isinstance(event, Bid)]
    opened = [event for event in events if isinstance(event, Auction)]

    def share(hot: Callable[[Any], bool], of: Sequence[Any]) -> float:
        return sum(map(hot, of)) / len(of)

    # Some of the others are the hot ones by chance.
    assert 0.74 < share(lambda auction: auction.seller % 100 == 0, opened) < 0.78
    assert 0.49 < share(lambda bid: bid.auction % 100 == 0, made) < 0.52
    assert 0.74 < share(lambda bid: bid.bidder % 100 == 1, made) < 0.77
    assert 0.49 < share(lambda bid: not bid.channel.startswith("channel-"), made) < 0.51
    assert min(bid.bidder for bid in made) >= 2000
    prices = sorted(bid.price for bid in made)
    assert prices[0] >= 100
    assert prices[-1] <= 100_000_000
    # Evenly over the logarithms: the middle one of 100 to 100,000,000 is 100,000.
    assert 90_000 < prices[len(prices) // 2] < 110_000


def test_the_generator_makes_the_same_events_of_a_seed() -> None:
    assert list(Site(seed=5).events(500)) == list(Site(seed=5).events(500))
    assert list(Site(seed=5).events(500)) != list(Site(seed=6).events(500))


def test_events_in_disorder_are_the_same_moments() -> None:
    orderly = [event.time for event in Site(rate=1000).events(1000)]
    disorderly = [event.time for event in Site(rate=1000, disorder=100).events(1000)]
    assert disorderly != orderly
    assert sorted(disorderly) == orderly
    assert all(
        sorted(disorderly[at : at + 100]) == orderly[at : at + 100] for at in range(0, 1000, 100)
    )
