"""flow: how much waits between two parts of a pipeline, and what gives when it is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from operators.limiting import check_count
from reactive.channel import Overflow, check_overflow
from reactive.graph import Blueprint
from reactive.operator import Buffered, Step, Stepwise
from reactive.policy import side_node
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import SideOutput, Stream

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Rebatch(Stepwise):
    """`rebatch`."""

    count: int

    def details(self) -> dict[str, object]:
        return {"items a chunk": self.count}

    def step(self, context: Context) -> Step[Any, Any]:
        return _RebatchStep(self.count)


class _RebatchStep(Step[Any, Any]):
    def __init__(self, count: int) -> None:
        self._count = count
        self._items: list[Any] = []
        self._times: list[int] = []

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        if self._items and (chunk.times is None) is bool(self._times):
            # With times and without do not travel together.
            self._give(out)
        self._items += chunk.items
        self._times += chunk.times or ()
        while len(self._items) >= self._count:
            self._give(out)

    def _give(self, out: list[Signal[Any]]) -> None:
        count = self._count
        if self._items:
            out.append(Chunk(self._items[:count], self._times[:count] or None))
            del self._items[:count], self._times[:count]

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        self._give(out)
        out.append(watermark)

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._give(out)

    def snapshot(self) -> Any:
        return list(self._items), list(self._times)

    def restore(self, state: Any) -> None:
        self._items, self._times = map(list, state)


class Flow(Blueprint[T_co]):
    """buffer, rebatch."""

    __slots__ = ()

    def buffer(
        self,
        limit: int,
        *,
        overflow: Overflow = "backpressure",
        unit: str = "items",
        discarded: SideOutput[Any] | None = None,
    ) -> Stream[T_co]:
        """Let upstream run ahead of downstream by up to `limit` items (or bytes).

        ```text
        --1-2-3-4-|             (downstream is busy until the end)
        buffer(2, overflow="drop_oldest")
        --1-2-3-4-|
        ```

        Upstream runs in its own task. Emits what waits as soon as downstream takes it, several
        items at once. When full, `overflow` decides: `backpressure` (default) lets upstream
        wait, `drop_oldest` and `drop_newest` lose items, `latest` keeps only the newest item,
        `fail` raises `OverflowFailure` after what was waiting. Lost items are counted (`dropped`
        in the metrics) and go to the side output `discarded`, if given. `unit="bytes"` limits by
        `len(item)`; an item above the whole limit passes alone. Completes with upstream, once
        everything waiting was given. `ValueError` for a limit below 1 or an unknown policy.

        ```python
        ticks = rx.interval(0.01).buffer(100, overflow="drop_oldest")
        ```
        """
        check_count("buffer", limit, 1)
        check_overflow(limit, overflow)
        if unit not in ("items", "bytes"):
            raise ValueError(f'buffer counts in unit="items" or "bytes", not {unit!r}')
        if discarded is not None and overflow in ("backpressure", "fail"):
            raise ValueError(f'overflow="{overflow}" discards nothing; leave out `discarded`')
        side = None if discarded is None else side_node(discarded)
        if discarded is not None and side is None:
            raise TypeError(f"discarded must be a rx.SideOutput, not {discarded!r}")
        return self._then(Buffered(limit, overflow, unit == "bytes", side))

    def rebatch(self, count: int) -> Stream[T_co]:
        """Regroup the chunks that travel on the edges into `count` items each.

        ```text
        --1--2------3--4----|
        rebatch(2)
        -----(12)------(34)-|
        ```

        Changes no item and no order, only how many travel together: for a sink that is better
        called with many. Emits when `count` items are there, before a watermark, and at the end.
        Holds up to `count` items, as long as that takes. Completes with upstream; loses nothing,
        but a failing upstream discards what is held. `ValueError` for a count below 1.

        ```python
        rx.range(10).rebatch(5)
        ```
        """
        check_count("rebatch", count, 1)
        return self._then(Rebatch(count))
