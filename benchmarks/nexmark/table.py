"""What was measured, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from statistics import geometric_mean

from benchmarks.nexmark.measuring import Measured


def _header(measured: Measured) -> list[str]:
    header = ["query", "", *(f"{name}, events/s" for name in _ours(measured))]
    for peer in _peers(measured):
        header += [f"{peer}, events/s", f"{_first(measured)} / {peer}"]
    return header


def _ours(measured: Measured) -> list[str]:
    return [each.name for each in measured.contestants if each.ours]


def _first(measured: Measured) -> str:
    return _ours(measured)[0]


def _peers(measured: Measured) -> list[str]:
    return [each.name for each in measured.contestants if not each.ours]


def _lines(measured: Measured) -> list[list[str]]:
    lines = []
    for query in measured.queries:
        samples = measured.samples[query.number]
        line = [query.name, query.title]
        line += [_rate(samples.median(name)) for name in _ours(measured)]
        for peer in _peers(measured):
            ratio = samples.ratio(peer, _first(measured))
            line += [_rate(samples.median(peer)), "" if ratio is None else f"{ratio:.1f}x"]
        lines.append(line)
    return lines


def _rate(seconds: float | None) -> str:
    return "" if seconds is None else f"{1 / seconds:,.0f}"


def summary(measured: Measured) -> list[str]:
    """Whether every query beats those of each peer, in each mode."""
    lines = []
    for ours, peer in product(_ours(measured), _peers(measured)):
        ratios = {
            query.name: ratio
            for query in measured.queries
            if (ratio := measured.samples[query.number].ratio(peer, ours)) is not None
        }
        if not ratios:
            continue
        slower = [name for name, ratio in ratios.items() if ratio < 1]
        lines.append(
            f"{ours} against {peer}: {len(ratios)} queries, "
            f"{min(ratios.values()):.1f}x to {max(ratios.values()):.1f}x as fast, "
            f"geometric mean {geometric_mean(ratios.values()):.1f}x"
            + (f"; slower in {', '.join(slower)}" if slower else "")
        )
    return lines


def _sizes(measured: Measured) -> str:
    parts = [f"{measured.events:,} events"]
    for peer in _peers(measured):
        found = [samples.median(peer, "events") for samples in measured.samples.values()]
        counts = [int(count) for count in found if count is not None]
        if counts:
            parts.append(f"{peer} over {min(counts):,} to {max(counts):,} of them")
    return "; ".join([*parts, _rounds(measured.rounds)])


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"medians of {count} rounds"


def text(measured: Measured) -> str:
    """For a terminal."""
    table = [_header(measured), *_lines(measured)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [_padded(row, widths) for row in table]
    return "\n".join([*lines, "", _sizes(measured), *summary(measured)])


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    first = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    rest = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(first + rest).rstrip()


_PAGE = """\
# Nexmark

The queries of [Nexmark](https://github.com/nexmark/nexmark), of an auction site where persons
register, auctions are opened and bids are made, as pipelines: they are in `benchmarks/nexmark/`, in
`bids.py`, `windows.py` and `auctions.py`, a function for each. Their rows are held against a
published run and against SQL over the same events, in DuckDB, in stream and in batch mode:

    python -m benchmarks.nexmark --check --events 1000000
    python -m benchmarks.nexmark --check --peers --rate 1000

The events are made by the rules of the public generator: of 50 events 1 is a person, 3 are auctions
and 46 are bids, and some sellers, auctions and bidders are hot. They are in memory when the clock
starts, and results are let go as soon as they are there, by every library: a list of them would be
looked through for garbage again and again. A peer gets as many of the events as it takes in about a
second. Updating queries (4, 9, 18, 19) give every change of a row as a stream and with bytewax;
Beam gives the last one.
"""

_NOTES = """\
What is left empty cannot be said in the library's own terms. bytewax has no timers of event time
outside of windows, which the order of closing auctions in q6 is. Beam's sinks do not commit by the
watermark, as q10 asks, and its local runner has no windows of processing time (q12). In q7, where a
window includes its end, both leave the end out.

Where a query only makes a row of each bid (q1, q21, q22), most of the time is in that function, the
same for all. A program that keeps a million rows pays about as much again for garbage collection,
with any library: kept in a list, q22 is about even with bytewax.
"""


def page(measured: Measured, about: dict[str, str], command: str) -> str:
    """The page of the site, made by this command."""
    header = _header(measured)
    lines = [f"| {' | '.join(header)} |", "| --- | --- |" + " ---: |" * (len(header) - 2)]
    lines += [f"| {' | '.join(line)} |" for line in _lines(measured)]
    facts = [f"- {line}." for line in [_sizes(measured), *summary(measured)]]
    versions = ", ".join(f"{name} {value}" for name, value in about.items())
    made = f"Measured with {versions}, by `{command}`."
    return "\n".join([_PAGE, *lines, "", *facts, "", _NOTES, made, ""])
