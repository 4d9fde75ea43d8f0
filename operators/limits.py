"""The work of take, skip and their like, and of slices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from operators.checking import bind_plain
from operators.mapping import Enumerate
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.operator import Inline, Operator, Stage, Staged, Step, Stepwise
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class Take(Inline):
    """`take`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    cuts: ClassVar[bool] = True

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

    binds: ClassVar[tuple[str, ...] | None] = ()

    count: int

    def emit(self, code: Code) -> None:
        left = code.state("left", str(self.count))
        code.block(f"if {left}:", f"{left} -= 1", *code.skipping())


@dataclass(frozen=True)
class TakeWhile(Inline):
    """`take_while`."""

    binds: ClassVar[tuple[str, ...] | None] = ("predicate",)

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

    binds: ClassVar[tuple[str, ...] | None] = ("predicate",)

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
    """Watermarks wait behind what is held, so that it can be given with the times it has."""

    def __init__(self, count: int) -> None:
        self._items: deque[Any] = deque(maxlen=count)
        self._times: deque[int | None] = deque(maxlen=count)
        self._watermark: Watermark | None = None

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._items.extend(chunk.items)
        self._times.extend(chunk.times or repeat(None, len(chunk.items)))

    def on_end(self, out: list[Signal[Any]]) -> None:
        times = [time for time in self._times if time is not None]
        if self._items:
            complete = len(times) == len(self._items)
            out.append(Chunk(list(self._items), times if complete else None))
        if self._watermark is not None:
            out.append(self._watermark)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        if self._items:
            self._watermark = watermark
        else:
            out.append(watermark)

    def snapshot(self) -> Any:
        return list(self._items), list(self._times), self._watermark

    def restore(self, state: Any) -> None:
        items, times, self._watermark = state
        self._items.extend(items)
        self._times.extend(times)


@dataclass(frozen=True)
class SkipLast(Stepwise):
    """`skip_last`."""

    count: int

    def step(self, context: Context) -> Step[Any, Any]:
        return _SkipLastStep(self.count)


class _SkipLastStep(Step[Any, Any]):
    """Watermarks wait behind the items that came before them and would else be late."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._items: deque[Any] = deque()
        self._times: deque[int | None] = deque()
        self._left = 0
        self._watermarks: deque[tuple[int, Watermark]] = deque()

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._items.extend(chunk.items)
        self._times.extend(chunk.times or repeat(None, len(chunk.items)))
        until = self._left + len(self._items) - self._count
        while self._watermarks and self._watermarks[0][0] <= until:
            place, watermark = self._watermarks.popleft()
            self._give(place - self._left, out)
            out.append(watermark)
        self._give(until - self._left, out)

    def _give(self, count: int, out: list[Signal[Any]]) -> None:
        if count <= 0:
            return
        self._left += count
        next_item, next_time = self._items.popleft, self._times.popleft
        items = [next_item() for _ in range(count)]
        times = [time for _ in range(count) if (time := next_time()) is not None]
        out.append(Chunk(items, times if len(times) == count else None))

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        place = self._left + len(self._items)
        if place == self._left:
            out.append(watermark)
            return
        if self._watermarks and self._watermarks[-1][0] == place:
            self._watermarks.pop()
        self._watermarks.append((place, watermark))

    def snapshot(self) -> Any:
        return list(self._items), list(self._times), self._left, list(self._watermarks)

    def restore(self, state: Any) -> None:
        items, times, self._left, watermarks = state
        self._items.extend(items)
        self._times.extend(times)
        self._watermarks.extend(watermarks)


@dataclass(frozen=True)
class Every(Inline):
    """The step of a slice: one item in `count`, beginning with the first."""

    count: int

    def emit(self, code: Code) -> None:
        wait = code.state("wait", "0")
        code.block(f"if {wait}:", f"{wait} -= 1", *code.skipping())
        code.line(f"{wait} = {self.count - 1}")


@dataclass(frozen=True)
class Before(Inline):
    """The stop of a slice that counts its start from the end: of pairs of a position and an item,
    the items at positions before `stop`."""

    stop: int

    def emit(self, code: Code) -> None:
        code.block(f"if {code.item}[0] >= {self.stop}:", code.stop())
        code.let(f"{code.item}[1]")


def slice_operators(part: object) -> list[Operator]:
    """What makes a slice of a stream, one after the other; refuses what a stream cannot give."""
    if not isinstance(part, slice):
        raise TypeError(
            f"stream[{part!r}]: a stream is sliced, as stream[2:10:2]; for the item at a position "
            "use element_at(position), for the last one last()"
        )
    for bound in (part.start, part.stop, part.step):
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)):
            raise TypeError(f"a slice of a stream needs whole numbers, not {bound!r}")
    start, stop = part.start or 0, part.stop
    step = 1 if part.step is None else part.step
    if step < 1:
        raise ValueError(f"a slice of a stream needs a step of at least 1, not {step}")
    every: list[Operator] = [Every(step)] if step > 1 else []
    skip: list[Operator] = [Skip(start)] if start > 0 else []
    if stop is None:
        return [TakeLast(-start), *every] if start < 0 else [*skip, *every]
    if (start < 0) == (stop < 0) and start >= stop:
        return [TakeNothing()]
    if start < 0:
        if stop < 0:
            return [TakeLast(-start), SkipLast(-stop), *every]
        return [Enumerate(0), TakeLast(-start), Before(stop), *every]
    if stop < 0:
        return [*skip, SkipLast(-stop), *every]
    return [*skip, Take((stop - start - 1) // step * step + 1), *every]
