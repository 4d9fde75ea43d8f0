"""Random timings to feed operators with, and models of what comes out of them and when.

A model is plain Python: from the events of each input to the events that have to come out. Inputs
have their events at different times, an input whose number is `n` at whole seconds plus `n`
thousandths, so that no model has to say what happens first at one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st

import reactive as rx
from reactive.testing import End, Failure, Item, MarbleError, record, run
from reactive.testing.marbles import Event
from reactive.testing.recording import MarbleSource

Timeline: TypeAlias = tuple[Event[Any], ...]

ERROR = MarbleError("# of a timeline")


@st.composite
def timelines(
    draw: st.DrawFn,
    number: int = 0,
    *,
    elements: st.SearchStrategy[Any] | None = None,
    fails: bool = True,
    endless: bool = False,
    max_size: int = 8,
    last: int = 30,
) -> Timeline:
    """Items at different seconds, then an end, a failure, or with `endless` perhaps neither."""
    times = sorted(draw(st.sets(st.integers(0, last), max_size=max_size)))
    items = st.integers(-5, 5) if elements is None else elements
    events: list[Event[Any]] = [Item(time + number / 1000, draw(items)) for time in times]
    kinds = ["end", "end", "fails"][: 2 + fails] + ["endless"] * endless
    kind = draw(st.sampled_from(kinds))
    after = (times[-1] if times else 0) + draw(st.integers(1, 6)) + number / 1000
    if kind == "end":
        events.append(End(after))
    elif kind == "fails":
        events.append(Failure(after, ERROR))
    return tuple(events)


def stream_of(timeline: Timeline) -> rx.Stream[Any]:
    """A stream that gives these events at their times, counted from its opening."""
    return rx.from_source(MarbleSource("timeline", timeline))


def items_of(timeline: Sequence[Event[Any]]) -> list[Item[Any]]:
    return [event for event in timeline if isinstance(event, Item)]


def ending_of(timeline: Sequence[Event[Any]]) -> list[Event[Any]]:
    """Its end or failure, if it has one."""
    return [event for event in timeline if not isinstance(event, Item)]


def check_times(
    build: Callable[..., rx.Stream[Any]],
    inputs: Sequence[Timeline],
    model: Callable[..., Sequence[Event[Any]]],
    *,
    until: float = 200.0,
) -> None:
    """Compare what comes out, and when, with a model; call it from a test that is not async."""
    given = run(record(build(*map(stream_of, inputs)), until=until)).events
    wanted = list(model(*inputs))
    assert list(map(plain, given)) == list(map(plain, wanted))


def plain(event: Event[Any]) -> tuple[Any, ...]:
    """What is compared: times to a microsecond, failures by type and text."""
    time = round(event.time, 6)
    if isinstance(event, Item):
        return time, "item", event.value
    if isinstance(event, End):
        return time, "end"
    return time, "failure", type(event.error), str(event.error)
