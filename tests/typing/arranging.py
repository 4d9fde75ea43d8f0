"""Only type-checked: what sorts and groups, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

words = rx.of("a", "bb")


def arranging() -> None:
    assert_type(words.sort(), rx.Stream[str])
    assert_type(words.sort(lambda w: len(w.upper()), reverse=True), rx.Stream[str])
    assert_type(words.group(lambda w: len(w.upper())), rx.Stream[tuple[int, list[str]]])
    assert_type(words.group(len, memory=1000).map(lambda pair: pair[1][0].upper()), rx.Stream[str])
    words.sort(lambda w: w.nope)  # type: ignore[attr-defined]
    words.sort(len, True)  # type: ignore[call-arg]


async def modes() -> None:
    assert_type(words.assume_bounded(), rx.Stream[str])
    assert_type(await words.collect(mode="batch"), list[str])
    words.open(mode="auto")
    words.explain(mode="stream")
    words.open(mode="both")  # type: ignore[arg-type]
