"""Marble diagrams at work: streams that follow one, and recordings of what a stream gives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from operators.creating import from_source
from reactive.endpoint import Reader, Source
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal
from reactive.testing.marbles import (
    FRAME_SECONDS,
    End,
    Event,
    Failure,
    Item,
    draw,
    length,
    name_items,
    parse,
    render,
)
from reactive.testing.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from reactive.context import Context, Mode, Settings
    from reactive.stream import Stream

T = TypeVar("T")

_TOLERANCE_SECONDS = 1e-6


@dataclass(frozen=True)
class MarbleSource(Source[Any]):
    """Gives events at their times, counted from its opening."""

    diagram: str
    events: tuple[Event[Any], ...]

    @property
    def bounded(self) -> bool:
        return any(isinstance(event, End | Failure) for event in self.events)

    @property
    def label(self) -> str:
        return "cold"

    def details(self) -> dict[str, object]:
        return {"diagram": self.diagram}

    def reader(self, context: Context) -> Reader[Any]:
        return _MarbleReader(self.events)


class _MarbleReader(Reader[Any]):
    """Gives what is due at the time of the read, counted from when it was opened."""

    def __init__(self, events: Sequence[Event[Any]]) -> None:
        self._events = events
        self._next = 0
        self._opened = 0.0

    async def open(self) -> None:
        self._opened = asyncio.get_running_loop().time()

    async def read(self, limit: int) -> Signal[Any] | None:
        if self._next == len(self._events):
            await asyncio.get_running_loop().create_future()
        await self._until(self._events[self._next].time)
        now = asyncio.get_running_loop().time() - self._opened + _TOLERANCE_SECONDS
        items: list[Any] = []
        while self._next < len(self._events) and len(items) < limit:
            event = self._events[self._next]
            if not isinstance(event, Item) or event.time > now:
                break
            items.append(event.value)
            self._next += 1
        if items:
            return Chunk(items)
        last = self._events[self._next]
        self._next += 1
        if isinstance(last, Failure):
            raise last.error
        return None

    async def _until(self, time: float) -> None:
        loop = asyncio.get_running_loop()
        due = self._opened + time
        if due > loop.time():
            reached = loop.create_future()
            timer = loop.call_at(due, _reach, reached)
            try:
                await reached
            finally:
                timer.cancel()


def _reach(reached: asyncio.Future[None]) -> None:
    if not reached.done():
        reached.set_result(None)


def cold(
    diagram: str,
    values: Mapping[str, T] | None = None,
    error: Exception | None = None,
    *,
    frame: float = FRAME_SECONDS,
) -> Stream[Any]:
    """A stream that does what a marble diagram draws, anew in every run.

    Emits each item at its time, in seconds of the loop's clock since the run opened it; what
    becomes due while downstream is busy comes at once when it is asked for. Completes at `|`,
    fails with `error` (by default a `MarbleError`) at `#`, goes on in silence without either.
    Raises `DiagramError` for a diagram that cannot be read.

    ```python
    cold("-a-b-|", {"a": 1, "b": 2})
    ```
    """
    events = parse(diagram, values, error, frame=frame)
    if "^" in diagram:
        raise ValueError(f"a cold stream begins when it is run, so ^ means nothing: {diagram!r}")
    return from_source(MarbleSource(diagram, tuple(events)))


@dataclass(frozen=True)
class Recording(Generic[T]):
    """What a stream gave and when, in seconds since it was run. `print` it for the diagram."""

    events: tuple[Event[T], ...]

    @property
    def items(self) -> list[T]:
        """The items alone."""
        return [event.value for event in self.events if isinstance(event, Item)]

    def diagram(
        self, values: Mapping[str, Any] | None = None, *, frame: float = FRAME_SECONDS
    ) -> str:
        """It as a marble diagram; items that `values` does not name get free letters."""
        return render(self.events, name_items(self.items, values), frame=frame)

    def __str__(self) -> str:
        return draw(self.events)


async def record(
    stream: Stream[T],
    *,
    until: float | None = None,
    settings: Settings | None = None,
    mode: Mode = "stream",
) -> Recording[T]:
    """Run a stream and note what it gives and when, on a virtual-time loop.

    Takes every item as soon as it is there. Ends when the stream completes or fails, and then
    the recording ends with `End` or `Failure`; or after `until` seconds, when the stream is closed
    and what would come at that very time is not noted. A stream that goes on in silence for ever
    needs `until`, otherwise `DeadlockError` is raised. `mode` goes before that of `settings`: what
    is recorded is a matter of time, and batch has none.

    ```python
    recording = await record(cold("-a-b-|").map(str.upper))
    assert recording.diagram() == "-A-B-|"
    ```
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError(
            f"recordings need virtual time, and this is {type(loop).__name__}: use the fixture "
            "`virtual_time` or `marbles`, or reactive.testing.run(...)"
        )
    start = loop.time()
    events: list[Event[T]] = []
    limit = asyncio.timeout(until)
    try:
        async with limit, stream.open(settings, mode=mode) as items:
            async for item in items:
                events.append(Item(loop.time() - start, item))  # noqa: PERF401  kept on failure
            events.append(End(loop.time() - start))
    except TimeoutError as error:
        if not limit.expired():
            events.append(Failure(loop.time() - start, error))
    except Exception as error:
        events.append(Failure(loop.time() - start, error))
    return Recording(tuple(events))


