"""Cases of `operators/filtering.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import BAD, Build, Case, fail, fail_on_nine

import reactive as rx


def joined(parts: tuple[rx.Stream[Any], rx.Stream[Any]]) -> rx.Stream[Any]:
    return parts[0].merge(parts[1])


LAWS: dict[str, Build | Case] = {
    "filter": lambda s: s.filter(lambda x: x % 2),
    "filter_map": lambda s: s.filter_map(lambda x: x * 2 if x > 2 else None),
    "distinct": lambda s: s.distinct(),
    "distinct of the last": lambda s: s.distinct(count=2),
    "distinct for a time": lambda s: s.distinct(lambda x: x % 4, within=5),
    "distinct for a time, of the last": lambda s: s.distinct(within=5, count=2),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
    "partition": Case(lambda s: joined(s.partition(lambda x: x % 2)), ordered=False),
    "partition, one part": lambda s: s.partition(lambda x: x % 2)[1],
    "ignore_items": lambda s: s.ignore_items(),
    "default_if_empty": lambda s: s.default_if_empty(7),
    # The default comes at the end, and so without a time.
    "default_if_empty of nothing": lambda s: s.filter(lambda x: x > 9).default_if_empty(7),
    "filter, skipping errors": lambda s: s.filter(fail_on_nine, on_error="skip"),
    "filter_map, replacing errors": lambda s: s.filter_map(fail_on_nine, on_error=rx.replace(0)),
    "partition, to a side output": Case(
        lambda s: joined(s.partition(fail_on_nine, on_error=BAD)), ordered=False
    ),
    "distinct_until_changed by key": lambda s: s.distinct_until_changed(lambda x: x % 2),
}

RULES: dict[str, Build] = {
    "filter": lambda s: s.filter(lambda x: True),
    "filter_map": lambda s: s.filter_map(lambda x: x),
    "distinct": lambda s: s.distinct(),
    "distinct for a time": lambda s: s.distinct(within=5, count=2),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
    "partition": lambda s: joined(s.partition(lambda x: True)),
    "ignore_items": lambda s: s.ignore_items().concat(rx.of(1)),
    "default_if_empty": lambda s: s.default_if_empty(None),
}

CALLBACKS: dict[str, Build] = {
    "filter": lambda s: s.filter(fail),
    "filter_map": lambda s: s.filter_map(fail),
    "distinct": lambda s: s.distinct(fail),
    "distinct for a time": lambda s: s.distinct(fail, within=5),
    "partition": lambda s: joined(s.partition(fail)),
    "distinct_until_changed": lambda s: s.distinct_until_changed(fail),
}
