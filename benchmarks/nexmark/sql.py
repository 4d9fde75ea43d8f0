"""The queries in SQL, and DuckDB to run them over the same events.

Tables `person`, `auction` and `bid` have the fields of the events, and `n`, the number of the
event in the stream, by which ties are broken as the pipelines do. Times are milliseconds.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.nexmark.events import Auction, Bid, Event, Person

BIDS_A_SECOND = 1_000
"""At this rate bids come by the clock of q12, in the check."""

TABLES = {
    "person": (
        Person,
        "id BIGINT, name VARCHAR, email VARCHAR, credit_card VARCHAR, city VARCHAR, "
        "state VARCHAR, time BIGINT, extra VARCHAR",
    ),
    "auction": (
        Auction,
        "id BIGINT, item VARCHAR, description VARCHAR, initial_bid BIGINT, reserve BIGINT, "
        "time BIGINT, expires BIGINT, seller BIGINT, category BIGINT, extra VARCHAR",
    ),
    "bid": (
        Bid,
        "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, "
        "time BIGINT, extra VARCHAR",
    ),
}

EURO = "CAST(price AS DECIMAL(18, 0)) * 0.908"
DAY = "CAST(epoch_ms(time) AS DATE)"
WON = """
    SELECT a.id, a.item, a.description, a.initial_bid, a.reserve, a.time, a.expires, a.seller,
           a.category, b.auction, b.bidder, b.price, b.time AS bid_time
    FROM auction a JOIN bid b ON a.id = b.auction AND b.time BETWEEN a.time AND a.expires
    QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.time, b.n) = 1
