"""Cases of `operators/limiting.py` for the tests of every operator."""

from __future__ import annotations

import asyncio

from cases import HELD, Build, Case, fail

import reactive as rx

LAWS: dict[str, Build | Case] = {
    "take none": lambda s: s.take(0),
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(3),
    "take_while": lambda s: s.take_while(lambda x: x < 5),
    "take_while, inclusive": lambda s: s.take_while(lambda x: x < 5, inclusive=True),
    "skip_while": lambda s: s.skip_while(lambda x: x != 4),
    "take_last": Case(lambda s: s.take_last(3), skip=HELD),
    "take_until": lambda s: s.take_until(rx.timer(1500)),
}

RULES: dict[str, Build] = {
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(1),
    "take_while": lambda s: s.take_while(lambda x: True),
    "skip_while": lambda s: s.skip_while(lambda x: False),
    "take_last": lambda s: s.take_last(3),
    "take_until": lambda s: s.take_until(rx.never()),
    "take_until an event": lambda s: s.take_until(asyncio.Event()),
}

CALLBACKS: dict[str, Build] = {
    "take_while": lambda s: s.take_while(fail),
    "skip_while": lambda s: s.skip_while(fail),
    "the notifier of take_until": lambda s: rx.never().take_until(s.map(fail)),
}
