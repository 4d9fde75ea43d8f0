"""Probes: a source and a sink that count what a pipeline does to them and refuse what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from operators.creating import from_source
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal
from reactive.testing.scripts import ScriptedSource

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")


class ContractError(AssertionError):
    """A pipeline called a source or a sink in a way that its contract forbids."""


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
    return ScriptedSource((Chunk(items),) if items else (), True, "probe")


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
