"""Cases of `operators/filtering.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "filter": lambda s: s.filter(lambda x: x % 2),
    "filter_map": lambda s: s.filter_map(lambda x: x * 2 if x > 2 else None),
    "distinct": lambda s: s.distinct(),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
}

RULES: dict[str, Build] = {
    "filter": lambda s: s.filter(lambda x: True),
    "filter_map": lambda s: s.filter_map(lambda x: x),
    "distinct": lambda s: s.distinct(),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
}

CALLBACKS: dict[str, Build] = {
    "filter": lambda s: s.filter(fail),
    "filter_map": lambda s: s.filter_map(fail),
    "distinct": lambda s: s.distinct(fail),
    "distinct_until_changed": lambda s: s.distinct_until_changed(fail),
}
