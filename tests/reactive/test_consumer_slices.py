"""`async for` gives every item of every chunk once, whatever the sizes of the chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reactive.testing import chunked, run, scripted_source


@given(st.lists(st.integers(1, 50), max_size=8))
def test_no_item_twice_and_none_left_out(sizes: list[int]) -> None:
    items = list(range(sum(sizes)))

    async def iterated() -> list[int]:
        return [item async for item in scripted_source(chunked(items, sizes))]

    assert run(iterated()) == items
