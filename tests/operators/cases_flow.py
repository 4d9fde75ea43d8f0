"""Cases of `operators/flow.py` for the tests of every operator."""

from __future__ import annotations

from cases import Build, Case, add_one, fail, same_later, slower_for_less

import reactive as rx

LOST = rx.SideOutput[int]("lost")

LAWS: dict[str, Build | Case] = {
    "buffer": lambda s: s.buffer(2),
    "prefetch": lambda s: s.prefetch(2),
    # How much is combined is a matter of timing; watermarks wait and become one; it never
    # backpressures.
    "conflate": Case(
        lambda s: s.conflate(lambda waiting, x: waiting + x).sum(),
        skip=("signals", "lateness", "backpressure"),
    ),
    "limit_in_flight": Case(
        lambda s: s.limit_in_flight(2, lambda t: t.map(add_one).buffer(3)), readahead=2
    ),
    "limit_in_flight, several calls at a time": Case(
        lambda s: s.limit_in_flight(3, lambda t: t.map(add_one, concurrency=2)), readahead=8
    ),
    "limit_in_flight, as completed": Case(
        lambda s: s.limit_in_flight(
            3, lambda t: t.map(slower_for_less, concurrency=2, ordered=False)
        ),
        ordered=False,
        readahead=8,
    ),
    "limit_in_flight of what drops": Case(
        lambda s: s.limit_in_flight(1, lambda t: t.filter(lambda x: x > 3).buffer(1)), readahead=2
    ),
    "limit_in_flight of what holds": Case(
        lambda s: s.limit_in_flight(2, lambda t: t.buffer(1).batch(3)), readahead=4
    ),
    "limit_in_flight of what multiplies": Case(
        lambda s: s.limit_in_flight(2, lambda t: t.flat_map(range).map(add_one)), readahead=4
    ),
    "rebatch": lambda s: s.rebatch(3),
    "buffer in bytes": lambda s: s.map(bytes).buffer(5, unit="bytes"),
    # With room for all it loses nothing; what is lost for want of room is a matter of timing.
    "buffer that may drop": Case(
        lambda s: s.buffer(100, overflow="drop_oldest", discarded=LOST), skip=("backpressure",)
    ),
    "buffer that may fail": Case(lambda s: s.buffer(100, overflow="fail"), skip=("backpressure",)),
}

RULES: dict[str, Build] = {
    "buffer": lambda s: s.buffer(2),
    "prefetch": lambda s: s.prefetch(2),
    "conflate": lambda s: s.conflate(lambda waiting, x: x),
    "limit_in_flight": lambda s: s.limit_in_flight(2, lambda t: t.map(same_later).buffer(2)),
    "rebatch": lambda s: s.rebatch(2),
}

CALLBACKS: dict[str, Build] = {
    "conflate": lambda s: s.conflate(fail),
    "the part of limit_in_flight": lambda s: s.limit_in_flight(2, lambda t: t.map(fail)),
    "after a buffer": lambda s: s.buffer(2).map(fail),
    "before a buffer": lambda s: s.map(fail).buffer(2),
}
