"""Cases of `operators/windowing.py` and `keyed.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "window over all time": lambda s: s.window(rx.Global()).aggregate(rx.sum()),
    "window over all time, by key": lambda s: (
        s.key_by(lambda x: x % 3).window(rx.Global()).aggregate(rx.count())
    ),
    "window, a pane every so many items": lambda s: s.window(
        rx.Global(), trigger=rx.Repeatedly(rx.AfterCount(3))
    ).aggregate(rx.sum()),
}

RULES: dict[str, Build] = {
    "window": lambda s: s.window(rx.Global()).aggregate(rx.count()),
    "key_by": lambda s: s.key_by(type).window(rx.Global()).aggregate(rx.count()).map(len),
}

CALLBACKS: dict[str, Build] = {
    "key_by": lambda s: s.key_by(fail).window(rx.Global()).aggregate(rx.count()),
    "aggregate of windows": lambda s: s.window(rx.Global()).aggregate(rx.sum(fail)),
}
