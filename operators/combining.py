"""combining: several streams into one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from reactive.chain import Edge
from reactive.graph import Blueprint
from reactive.inlets import Inlets, Rising
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Merge(Staged):
    """`merge`."""

    def stage(self, context: Context) -> Stage[Any]:
        return _MergeStage()


class _MergeStage(Stage[Any]):
    async def open(self) -> None:
        self._inlets = Inlets([edge for edge in self.inputs if isinstance(edge, Edge)])

    async def read(self) -> Signal[Any] | None:
        while (arrival := await self._inlets.next()) is not None:
            if not isinstance(arrival, tuple):
                return arrival
            if arrival[1] is not None:
                return arrival[1]
        return None


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


@dataclass(frozen=True)
class Zip(Staged):
    """`zip`."""

    strict: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return any(inputs)

    def details(self) -> dict[str, object]:
        return {"strict": True} if self.strict else {}

    def stage(self, context: Context) -> Stage[Any]:
        return _ZipStage(self.strict, context.where())


def _latest(times: tuple[int | None, ...]) -> int | None:
    return max((time for time in times if time is not None), default=None)


class _ZipStage(Stage[Any]):
    """Holds at most one chunk of each input; an input that is ahead is not read."""

    def __init__(self, strict: bool, where: str) -> None:
        self._strict = strict
        self._where = where

    async def open(self) -> None:
        self._inlets = Inlets([edge for edge in self.inputs if isinstance(edge, Edge)])
        self._held: list[deque[Any]] = [deque() for _ in self.inputs]
        self._times: list[deque[int | None]] = [deque() for _ in self.inputs]
        self._ended: set[int] = set()

    async def read(self) -> Signal[Any] | None:
        while True:
            if any(not self._held[index] for index in self._ended):
                await self._check_strict()
                return None
            arrival = await self._inlets.next()
            if arrival is None:
                return None
            if not isinstance(arrival, tuple):
                return arrival
            index, chunk = arrival
            if chunk is None:
                self._ended.add(index)
                continue
            self._held[index].extend(chunk.items)
            self._times[index].extend(chunk.times or repeat(None, len(chunk.items)))
            count = min(map(len, self._held))
            if count:
                return self._give(count)
            self._inlets.pause(index)

    def _give(self, count: int) -> Chunk[Any]:
        held = self._held
        rows = list(zip(*([row.popleft() for _ in range(count)] for row in held), strict=True))
        columns = ([row.popleft() for _ in range(count)] for row in self._times)
        latest = [_latest(row) for row in zip(*columns, strict=True)]
        times = [time for time in latest if time is not None]
        for index, row in enumerate(held):
            if row:
                self._inlets.pause(index)
            else:
                self._inlets.resume(index)
        return Chunk(rows, times if len(times) == count else None)

    async def _check_strict(self) -> None:
        """With `strict`, every input has to end together: look at the others once more."""
        if not self._strict:
            return
        for index in range(len(self._held)):
            self._inlets.resume(index)
        while all(not row for row in self._held) and len(self._ended) < len(self._held):
            arrival = await self._inlets.next()
            if arrival is None:
                return
            if isinstance(arrival, tuple):
                index, chunk = arrival
                if chunk is None:
                    self._ended.add(index)
                else:
                    self._held[index].extend(chunk.items)
        if any(self._held):
            shorter = min(index for index in self._ended if not self._held[index])
            raise ValueError(f"{self._where}: input {shorter} of zip is shorter than the others")


class Combining(Blueprint[T_co]):
    """merge, concat, zip."""

    __slots__ = ()

    @overload
    def merge(self, a: Stream[U], b: Stream[V], /) -> Stream[T_co | U | V]: ...

    @overload
    def merge(self, a: Stream[U], b: Stream[V], c: Stream[W], /) -> Stream[T_co | U | V | W]: ...

    @overload
    def merge(self, *others: Stream[U]) -> Stream[T_co | U]: ...

    def merge(self, *others: Stream[Any]) -> Stream[Any]:
        """Give the items of several streams as they come.

        ```text
        --1-----2---|
        ----a-----b-|   other
        merge(other)
        --1-a---2-b-|
        ```

        Emits an item as soon as it is there; each input keeps its order, and none starves
        another. Backpressures every input over its own bounded edge. Completes when all inputs
        have. Fails with the first that fails, and closes the others. Loses nothing. Watermarks
        are the minimum over the inputs.

        ```python
        rx.of(1, 2).merge(rx.of("a", "b"))
        ```
        """
        return self._then(Merge(), *others)

    @overload
    def concat(self, a: Stream[U], b: Stream[V], /) -> Stream[T_co | U | V]: ...

    @overload
    def concat(self, a: Stream[U], b: Stream[V], c: Stream[W], /) -> Stream[T_co | U | V | W]: ...

    @overload
    def concat(self, *others: Stream[U]) -> Stream[T_co | U]: ...

    def concat(self, *others: Stream[Any]) -> Stream[Any]:
        """Give all items of this stream, then all of the next.

        ```text
        --1--2|
        --a--b|         other
        concat(other)
        --1--2--a--b|
        ```

        Emits what the current input gives. An input is opened when the one before has completed
        and not earlier. Completes with the last. Fails with the input that fails; later ones
        are not opened. Loses nothing. Watermarks pass unless they would go back.

        ```python
        rx.of(1, 2).concat(rx.of(3))
        ```
        """
        return self._then(Concat(), *others)

    @overload
    def zip(self, a: Stream[U], /, *, strict: bool = False) -> Stream[tuple[T_co, U]]: ...

    @overload
    def zip(
        self, a: Stream[U], b: Stream[V], /, *, strict: bool = False
    ) -> Stream[tuple[T_co, U, V]]: ...

    @overload
    def zip(
        self, a: Stream[U], b: Stream[V], c: Stream[W], /, *, strict: bool = False
    ) -> Stream[tuple[T_co, U, V, W]]: ...

    @overload
    def zip(self, *others: Stream[Any], strict: bool = False) -> Stream[tuple[Any, ...]]: ...

    def zip(self, *others: Stream[Any], strict: bool = False) -> Stream[Any]:
        """Pair the items of several streams by position.

        ```text
        --1-----2-----3-|
        ----a-----b---|     other
        zip(other)
        ----1a----2b--|
        ```

        Emits a tuple when every input has given its next item; its event time is the latest of
        those that have one. Backpressures an input that is ahead. Completes when one input has
        completed and its items are used up, and closes the others; what those gave beyond is
        dropped, or, with `strict`, raises `ValueError`. Fails with the first input that fails.

        ```python
        rx.of(1, 2).zip(rx.of("a", "b"))
        ```
        """
        return self._then(Zip(strict), *others)
