"""Cases of `operators/folding.py` for the tests of every operator."""

from __future__ import annotations

from collections import Counter, deque

from cases import Build, Case, fail

import reactive as rx


def grouped(groups: dict[int, list[int]], number: int) -> dict[int, list[int]]:
    groups.setdefault(number % 3, []).append(number)
    return groups


LAWS: dict[str, Build | Case] = {
    "reduce": lambda s: s.reduce(lambda a, b: a * b),
    "fold": lambda s: s.fold(lambda total, x: 2 * total + x, int),
    "fold, changing in place": lambda s: s.fold(grouped, dict),
    "count": lambda s: s.count(),
    "sum": lambda s: s.sum(),
    "mean": lambda s: s.mean(),
    "variance": lambda s: s.variance(),
    "min": lambda s: s.min(),
    "max": lambda s: s.max(),
    "top": lambda s: s.top(3),
    "top by key": lambda s: s.top(3, lambda x: x % 4),
    "to_list": lambda s: s.to_list(),
    "to_set": lambda s: s.to_set(),
    "to_dict": lambda s: s.to_dict(lambda x: x % 3),
    "collect_into": lambda s: s.collect_into(deque),
    "collect_into what counts": lambda s: s.collect_into(Counter),
    "reduce from a start": lambda s: s.reduce(lambda a, b: 2 * a - b, 7),
    "sum from a start": lambda s: s.sum(7),
    "variance of all": lambda s: s.variance(population=True),
    "min by key": lambda s: s.min(lambda x: x % 4, default=0),
    "max by key": lambda s: s.max(lambda x: x % 4, default=0),
    "to_dict of values": lambda s: s.to_dict(lambda x: x % 3, lambda x: x + 1),
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
