"""flow: how much waits between two parts of a pipeline, and what gives when it is full."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from operators.checking import check_callable, check_count, check_plain
from operators.conflating import Conflate
from operators.permits import InFlightEnd, LimitInFlight, Part, check_part
from reactive.channel import Overflow, check_overflow
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint, as_stream
from reactive.operator import Buffered, Step, Stepwise
from reactive.policy import side_node
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import SideOutput, Stream

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Prefetch(Buffered):
    """`prefetch`."""

    @property
    def label(self) -> str:
        return "prefetch"

    def details(self) -> dict[str, object]:
        return {"count": self.limit}


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
    """buffer, prefetch, conflate, limit_in_flight, rebatch."""

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
        everything waiting was given. With checkpoints and backpressure, no more waits than is taken
        in a twentieth of a second. `ValueError` for a limit below 1 or an unknown policy.

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

    def prefetch(self, count: int) -> Stream[T_co]:
        """Have up to `count` items ready before downstream asks for them.

        ```text
        --1-2-3-4-----|
        prefetch(2).map(busy(2))
        ----1-2-3-4---|
        ```

        The same as `buffer(count)` with backpressure, under the name that says what for: nothing
        is lost, whatever the speeds. Upstream runs in a task of its own, from the first time that
        downstream asks, and takes no more than `count` items ahead of it. Emits what waits as soon
        as downstream takes it, several items at once. Completes with upstream, once everything
        waiting was given; a failure comes after it too. `ValueError` for a count below 1.

        ```python
        rx.from_iterable(urls).map(fetch).prefetch(5)
        ```
        """
        check_count("prefetch", count, 1)
        return self._then(Prefetch(count, "backpressure"))

    def conflate(self: Flow[T], combine: Callable[[T, T], T]) -> Stream[T]:
        """Let upstream run at full speed, and combine what comes while downstream is busy.

        ```text
        --1-2-3-4-5---------|
        conflate(lambda waiting, x: waiting + x).map(busy(5))
        -------1----5----9--|
        ```

        Emits an item at once if downstream waits for it. One that comes while downstream is busy
        waits; later ones become one with it, `combine(waiting, item)`, until downstream takes that.
        Never backpressures: upstream runs in a task of its own, and one item is held, whatever the
        speeds (the edge before it is read as it fills). Downstream is busy as long as it does not
        ask for more; an edge behind this one asks until it is full. The event time is the latest
        of what was combined; a watermark waits for what it came after. Completes with upstream,
        once what waits was given; a failure comes after that too. Loses nothing but what `combine`
        leaves out. Raises what `combine` raises.

        ```python
        rx.interval(0.01).conflate(lambda waiting, tick: tick).map(fetch)
        ```
        """
        check_plain("conflate", combine)
        return self._then(Conflate(combine))

    def limit_in_flight(self, count: int, part: Callable[[Stream[T_co]], Stream[U]]) -> Stream[U]:
        """Let no more than `count` items be between the beginning and the end of a part.

        ```text
        --(123)--------|
        limit_in_flight(1, lambda s: s.map(busy(3), concurrency=2))
        -----1--2--3---|
        ```

        `part` is a function that adds operators to a stream, one line of them. An item is let in
        when fewer than `count` are inside: it backpressures until then, also where the operators of
        the part, with their edges, would take more. An item is inside until it has been given to
        what follows the part, was dropped, or is kept by an operator as its state (a list begun by
        `batch`). That something was dropped or kept is found out when the part is full: a mark
        follows what is inside, behind which `map(ordered=False)` starts no call until those before
        it are done. Of an item that becomes several, the first frees its place, and others may free
        those of later items. Emits, completes, fails and loses as the part does. `ValueError` for a
        count below 1, and for a part that has other inputs (`merge`, `zip`), is not built on the
        stream it is given, or has `through` in it.

        ```python
        rx.from_iterable(urls).limit_in_flight(3, lambda s: s.map(fetch).buffer(10).map(len))
        ```
        """
        check_count("limit_in_flight", count, 1)
        check_callable("limit_in_flight", part)
        key = Part()
        entry = self._then(LimitInFlight(count, key))
        last = part(entry)
        check_part(entry.node, as_stream(last).node)
        return last._then(InFlightEnd(count, key))

    def rebatch(self, count: int) -> Stream[T_co]:
        """Regroup the chunks that travel on the edges into `count` items each.

        ```text
        --1--2------3--4----|
        rebatch(2)
        -----(12)------(34)-|
        ```

        Changes no item and no order, only how many travel together: for a sink that is better
        called with many. Emits when `count` items are there, before a watermark, and at the end.
        Holds up to `count` items, as long as that takes. Backpressures and completes with its
        neighbours; loses nothing, but a failing upstream discards what is held. `ValueError` for a
        count below 1.

        ```python
        rx.range(10).rebatch(5)
        ```
        """
        check_count("rebatch", count, 1)
        return self._then(Rebatch(count))
