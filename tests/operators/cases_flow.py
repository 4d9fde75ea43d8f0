"""Cases of `operators/flow.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "buffer": lambda s: s.buffer(2),
    "rebatch": lambda s: s.rebatch(3),
}

RULES: dict[str, Build] = {
    "buffer": lambda s: s.buffer(2),
    "rebatch": lambda s: s.rebatch(2),
}

CALLBACKS: dict[str, Build] = {
    "after a buffer": lambda s: s.buffer(2).map(fail),
    "before a buffer": lambda s: s.map(fail).buffer(2),
}
