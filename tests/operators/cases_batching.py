"""Cases of `operators/batching.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import Build, Case, fail, fail_on_nine

import reactive as rx

WAITING: tuple[Any, ...] = ("signals",)
"""A watermark waits where it would pass a list begun."""

LAWS: dict[str, Build | Case] = {
    "batch": lambda s: s.batch(3),
    "batch within": lambda s: s.batch(3, within=5),
    "batch by weight": Case(lambda s: s.batch(weight=lambda x: x, max_weight=5), skip=WAITING),
    "batch by weight and count": Case(
        lambda s: s.batch(2, weight=lambda x: x, max_weight=5), skip=WAITING
    ),
    "batch by weight within": lambda s: s.batch(2, 5, weight=lambda x: x, max_weight=5),
    "batch_while": Case(lambda s: s.batch_while(lambda xs, x: x >= xs[-1]), skip=WAITING),
    "batch_by": Case(lambda s: s.batch_by(lambda x: x > 2), skip=WAITING),
    "batch_by with a count": Case(lambda s: s.batch_by(lambda x: x > 2, count=2), skip=WAITING),
    "batch by weight that fails": Case(
        lambda s: s.batch(2, weight=fail_on_nine, max_weight=9), skip=WAITING
    ),
    "batch_while that fails": Case(
        lambda s: s.batch_while(lambda xs, x: fail_on_nine(x) != 4, count=3), skip=WAITING
    ),
    "batch_by that fails": Case(lambda s: s.batch_by(fail_on_nine), skip=WAITING),
    "batch_by with a count that fails": Case(
        lambda s: s.batch_by(lambda x: fail_on_nine(x) > 2, count=2), skip=WAITING
    ),
    "buffer_until": Case(lambda s: s.buffer_until(rx.never(), limit=3), readahead=3),
    "buffer_until nothing": Case(
        lambda s: s.buffer_until(s.filter(lambda x: False), limit=3), readahead=3
    ),
    # Which list an item gets into, and its time with it, is a matter of timing.
    "buffer_until its own batches": Case(
        lambda s: s.buffer_until(s.batch(3)).flat_map(list),
        ordered=False,
        readahead=6,
        skip=("snapshot",),
    ),
    # How much is combined is a matter of timing; watermarks wait and become one.
    "aggregate_while_busy": Case(
        lambda s: s.aggregate_while_busy(limit=3).flat_map(list),
        ordered=False,
        readahead=8,
        skip=("signals",),
    ),
    "sliding": lambda s: s.sliding(3),
    "sliding by steps": lambda s: s.sliding(2, step=3),
    "batch_while with a count": Case(
        lambda s: s.batch_while(lambda xs, x: x != 9, count=3), skip=WAITING
    ),
    "aggregate_while_busy by a function": Case(
        lambda s: s.aggregate_while_busy(lambda a, b: a + b, limit=3).sum(),
        readahead=8,
        skip=("signals",),
    ),
}

RULES: dict[str, Build] = {
    "batch": lambda s: s.batch(2),
    "batch within": lambda s: s.batch(2, within=60),
    "batch by weight": lambda s: s.batch(weight=lambda x: 1, max_weight=2),
    "batch_while": lambda s: s.batch_while(lambda batch, x: len(batch) < 2),
    "batch_by": lambda s: s.batch_by(id),
    "buffer_until": lambda s: s.buffer_until(rx.never(), limit=2),
    "aggregate_while_busy": lambda s: s.aggregate_while_busy(),
    "aggregate_while_busy by a function": lambda s: s.aggregate_while_busy(lambda a, b: b),
    "sliding": lambda s: s.sliding(2),
}

CALLBACKS: dict[str, Build] = {
    "batch by weight": lambda s: s.batch(weight=fail, max_weight=2),
    "batch_while": lambda s: s.batch_while(fail),
    "batch_by": lambda s: s.batch_by(fail),
    "the boundary of buffer_until": lambda s: rx.never().buffer_until(s.map(fail)),
    "aggregate_while_busy": lambda s: s.aggregate_while_busy(fail),
    "before timed batches": lambda s: s.map(fail).batch(3, within=60),
}
