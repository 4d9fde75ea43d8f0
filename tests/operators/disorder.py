"""Two streams of keyed events out of order, in random chunks at random moments, for what joins
them; and the same restored at a barrier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from feeds import Feed
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import scripted_source
from reactive.testing.observing import Entry, Stepping
from reactive.testing.scripts import Pause

SECOND = 1_000_000
BARRIERS = rx.Barrier(1), rx.Barrier(2)
HOWS = ("inner", "left", "right", "full")


class Event(NamedTuple):
    """Something that happened."""

    key: str
    number: int
    time: int
    """In seconds."""


class Input(NamedTuple):
    """What one stream gives, and how."""

    events: list[Event]
    sizes: list[int]
    pauses: list[int]
    lateness: int

    @property
    def stream(self) -> rx.Stream[Event]:
        steps: list[Any] = []
        place = count = 0
        while place < len(self.events):
            size = self.sizes[count % len(self.sizes)]
            steps += [Pause()] * self.pauses[count % len(self.pauses)]
            steps.append(rx.Chunk(list(self.events[place : place + size])))
            place, count = place + size, count + 1
        return in_time(scripted_source(steps), self.lateness)


def in_time(stream: rx.Stream[Event], lateness: float = 0) -> rx.Stream[Event]:
    return stream.event_time(lambda event: event.time, lateness=lateness, every=0)


Pair: TypeAlias = tuple[Input, Input]


@st.composite
def events(draw: st.DrawFn, lateness: int, *, max_size: int = 12, last: int = 30) -> list[Event]:
    """Events that come at most so many seconds late."""
    times = sorted(draw(st.lists(st.integers(0, last), max_size=max_size)))
    order = sorted(times, key=lambda time: (time + draw(st.integers(0, lateness)), time))
    keys = draw(st.lists(st.sampled_from("abc"), min_size=len(times), max_size=len(times)))
    return [Event(key, n, time) for n, (key, time) in enumerate(zip(keys, order, strict=True))]


@st.composite
def inputs(draw: st.DrawFn, **options: Any) -> Input:
    lateness = draw(st.integers(0, 6))
    return Input(
        draw(events(lateness, **options)),
        draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)),
        draw(st.lists(st.integers(0, 6), min_size=1, max_size=3)),
        lateness,
    )


two_inputs: st.SearchStrategy[Pair] = st.tuples(inputs(), inputs())
bounds = st.builds(
    rx.Settings, chunk=st.integers(1, 9), edge=st.integers(1, 9), mode=st.just("stream")
)


def by_key(stream: rx.Stream[Event]) -> rx.KeyedStream[str, Event]:
    return stream.key_by(lambda event: event.key)


def joined(held: list[tuple[Any, ...]], how: str) -> list[Any]:
    """What a join gives for windows, each with what is in it of the left and of the right."""
    given = []
    for window, left, right in held:
        for key in dict.fromkeys(event.key for event in (*left, *right)):
            ours = [event for event in left if event.key == key]
            others = [event for event in right if event.key == key]
            rows: list[Any] = [(a, b) for a in ours for b in others]
            if not others and how in ("left", "full"):
                rows = [(a, None) for a in ours]
            if not ours and how in ("right", "full"):
                rows = [(None, b) for b in others]
            given += [rx.Windowed(key, window, row) for row in rows]
    return given


def grouped(held: list[tuple[Any, ...]]) -> list[Any]:
    """The same for a cogroup."""
    return [
        rx.Windowed(key, window, tuple([e for e in rows if e.key == key] for rows in (left, right)))
        for window, left, right in held
        for key in dict.fromkeys(event.key for event in (*left, *right))
    ]


def timed(item: Event) -> rx.Chunk[Event]:
    return rx.Chunk([item], [item.time * SECOND])


@st.composite
def cuts(draw: st.DrawFn, lateness: int = 4) -> tuple[Feed, Feed]:
    """Events with two barriers among them and true watermarks, and what comes after the second."""
    row = draw(events(lateness, max_size=8))
    place = draw(st.integers(0, len(row)))
    earlier = draw(st.integers(0, place))
    script: list[Any] = []
    low = -1
    for at, event in enumerate((*row, None)):
        ahead = min((later.time for later in row[at:]), default=low)
        if draw(st.booleans()) and ahead > low:
            low = ahead
            script.append(rx.Watermark(low * SECOND))
        script += [BARRIERS[n] for n, here in enumerate((earlier, place)) if at == here]
        if event is not None:
            script.append(timed(event))
    cut = script.index(BARRIERS[1])
    return Feed(tuple(script)), Feed(tuple(script[cut + 1 :]))


async def whole_and_rest(
    build: Callable[..., rx.Stream[Any]], feeds: Sequence[tuple[Feed, Feed]], changes: bool
) -> tuple[list[Entry], list[Entry]]:
    """What comes after the second barrier, and what comes when it is restored there, from all that
    was held, or from what changed before the first and between the two."""
    wholes = build(*(whole.stream for whole, _ in feeds))
    async with Stepping(wholes, changes_until=BARRIERS[1] if changes else None) as running:
        for barrier in BARRIERS:
            _, came = await running.read_until(barrier)
            assert came
        after, _ = await running.read_until(None)
        kept = await running.saved()
    rests = build(*(rest.stream for _, rest in feeds))
    async with Stepping(rests, kept) as restored:
        again, _ = await restored.read_until(None)
    return after, again


def items_of(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not isinstance(entry, (rx.Watermark, rx.Idle))]
