"""Random signals to feed operators with, and what comes out of them, times included."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import reactive as rx
from reactive.context import Mode
from reactive.execution import Execution
from reactive.operator import Step
from reactive.plan import JobPlan, make_plan
from reactive.signals import AnySignal, Control

Pair: TypeAlias = tuple[Any, int | None]
Test: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def examples(count: int = 50) -> Callable[[Test], Test]:
    """How often hypothesis tries a test; nothing about wall-clock time, the machine is shared."""
    quiet = [HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=quiet)


@dataclass(frozen=True)
class Feed(rx.Source[Any]):
    """A source that gives exactly these signals; an exception among them is raised."""

    script: tuple[AnySignal | Exception, ...]

    @property
    def bounded(self) -> bool:
        return True

    def reader(self, context: rx.Context) -> rx.Reader[Any]:
        return _FeedReader(self.script)

    @property
    def stream(self) -> rx.Stream[Any]:
        return rx.from_source(self)

    @property
    def pairs(self) -> list[Pair]:
        """All items with their times."""
        return pairs(self.script)

    @property
    def items(self) -> list[Any]:
        return [item for item, _ in self.pairs]

    def at_end(self, time: int | None) -> int | None:
        """The time of something that is given at the end: not behind the last watermark."""
        said = [one.time for one in self.controls if isinstance(one, rx.Watermark)]
        return max(*said, time) if said and time is not None else max(said, default=time)

    @property
    def controls(self) -> list[Control]:
        return controls(self.script)


class _FeedReader(rx.Reader[Any]):
    def __init__(self, script: Sequence[AnySignal | Exception]) -> None:
        self._script = list(script)

    async def read(self, limit: int) -> AnySignal | None:
        if not self._script:
            return None
        signal = self._script.pop(0)
        if isinstance(signal, Exception):
            raise signal
        if isinstance(signal, rx.Chunk) and len(signal) > limit:
            items, times = signal.items, signal.times
            rest = rx.Chunk(items[limit:], None if times is None else times[limit:])
            self._script.insert(0, rest)
            return rx.Chunk(items[:limit], None if times is None else times[:limit])
        return signal


def feed_of(*items: Any, times: Sequence[int] | None = None) -> Feed:
    """One chunk of items."""
    return Feed((rx.Chunk(list(items), None if times is None else list(times)),) if items else ())


@st.composite
def feeds(
    draw: st.DrawFn,
    elements: st.SearchStrategy[Any] | None = None,
    *,
    timed: bool | None = None,
    signals: bool = True,
    max_size: int = 30,
) -> Feed:
    """Items in random chunks, with or without times, watermarks and other signals between them."""
    items = draw(st.lists(st.integers(-5, 5) if elements is None else elements, max_size=max_size))
    if timed is None:
        timed = draw(st.booleans())
    times = draw(st.lists(st.integers(0, 1000), min_size=len(items), max_size=len(items)))
    script: list[AnySignal] = []
    epoch, position = 0, 0
    while position < len(items):
        size = draw(st.integers(1, 5))
        chunk = slice(position, position + size)
        script.append(rx.Chunk(items[chunk], times[chunk] if timed else None))
        position += size
        if not signals:
            continue
        kind = draw(st.sampled_from(["none", "none", "barrier", "watermark", "idle"]))
        if kind == "barrier":
            epoch += 1
            script.append(rx.Barrier(epoch))
        elif kind == "watermark" and timed:
            times[position:] = sorted(times[position:])
            low = min(times[position:], default=1000)
            said = [one.time for one in script if isinstance(one, rx.Watermark)]
            if low > max(said, default=-1):
                script.append(rx.Watermark(low))
        elif kind == "idle":
            script.append(rx.IDLE)
    return Feed(tuple(script))


def rising(said: Sequence[Any]) -> list[Any]:
    """Without the watermarks that would go back, and barriers that were given before."""
    kept: list[Any] = []
    low = -1
    barrier: rx.Barrier | None = None
    for control in said:
        if isinstance(control, rx.Barrier):
            before, barrier = barrier, control
            if control != before:
                kept.append(control)
        elif not isinstance(control, rx.Watermark):
            kept.append(control)
        elif control.time > low:
            low = control.time
            kept.append(control)
    return kept


async def signals(
    stream: rx.Stream[Any], settings: rx.Settings | None = None, mode: Mode = "stream"
) -> list[AnySignal]:
    """Everything a stream gives, chunks as they are and control signals included."""
    execution = Execution(make_plan([JobPlan(stream.node)], mode=mode), settings)
    given: list[AnySignal] = []
    try:
        await execution.open()
        while (signal := await execution.read()) is not None:
            given.append(signal)
    finally:
        await execution.close()
    return given


def pairs(given: Iterable[AnySignal | Exception]) -> list[Pair]:
    """The items with their times, which have to be parallel; chunks are never empty."""
    result: list[Pair] = []
    for signal in given:
        if isinstance(signal, rx.Chunk):
            assert signal.items, "an empty chunk"
            times = [None] * len(signal.items) if signal.times is None else signal.times
            result += zip(signal.items, times, strict=True)
    return result


def controls(given: Iterable[AnySignal | Exception]) -> list[Control]:
    """The control signals."""
    return [one for one in given if isinstance(one, (rx.Watermark, rx.Barrier, rx.Idle))]


async def check(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
    feed: Feed,
    model: Callable[[list[Pair]], Iterable[Pair]],
    *,
    ends_early: bool = False,
) -> None:
    """Compare an operator with a model in plain Python, item by item and time by time.

    Control signals must all have passed, in order; with `ends_early`, those before the end.
    """
    given = await signals(build(feed.stream))
    assert pairs(given) == list(model(feed.pairs))
    passed = controls(given)
    assert passed == feed.controls[: len(passed)]
    if not ends_early:
        assert len(passed) == len(feed.controls)


def last_time(given: Sequence[Pair]) -> int | None:
    """The time of the last item."""
    return given[-1][1] if given else None


def push(step: Step[Any, Any], signal: rx.Chunk[Any] | rx.Watermark | None) -> list[AnySignal]:
    """What a step gives for a signal, or for the end, however often it has to be resumed."""
    out: list[AnySignal] = []
    if isinstance(signal, rx.Chunk):
        step.on_chunk(signal, out)
    elif isinstance(signal, rx.Watermark):
        step.on_watermark(signal, out)
    else:
        step.on_end(out)
    while step.busy:
        step.resume(out)
    return out
