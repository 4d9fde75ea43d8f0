"""limiting: how much of a stream goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from operators.checking import bind_plain, check_plain
from operators.checking import check_count as check_count
from operators.checking import check_seconds as check_seconds
from reactive.chain import Edge
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.inlets import Inlets
from reactive.operator import Inline, Stage, Staged, Step, Stepwise
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Take(Inline):
    """`take`."""

    count: int

    def emit(self, code: Code) -> None:
        left = code.state("left", str(self.count))
        code.line(f"{left} -= 1")
        code.stop_after_item(f"not {left}")


@dataclass(frozen=True)
class TakeNothing(Staged):
    """`take(0)`: its input is not even opened."""

    concurrent: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "take"

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return True

    def stage(self, context: Context) -> Stage[Any]:
        return _TakeNothingStage()


class _TakeNothingStage(Stage[Any]):
    async def read(self) -> Signal[Any] | None:
        return None


@dataclass(frozen=True)
class Skip(Inline):
    """`skip`."""

    count: int

    def emit(self, code: Code) -> None:
        left = code.state("left", str(self.count))
        code.block(f"if {left}:", f"{left} -= 1", *code.skipping())


@dataclass(frozen=True)
class TakeWhile(Inline):
    """`take_while`."""

    predicate: Callable[[Any], object]
    inclusive: bool

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.predicate)
        if self.inclusive:
            last = code.keep(f"not {fn}({code.item})")
            code.stop_after_item(last)
        else:
            code.block(f"if not {fn}({code.item}):", code.stop())


@dataclass(frozen=True)
class SkipWhile(Inline):
    """`skip_while`."""

    predicate: Callable[[Any], object]

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.predicate)
        skipping = code.state("skipping", "True")
        code.line(f"if {skipping}:")
        code.block(f"    if {fn}({code.item}):", *(f"    {line}" for line in code.skipping()))
        code.line(f"    {skipping} = False")


@dataclass(frozen=True)
class TakeLast(Stepwise):
    """`take_last`."""

    count: int

    def step(self, context: Context) -> Step[Any, Any]:
        return _TakeLastStep(self.count)


class _TakeLastStep(Step[Any, Any]):
    def __init__(self, count: int) -> None:
        self._items: deque[Any] = deque(maxlen=count)
        self._times: deque[int | None] = deque(maxlen=count)

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._items.extend(chunk.items)
        self._times.extend(chunk.times or repeat(None, len(chunk.items)))

    def on_end(self, out: list[Signal[Any]]) -> None:
        times = [time for time in self._times if time is not None]
        if self._items:
            complete = len(times) == len(self._items)
            out.append(Chunk(list(self._items), times if complete else None))

    def snapshot(self) -> Any:
        return list(self._items), list(self._times)

    def restore(self, state: Any) -> None:
        items, times = state
        self._items.extend(items)
        self._times.extend(times)


@dataclass(frozen=True)
class TakeUntil(Staged):
    """`take_until` a stream."""

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return any(inputs)

    def stage(self, context: Context) -> Stage[Any]:
        return _TakeUntilStage()


class _TakeUntilStage(Stage[Any]):
    async def open(self) -> None:
        edges = [edge for edge in self.inputs if isinstance(edge, Edge)]
        self._notifier = edges[1]
        self._inlets = Inlets(edges[:1])
        self._notifier.share(self._inlets.waker)

    async def read(self) -> Signal[Any] | None:
        while not self._notified():
            arrival = self._inlets.poll()
            if arrival is None:
                await self._inlets.waker.wait()
            elif isinstance(arrival, tuple):
                return arrival[1]
            else:
                return arrival
        return None

    def _notified(self) -> bool:
        while (signal := self._notifier.poll()) is not None:
            if type(signal) is Chunk:
                return True
        return False


@dataclass(frozen=True)
class TakeUntilEvent(Staged):
    """`take_until` an event."""

    event: asyncio.Event

    @property
    def label(self) -> str:
        return "take_until"

    def stage(self, context: Context) -> Stage[Any]:
        return _TakeUntilEventStage(self.event)


class _TakeUntilEventStage(Stage[Any]):
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._waiting: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        self._edge = edge
        self._waiting = asyncio.get_running_loop().create_task(
            self._event.wait(), name="reactive take_until"
        )
        self._waiting.add_done_callback(lambda _: edge.channel.waker.wake())

    async def read(self) -> Signal[Any] | None:
        while not self._event.is_set():
            signal = self._edge.poll()
            if signal is not None:
                return signal
            if self._edge.ended:
                return None
            await self._edge.channel.waker.wait()
        return None

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])


class Limiting(Blueprint[T_co]):
    """take, skip, take_while, skip_while, take_last, take_until."""

    __slots__ = ()

    def take(self, count: int) -> Stream[T_co]:
        """Give the first `count` items, then complete.

        ```text
        --1--2--3--4--|
        take(2)
        --1--(2|)
        ```

        Emits up to `count` items. Completes with the last of them and closes upstream; operators
        before it see no item after it. `take(0)` completes at once and opens nothing. Drops the
        rest, by design. `ValueError` for a negative count.

        ```python
        rx.range(10).take(3)
        ```
        """
        check_count("take", count)
        return self._then(Take(count) if count else TakeNothing())

    def skip(self, count: int) -> Stream[T_co]:
        """Drop the first `count` items.

        ```text
        --1--2--3--4--|
        skip(2)
        --------3--4--|
        ```

        Emits every later item. Completes with upstream. `ValueError` for a negative count.

        ```python
        rx.range(10).skip(3)
        ```
        """
        check_count("skip", count)
        return self._then(Skip(count))

    def take_while(
        self, predicate: Callable[[T_co], object], *, inclusive: bool = False
    ) -> Stream[T_co]:
        """Give items until the first for which `predicate` does not hold.

        ```text
        --1--2--3--1--|
        take_while(lambda x: x < 3)
        --1--2--|
        ```

        Completes at that item, which is given too if `inclusive`, and closes upstream. Drops the
        rest, by design. Raises what `predicate` raises.

        ```python
        rx.range(10).take_while(lambda x: x < 3)
        ```
        """
        check_plain("take_while", predicate)
        return self._then(TakeWhile(predicate, inclusive))

    def skip_while(self, predicate: Callable[[T_co], object]) -> Stream[T_co]:
        """Drop items until the first for which `predicate` does not hold.

        ```text
        --1--2--3--1--|
        skip_while(lambda x: x < 3)
        --------3--1--|
        ```

        Emits that item and every later one, without asking again. Completes with upstream.
        Raises what `predicate` raises.

        ```python
        rx.range(10).skip_while(lambda x: x < 3)
        ```
        """
        check_plain("skip_while", predicate)
        return self._then(SkipWhile(predicate))

    def take_last(self, count: int) -> Stream[T_co]:
        """Give the last `count` items when upstream completes.

        ```text
        --1--2--3--|
        take_last(2)
        -----------(23|)
        ```

        Emits at the end only, and so never for an endless stream. Holds `count` items. Drops the
        others, by design; a failing upstream gives none. `ValueError` for a negative count.

        ```python
        rx.range(10).take_last(3)
        ```
        """
        check_count("take_last", count)
        return self._then(TakeLast(count))

    def take_until(self, other: Stream[Any] | asyncio.Event) -> Stream[T_co]:
        """Give items until another stream gives its first, or an event is set.

        ```text
        --1--2--3--4--|
        -------a---         other
        take_until(other)
        --1--2-|
        ```

        Emits what upstream gives. Completes with upstream, or when `other` gives an item or is
        set; both are then closed. A stream that ends without an item has no effect; its failure
        fails this stream. Drops what upstream gives later, and items still on the edge then.

        ```python
        rx.interval(1).take_until(rx.timer(5))
        ```
        """
        if isinstance(other, asyncio.Event):
            return self._then(TakeUntilEvent(other))
        return self._then(TakeUntil(), other)
