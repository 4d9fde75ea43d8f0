"""Cases of `operators/timing.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import Build, Case, fail

import reactive as rx

LONG = 100_000
"""More seconds than any of these tests takes."""

WAITS: tuple[Any, ...] = ("signals",)
"""A watermark waits for the item that is held before it, and a barrier passes both."""


def urgent(x: Any) -> float:
    return 0 if x == 9 else 5


LAWS: dict[str, Build | Case] = {
    "debounce": Case(lambda s: s.debounce(5), skip=WAITS),
    "debounce by item": Case(lambda s: s.debounce(urgent), skip=WAITS),
    "debounce by a function that fails": Case(lambda s: s.debounce(fail), skip=WAITS),
    "throttle": lambda s: s.throttle(5),
    "throttle, both": Case(lambda s: s.throttle(5, trailing=True), skip=WAITS),
    "throttle, trailing": Case(lambda s: s.throttle(5, leading=False, trailing=True), skip=WAITS),
    "sample": Case(lambda s: s.sample(5), skip=WAITS),
    "sample by a stream": Case(lambda s: s.sample(rx.never()), skip=WAITS),
    "delay": Case(lambda s: s.delay(5, limit=3), readahead=3, skip=WAITS),
    "delay by nothing": Case(lambda s: s.delay(0), skip=WAITS),
    "delay_each": lambda s: s.delay_each(0.5),
    "delay_each by item": lambda s: s.delay_each(lambda x: x % 2),
    "rate_limit": lambda s: s.rate_limit(2, 3),
    "rate_limit by weight": lambda s: s.rate_limit(10, 4, weight=lambda x: x),
    "timeout": lambda s: s.timeout(LONG, first=LONG, total=LONG),
    "timeout with a fallback": lambda s: s.timeout(LONG, fallback=rx.of(7)),
    "timeout into its fallback": lambda s: rx.never().timeout(5, fallback=s),
    "heartbeat": lambda s: s.heartbeat(LONG, 0),
    "with_timestamp": lambda s: s.with_timestamp(lambda: 0),
    "with_interval": lambda s: s.with_interval(),
}

RULES: dict[str, Build] = {
    "debounce": lambda s: s.debounce(5),
    "debounce by item": lambda s: s.debounce(lambda x: 0),
    "throttle": lambda s: s.throttle(5),
    "throttle both": lambda s: s.throttle(5, trailing=True),
    "throttle trailing": lambda s: s.throttle(5, leading=False, trailing=True),
    "sample": lambda s: s.sample(60),
    "sample by a stream": lambda s: s.sample(rx.never()),
    "delay": lambda s: s.delay(0.001),
    "delay_each": lambda s: s.delay_each(0.001),
    "rate_limit": lambda s: s.rate_limit(1000),
    "timeout": lambda s: s.timeout(60),
    "timeout with a fallback": lambda s: s.timeout(60, fallback=rx.never()),
    "heartbeat": lambda s: s.heartbeat(60, None),
    "with_timestamp": lambda s: s.with_timestamp(),
    "with_interval": lambda s: s.with_interval(),
}

CALLBACKS: dict[str, Build] = {
    "debounce": lambda s: s.debounce(fail),
    "delay_each": lambda s: s.delay_each(fail),
    "the weight of rate_limit": lambda s: s.rate_limit(1, weight=fail),
    "the fallback of timeout": lambda s: s.concat(rx.never()).timeout(1, fallback=fail),
    "heartbeat": lambda s: s.concat(rx.never()).heartbeat(1, fail),
    "with_timestamp": lambda s: s.with_timestamp(fail),
    "the ticks of sample": lambda s: rx.never().sample(s.map(fail)),
    "before a timeout": lambda s: s.map(fail).timeout(60),
    "before a delay": lambda s: s.map(fail).delay(60),
}
