"""Sources that behave badly on purpose, and a probe that counts how a pipeline treats a source.

All of them work on any event loop, and take no real time on a virtual one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from operators.creating import from_source
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.signals import Barrier, Chunk, Idle, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")


class ContractError(AssertionError):
    """A pipeline called a source or a sink in a way that its contract forbids."""


@dataclass(frozen=True, slots=True)
class Pause:
    """In a script: nothing comes for this many seconds of the loop's clock; with 0, for one round
    of the event loop."""

    seconds: float = 0.0


ScriptStep: TypeAlias = Signal[T] | Pause | Exception


@dataclass(frozen=True)
class _ScriptedSource(Source[Any]):
    script: tuple[ScriptStep[Any], ...]
    ends: bool
    name: str

    @property
    def bounded(self) -> bool:
        return self.ends

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return self.name

    def reader(self, context: Context) -> Reader[Any]:
        return _ScriptedReader(self)


class _ScriptedReader(Reader[Any]):
    def __init__(self, source: _ScriptedSource) -> None:
        self._script = source.script
        self._ends = source.ends
        self._step = 0
        self._offset = 0
        self._due: float | None = None

    async def read(self, limit: int) -> Signal[Any] | None:
        while self._step < len(self._script):
            step = self._script[self._step]
            if isinstance(step, Pause):
                await self._wait(step.seconds)
            elif isinstance(step, Exception):
                self._step = len(self._script)
                raise step
            elif isinstance(step, Chunk):
                return self._cut(step, limit)
            self._step += 1
            if isinstance(step, (Watermark, Barrier, Idle)):
                return step
        if not self._ends:
            await asyncio.get_running_loop().create_future()
        return None

    async def _wait(self, seconds: float) -> None:
        if seconds == 0:
            await asyncio.sleep(0)
            return
        now = asyncio.get_running_loop().time()
        if self._due is None:
            self._due = now + seconds
        await asyncio.sleep(max(0.0, self._due - now))
        self._due = None

    def _cut(self, chunk: Chunk[Any], limit: int) -> Chunk[Any]:
        start, end = self._offset, self._offset + limit
        if end >= len(chunk.items):
            self._step, self._offset = self._step + 1, 0
        else:
            self._offset = end
        times = None if chunk.times is None else chunk.times[start:end]
        return Chunk(chunk.items[start:end], times)

    def position(self) -> tuple[int, int]:
        return self._step, self._offset

    async def seek(self, position: tuple[int, int]) -> None:
        self._step, self._offset = position


def scripted_source(
    script: Iterable[ScriptStep[T]], *, ends: bool = True, name: str = "scripted_source"
) -> Stream[T]:
    """A stream of exactly these signals: chunks as they are cut here, watermarks, barriers.

    A `Pause` in the script waits, an exception is raised. Emits each signal when it is asked for;
    a chunk above the limit of the run in pieces. Completes after the script, or, with
    `ends=False`, goes on in silence. Replayable. Loses nothing.

    ```python
    scripted_source([Chunk([1, 2]), Watermark(60_000_000), Pause(5), Chunk([3])])
    ```
    """
    return from_source(_ScriptedSource(tuple(script), ends, name))


def failing_source(items: Iterable[T], error: Exception, at: int | None = None) -> Stream[T]:
    """Gives the first `at` of the items, by default all, then fails with `error`.

    Emits the items before the failure as one chunk. Raises `error`, the same object in every run.

    ```python
    failing_source([1, 2, 3], OSError("gone"), at=2)
    ```
    """
    if at is not None and at < 0:
        raise ValueError(f"failing_source fails at item 0 or later, not {at}")
    before = list(items)[:at]
    script: list[ScriptStep[T]] = [Chunk(before)] if before else []
    return scripted_source([*script, error], name="failing_source")


def slow_source(items: Iterable[T], delay: float) -> Stream[T]:
    """Gives each item `delay` seconds of the loop's clock after it was asked for, and completes.

    ```python
    slow_source(range(3), delay=60)
    ```
    """
    if delay < 0:
        raise ValueError(f"slow_source needs a delay of 0 seconds or more, not {delay}")
    script = [step for item in items for step in (Pause(delay), Chunk([item]))]
    return scripted_source(script, name="slow_source")


@dataclass(frozen=True)
class _StubbornSource(Source[Any]):
    items: tuple[Any, ...]
    seconds: float
    ignored: int

    @property
    def label(self) -> str:
        return "stubborn_source"

    def reader(self, context: Context) -> Reader[Any]:
        return _StubbornReader(self)


class _StubbornReader(Reader[Any]):
    def __init__(self, source: _StubbornSource) -> None:
        self._items = list(source.items)
        self._seconds = source.seconds
        self._ignores = source.ignored

    async def read(self, limit: int) -> Signal[Any] | None:
        if self._items:
            items, self._items = self._items[:limit], self._items[limit:]
            return Chunk(items)
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if self._ignores == 0:
                    await asyncio.sleep(self._seconds)
                    raise
                self._ignores -= 1

    async def close(self) -> None:
        await asyncio.sleep(self._seconds)


def stubborn_source(items: Iterable[T], seconds: float = 5.0, *, ignored: int = 0) -> Stream[T]:
    """Gives the items, then goes on in silence and refuses to stop quickly.

    A cancelled read takes `seconds` of the loop's clock to give up, after it has ignored `ignored`
    cancellations; closing takes `seconds` more. Never completes.

    ```python
    stubborn_source([1, 2, 3], seconds=30)
    ```
    """
    return from_source(_StubbornSource(tuple(items), seconds, ignored))


class _Log:
    """What was done to the readers or writers of one probe."""

    def __init__(self) -> None:
        self.opens = 0
        self.closes = 0
        self.violations: list[ContractError] = []

    @property
    def active(self) -> int:
        """How many are open now."""
        return self.opens - self.closes

    def check(self) -> None:
        """Raise `ContractError` unless each was used as it should be and closed once."""
        if self.violations:
            raise self.violations[0]
        if self.active:
            raise ContractError(f"{self.active} of {self.opens} that were opened were not closed")

    def refuse(self, violation: str) -> None:
        """Note a broken contract and raise it."""
        error = ContractError(violation)
        self.violations.append(error)
        raise error


class Probe(_Log, Generic[T]):
    """A source that counts what is done to it and refuses what its contract forbids.

    Wraps items, or a stream that is nothing but a source. Use `stream` in a pipeline, any number
    of times; the counts are over all of its runs. Calling a reader again while a call is under way
    (other than `stop`), reading before `open`, after the end, after a failure or after `close`,
    closing twice, and a chunk that is empty or above the limit raise `ContractError` there and are
    kept in `violations`; `check()` raises them again, and also if a reader is still open.

    ```python
    probe = Probe([1, 2, 3])
    assert await probe.stream.take(1).collect() == [1]
    probe.check()
    assert (probe.opens, probe.closes) == (1, 1)
    ```
    """

    def __init__(self, source: Iterable[T] | Stream[T] | Source[T]) -> None:
        super().__init__()
        self.reads = 0
        self.ends = 0
        self.stops = 0
        self.items = 0
        self._source = _as_source(source)

    @property
    def stream(self) -> Stream[T]:
        """The watched source as a stream."""
        return from_source(_ProbedSource(self._source, self))


def _as_source(source: Any) -> Source[Any]:
    from reactive.operator import SourceOperator
    from reactive.stream import Stream

    if isinstance(source, Source):
        return source
    if isinstance(source, Stream):
        operator = source.node.operator
        if not isinstance(operator, SourceOperator):
            raise TypeError(f"Probe wraps items or a source, not a pipeline: {source!r}")
        return operator.source
    items = list(source)
    return _ScriptedSource((Chunk(items),) if items else (), True, "probe")


@dataclass(frozen=True)
class _ProbedSource(Source[Any]):
    source: Source[Any]
    probe: Probe[Any]

    @property
    def bounded(self) -> bool:
        return self.source.bounded

    @property
    def replayable(self) -> bool:
        return self.source.replayable

    @property
    def label(self) -> str:
        return self.source.label

    def details(self) -> dict[str, object]:
        return self.source.details()

    def reader(self, context: Context) -> Reader[Any]:
        return _ProbedReader(self.source.reader(context), self.probe)


class _ProbedReader(Reader[Any]):
    def __init__(self, reader: Reader[Any], probe: Probe[Any]) -> None:
        self._reader = reader
        self._probe = probe
        self._state = "made"
        self._busy: str | None = None

    def _enter(self, call: str, *states: str) -> None:
        if self._busy is not None:
            self._probe.refuse(f"{call}() was called while {self._busy}() was under way")
        if self._state not in states:
            self._probe.refuse(f"{call}() was called on a reader that is {self._state}")
        self._busy = call

    async def open(self) -> None:
        self._enter("open", "made")
        self._probe.opens += 1
        self._state = "open"
        try:
            await self._reader.open()
        finally:
            self._busy = None

    async def read(self, limit: int) -> Signal[Any] | None:
        self._enter("read", "open")
        self._probe.reads += 1
        try:
            signal = await self._reader.read(limit)
        except Exception:
            self._state = "failed"
            raise
        finally:
            self._busy = None
        if signal is None:
            self._state = "at its end"
            self._probe.ends += 1
        elif isinstance(signal, Chunk):
            self._probe.items += len(signal)
            if not 1 <= len(signal) <= limit:
                self._probe.refuse(f"read({limit}) gave a chunk of {len(signal)} items")
        return signal

    def stop(self) -> bool:
        self._probe.stops += 1
        return self._reader.stop()

    def position(self) -> Any:
        return self._reader.position()

    async def seek(self, position: Any) -> None:
        self._enter("seek", "open")
        try:
            await self._reader.seek(position)
        finally:
            self._busy = None

    async def close(self) -> None:
        self._enter("close", "open", "at its end", "failed")
        self._state = "closed"
        self._probe.closes += 1
        try:
            await self._reader.close()
        finally:
            self._busy = None


class SinkProbe(_Log, Generic[T]):
    """A sink that keeps what it is given, counts what is done to it and refuses what its contract
    forbids.

    Use `sink` in a job. `items` are those written, `finishes` counts the writers whose input ended
    well. Writing before `open` or after `finish`, overlapping calls and closing twice raise
    `ContractError` and are kept in `violations`; `check()` raises them again, and also if a writer
    is still open.

    ```python
    probe = SinkProbe[int]()
    await rx.run(rx.range(3).to(probe.sink))
    assert probe.items == [0, 1, 2]
    ```
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.finishes = 0
        self.items: list[T] = []

    @property
    def sink(self) -> Sink[T]:
        """The watched sink."""
        return _ProbedSink(self)


