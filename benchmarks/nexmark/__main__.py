"""The command: `python -m benchmarks.nexmark`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from benchmarks.nexmark.contestants import BATCH, CONTESTANTS, STREAM, Contestant
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.generator import START, Site
from benchmarks.nexmark.measuring import Measured, check, measure
from benchmarks.nexmark.queries import ALL, QUERIES, Query
from benchmarks.nexmark.table import page, text
from benchmarks.report import machine

_ABOUT = """\
Runs the queries of Nexmark, of an auction site where persons register, auctions are opened and
bids are made, and prints how many events a second each gets through; --check holds their rows
against those of SQL over the same events instead, in DuckDB.
"""

_EXAMPLES = """\
for example:
  python -m benchmarks.nexmark                          every query, stream and batch
  python -m benchmarks.nexmark 5 11 --mode stream       two of them, one mode
  python -m benchmarks.nexmark --check                  are the results right?
  python -m benchmarks.nexmark --check --disorder 50    and with events out of order?
  python -m benchmarks.nexmark --peers --rounds 5       beside bytewax and Apache Beam
  python -m benchmarks.nexmark --explain 5              what runs, and what it holds

The exit status is 0 unless something fails or, with --check, rows differ. Times do not change it.
The queries are in benchmarks/nexmark/: bids.py, windows.py and auctions.py. Every contestant has a
process of its own; they take turns, and printed are medians of the rounds. A peer gets as
many of the events as it takes in about a second. The peers and DuckDB are in
benchmarks/requirements.txt; what is not installed is left out, and said so. Apache Beam has no
order among bids of one moment: --check --peers --rate 1000 makes none.
"""


def _arguments() -> argparse.Namespace:
    titles = "\n".join(f"  {query.number:>2}  {query.title}" for query in ALL)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nexmark",
        description=f"{_ABOUT}\nqueries:\n{titles}",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "queries",
        nargs="*",
        type=int,
        metavar="QUERY",
        help="the numbers of the queries to run (default: all)",
    )
    parser.add_argument(
        "--events", type=int, default=100_000, metavar="N", help="how many (default: 100,000)"
    )
    parser.add_argument(
        "--mode",
        choices=("stream", "batch", "both"),
        default="both",
        help="how Reactive runs them (default: both)",
    )
    parser.add_argument("--check", action="store_true", help="compare with SQL, do not time")
    parser.add_argument("--peers", action="store_true", help="the other libraries too")
    parser.add_argument("--explain", action="store_true", help="print the plans, run nothing")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: count processor time, for a machine busy with other work",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="which events (default: 1)"
    )
    parser.add_argument(
        "--rate",
        type=int,
        default=10_000,
        metavar="N",
        help="events a second of event time (default: 10,000)",
    )
    parser.add_argument(
        "--disorder",
        type=int,
        default=1,
        metavar="N",
        help="mix up the order within groups of N events (default: 1, in order)",
    )
    parser.add_argument(
        "--start",
        type=datetime.fromisoformat,
        default=START,
        metavar="TIME",
        help="when the first event happens, such as 2015-07-14T23:59:00+00:00",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="PATH",
        help="write the page of the site, anew after each round",
    )
    arguments = parser.parse_args()
    for number in arguments.queries:
        if number not in QUERIES:
            parser.error(f"there is no query {number}; they are 0 to {max(QUERIES)}")
    for name in ("events", "rounds", "rate", "disorder"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if arguments.start.tzinfo is None:
        parser.error("--start needs a time zone, such as 2015-07-14T23:59:00+00:00")
    return arguments


def _say(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def _contestants(arguments: argparse.Namespace) -> list[Contestant]:
    left_out = {"stream": {BATCH}, "batch": {STREAM}, "both": set()}[arguments.mode]
    chosen = []
    for contestant in CONTESTANTS:
        if contestant.name in left_out or not (contestant.ours or arguments.peers):
            continue
        if not contestant.installed:
            print(f"{contestant.name} is not installed: left out", file=sys.stderr)
            continue
        chosen.append(contestant)
    return chosen


def _check(
    queries: Sequence[Query], events: Sequence[Event], contestants: Sequence[Contestant]
) -> bool:
    if find_spec("duckdb") is None:
        print("--check needs DuckDB: pip install duckdb", file=sys.stderr)
        return False
    fine = True
    for checked in check(queries, events, contestants, _say):
        _say("")
        what = checked.complaint or f"ok, {checked.rows:,} rows of {checked.events:,} events"
        print(f"{checked.query.name:4} {checked.contestant.name:18} {what}", flush=True)
        fine = fine and checked.complaint is None
    return fine


def _time(
    queries: Sequence[Query],
    events: Sequence[Event],
    contestants: Sequence[Contestant],
    arguments: argparse.Namespace,
) -> bool:
    about = machine("asyncio", arguments.clock)
    command = f"python -m benchmarks.nexmark {shlex.join(sys.argv[1:])}"
    measured: Measured | None = None
    for measured in measure(queries, events, contestants, arguments.rounds, arguments.clock, _say):
        if arguments.page is not None:
            arguments.page.write_text(page(measured, about, command))
    _say("")
    assert measured is not None
    print(text(measured))
    for name, failure in measured.failures.items():
        print(f"FAILED {name}:\n{failure}", file=sys.stderr)
    return not measured.failures


def main() -> int:
    """Run what was asked for."""
    arguments = _arguments()
    queries = [QUERIES[number] for number in arguments.queries] or list(ALL)
    if arguments.explain:
        from benchmarks.nexmark.explaining import explain

        for query in queries:
            print(explain(query, arguments.mode))
        return 0
    contestants = _contestants(arguments)
    site = Site(arguments.seed, arguments.rate, arguments.start, arguments.disorder)
    _say(f"making {arguments.events:,} events")
    events = list(site.events(arguments.events))
    if arguments.check:
        return 0 if _check(queries, events, contestants) else 1
    return 0 if _time(queries, events, contestants, arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
