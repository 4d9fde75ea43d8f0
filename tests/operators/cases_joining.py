"""Cases of `operators/joining.py`, `tables.py` and `enriching.py` for the tests of every
operator."""

from __future__ import annotations

from typing import Any

from cases import (
    Build,
    Case,
    fail,
    fail_later,
    fail_on_nine_later,
    same_later,
    slower_for_less,
)

import reactive as rx


def keyed(stream: rx.Stream[Any]) -> rx.KeyedStream[Any, Any]:
    return stream.key_by(lambda x: x % 2)


def table(stream: rx.Stream[Any], **options: Any) -> rx.Table[Any, Any]:
    return keyed(stream).table(**options)


def by_type(stream: rx.Stream[Any]) -> rx.KeyedStream[Any, Any]:
    return stream.assume_bounded().key_by(type)


def timed(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    """What comes is in order, so that nothing is late."""
    return stream.enumerate().event_time(lambda pair: pair[0]).map(lambda pair: pair[1])


def never_idle(build: Build) -> Case:
    """Where one input is idle and the other goes on, what the first then gives may be late."""
    return Case(build, skip=("signals",))


LATE = rx.SideOutput[Any]("late")

LAWS: dict[str, Build | Case] = {
    "join over all time": lambda s: keyed(s.assume_bounded()).join(
        keyed(s.assume_bounded().map(lambda x: x + 1)), how="full"
    ),
    "join in windows": never_idle(
        lambda s: keyed(timed(s)).join(
            keyed(timed(s.map(lambda x: x + 1))), window=rx.Tumbling(2), how="left"
        )
    ),
    "join in sliding windows": never_idle(
        lambda s: keyed(timed(s)).join(
            keyed(timed(s).skip(2)), window=rx.Sliding(4, 2), how="right", allowed_lateness=1
        )
    ),
    "join in sessions": never_idle(
        lambda s: keyed(timed(s)).join(
            keyed(timed(s).filter(lambda x: x != 1)), window=rx.Session(1.5), how="full"
        )
    ),
    "cogroup": never_idle(
        lambda s: keyed(timed(s)).cogroup(keyed(timed(s)), window=rx.Tumbling(3))
    ),
    # Pairs come as soon as both are there.
    "interval_join": Case(
        lambda s: keyed(timed(s)).interval_join(keyed(timed(s)), before=1, after=2, how="full"),
        ordered=False,
        readahead=8,
    ),
    "lookup": lambda s: keyed(s).lookup(table(rx.of(7)), how="left"),
    "lookup as of event time": never_idle(
        lambda s: keyed(timed(s)).lookup(table(timed(s), limit=5), as_of="event time")
    ),
    "lookup as of event time, what is deleted": never_idle(
        lambda s: keyed(timed(s)).lookup(
            table(timed(s), deleted=lambda x: x == 1), as_of="event time", how="left"
        )
    ),
    # Which rows there are on the way depends on what is there together.
    "join of tables": Case(
        lambda s: table(s).join(table(s, limit=1), how="full"),
        skip=("chunking", "signals", "snapshot"),
        readahead=8,
    ),
    "enrich": Case(lambda s: s.enrich(same_later), readahead=8),
    "enrich from a cache": Case(
        lambda s: s.enrich(same_later, key=lambda x: x % 3, concurrency=2, cache=rx.Cache(2)),
        readahead=8,
    ),
    "enrich, with a time limit": Case(
        lambda s: s.enrich(slower_for_less, timeout=0.3, on_error="skip"), readahead=8
    ),
    "enrich, again": Case(
        lambda s: s.enrich(
            fail_on_nine_later, retry=1, retry_on=LookupError, on_error=rx.replace(0)
        ),
        readahead=8,
    ),
    "join, what is late": never_idle(
        lambda s: keyed(timed(s)).join(
            keyed(timed(s)), window=rx.Tumbling(2), allowed_lateness=1, late=LATE
        )
    ),
    "cogroup, what is late": never_idle(
        lambda s: keyed(timed(s)).cogroup(
            keyed(timed(s)), window=rx.Tumbling(3), allowed_lateness=1, late=LATE
        )
    ),
    "interval_join, what is late": Case(
        lambda s: keyed(timed(s)).interval_join(keyed(timed(s)), before=1, late=LATE),
        ordered=False,
        readahead=8,
    ),
    "lookup as of event time, what is late": never_idle(
        lambda s: keyed(timed(s)).lookup(
            table(timed(s)), as_of="event time", allowed_lateness=1, buffer=4, late=LATE
        )
    ),
}

RULES: dict[str, Build] = {
    "key_by, join": lambda s: by_type(s).join(by_type(rx.empty()), how="left").map(len),
    "key_by, join with itself": lambda s: by_type(s).join(by_type(s)).map(len),
    "key_by, cogroup": lambda s: by_type(s).cogroup(by_type(rx.empty())).map(len),
    "key_by, interval_join": lambda s: (
        by_type(timed(s)).interval_join(by_type(timed(rx.empty())), how="left").map(len)
    ),
    "key_by, lookup": lambda s: by_type(s).lookup(by_type(rx.empty()).table(), how="left"),
    "key_by, lookup as of event time": lambda s: by_type(timed(s)).lookup(
        by_type(timed(s)).table(), how="left", as_of="event time"
    ),
    "key_by, join of tables": lambda s: (
        by_type(s).table().join(by_type(rx.empty()).table(), how="left")
    ),
    "enrich": lambda s: s.enrich(same_later, key=type, cache=rx.Cache()),
}

CALLBACKS: dict[str, Build] = {
    "the key of join": lambda s: s.key_by(fail).join(by_type(s)),
    "the other key of cogroup": lambda s: by_type(s).cogroup(s.key_by(fail)),
    "the key of interval_join": lambda s: timed(s).key_by(fail).interval_join(by_type(timed(s))),
    "the key of lookup": lambda s: s.key_by(fail).lookup(by_type(s).table()),
    "the key of lookup as of event time": lambda s: (
        timed(s).key_by(fail).lookup(by_type(timed(s)).table(), as_of="event time")
    ),
    "the deleted of a table": lambda s: by_type(s).lookup(by_type(s).table(deleted=fail)),
    "the key of a join of tables": lambda s: by_type(s).table().join(s.key_by(fail).table()),
    "enrich": lambda s: s.enrich(fail_later),
    "the key of enrich": lambda s: s.enrich(same_later, key=fail),
}
