"""Cases of `operators/combining.py` and `operators/pairing.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "concat": lambda s: s.concat(rx.of(7, 8)),
    "concat after another": lambda s: rx.of(7, 8).concat(s),
    "start_with": lambda s: s.start_with(7, 8),
    "end_with": lambda s: s.end_with(7, 8),
    "merge": Case(lambda s: s.merge(rx.of(100, 200)), ordered=False, readahead=8),
    "merge with itself": Case(lambda s: s.merge(s.map(str)), ordered=False, readahead=8),
    "merge by priorities": Case(
        lambda s: s.merge(s.map(str), priorities=[0, 1]), ordered=False, readahead=8
    ),
    "interleave": lambda s: s.interleave(rx.of(7, 8)),
    "interleave with itself": lambda s: s.interleave(s.map(str), s.take(2), count=2),
    "race": lambda s: s.race(rx.never()),
    "merge_sorted": lambda s: s.scan(max).merge_sorted(rx.of(2, 4, 4, 10)),
    "merge_sorted with itself": lambda s: s.enumerate().merge_sorted(
        s.enumerate(2), key=lambda pair: pair[0]
    ),
    "merge_sorted out of order": lambda s: s.merge_sorted(rx.of(2, 4), key=lambda x: x),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s.map(str)),
    "zip_longest": lambda s: s.zip_longest(rx.of(7), rx.range(10), fill=0),
    "zip_longest with itself": lambda s: s.zip_longest(s.map(str), s.take(2)),
    "combine_latest": lambda s: rx.of(7).combine_latest(s),
    # What comes with which depends on what is there together.
    "combine_latest with itself": Case(
        lambda s: s.combine_latest(s.map(str)),
        skip=("chunking", "signals", "snapshot"),
        readahead=8,
    ),
    "with_latest_from": lambda s: s.with_latest_from(rx.of(7)),
    "fork_join": lambda s: s.fork_join(rx.of(7)),
    "fork_join with itself": lambda s: s.fork_join(s.map(str)),
    "sequence_equal": lambda s: s.sequence_equal(rx.of(3, 1, 1, 4, 1, 5, 9, 2)),
    "sequence_equal with itself": lambda s: s.sequence_equal(s),
    "sequence_equal, not": lambda s: s.sequence_equal(rx.of(3, 1, 2)),
    "zip, strictly": lambda s: s.zip(s.map(str), strict=True),
    "zip, strictly, with too few": lambda s: s.zip(rx.range(3), strict=True),
}

RULES: dict[str, Build] = {
    "merge": lambda s: s.merge(rx.empty()),
    "merge, priorities": lambda s: s.merge(rx.empty(), priorities=[1, 2]),
    "concat": lambda s: s.concat(rx.empty()),
    "interleave": lambda s: s.interleave(rx.empty()),
    "race": lambda s: s.race(rx.never()),
    "merge_sorted": lambda s: s.merge_sorted(rx.empty(), key=lambda x: 0),
    "start_with": lambda s: s.start_with(),
    "end_with": lambda s: s.end_with(0),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s),
    "zip_longest": lambda s: s.zip_longest(rx.of(0)),
    "combine_latest": lambda s: s.combine_latest(rx.of(0)),
    "with_latest_from": lambda s: s.with_latest_from(rx.of(0)),
    "fork_join": lambda s: s.fork_join(rx.of(0)),
    "sequence_equal": lambda s: s.sequence_equal(rx.empty()),
}

CALLBACKS: dict[str, Build] = {
    "defer": lambda s: s.concat(rx.defer(fail)),
    "the items of a side branch": lambda s: s.merge(s.map(fail)),
    "the other of zip": lambda s: rx.of(1, 2).zip(s.map(fail)),
    "merge_sorted": lambda s: s.merge_sorted(rx.of(1), key=fail),
    "the other of sequence_equal": lambda s: rx.of(1).sequence_equal(s.map(fail)),
}
