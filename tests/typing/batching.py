"""Only type-checked: lambdas are inferred through batches, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")


def batching() -> None:
    assert_type(words.batch(3), rx.Stream[list[str]])
    assert_type(words.batch(3, within=1), rx.Stream[list[str]])
    assert_type(words.batch(weight=lambda w: len(w), max_weight=9.5), rx.Stream[list[str]])
    assert_type(words.batch(3, 1, weight=len, max_weight=9), rx.Stream[list[str]])
    assert_type(
        words.batch_while(lambda batch, w: batch[-1].upper() == w.upper()), rx.Stream[list[str]]
    )
    assert_type(words.batch_by(lambda w: w.upper(), count=3), rx.Stream[list[str]])
    assert_type(words.buffer_until(numbers).map(lambda ws: ws[0].upper()), rx.Stream[str])
    words.batch(within=1)  # type: ignore[call-overload]
    words.batch(weight=len)  # type: ignore[call-overload]
    words.batch_by(lambda w: w.nope)  # type: ignore[attr-defined]