async def assert_marbles(
    stream: Stream[T],
    diagram: str,
    values: Mapping[str, T] | None = None,
    error: Exception | None = None,
    *,
    frame: float = FRAME_SECONDS,
    settings: Settings | None = None,
) -> None:
    """Run a stream on a virtual-time loop and compare what it gives, and when, with a diagram.

    Items are compared by equality, times to a microsecond. `#` accepts any failure, or, with
    `error`, one of the same type and arguments. A diagram without `|` or `#` must go on in silence
    until its length has passed; otherwise the stream is given a frame more than the diagram to
    end. Raises `AssertionError` with both diagrams.

    ```python
    await assert_marbles(cold("-a-b-|").take(1), "-(a|)")
    ```
    """
    expected = parse(diagram, values, error, frame=frame)
    ends = bool(expected) and isinstance(expected[-1], End | Failure)
    until = length(diagram, frame=frame) + (frame if ends else 0.0)
    recording = await record(stream, until=until, settings=settings)
    given = recording.events
    same = len(given) == len(expected) and all(
        _same(one, other, error is None) for one, other in zip(given, expected, strict=True)
    )
    if not same:
        raise AssertionError(
            f"the stream did not give what the diagram draws:\n"
            f"    expected  {_indented(draw(expected, values))}\n"
            f"    given     {_indented(draw(given, values))}"
            + "".join(
                f"\n    # is {event.error!r}" for event in given if isinstance(event, Failure)
            )
        )


def _same(given: Event[Any], expected: Event[Any], any_error: bool) -> bool:
    if type(given) is not type(expected):
        return False
    if abs(given.time - expected.time) > _TOLERANCE_SECONDS:
        return False
    if isinstance(given, Item) and isinstance(expected, Item):
        return bool(given.value == expected.value)
    if isinstance(given, Failure) and isinstance(expected, Failure) and not any_error:
        one, other = given.error, expected.error
        return type(one) is type(other) and one.args == other.args
    return True


def _indented(text: str) -> str:
    return text.replace("\n", "\n              ")


@dataclass(frozen=True)
class Marbles:
    """What the `marbles` fixture gives: the functions of this module, on the test's virtual loop,
    with one length of a frame in seconds."""

    frame: float = FRAME_SECONDS

    def cold(
        self, diagram: str, values: Mapping[str, Any] | None = None, error: Exception | None = None
    ) -> Stream[Any]:
        """See `cold`."""
        return cold(diagram, values, error, frame=self.frame)

    async def record(self, stream: Stream[T], *, until: float | None = None) -> Recording[T]:
        """See `record`."""
        return await record(stream, until=until)

    async def check(
        self,
        stream: Stream[T],
        diagram: str,
        values: Mapping[str, T] | None = None,
        error: Exception | None = None,
    ) -> None:
        """See `assert_marbles`."""
        await assert_marbles(stream, diagram, values, error, frame=self.frame)
