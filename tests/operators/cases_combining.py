"""Cases of `operators/combining.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "concat": lambda s: s.concat(rx.of(7, 8)),
    "concat after another": lambda s: rx.of(7, 8).concat(s),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s.map(str)),
    "merge": Case(lambda s: s.merge(rx.of(100, 200)), ordered=False, readahead=8),
    "merge with itself": Case(lambda s: s.merge(s.map(str)), ordered=False, readahead=8),
}

RULES: dict[str, Build] = {
    "merge": lambda s: s.merge(rx.empty()),
    "concat": lambda s: s.concat(rx.empty()),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s),
}

CALLBACKS: dict[str, Build] = {
    "defer": lambda s: s.concat(rx.defer(fail)),
    "the items of a side branch": lambda s: s.merge(s.map(fail)),
    "the other of zip": lambda s: rx.of(1, 2).zip(s.map(fail)),
}
