"""Cases of `operators/arranging.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case

LAWS: dict[str, Build | Case] = {
    "assume_bounded": lambda s: s.assume_bounded(),
}

RULES: dict[str, Build] = {
    "assume_bounded": lambda s: s.assume_bounded(),
}

CALLBACKS: dict[str, Build] = {}
