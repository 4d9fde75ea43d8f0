"""What checkpoints keep of windows: changes from barrier to barrier amount to what was held, and
are pickled while items go on coming."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reactive as rx
from reactive.levels import Changes, Kept, Pieces, put_together
from reactive.metrics import Meter
from reactive.operator import Step, Stepwise
from reactive.signals import AnySignal

SECOND = 1_000_000


def keyed() -> Any:
    return (
        rx.never()
        .map(lambda pair: pair)
        .event_time(lambda pair: pair[1])
        .key_by(lambda pair: pair[0])
    )


def many(windowed: Any) -> rx.Stream[Any]:
    stream: rx.Stream[Any] = windowed.aggregate(n=rx.count(), total=rx.sum(lambda pair: pair[1]))
    return stream


STREAMS: dict[str, Callable[[], rx.Stream[Any]]] = {
    "tumbling": lambda: many(keyed().window(rx.Tumbling(4))),
    "tumbling, one number": lambda: keyed().window(rx.Tumbling(4)).aggregate(rx.count()),
    "sliding": lambda: many(keyed().window(rx.Sliding(6, every=2))),
    "sessions": lambda: many(keyed().window(rx.Session(2))),
    "so many": lambda: many(keyed().window(rx.Count(3, every=2))),
    "late": lambda: many(keyed().window(rx.Tumbling(4), allowed_lateness=5)),
    "retracting sessions": lambda: many(
        keyed().window(
            rx.Session(2),
            trigger=rx.AfterWatermark(early=rx.AfterCount(2)),
            accumulation="retracting",
            allowed_lateness=3,
        )
    ),
}

_pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=5)
_script = st.lists(
    st.one_of(
        st.tuples(st.just("items"), _pairs),
        st.tuples(st.just("watermark"), st.integers(0, 3)),
        st.tuples(st.just("barrier"), st.just(None)),
        st.tuples(st.just("pickle"), st.integers(1, 2)),
        st.tuples(st.just("restart"), st.just(None)),
    ),
    max_size=30,
)


def step_of(stream: rx.Stream[Any]) -> Step[Any, Any]:
    operator = stream.node.operator
    assert isinstance(operator, Stepwise)
    return operator.step(rx.Context("it", None, rx.Settings(), Meter("it")))


def push(step: Step[Any, Any], signal: AnySignal | None) -> list[Any]:
    out: list[AnySignal] = []
    if signal is None:
        step.on_end(out)
    elif isinstance(signal, rx.Watermark):
        step.on_watermark(signal, out)
    else:
        assert isinstance(signal, rx.Chunk)
        step.on_chunk(signal, out)
    while step.busy:
        step.resume(out)
    return [item for each in out if isinstance(each, rx.Chunk) for item in each.items]


class Checkpoints:
    """What a store would hold of one step."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[bytes]] = {}
        self.shared: Any = None
        self.live: list[str] = []
        self._under_way: list[tuple[str, Pieces]] = []

    def barrier(self, step: Step[Any, Any]) -> None:
        changes = step.changes()
        assert isinstance(changes, Changes)
        self.shared = changes.shared
        self.live = list(changes.sections)
        self.rows = {place: rows for place, rows in self.rows.items() if place[0] in self.live}
        self._under_way = list(changes.sections.items())

    def pickle(self, most: int) -> None:
        for name, made in self._under_way:
            for _, some in zip(range(most), made, strict=False):
                for group, data in some:
                    self.rows.setdefault((name, group), []).append(data)

    def held(self) -> Kept:
        sections: dict[str, dict[Any, Any]] = {name: {} for name in self.live}
        for (name, _), rows in self.rows.items():
            sections[name] |= put_together(rows)
        return Kept(self.shared, sections)


async def _compare(name: str, script: list[tuple[str, Any]]) -> None:
    """Two steps get the same; one is replaced at times by what was kept of it, and gets again what
    came after that."""
    whole, step = step_of(STREAMS[name]()), step_of(STREAMS[name]())
    kept, since = Checkpoints(), list[AnySignal]()
    expected: Counter[str] = Counter()
    given: Counter[str] = Counter()
    uncommitted: Counter[str] = Counter()
    now, low = 0, 0

    def feed(signal: AnySignal | None) -> None:
        expected.update(map(str, push(whole, signal)))
        uncommitted.update(map(str, push(step, signal)))
        if signal is not None:
            since.append(signal)

    kept.barrier(step)
    for action, what in script:
        if action == "items":
            times = [(now + offset) * SECOND for _, offset in what]
            feed(rx.Chunk([(key, now + offset) for key, offset in what], times))
            now += 1
        elif action == "watermark":
            low = max(low, now - what)
            feed(rx.Watermark(low * SECOND))
        elif action == "pickle":
            kept.pickle(what)
        elif action == "barrier":
            kept.pickle(1_000)
            kept.barrier(step)
            since.clear()
            given += uncommitted
            uncommitted.clear()
        else:
            kept.pickle(1_000)
            step = step_of(STREAMS[name]())
            step.restore(kept.held())
            uncommitted.clear()
            for signal in since:
                uncommitted.update(map(str, push(step, signal)))
    feed(None)
    assert given + uncommitted == expected


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=60, deadline=None)
@given(_script)
def test_changes_amount_to_what_is_held(name: str, script: list[tuple[str, Any]]) -> None:
    asyncio.run(_compare(name, script))


async def test_what_no_checkpoint_has_is_not_remembered_when_it_is_gone() -> None:
    """Otherwise a run without checkpoints would remember every key that ever was."""
    step = step_of(STREAMS["sessions"]())

    def come_and_go(first: int) -> None:
        for key in range(first, first + 100):
            push(step, rx.Chunk([(key, 0)], [key * 3 * SECOND]))
            push(step, rx.Watermark(key * 3 * SECOND))

    come_and_go(0)
    kept = Checkpoints()
    kept.barrier(step)
    kept.pickle(1_000)
    assert kept.held().sections["sessions"].keys() == {99}
    assert sum(len(rows) for rows in kept.rows.values()) == 1
    come_and_go(100)
    kept.barrier(step)
    kept.pickle(1_000)
    assert kept.held().sections["sessions"].keys() == {199}
