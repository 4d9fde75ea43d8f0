"""Makes the events, by the rules of the public generator, but the same for the same seed.

The rules are those of `GeneratorConfig`, `NexmarkConfiguration` and the `*Generator` classes of
https://github.com/nexmark/nexmark (Apache-2.0). There the random numbers have no seed; here every
choice comes from one, so that two runs, or two libraries, see the same events.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.nexmark.events import Auction, Bid, Event, Person

PERSONS, AUCTIONS, BIDS = 1, 3, 46
"""Of so many events in a row."""
EPOCH = PERSONS + AUCTIONS + BIDS

FIRST_ID = 1000
FIRST_CATEGORY, CATEGORIES = 10, 5
ACTIVE_PERSONS, PERSONS_AHEAD = 1000, 10
"""From how many of the last persons sellers and bidders come, and how many are yet to register."""
AUCTIONS_BACK, AUCTIONS_AHEAD = 100, 10
HOT_EVERY = 100
"""One in so many persons and auctions is the hot one of its time."""
COLD_SELLER = COLD_BIDDER = 1 / 4
COLD_AUCTION = 1 / 2
COLD_CHANNEL = 1 / 2
CHANNELS = 10_000
PERSON_SIZE, AUCTION_SIZE, BID_SIZE = 200, 500, 100
"""Average bytes, to which `extra` fills up."""

START = datetime(2015, 7, 15, tzinfo=UTC)
HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")
STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
CITIES = (
    *("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland"),
    *("Bend", "Redmond", "Seattle", "Kent", "Cheyenne"),
)
FIRST_NAMES = (
    *(
        "Peter",
        "Paul",
        "Luke",
        "John",
        "Saul",
        "Vicky",
        "Kate",
        "Julie",
        "Sarah",
        "Deiter",
        "Walter",
    ),
)
LAST_NAMES = (
    "Shultz",
    "Abrams",
    "Spencer",
    "White",
    "Bartels",
    "Walton",
    "Smith",
    "Jones",
    "Noris",
)


@dataclass(frozen=True, slots=True)
class Site:
    """Which events happen: as many a second of event time as `rate`, from `start` on, and within
    groups of `disorder` events in another order (1: in order)."""

    seed: int = 1
    rate: int = 10_000
    start: datetime = START
    disorder: int = 1

    def events(self, count: int) -> Iterator[Event]:
        """So many of them."""
        return _Generator(self).events(count)


class _Generator:
    def __init__(self, site: Site) -> None:
        self._rate = site.rate
        self._start = int(site.start.timestamp()) * 1000
        self._disorder = site.disorder
        self._chance = random.Random(site.seed)
        # Slices of a long text are as good as new ones, and cost a hundredth.
        self._text = "".join(self._chance.choices(string.ascii_lowercase + " ", k=65_536))
        self._channels = [self._channel(number) for number in range(CHANNELS)]
        self._hot = [(name, self._url()) for name in HOT_CHANNELS]

    def events(self, count: int) -> Iterator[Event]:
        size = self._disorder
        for number in range(count):
            base = number - number % size
            moved = base + (number * 953) % size
            yield self._event(moved, self._time(moved))

    def _event(self, number: int, time: int) -> Event:
        rest = number % EPOCH
        if rest < PERSONS:
            return self._person(number, time)
        if rest < PERSONS + AUCTIONS:
            return self._auction(number, time)
        return self._bid(number, time)

    def _time(self, number: int) -> int:
        return self._start + number * 1000 // self._rate

    def _person(self, number: int, time: int) -> Person:
        chance = self._chance
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        email = f"{self._words(3, 7)}@{self._words(3, 5)}.com"
        card = " ".join(f"{chance.randrange(10_000):04}" for _ in range(4))
        city, state = chance.choice(CITIES), chance.choice(STATES)
        name = f"{first} {last}"
        used = 8 + len(name) + len(email) + len(card) + len(city) + len(state)
        extra = self._extra(used, PERSON_SIZE)
        return Person(_last_person(number), name, email, card, city, state, time, extra)

    def _auction(self, number: int, time: int) -> Auction:
        chance = self._chance
        seller = self._hot_or_any(number, COLD_SELLER, 0)
        item, description = self._words(3, 20), self._words(3, 100)
        initial = self._price()
        # As long as it takes until so many auctions have been opened after this one.
        until = self._time(number + AUCTIONS_BACK * EPOCH // AUCTIONS) - time
        expires = time + 1 + chance.randrange(max(2 * until, 1))
        return Auction(
            _last_auction(number),
            item,
            description,
            initial,
            initial + self._price(),
            time,
            expires,
            seller,
            FIRST_CATEGORY + chance.randrange(CATEGORIES),
            self._extra(48 + len(item) + len(description), AUCTION_SIZE),
        )

    def _bid(self, number: int, time: int) -> Bid:
        chance = self._chance
        last = _last_auction(number)
        if chance.random() < COLD_AUCTION:
            low = max(last - AUCTIONS_BACK, FIRST_ID)
            auction = low + chance.randrange(last - low + 1 + AUCTIONS_AHEAD)
        else:
            auction = max(last - (last - FIRST_ID) % HOT_EVERY, FIRST_ID)
        # The public generator adds the first id twice, so that bidders are nobody who registered
        # lately; kept, since results depend on it.
        bidder = FIRST_ID + self._hot_or_any(number, COLD_BIDDER, 1)
        if chance.random() < COLD_CHANNEL:
            channel, url = chance.choice(self._channels)
        else:
            channel, url = chance.choice(self._hot)
        extra = self._extra(32, BID_SIZE)
        return Bid(auction, bidder, self._price(), channel, url, time, extra)

    def _hot_or_any(self, number: int, cold: float, which: int) -> int:
        """The id of a person: a hot one, or any of those active."""
        chance = self._chance
        last = _last_person(number) - FIRST_ID
        if chance.random() >= cold:
            return FIRST_ID + last - last % HOT_EVERY + which
        active = min(last, ACTIVE_PERSONS)
        return FIRST_ID + last - active + chance.randrange(active + PERSONS_AHEAD)

    def _price(self) -> int:
        return round(10 ** (6 * self._chance.random()) * 100)

    def _channel(self, number: int) -> tuple[str, str]:
        url = self._url()
        if self._chance.random() < 0.9:
            url += f"&channel_id={self._chance.randrange(2**30)}"
        return f"channel-{number}", url

    def _url(self) -> str:
        parts = "/".join(self._words(3, 5).replace(" ", "_") for _ in range(3))
        return f"https://www.nexmark.com/{parts}/item.htm?query=1"

    def _words(self, least: int, most: int) -> str:
        return self._slice(self._chance.randint(least, most))

    def _extra(self, used: int, size: int) -> str:
        """Text that brings an event to about `size` bytes."""
        missing = max(size - used, 0)
        # By a fifth more or less, as there.
        spread = missing // 5
        return self._slice(missing + self._chance.randint(-spread, spread))

    def _slice(self, length: int) -> str:
        start = int(self._chance.random() * (len(self._text) - length))
        return self._text[start : start + length]


def _last_person(number: int) -> int:
    """The id of the person of an event, or of the last one before it."""
    return FIRST_ID + number // EPOCH


def _last_auction(number: int) -> int:
    """The id of the auction of an event, or of the last one before it."""
    epoch, offset = divmod(number, EPOCH)
    if offset < PERSONS:
        return FIRST_ID + epoch * AUCTIONS - 1
    return FIRST_ID + epoch * AUCTIONS + min(offset - PERSONS, AUCTIONS - 1)
