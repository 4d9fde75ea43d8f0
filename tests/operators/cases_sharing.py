"""Cases of `operators/sharing.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "share": Case(lambda s: s.share(limit=4), readahead=6),
    "replay": Case(lambda s: s.replay(3, limit=4), readahead=6),
    "share that may drop": Case(
        lambda s: s.share(limit=100, overflow="drop_oldest"), skip=("backpressure",)
    ),
    "replay of some seconds": Case(
        lambda s: s.replay(seconds=5, limit=100, overflow="drop_newest"), skip=("backpressure",)
    ),
}

RULES: dict[str, Build] = {
    "share": lambda s: s.share(),
    "replay": lambda s: s.replay(2, seconds=10),
}

CALLBACKS: dict[str, Build] = {
    "before share": lambda s: s.map(fail).share(),
    "after share": lambda s: s.share().map(fail),
}
