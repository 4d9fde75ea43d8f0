"""Cases of `operators/limiting.py` for the tests of every operator."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from cases import Build, Case, fail

import reactive as rx

LONG = 100_000
"""More seconds than any of these tests takes."""

PAST, FUTURE = datetime(2001, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

WAITS: tuple[Any, ...] = ("signals",)
"""A watermark waits for the items that are held before it, and a barrier passes both."""

LAWS: dict[str, Build | Case] = {
    "take none": lambda s: s.take(0),
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(3),
    "take_while": lambda s: s.take_while(lambda x: x < 5),
    "take_while, inclusive": lambda s: s.take_while(lambda x: x < 5, inclusive=True),
    "skip_while": lambda s: s.skip_while(lambda x: x != 4),
    "take_last": Case(lambda s: s.take_last(3), skip=WAITS),
    "skip_last": Case(lambda s: s.skip_last(3), readahead=3, skip=WAITS),
    "skip_last none": lambda s: s.skip_last(0),
    "skip_last more than there are": Case(lambda s: s.skip_last(100), skip=WAITS),
    "take_until": lambda s: s.take_until(rx.timer(1500)),
    "take_until a time of day": lambda s: s.take_until(FUTURE),
    "take_until a past time of day": lambda s: s.take_until(PAST),
    "skip_until": lambda s: s.skip_until(rx.of(1)),
    "skip_until what never comes": lambda s: s.skip_until(rx.never()),
    "skip_until a time of day": lambda s: s.skip_until(FUTURE),
    "skip_until a past time of day": lambda s: s.skip_until(PAST),
    "take_for": lambda s: s.take_for(LONG),
    "a slice": lambda s: s[1:6:2],
    "a slice to the end": lambda s: s[2::3],
    "a slice from the end": Case(lambda s: s[-5:], skip=WAITS),
    "a slice before the end": Case(lambda s: s[1:-2], readahead=2, skip=WAITS),
    "a slice near the end": Case(lambda s: s[-5:-1:2], skip=WAITS),
    "a slice from the end to a position": Case(lambda s: s[-6:5], skip=WAITS),
}

RULES: dict[str, Build] = {
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(1),
    "take_while": lambda s: s.take_while(lambda x: True),
    "skip_while": lambda s: s.skip_while(lambda x: False),
    "take_last": lambda s: s.take_last(3),
    "take as a slice": lambda s: s[0:4:2],
    "take_last as a slice": lambda s: s[-3:],
    "skip_last": lambda s: s.skip_last(1),
    "take_until": lambda s: s.take_until(rx.never()),
    "take_until an event": lambda s: s.take_until(asyncio.Event()),
    "skip_until": lambda s: s.skip_until(rx.of(1)),
    "skip_until an event": lambda s: s.skip_until(set_event()),
    "skip_until a time of day": lambda s: s.skip_until(PAST),
    "take_for": lambda s: s.take_for(LONG),
}


def set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


CALLBACKS: dict[str, Build] = {
    "take_while": lambda s: s.take_while(fail),
    "skip_while": lambda s: s.skip_while(fail),
    "the notifier of take_until": lambda s: rx.never().take_until(s.map(fail)),
    "the notifier of skip_until": lambda s: rx.never().skip_until(s.map(fail)),
}
