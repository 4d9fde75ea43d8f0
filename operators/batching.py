"""batching: several items as one list."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from operators.limiting import check_count, check_seconds
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline, Step, Stepwise
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Batch(Inline):
    """`batch` by count."""

    count: int

    def details(self) -> dict[str, object]:
        return {"count": self.count}

    def emit(self, code: Code) -> None:
        held = code.state("held", "[]")
        code.line(f"{held}.append({code.item})")
        code.skip_unless(f"len({held}) == {self.count}")
        code.let(held)
        code.line(f"{held} = []")

    def end(self, code: Code) -> str:
        held = code.state("held", "[]")
        return f"([{held}] if {held} else ())"


@dataclass(frozen=True)
class BatchWithin(Stepwise):
    """`batch` by count and time."""

    timed: ClassVar[bool] = True

    count: int
    within: float

    @property
    def label(self) -> str:
        return "batch"

    def details(self) -> dict[str, object]:
        return {"count": self.count, "within": f"{self.within:g} s"}

    def step(self, context: Context) -> Step[Any, Any]:
        return _BatchWithinStep(self, asyncio.get_running_loop())


class _BatchWithinStep(Step[Any, list[Any]]):
    def __init__(self, operator: BatchWithin, loop: asyncio.AbstractEventLoop) -> None:
        self._count = operator.count
        self._within = operator.within
        self._loop = loop
        self._held: list[Any] = []
        self._last_time: int | None = None

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[list[Any]]]) -> None:
        items, times = chunk.items, chunk.times
        start = 0
        while start < len(items):
            if not self._held:
                self.deadline = self._loop.time() + self._within
            end = min(len(items), start + self._count - len(self._held))
            self._held += items[start:end]
            self._last_time = None if times is None else times[end - 1]
            if len(self._held) == self._count:
                self._give(out)
            start = end

    def _give(self, out: list[Signal[list[Any]]]) -> None:
        held, self._held, self.deadline = self._held, [], None
        if held:
            out.append(Chunk([held], None if self._last_time is None else [self._last_time]))

    def on_watermark(self, watermark: Watermark, out: list[Signal[list[Any]]]) -> None:
        # What is held would be late behind its own watermark.
        self._give(out)
        out.append(watermark)

    def on_timer(self, now: float, out: list[Signal[list[Any]]]) -> None:
        self._give(out)

    def on_end(self, out: list[Signal[list[Any]]]) -> None:
        self._give(out)

    def snapshot(self) -> Any:
        return list(self._held), self._last_time

    def restore(self, state: Any) -> None:
        held, self._last_time = state
        self._held = list(held)
        if self._held:
            self.deadline = self._loop.time() + self._within


@dataclass(frozen=True)
class Sliding(Inline):
    """`sliding`."""

    count: int
    every: int

    def details(self) -> dict[str, object]:
        return {"count": self.count, "step": self.every}

    def emit(self, code: Code) -> None:
        held = code.state("held", f"{code.bind('deque', _deque)}({self.count})")
        wait = code.state("wait", str(self.count))
        code.line(f"{held}.append({code.item})")
        code.line(f"{wait} -= 1")
        code.skip_unless(f"{wait} == 0")
        code.line(f"{wait} = {self.every}")
        code.let(f"list({held})")


def _deque(count: int) -> deque[Any]:
    return deque(maxlen=count)


class Batching(Blueprint[T_co]):
    """batch, sliding."""

    __slots__ = ()

    def batch(self, count: int, within: float | None = None) -> Stream[list[T_co]]:
        """Gather items into lists of `count`, waiting no longer than `within` seconds.

        ```text
        --1--2--3--|
        batch(2)
        -----[12]--([3] |)
        ```

        Emits a full list at once, and the rest when upstream completes. With `within`, a list
        leaves that many seconds of the loop's clock after its first item came, and also before a
        watermark passes. Backpressures when downstream does; the time that takes counts.
        Completes with upstream. Loses nothing; a failing upstream discards the list begun.
        `ValueError` for a count below 1 or a time not above 0.

        ```python
        rx.range(10).batch(4)
        ```
        """
        check_count("batch", count, 1)
        if within is None:
            return self._then(Batch(count))
        check_seconds("batch", "`within`", within)
        return self._then(BatchWithin(count, within))

    def sliding(self, count: int, step: int = 1) -> Stream[list[T_co]]:
        """Give the last `count` items as a list, every `step` items.

        ```text
        --1--2--3-----4-----|
        sliding(3)
        --------[123]-[234]-|
        ```

        Emits from item `count` on, then after every `step` items; an incomplete window at the
        end is not given. With a step above `count`, items in between are left out. Completes
        with upstream. `ValueError` for a count or step below 1.

        ```python
        rx.range(5).sliding(3)
        ```
        """
        check_count("sliding", count, 1)
        check_count("sliding (step)", step, 1)
        return self._then(Sliding(count, step))
