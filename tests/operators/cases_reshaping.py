"""Cases of `operators/reshaping.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import BAD, Build, Case, fail, fail_on_nine

import reactive as rx


def in_bulk(items: list[int]) -> list[int]:
    return [fail_on_nine(item) + 1 for item in items]


def halves(stream: rx.Stream[Any]) -> rx.Stream[Any]:
    first, second = stream.map(lambda x: (x, [x])).unzip()
    return first.zip(second)


LAWS: dict[str, Build | Case] = {
    "flatten": lambda s: s.map(range).flatten(),
    "flatten twice": lambda s: s.map(lambda x: [range(x), [x]]).flatten().flatten(),
    "unzip": lambda s: s.map(lambda x: (x, -x)).unzip()[1],
    "unzip, both halves": halves,
    "cast": lambda s: s.cast(int),
    "of_type": lambda s: s.map(lambda x: x if x % 2 else str(x)).of_type(int),
    "expand": lambda s: s.expand(range),
    "expand that fails": lambda s: s.expand(lambda x: [fail_on_nine(x + 1)] if x > 4 else []),
    "expand, skipping errors": lambda s: s.expand(
        lambda x: [fail_on_nine(x) + 1] if x > 4 else [], on_error="skip"
    ),
    "expand, past its limit": lambda s: s.expand(range, limit=3),
    "map_chunks": lambda s: s.map_chunks(lambda xs: [x + 1 for x in xs]),
    "map_chunks that fails": lambda s: s.map_chunks(in_bulk),
    "map_chunks, skipping errors": lambda s: s.map_chunks(in_bulk, on_error="skip"),
    "map_chunks, replacing errors": lambda s: s.map_chunks(in_bulk, on_error=rx.replace(0)),
    "map_chunks to a side output": lambda s: s.map_chunks(in_bulk, on_error=BAD),
    "map_chunks of larger chunks": lambda s: s.rebatch(3).map_chunks(in_bulk),
}

RULES: dict[str, Build] = {
    "flatten": lambda s: s.map(lambda x: [x, x]).flatten(),
    "unzip": lambda s: s.map(lambda x: (x, x)).unzip()[0],
    "unzip, both halves": halves,
    "cast": lambda s: s.cast(object),
    "of_type": lambda s: s.of_type(object),
    "expand": lambda s: s.expand(lambda x: []),
    "expand into more": lambda s: s.map(lambda x: (x, 2)).expand(
        lambda pair: [(pair[0], pair[1] - 1)] * pair[1]
    ),
    "map_chunks": lambda s: s.map_chunks(lambda xs: xs),
}

CALLBACKS: dict[str, Build] = {
    "the iterable of flatten": lambda s: s.map(lambda x: map(fail, [x])).flatten(),
    "expand": lambda s: s.expand(fail),
    "the iterable of expand": lambda s: s.expand(lambda x: map(fail, [x])),
    "the policy of expand": lambda s: s.expand(lambda x: x.nothing, on_error=rx.replace_with(fail)),
    "map_chunks": lambda s: s.map_chunks(fail),
    "the policy of map_chunks": lambda s: s.map_chunks(
        lambda xs: xs[0].nothing, on_error=rx.replace_with(fail)
    ),
}
