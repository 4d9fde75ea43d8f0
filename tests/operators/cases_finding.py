"""Cases of `operators/finding.py` for the tests of every operator."""

from __future__ import annotations

from cases import HELD, Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "first": Case(lambda s: s.first(), skip=HELD),
    "first that matches": Case(lambda s: s.first(lambda x: x > 3), skip=HELD),
    "last": Case(lambda s: s.last(), skip=HELD),
    "last that matches": Case(lambda s: s.last(lambda x: x < 3, default=0), skip=HELD),
    "single": Case(lambda s: s.take(1).single(), skip=HELD),
    "single of many": Case(lambda s: s.single(default=0), skip=HELD),
    "element_at": Case(lambda s: s.element_at(3), skip=HELD),
    "element_at, too far": Case(lambda s: s.element_at(30, default=None), skip=HELD),
    "find": Case(lambda s: s.find(lambda x: x == 9), skip=HELD),
    "is_empty": Case(lambda s: s.is_empty(), skip=HELD),
    "all": Case(lambda s: s.all(lambda x: x < 5), skip=HELD),
    "any": Case(lambda s: s.any(lambda x: x > 9), skip=HELD),
    "contains": Case(lambda s: s.contains(5), skip=HELD),
}

RULES: dict[str, Build] = {
    "first": lambda s: s.first(default=None),
    "last": lambda s: s.last(default=None),
    "single": lambda s: s.take(1).single(default=None),
    "element_at": lambda s: s.element_at(3, default=None),
    "find": lambda s: s.find(lambda x: True),
    "is_empty": lambda s: s.is_empty(),
    "all": lambda s: s.all(),
    "any": lambda s: s.any(lambda x: False),
    "contains": lambda s: s.contains(None),
}

CALLBACKS: dict[str, Build] = {
    "first": lambda s: s.first(fail),
    "last": lambda s: s.last(fail),
    "find": lambda s: s.find(fail),
    "all": lambda s: s.all(fail),
    "any": lambda s: s.any(fail),
    "the comparison of contains": lambda s: s.map(lambda x: Incomparable()).contains(1),
}


class Incomparable:
    """An item that cannot be compared."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        fail()
        return False
