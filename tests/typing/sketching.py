"""Only type-checked: what sketches give, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

words = rx.of("a", "bb")


async def sketching() -> None:
    assert_type(await words.approximate_distinct_count(), int)
    assert_type(await words.approximate_quantiles([0.5, 0.99]), list[str])
    assert_type(await words.heavy_hitters(0.1, error=0.01), list[tuple[str, int]])
