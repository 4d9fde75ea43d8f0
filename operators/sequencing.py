"""The work of concat, start_with and end_with: one thing after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reactive.fast_dataclasses import dataclass
from reactive.inlets import Rising
from reactive.operator import Stage, Staged, Step, Stepwise
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Concat(Staged):
    """`concat`."""

    concurrent: ClassVar[bool] = False

    def stage(self, context: Context) -> Stage[Any]:
        return _ConcatStage()


class _ConcatStage(Stage[Any]):
    """Opens an input when the one before it has ended; the others are not even asked."""

    def __init__(self) -> None:
        self._current = 0
        self._opened = False
        self._rising = Rising()

    async def open(self) -> None:
        # Those that a run before this one came to the end of; who feeds them need not wait.
        for puller in self.inputs[: self._current]:
            await puller.close()

    async def read(self) -> Signal[Any] | None:
        while self._current < len(self.inputs):
            puller = self.inputs[self._current]
            if not self._opened:
                self._opened = True
                await puller.open()
            signal = await puller.read()
            if signal is not None:
                if self._rising.passes(signal):
                    return signal
                continue
            await puller.close()
            self._current += 1
            self._opened = False
        return None

    def snapshot(self) -> Any:
        return self._current, self._rising.snapshot()

    def restore(self, state: Any) -> None:
        self._current, said = state
        self._rising.restore(said)


@dataclass(frozen=True)
class StartWith(Staged):
    """`start_with`."""

    concurrent: ClassVar[bool] = False

    items: tuple[Any, ...]

    def details(self) -> dict[str, object]:
        return {"items": len(self.items)}

    def stage(self, context: Context) -> Stage[Any]:
        return _StartWithStage(self.items, context.settings.chunk)


class _StartWithStage(Stage[Any]):
    def __init__(self, items: tuple[Any, ...], most: int) -> None:
        self._items = items
        self._most = most
        self._next = 0

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        start = self._next
        if start < len(self._items):
            self._next = start + self._most
            return Chunk(list(self._items[start : self._next]))
        return await self.inputs[0].read()

    def snapshot(self) -> Any:
        return self._next

    def restore(self, state: Any) -> None:
        self._next = state


@dataclass(frozen=True)
class EndWith(Stepwise):
    """`end_with`."""

    items: tuple[Any, ...]

    def details(self) -> dict[str, object]:
        return {"items": len(self.items)}

    def step(self, context: Context) -> Step[Any, Any]:
        return _EndWithStep(self.items)


class _EndWithStep(Step[Any, Any]):
    """Its items have the time of the last one before them, or of a later watermark: what comes
    last must not be late."""

    def __init__(self, items: tuple[Any, ...]) -> None:
        self._items = items
        self._last: int | None = None
        self._low: int | None = None

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._last = None if chunk.times is None else chunk.times[-1]
        out.append(chunk)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        self._low = watermark.time
        out.append(watermark)

    def on_end(self, out: list[Signal[Any]]) -> None:
        if self._items:
            known = [time for time in (self._last, self._low) if time is not None]
            times = [max(known)] * len(self._items) if known else None
            out.append(Chunk(list(self._items), times))

    def snapshot(self) -> Any:
        return self._last, self._low

    def restore(self, state: Any) -> None:
        self._last, self._low = state
