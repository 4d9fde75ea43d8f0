"""first, last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from feeds import Feed, Pair, check, examples, feeds
from hypothesis import given

import reactive as rx

Build = Callable[[rx.Stream[Any]], rx.Single[Any]]
MISSING = object()


FOUND: dict[str, tuple[Build, Callable[[list[Pair]], Any]]] = {
    "first": (lambda s: s.first(), lambda pairs: pairs[0] if pairs else MISSING),
    "first or a default": (lambda s: s.first(default=9), lambda pairs: [*pairs, (9, None)][0]),
    "last": (lambda s: s.last(), lambda pairs: pairs[-1] if pairs else MISSING),
    "last or a default": (lambda s: s.last(default=0), lambda pairs: [(0, None), *pairs][-1]),
}


@pytest.mark.parametrize("name", FOUND)
@given(feed=feeds())
@examples(30)
async def test_what_is_found(name: str, feed: Feed) -> None:
    build, model = FOUND[name]
    expected = model(feed.pairs)
    if expected is MISSING:
        with pytest.raises(rx.EmptyStreamError, match="needs at least one item"):
            await build(feed.stream)
        return
    assert await build(feed.stream) == expected[0]
    await check(build, feed, lambda pairs: [expected], ends_early=True)


async def test_first_takes_no_more_than_one_item() -> None:
    seen: list[int] = []
    assert await rx.range(100).tap(seen.append).first() == 0
    assert seen == [0]
