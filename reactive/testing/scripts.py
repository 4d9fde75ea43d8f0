"""A source that follows a script: exactly these signals, cut into chunks exactly like this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from operators.creating import from_source
from reactive.endpoint import Reader, Source
from reactive.fast_dataclasses import dataclass
from reactive.signals import Barrier, Chunk, Idle, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """In a script: nothing comes for this many seconds of the loop's clock; with 0, for one round
    of the event loop."""

    seconds: float = 0.0


ScriptStep: TypeAlias = Signal[T] | Pause | Exception


@dataclass(frozen=True)
class ScriptedSource(Source[Any]):
    """What `scripted_source` reads."""

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
    def __init__(self, source: ScriptedSource) -> None:
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
    return from_source(ScriptedSource(tuple(script), ends, name))


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
