"""Cases of `operators/mapping.py` for the tests of every operator."""

from __future__ import annotations

from cases import (
    BAD,
    Build,
    Case,
    add_one,
    fail,
    fail_later,
    fail_on_nine,
    fail_on_nine_later,
    same_later,
    slower_for_less,
)

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "map": lambda s: s.map(lambda x: x + 1),
    "map that fails": lambda s: s.map(fail_on_nine),
    "map, skipping errors": lambda s: s.map(fail_on_nine, on_error="skip"),
    "map, replacing errors": lambda s: s.map(fail_on_nine, on_error=rx.replace(0)),
    "map to a side output": lambda s: s.map(fail_on_nine, on_error=BAD),
    "map, awaited": lambda s: s.map(add_one),
    "map, awaited, that fails": lambda s: s.map(fail_on_nine_later),
    "map, three at a time": Case(lambda s: s.map(slower_for_less, concurrency=3), readahead=8),
    "map, three at a time, that fails": Case(
        lambda s: s.map(fail_on_nine_later, concurrency=3), readahead=8
    ),
    "map, by key": Case(
        lambda s: s.map(slower_for_less, concurrency=3, by=lambda x: x % 3),
        ordered=False,
        readahead=12,
    ),
    "map, by key, that fails": Case(
        lambda s: s.map(fail_on_nine_later, concurrency=3, by=lambda x: x % 3, on_error="skip"),
        ordered=False,
        readahead=12,
    ),
    "map, with little room": Case(
        lambda s: s.map(slower_for_less, concurrency=3, buffer=1), readahead=8
    ),
    "map, with a time limit": lambda s: s.map(slower_for_less, timeout=0.3, on_error="skip"),
    "map, again": Case(
        lambda s: s.map(fail_on_nine_later, concurrency=3, retry=1, on_error="skip"), readahead=8
    ),
    "starmap": lambda s: s.map(lambda x: (x, 2)).starmap(lambda a, b: a * b),
    "flat_map": lambda s: s.flat_map(range),
    "flat_map twice": lambda s: s.flat_map(range).flat_map(range),
    "tap": lambda s: s.tap(fail_on_nine),
    "enumerate": lambda s: s.enumerate(1),
    "pairwise": lambda s: s.pairwise(),
    "scan": lambda s: s.scan(lambda total, x: total + x),
    "scan from a start": lambda s: s.scan(lambda total, x: [*total, x], [0]),
    "scan from a start made anew": lambda s: s.scan(lambda total, x: [*total, x], factory=list),
    "map, as they complete": Case(
        lambda s: s.map(slower_for_less, concurrency=3, ordered=False), ordered=False, readahead=8
    ),
    "map, on threads": Case(
        lambda s: s.map(fail_on_nine, on="thread", concurrency=2), readahead=8, examples=5
    ),
    "map, again after some errors": lambda s: s.map(
        fail_on_nine_later, retry=1, retry_on=LookupError, on_error="skip"
    ),
    "starmap, skipping errors": lambda s: s.map(lambda x: (x,)).starmap(
        fail_on_nine, on_error="skip"
    ),
    "flat_map, skipping errors": lambda s: s.flat_map(
        lambda x: map(fail_on_nine, [1, x, 2]), on_error="skip"
    ),
    "tap, skipping errors": lambda s: s.tap(fail_on_nine, on_error="skip"),
}

RULES: dict[str, Build] = {
    "map": lambda s: s.map(lambda x: x),
    "map of an async function": lambda s: s.map(same_later),
    "map of several at once": lambda s: s.map(same_later, concurrency=3),
    "map as completed": lambda s: s.map(same_later, concurrency=3, ordered=False),
    "map by key": lambda s: s.map(same_later, concurrency=3, by=id, buffer=1),
    "map with a time limit and retries": lambda s: s.map(same_later, timeout=9, retry=1),
    "map on threads": lambda s: s.map(lambda x: x, on="thread"),
    "starmap": lambda s: s.map(lambda x: (x,)).starmap(lambda x: x),
    "flat_map": lambda s: s.flat_map(lambda x: [x, x]),
    "tap": lambda s: s.tap(lambda x: None),
    "enumerate": lambda s: s.enumerate(),
    "pairwise": lambda s: s.pairwise(),
    "scan": lambda s: s.scan(lambda total, x: x),
    "scan from a start made anew": lambda s: s.scan(lambda total, x: x, factory=list),
}

CALLBACKS: dict[str, Build] = {
    "map": lambda s: s.map(fail),
    "map of an async function": lambda s: s.map(fail_later),
    "map of several at once": lambda s: s.map(fail_later, concurrency=3),
    "map as completed": lambda s: s.map(fail_later, concurrency=3, ordered=False),
    "map by key": lambda s: s.map(fail_later, concurrency=3, by=id),
    "the key of map": lambda s: s.map(same_later, concurrency=3, by=fail),
    "map, again and again": lambda s: s.map(fail_later, concurrency=2, timeout=9, retry=3),
    "map on threads": lambda s: s.map(fail, on="thread"),
    "a policy": lambda s: s.map(fail_later, concurrency=3, on_error=rx.replace_with(fail)),
    "starmap": lambda s: s.map(lambda x: (x,)).starmap(fail),
    "flat_map": lambda s: s.flat_map(fail),
    "the iterable of flat_map": lambda s: s.flat_map(lambda x: map(fail, [x])),
    "tap": lambda s: s.tap(fail),
    "scan": lambda s: s.scan(fail, 0),
    "the start of scan": lambda s: s.scan(max, factory=fail),
}
