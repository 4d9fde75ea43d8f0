"""Cases of `operators/folding.py` for the tests of every operator."""

from __future__ import annotations

from collections import Counter, deque

from cases import HELD, Build, Case, fail

import reactive as rx


def grouped(groups: dict[int, list[int]], number: int) -> dict[int, list[int]]:
    groups.setdefault(number % 3, []).append(number)
    return groups


LAWS: dict[str, Build | Case] = {
    "reduce": Case(lambda s: s.reduce(lambda a, b: a * b), skip=HELD),
    "fold": Case(lambda s: s.fold(lambda total, x: 2 * total + x, int), skip=HELD),
    "fold, changing in place": Case(lambda s: s.fold(grouped, dict), skip=HELD),
    "count": Case(lambda s: s.count(), skip=HELD),
    "sum": Case(lambda s: s.sum(), skip=HELD),
    "mean": Case(lambda s: s.mean(), skip=HELD),
    "variance": Case(lambda s: s.variance(), skip=HELD),
    "min": Case(lambda s: s.min(), skip=HELD),
    "max": Case(lambda s: s.max(), skip=HELD),
    "top": Case(lambda s: s.top(3), skip=HELD),
    "top by key": Case(lambda s: s.top(3, lambda x: x % 4), skip=HELD),
    "to_list": Case(lambda s: s.to_list(), skip=HELD),
    "to_set": Case(lambda s: s.to_set(), skip=HELD),
    "to_dict": Case(lambda s: s.to_dict(lambda x: x % 3), skip=HELD),
    "collect_into": Case(lambda s: s.collect_into(deque), skip=HELD),
    "collect_into what counts": Case(lambda s: s.collect_into(Counter), skip=HELD),
}

RULES: dict[str, Build] = {
    "reduce": lambda s: s.reduce(lambda total, x: x, None),
    "fold": lambda s: s.fold(lambda count, x: count + 1, int),
    "count": lambda s: s.count(),
    "sum": lambda s: s.map(lambda x: 1).sum(),
    "mean": lambda s: s.map(lambda x: 1).concat(rx.of(1)).mean(),
    "variance": lambda s: s.map(lambda x: 1).concat(rx.of(1, 1)).variance(),
    "min": lambda s: s.min(id, default=None),
    "max": lambda s: s.max(id, default=None),
    "top": lambda s: s.top(2, id),
    "to_list": lambda s: s.to_list(),
    "to_set": lambda s: s.to_set(),
    "to_dict": lambda s: s.to_dict(lambda x: x),
    "collect_into": lambda s: s.collect_into(set),
}

CALLBACKS: dict[str, Build] = {
    "reduce": lambda s: s.reduce(fail, 0),
    "fold": lambda s: s.fold(fail, int),
    "the start of fold": lambda s: s.fold(max, fail),
    "top": lambda s: s.top(2, fail),
    "collect_into": lambda s: s.collect_into(fail),
    "min": lambda s: s.min(fail),
    "max": lambda s: s.max(fail),
    "to_dict": lambda s: s.to_dict(fail),
    "the values of to_dict": lambda s: s.to_dict(lambda x: x, fail),
}
