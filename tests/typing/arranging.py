"""Only type-checked: what sorts and groups, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

words = rx.of("a", "bb")


async def modes() -> None:
    assert_type(words.assume_bounded(), rx.Stream[str])
    assert_type(await words.collect(mode="batch"), list[str])
    words.open(mode="auto")
    words.explain(mode="stream")
    words.open(mode="both")  # type: ignore[arg-type]
