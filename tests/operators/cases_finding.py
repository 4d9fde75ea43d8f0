"""Cases of `operators/finding.py` for the tests of every operator."""

from __future__ import annotations

from cases import HELD, Build, Case

LAWS: dict[str, Build | Case] = {
    "first": Case(lambda s: s.first(), skip=HELD),
    "last": Case(lambda s: s.last(), skip=HELD),
}

RULES: dict[str, Build] = {
    "first": lambda s: s.first(default=None),
    "last": lambda s: s.last(default=None),
}
