"""Cases of `operators/finding.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "first": lambda s: s.first(),
    "first that matches": lambda s: s.first(lambda x: x > 3),
    "last": lambda s: s.last(),
    "last that matches": lambda s: s.last(lambda x: x < 3, default=0),
    "single": lambda s: s.take(1).single(),
    "single of many": lambda s: s.single(default=0),
    "element_at": lambda s: s.element_at(3),
    "element_at, too far": lambda s: s.element_at(30, default=None),
    "find": lambda s: s.find(lambda x: x == 9),
    "is_empty": lambda s: s.is_empty(),
    "all": lambda s: s.all(lambda x: x < 5),
    "any": lambda s: s.any(lambda x: x > 9),
    "contains": lambda s: s.contains(5),
    "first or a default": lambda s: s.first(lambda x: x > 9, default=0),
    "find or a default": lambda s: s.find(lambda x: x > 9, 0),
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
