"""Cases of `operators/batching.py` for the tests of every operator."""

from __future__ import annotations

from cases import HELD, Build, Case, fail

LAWS: dict[str, Build | Case] = {
    "batch": Case(lambda s: s.batch(3), skip=HELD),
    "batch within": lambda s: s.batch(3, within=5),
    "sliding": lambda s: s.sliding(3),
    "sliding by steps": lambda s: s.sliding(2, step=3),
}

RULES: dict[str, Build] = {
    "batch": lambda s: s.batch(2),
    "batch within": lambda s: s.batch(2, within=60),
    "sliding": lambda s: s.sliding(2),
}

CALLBACKS: dict[str, Build] = {
    "before timed batches": lambda s: s.map(fail).batch(3, within=60),
}
