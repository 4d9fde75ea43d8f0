"""Cases of `operators/nesting.py` for the tests of every operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from cases import Build, Case, fail, same_later

import reactive as rx


async def twice(number: Any) -> AsyncIterator[Any]:
    yield number
    await asyncio.sleep(0)
    yield number


async def fail_within(number: Any) -> AsyncIterator[Any]:
    yield await same_later(number)
    fail()


def countdown(number: int) -> rx.Stream[int]:
    return rx.interval(0.25).map(lambda tick: number - tick).take(number % 3)


SIGNALS: tuple[Any, ...] = ("signals",)
"""An outer stream that is idle while inner ones run is not idle where they come out."""

DROPPING: tuple[Any, ...] = (*SIGNALS, "backpressure")
"""What comes while it is busy is not waited for."""

LAWS: dict[str, Build | Case] = {
    "concat_map": lambda s: s.concat_map(lambda x: rx.range(x % 4)),
    "concat_map of generators": lambda s: s.concat_map(twice),
    "concat_map of pipelines": lambda s: s.concat_map(lambda x: rx.of(x, 1, x).map(abs).batch(2)),
    "concat_all": lambda s: s.map(lambda x: rx.of(x, x)).concat_all(),
    "merge_map": Case(
        lambda s: s.merge_map(lambda x: rx.range(x % 4)), ordered=False, readahead=20, skip=SIGNALS
    ),
    "merge_map, two at a time, of generators": Case(
        lambda s: s.merge_map(twice, 2), ordered=False, readahead=8, skip=SIGNALS
    ),
    "merge_map, one at a time": Case(
        lambda s: s.merge_map(lambda x: rx.of(x).map(same_later), 1), readahead=4, skip=SIGNALS
    ),
    "merge_map that takes time": Case(
        lambda s: s.merge_map(countdown, 2), ordered=False, readahead=8, skip=SIGNALS
    ),
    "merge_all": Case(
        lambda s: s.map(lambda x: rx.of(x, x)).merge_all(),
        ordered=False,
        readahead=20,
        skip=SIGNALS,
    ),
    "switch_map": Case(
        lambda s: s.switch_map(lambda x: rx.timer(1).map(lambda _: x)), skip=SIGNALS
    ),
    "exhaust_map": Case(
        lambda s: s.exhaust_map(lambda x: rx.timer(1).map(lambda _: x)), skip=DROPPING
    ),
    "merge_all, two at a time": Case(
        lambda s: s.map(twice).merge_all(2), ordered=False, readahead=8, skip=SIGNALS
    ),
    "switch": Case(lambda s: s.map(lambda x: rx.of(x).delay(1)).switch(), skip=SIGNALS),
}

RULES: dict[str, Build] = {
    "concat_map": lambda s: s.concat_map(lambda x: rx.of(x, x)),
    "concat_map of generators": lambda s: s.concat_map(twice),
    "concat_all": lambda s: s.map(lambda x: rx.of(x)).concat_all(),
    "merge_map": lambda s: s.merge_map(lambda x: rx.of(x, x)),
    "merge_map of pipelines": lambda s: s.merge_map(lambda x: rx.of(x).map(same_later)),
    "merge_all": lambda s: s.map(twice).merge_all(2),
    "switch_map": lambda s: s.switch_map(lambda x: rx.of(x, x)),
    "switch": lambda s: s.map(twice).switch(),
    "exhaust_map": lambda s: s.exhaust_map(lambda x: rx.of(x, x)),
}

CALLBACKS: dict[str, Build] = {
    "concat_map": lambda s: s.concat_map(fail),
    "an inner stream of concat_map": lambda s: s.concat_map(fail_within),
    "merge_map": lambda s: s.merge_map(fail),
    "an inner stream of merge_map": lambda s: s.merge_map(fail_within),
    "an inner pipeline of merge_map": lambda s: s.merge_map(lambda x: rx.of(x).map(fail)),
    "switch_map": lambda s: s.switch_map(fail),
    "an inner stream of switch_map": lambda s: s.switch_map(fail_within),
    "exhaust_map": lambda s: s.exhaust_map(fail),
    "an inner stream of exhaust_map": lambda s: s.exhaust_map(fail_within),
}
