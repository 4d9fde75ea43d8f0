"""Cases of `operators/continuing.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "then by a sequence": lambda s: (
        s.scan(max).assume_bounded().then(rx.range(12), sequence=lambda x: x)
    ),
    "then, live, by a sequence": lambda s: rx.of(1, 2, 3).then(s.scan(max), sequence=lambda x: x),
    "then by a key": lambda s: s.assume_bounded().then(rx.range(12), key=lambda x: x),
    "then, live, by a key": lambda s: rx.of(1, 7, 9).then(s, key=lambda x: x, remember=2),
    "then of a function": lambda s: s.assume_bounded().then(lambda last: rx.of(last, 7)),
}

RULES: dict[str, Build] = {
    "then": lambda s: s.assume_bounded().then(rx.empty(), key=id),
    "then by a sequence": lambda s: s.assume_bounded().then(rx.empty(), sequence=id),
    "then of a function": lambda s: s.assume_bounded().then(lambda last: rx.empty()),
}

CALLBACKS: dict[str, Build] = {
    "then by a sequence": lambda s: s.assume_bounded().then(rx.of(1), sequence=fail),
    "then by a key": lambda s: s.assume_bounded().then(rx.of(1), key=fail),
    "then of a function": lambda s: s.assume_bounded().then(fail),
}
