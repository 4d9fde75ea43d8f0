"""What flows on every edge: chunks of items, and control signals in order with them.

The union is closed. Code that handles `Signal` handles all four members; nothing else ever
travels on an edge, apart from the end of the stream and its failure, which close the edge.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeAlias, TypeVar, final

from reactive.fast_dataclasses import dataclass

T = TypeVar("T")


@final
class Chunk(Generic[T]):
    """Items that were available together, in order.

    `times` is `None` until event time is set; from then on it is parallel to `items` and holds
    int64 microseconds since the Unix epoch. Chunk boundaries carry no meaning, a chunk on an edge
    is never empty, and its lists are never changed once it was handed on: branches share them.
    `span` is known where times were looked at anyway: none is before its first or after its
    second, so that what is the same for all of them need not be found for each.
    """

    __slots__ = ("items", "span", "times")

    def __init__(
        self,
        items: list[T],
        times: list[int] | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self.items = items
        self.times = times
        self.span = span

    def split(self, count: int) -> tuple[Chunk[T], Chunk[T]]:
        """The first `count` items and the others, with their times."""
        items, times, span = self.items, self.times, self.span
        if times is None:
            return Chunk(items[:count]), Chunk(items[count:])
        return Chunk(items[:count], times[:count], span), Chunk(items[count:], times[count:], span)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chunk):
            return NotImplemented
        return self.items == other.items and self.times == other.times

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        times = "" if self.times is None else f", times={self.times!r}"
        return f"Chunk({self.items!r}{times})"


@final
@dataclass(frozen=True, slots=True)
class Watermark:
    """No item earlier than `time` (microseconds since the Unix epoch) is expected after this."""

    time: int


@final
@dataclass(frozen=True, slots=True)
class Barrier:
    """Everything before this belongs to checkpoint `epoch`, everything after it does not."""

    epoch: int


@final
@dataclass(frozen=True, slots=True)
class Idle:
    """This edge has nothing to say for now: do not wait for its watermark. A chunk ends it."""


IDLE: Final = Idle()

Control: TypeAlias = Watermark | Barrier | Idle
Signal: TypeAlias = Chunk[T] | Watermark | Barrier | Idle
AnySignal: TypeAlias = Chunk[Any] | Watermark | Barrier | Idle
