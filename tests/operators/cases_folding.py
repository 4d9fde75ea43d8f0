"""Cases of `operators/folding.py` for the tests of every operator."""

from __future__ import annotations

from cases import HELD, Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "reduce": Case(lambda s: s.reduce(lambda a, b: a * b), skip=HELD),
    "count": Case(lambda s: s.count(), skip=HELD),
    "sum": Case(lambda s: s.sum(), skip=HELD),
    "mean": Case(lambda s: s.mean(), skip=HELD),
    "min": Case(lambda s: s.min(), skip=HELD),
    "max": Case(lambda s: s.max(), skip=HELD),
    "to_list": Case(lambda s: s.to_list(), skip=HELD),
    "to_set": Case(lambda s: s.to_set(), skip=HELD),
    "to_dict": Case(lambda s: s.to_dict(lambda x: x % 3), skip=HELD),
}

RULES: dict[str, Build] = {
    "reduce": lambda s: s.reduce(lambda total, x: x, None),
    "count": lambda s: s.count(),
    "sum": lambda s: s.map(lambda x: 1).sum(),
    "mean": lambda s: s.map(lambda x: 1).concat(rx.of(1)).mean(),
    "min": lambda s: s.min(id, default=None),
    "max": lambda s: s.max(id, default=None),
    "to_list": lambda s: s.to_list(),
    "to_set": lambda s: s.to_set(),
    "to_dict": lambda s: s.to_dict(lambda x: x),
}

CALLBACKS: dict[str, Build] = {
    "reduce": lambda s: s.reduce(fail, 0),
    "min": lambda s: s.min(fail),
    "max": lambda s: s.max(fail),
    "to_dict": lambda s: s.to_dict(fail),
    "the values of to_dict": lambda s: s.to_dict(lambda x: x, fail),
}
