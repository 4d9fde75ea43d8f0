"""The functions of RxPY that make streams beside ours, as rx_pairs.py has the operators."""

from __future__ import annotations

import contextlib

import reactivex
from reactivex import operators as ops
from reactivex.disposable import Disposable
from rx_parts import (
    SOON,
    SPAN,
    Pair,
    ends_when_hopeless,
    odd,
    our_inner,
    their_inner,
)
from timelines import ERROR

import reactive as rx

FUNCTIONS: dict[str, Pair] = {
    "amb": Pair(lambda s, t: rx.race(s, t), lambda o, p: reactivex.amb(o, p), 2),
    "case": Pair(
        lambda s, t: rx.defer(lambda: {1: s, 2: t}[2]),
        lambda o, p: reactivex.case(lambda: 2, {1: o, 2: p}),
        2,
    ),
    "catch": Pair(lambda s, t: s.recover(t), lambda o, p: reactivex.catch(o, p), 2),
    "catch_with_iterable": Pair(
        lambda s, t: s.recover(t), lambda o, p: reactivex.catch_with_iterable([o, p]), 2
    ),
    "combine_latest": Pair(
        lambda s, t: rx.combine_latest(s, t),
        lambda o, p: reactivex.combine_latest(o, p),
        2,
        differs=ends_when_hopeless,
        said=(rx.Stream.combine_latest, "RxPY waits for the others"),
    ),
    "concat": Pair(lambda s, t: rx.concat(s, t), lambda o, p: reactivex.concat(o, p), 2),
    "concat_with_iterable": Pair(
        lambda s: rx.from_iterable([s, s]).concat_all(),
        lambda o: reactivex.concat_with_iterable(iter([o, o])),
    ),
    "defer": Pair(lambda s: rx.defer(lambda: s), lambda o: reactivex.defer(lambda _: o)),
    "empty": Pair(lambda: rx.empty(), lambda: reactivex.empty(), 0),
    "for_in": Pair(
        lambda: rx.of(1, 2).concat_map(our_inner),
        lambda: reactivex.for_in([1, 2], their_inner),
        0,
    ),
    "fork_join": Pair(lambda s, t: rx.fork_join(s, t), lambda o, p: reactivex.fork_join(o, p), 2),
    "from_callable": Pair(
        lambda: rx.defer(lambda: rx.of(3)), lambda: reactivex.from_callable(lambda: 3), 0
    ),
    "from_iterable": Pair(
        lambda: rx.from_iterable([1, 2]), lambda: reactivex.from_iterable([1, 2]), 0
    ),
    "generate": Pair(
        lambda: rx.unfold(1, lambda x: (x, 2 * x) if x < 9 else None),
        lambda: reactivex.generate(1, lambda x: x < 9, lambda x: 2 * x),
        0,
    ),
    "generate_with_relative_time": Pair(
        lambda: rx.unfold(1, lambda x: (x, x + 1) if x < 5 else None).delay_each(float),
        lambda: reactivex.generate_with_relative_time(
            1, lambda x: x < 5, lambda x: x + 1, lambda x: float(x)
        ),
        0,
    ),
    "if_then": Pair(
        lambda s, t: rx.defer(lambda: t if odd(2) else s),
        lambda o, p: reactivex.if_then(lambda: odd(2), p, o),
        2,
    ),
    "interval": Pair(lambda: rx.interval(SPAN), lambda: reactivex.interval(SPAN), 0),
    "merge": Pair(lambda s, t: rx.merge(s, t), lambda o, p: reactivex.merge(o, p), 2),
    "never": Pair(lambda: rx.never(), lambda: reactivex.never(), 0),
    "of": Pair(lambda: rx.of(1, 2), lambda: reactivex.of(1, 2), 0),
    "on_error_resume_next": Pair(
        lambda s, t: s.recover(rx.empty()).concat(t),
        lambda o, p: reactivex.on_error_resume_next(o, p),
        2,
        fails=False,
    ),
    "range": Pair(lambda: rx.range(1, 9, 3), lambda: reactivex.range(1, 9, 3), 0),
    "repeat_value": Pair(lambda: rx.of(7).repeat(3), lambda: reactivex.repeat_value(7, 3), 0),
    "return_value": Pair(lambda: rx.of(7), lambda: reactivex.return_value(7), 0),
    "throw": Pair(lambda: rx.fail(ERROR), lambda: reactivex.throw(ERROR), 0),
    "timer": Pair(lambda: rx.timer(SPAN), lambda: reactivex.timer(SPAN), 0),
    "timer, again and again": Pair(
        lambda: rx.timer(SOON).concat(rx.interval(SPAN)).take(6).to_list().map(len),
        lambda: reactivex.timer(SOON, SPAN).pipe(ops.take(6), ops.count()),
        0,
    ),
    "using": Pair(
        lambda s: rx.using(lambda: contextlib.nullcontext(1), lambda one: s),
        lambda o: reactivex.using(lambda: Disposable(), lambda one: o),
    ),
    "with_latest_from": Pair(
        lambda s, t: s.with_latest_from(t), lambda o, p: reactivex.with_latest_from(o, p), 2
    ),
    "zip": Pair(
        lambda s, t: rx.zip(s, t),
        lambda o, p: reactivex.zip(o, p),
        2,
        fails=False,
        said=(rx.Stream.zip, "Rx fails at once"),
    ),
}
"""What the functions that make streams give."""

FUNCTIONS_ELSEWHERE = {
    **dict.fromkeys(["cold", "hot", "from_marbles"], "is for tests"),
    **dict.fromkeys(["from_", "just", "from_list"], "is another name"),
    **dict.fromkeys(["compose", "pipe", "alias"], "is about functions"),
    **dict.fromkeys(
        ["create", "from_callback", "from_future", "start", "start_async", "to_async"],
        "is a bridge to other code",
    ),
    "zip_latest": "has no counterpart",
}
"""Why other functions of RxPY are not."""
