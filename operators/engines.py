"""What a step of windows works with: something that holds windows and gives their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

from operators.keeping import Keeping
from reactive.levels import Changes
from reactive.signals import Chunk
from reactive.windows import EARLIEST, Windowed


class Results:
    """Results with their event times."""

    __slots__ = ("items", "times")

    def __init__(self) -> None:
        self.items: list[Windowed[Any, Any]] = []
        self.times: list[int] = []

    def add(self, item: Windowed[Any, Any], time: int) -> None:
        """One more."""
        self.items.append(item)
        self.times.append(time)

    def add_all(self, items: list[Windowed[Any, Any]], times: list[int]) -> None:
        """Several more."""
        self.items += items
        self.times += times

    def __len__(self) -> int:
        return len(self.items)


class Refuse(Protocol):
    """Told of items that no window takes: because they are `late`, because the trigger of their
    window has `finished`, or because the assigner gave them none (`outside`)."""

    def __call__(self, item: Any, why: str = "late", /) -> None: ...


class Engine(Keeping, ABC):
    """The windows of one operator in one run. Times are in microseconds.

    What gives many results is an iterator: each step of it does a little and says how much, in
    items or results, so that the event loop is not held.
    """

    uses_time: bool = True
    deadline: float | None = None
    """When `on_clock` is wanted, in seconds of the loop's clock."""
    watermark: int = EARLIEST

    @abstractmethod
    def take(self, chunk: Chunk[Any], out: Results) -> None:
        """Items came; with `uses_time`, they have times."""

    def due(self, watermark: int) -> int:
        """The first watermark above this one that can complete something, or make late what those
        below it do not: it has to come in its place among the items (see `Step.due`)."""
        return watermark + 1

    def advance(self, watermark: int) -> bool:
        """The watermark moved; whether `on_watermark` is to be called, since that may complete
        something. Asked for every watermark, of which most complete nothing."""
        return True

    @abstractmethod
    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        """The watermark moved: give what that completes."""

    @abstractmethod
    def on_end(self, out: Results) -> Iterator[int]:
        """No more items come: all windows are complete and over."""

    def on_clock(self, now: float, out: Results) -> None:
        """The clock reached the deadline."""
        self.deadline = None

    def passed(self) -> int:
        """The watermark to pass on: no result to come is earlier."""
        return self.watermark

    @abstractmethod
    def live(self) -> int:
        """How many windows of keys are held."""

    @abstractmethod
    def snapshot(self) -> Any:
        """A picklable copy of what is held."""

    def changes(self) -> Changes | None:
        """The same, of what has changed since the last time; None where that is not told apart."""
        return None

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go on from a snapshot, or from changes put together."""