@dataclass(frozen=True)
class _ProbedSink(Sink[Any]):
    probe: SinkProbe[Any]

    @property
    def label(self) -> str:
        return "probe_sink"

    def writer(self, context: Context) -> Writer[Any]:
        return _ProbedWriter(self.probe)


class _ProbedWriter(Writer[Any]):
    def __init__(self, probe: SinkProbe[Any]) -> None:
        self._probe = probe
        self._state = "made"

    def _enter(self, call: str, *states: str) -> None:
        if self._state not in states:
            self._probe.refuse(f"{call}() was called on a writer that is {self._state}")

    async def open(self) -> None:
        self._enter("open", "made")
        self._probe.opens += 1
        self._state = "open"

    async def write(self, chunk: Chunk[Any]) -> None:
        self._enter("write", "open")
        self._probe.writes += 1
        if not chunk.items:
            self._probe.refuse("write() was given an empty chunk")
        self._state = "being written to"
        try:
            await asyncio.sleep(0)
            self._probe.items += chunk.items
        finally:
            self._state = "open"

    async def finish(self) -> None:
        self._enter("finish", "open")
        self._state = "finished"
        self._probe.finishes += 1

    async def close(self) -> None:
        self._enter("close", "open", "finished")
        self._state = "closed"
        self._probe.closes += 1


def chunked(items: Sequence[T], sizes: Iterable[int]) -> Iterator[Chunk[T]]:
    """Cut items into chunks of these sizes, the rest as one chunk.

    ```python
    assert list(chunked([1, 2, 3], [2])) == [Chunk([1, 2]), Chunk([3])]
    ```
    """
    start = 0
    for size in sizes:
        if start >= len(items):
            return
        yield Chunk(list(items[start : start + size]))
        start += size
    if start < len(items):
        yield Chunk(list(items[start:]))