"""


def _bands(what: str) -> str:
    """An aggregate over all bids, and over those of each band of prices."""
    bands = ("price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000")
    return ", ".join([what, *(f"{what} FILTER ({band})" for band in bands)])


COUNTS = ", ".join(map(_bands, ("count(*)", "count(DISTINCT bidder)", "count(DISTINCT auction)")))

SQL = {
    0: "SELECT auction, bidder, price, channel, url, time, extra FROM bid",
    1: f"SELECT auction, bidder, {EURO}, time FROM bid",
    2: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    3: """
        SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
    """,
    4: f"SELECT category, avg(price) FROM ({WON}) GROUP BY category",
    5: """
        WITH hops AS (
            SELECT auction, unnest(range(time - time % 2000 - 8000, time + 1, 2000)) AS start
            FROM bid
        ), counts AS (
            SELECT auction, start, count(*) AS bids FROM hops GROUP BY auction, start
        )
        SELECT auction, bids, start, start + 10000 FROM counts
        QUALIFY bids = max(bids) OVER (PARTITION BY start)
    """,
    6: f"""
        SELECT seller, avg(price) OVER (
            PARTITION BY seller ORDER BY expires, id % 1000
            ROWS BETWEEN 9 PRECEDING AND CURRENT ROW
        ) FROM ({WON})
    """,
    7: """
        WITH highest AS (
            SELECT max(price) AS price, time - time % 10000 + 10000 AS till FROM bid GROUP BY till
        )
        SELECT b.auction, b.price, b.bidder, b.time FROM bid b
        JOIN highest h ON b.price = h.price AND b.time BETWEEN h.till - 10000 AND h.till
    """,
    8: """
        SELECT DISTINCT p.id, p.name, p.time - p.time % 10000
        FROM person p JOIN auction a ON a.seller = p.id AND p.time // 10000 = a.time // 10000
    """,
    9: WON,
    10: """
        SELECT auction, bidder, price, time, strftime(epoch_ms(time), '%Y-%m-%d'),
               strftime(epoch_ms(time), '%H:%M')
        FROM bid
    """,
    11: """
        WITH marked AS (
            SELECT bidder, time, coalesce(time - lag(time) OVER w >= 10000, true)::INT AS fresh
            FROM bid WINDOW w AS (PARTITION BY bidder ORDER BY time)
        ), numbered AS (
            SELECT bidder, time, sum(fresh) OVER (
                PARTITION BY bidder ORDER BY time ROWS UNBOUNDED PRECEDING
            ) AS session
            FROM marked
        )
        SELECT bidder, count(*), min(time), max(time) + 10000 FROM numbered
        GROUP BY bidder, session
    """,
    12: f"""
        WITH arrived AS (
            SELECT bidder, (row_number() OVER (ORDER BY n) - 1) * 1000 // {BIDS_A_SECOND} AS came
            FROM bid
        )
        SELECT bidder, count(*), came // 10000 * 10000 AS start, start + 10000 FROM arrived
        GROUP BY bidder, start
    """,
    13: """
        WITH side AS (SELECT range AS key, CAST(range AS VARCHAR) AS value FROM range(10000))
        SELECT auction, bidder, price, time, value FROM bid JOIN side ON auction % 10000 = key
    """,
    14: f"""
        SELECT auction, bidder, {EURO} AS euros,
            CASE WHEN hour(epoch_ms(time)) BETWEEN 8 AND 18 THEN 'dayTime'
                WHEN hour(epoch_ms(time)) <= 6 OR hour(epoch_ms(time)) >= 20 THEN 'nightTime'
                ELSE 'otherTime' END,
            time, length(extra) - length(replace(extra, 'c', ''))
        FROM bid WHERE euros > 1000000 AND euros < 50000000
    """,
    15: f"SELECT {DAY} AS day, {COUNTS} FROM bid GROUP BY day",
    16: f"""
        SELECT channel, {DAY} AS day, max(strftime(epoch_ms(time), '%H:%M')), {COUNTS}
        FROM bid GROUP BY channel, day
    """,
    17: f"""
        SELECT auction, {DAY} AS day, {_bands("count(*)")}, min(price), max(price), avg(price),
               CAST(sum(price) AS BIGINT)
        FROM bid GROUP BY auction, day
    """,
    18: """
        SELECT auction, bidder, price, channel, url, time, extra FROM bid
        QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY time DESC, n DESC) = 1
    """,
    19: """
        SELECT auction, bidder, price, channel, url, time, extra,
               row_number() OVER (PARTITION BY auction ORDER BY price DESC, time, n) AS rank
        FROM bid QUALIFY rank <= 10
    """,
    20: """
        SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.time, b.extra, a.item,
               a.description, a.initial_bid, a.reserve, a.time, a.expires, a.seller, a.category,
               a.extra
        FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10
    """,
    21: """
        SELECT auction, bidder, price, channel, CASE lower(channel)
            WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
            WHEN 'baidu' THEN '3'
            ELSE nullif(regexp_extract(url, '&channel_id=([^&]*)', 1), '') END AS id
        FROM bid WHERE id IS NOT NULL
    """,
    22: """
        SELECT auction, bidder, price, channel, split_part(url, '/', 4), split_part(url, '/', 5),
               split_part(url, '/', 6)
        FROM bid
    """,
}


class Database:
    """The events in DuckDB, in memory."""

    def __init__(self, events: Iterable[Event]) -> None:
        import duckdb

        self._connection = duckdb.connect()
        with tempfile.TemporaryDirectory() as folder:
            self._load(events, Path(folder))

    def _load(self, events: Iterable[Event], folder: Path) -> None:
        rows: dict[type, list[tuple[Any, ...]]] = {kind: [] for kind, _ in TABLES.values()}
        for number, event in enumerate(events):
            rows[type(event)].append((number, *event))
        for table, (kind, columns) in TABLES.items():
            self._connection.execute(f"CREATE TABLE {table} (n BIGINT, {columns})")
            if not rows[kind]:
                continue
            path = folder / f"{table}.csv"
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows[kind])
            how = "FORMAT csv, HEADER false, AUTO_DETECT false, DELIM ',', QUOTE '\"', ESCAPE '\"'"
            self._connection.execute(f"COPY {table} FROM '{path}' ({how})")

    def rows(self, query: int) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self._connection.execute(SQL[query]).fetchall()

    def close(self) -> None:
        """Forget the events."""
        self._connection.close()
