"""Two sources as one: a history that ends, and what goes on where it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from reactive.endpoint import Extent, Reader, Source
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.signals import Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SequelPosition(NamedTuple):
    """Where reading goes on: in the history or in what follows it, and where there."""

    part: Literal["history", "live"]
    position: Any


@dataclass(frozen=True)
class Sequel(Source[T_co]):
    """Reads `history` to its end, and then `live` from the position at which that ended.

    What `Source.after` returns for two sources that count positions alike: the offsets of one
    journal, the numbers of one table. `position(where)` translates, if they do not count quite
    alike. Emits what the two give. The live reader is opened when the history has ended. Completes
    when it does. Fails with either, and with `ConnectorError` if the history cannot tell where it
    ended. Positions are those of the part that is being read, so it can be replayed where both can.

    ```python
    class Tail(rx.Source[bytes]):
        def after(self, history: rx.Source[bytes]) -> rx.Source[bytes]:
            return rx.Sequel(history, self)
    ```
    """

    history: Source[T_co]
    live: Source[T_co]
    position: Callable[[Any], Any] | None = None

    @property
    def bounded(self) -> bool:
        return self.history.bounded and self.live.bounded

    @property
    def replayable(self) -> bool:
        return self.history.replayable and self.live.replayable

    @property
    def acknowledges(self) -> bool:
        return self.history.acknowledges or self.live.acknowledges

    @property
    def label(self) -> str:
        return f"{self.history.label}_then_{self.live.label}"

    def details(self) -> dict[str, object]:
        return joined_details(self.history, self.live)

    def side_outputs(self) -> Sequence[Node]:
        return joined_sides(self.history, self.live)

    def reader(self, context: Context) -> Reader[T_co]:
        return _SequelReader(self, context)


def joined_details(history: Source[Any], live: Source[Any]) -> dict[str, object]:
    """What `explain()` shows of a history and what follows it."""
    return {
        **{f"history {key}": value for key, value in history.details().items()},
        **{f"live {key}": value for key, value in live.details().items()},
    }


def joined_sides(history: Source[Any], live: Source[Any]) -> Sequence[Node]:
    """The side outputs that either feeds, each once."""
    return tuple(dict.fromkeys((*history.side_outputs(), *live.side_outputs())))


class _SequelReader(Reader[T]):
    """One part after the other. What was cut short by a cancellation is done again, so that no
    part is opened twice or left open."""

    def __init__(self, source: Sequel[T], context: Context) -> None:
        self._source = source
        self._context = context
        self._history: Reader[T] | None = None
        self._live: Reader[T] | None = None
        self._live_ready = False
        self._end: Any = None
        self._stopping = False

    async def open(self) -> None:
        self._history = self._source.history.reader(self._context)
        await self._history.open()

    async def read(self, limit: int) -> Signal[T] | None:
        history = self._history
        if history is not None:
            if self._end is None:
                signal = await history.read(limit)
                if signal is not None or self._stopping:
                    return signal
                self._end = self._where_it_ended(history)
            if not self._live_ready:
                await self._open_live(self._end)
            # What it holds on to is needed until the other has found its place.
            self._history = None
            await uninterrupted(history.close())
        assert self._live is not None
        return await self._live.read(limit)

    def _where_it_ended(self, history: Reader[T]) -> Any:
        end = history.position()
        if end is None:
            raise ConnectorError(
                f"{self._source.history.label} does not tell where it ended, so nothing can go on "
                "there; its reader needs a `position`"
            )
        return end if self._source.position is None else self._source.position(end)

    async def _open_live(self, position: Any) -> None:
        """Let the live reader begin there; afresh, if it was interrupted in this."""
        if self._live is not None:
            unfinished, self._live = self._live, None
            await uninterrupted(unfinished.close())
        self._live = self._source.live.reader(self._context)
        await self._live.open()
        await self._live.seek(position)
        self._live_ready = True
        if self._stopping:
            self._live.stop()

    def stop(self) -> bool:
        reader = self._live or self._history
        if reader is None:
            return False
        self._stopping = True
        return reader.stop()

    def extent(self) -> Extent | None:
        return None if self._history is None else self._history.extent()

    def position(self) -> SequelPosition | None:
        if self._live_ready:
            assert self._live is not None
            return _at("live", self._live.position())
        if self._end is not None:
            return _at("live", self._end)
        return None if self._history is None else _at("history", self._history.position())

    def committed(self, position: Any) -> None:
        assert isinstance(position, SequelPosition)
        if position.part == "history" and self._history is not None:
            self._history.committed(position.position)
        elif position.part == "live" and self._live_ready and self._live is not None:
            self._live.committed(position.position)

    async def seek(self, position: Any) -> None:
        if not isinstance(position, SequelPosition):
            raise ConnectorError(
                f"a position in {self._source.label} is a SequelPosition, not {position!r}; it was "
                "taken from another source"
            )
        assert self._history is not None
        if position.part == "history":
            await self._history.seek(position.position)
            return
        history, self._history = self._history, None
        await uninterrupted(history.close())
        await self._open_live(position.position)

    async def close(self) -> None:
        try:
            if self._history is not None:
                await self._history.close()
        finally:
            if self._live is not None:
                await self._live.close()


def _at(part: Literal["history", "live"], position: Any) -> SequelPosition | None:
    return None if position is None else SequelPosition(part, position)
