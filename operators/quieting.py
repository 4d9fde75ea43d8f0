"""The work of debounce, throttle and sample: of several items close together, one."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from operators.checking import MISSING, check_seconds, refuse_awaitable
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged, Step, Stepwise
from reactive.signals import Barrier, Chunk, Control, Idle, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


def seconds_for(operator: str, fn: Callable[[Any], float], item: Any, context: Context) -> float:
    """The seconds that a user's function wants for an item."""
    try:
        seconds = fn(item)
        if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
            refuse_awaitable(seconds)
            check_seconds(operator, "what its function gives", seconds, zero=True)
    except Exception as error:
        annotate(error, context)
        raise
    return seconds


class HoldingStage(Stage[Any]):
    """Holds one item at most until its moment has come.

    A watermark waits behind the item that came before it, which would else be late, and so does
    an idleness, which would let the watermarks of other inputs pass that item. A barrier does not
    wait: the item is in the snapshot.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.clock = asyncio.get_running_loop().time
        self.deadline: float | None = None
        self.out: deque[Signal[Any]] = deque()
        self.ended = False
        self._held: Any = MISSING
        self._held_time: int | None = None
        self._watermark: Watermark | None = None
        self._idle: Idle | None = None
        self._failure: Exception | None = None

    @property
    def edge(self) -> Edge:
        """The input."""
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        return edge

    @property
    def holds(self) -> bool:
        """Whether an item is held."""
        return self._held is not MISSING

    def give(self, item: Any, time: int | None) -> None:
        """Let an item leave."""
        self.out.append(Chunk([item], None if time is None else [time]))

    def hold(self, item: Any, time: int | None) -> None:
        """Hold an item in place of the one before, which is dropped."""
        self._idle = None
        self._release()
        self._held, self._held_time = item, time

    def give_held(self) -> None:
        """Let what is held leave, and what waits behind it."""
        held, self._held = self._held, MISSING
        if held is not MISSING:
            self.give(held, self._held_time)
        self._release()

    def _release(self) -> None:
        watermark, self._watermark = self._watermark, None
        if watermark is not None:
            self.out.append(watermark)
        idle, self._idle = self._idle, None
        if idle is not None:
            self.out.append(idle)

    @abstractmethod
    async def on_chunk(self, chunk: Chunk[Any], now: float) -> None:
        """Items came."""

    def on_deadline(self, now: float) -> None:
        """The loop's clock came to `deadline`."""
        self.deadline = None
        self.give_held()

    def begin(self, now: float) -> None:
        """Start the clock, perhaps with an item from a snapshot."""

    async def next(self) -> Signal[Any] | None:
        """What comes; None when the deadline or the end has come, or there is something to give."""
        return await self.edge.read(self.deadline)

    async def open(self) -> None:
        self.begin(self.clock())

    async def read(self) -> Signal[Any] | None:
        while not self.out:
            if self._failure is not None:
                raise self._failure
            if self.ended:
                return None
            try:
                await self._proceed()
            except Exception as error:
                # What was due before has to leave first.
                self._failure = error
                self._check_deadline(self.clock())
        return self.out.popleft()

    async def _proceed(self) -> None:
        signal = await self.next()
        now = self.clock()
        if signal is None and self.deadline is not None and not self.edge.ended:
            # A timer that is coarser than the clock may come a little early.
            now = max(now, self.deadline)
        self._check_deadline(now)
        if isinstance(signal, Chunk):
            self.context.meter.items_in += len(signal.items)
            await self.on_chunk(signal, now)
        elif signal is not None:
            self._on_control(signal)
        elif self.edge.ended:
            self.ended = True
            self.give_held()

    def _check_deadline(self, now: float) -> None:
        if self.deadline is not None and self.deadline <= now:
            self.on_deadline(now)

    def _on_control(self, signal: Control) -> None:
        if isinstance(signal, Barrier) or not self.holds:
            self.out.append(signal)
        elif isinstance(signal, Watermark):
            self._watermark, self._idle = signal, None
        else:
            self._idle = signal

    def snapshot(self) -> Any:
        return self._held, self._held_time, self._watermark, self._idle

    def restore(self, state: Any) -> None:
        self._held, self._held_time, self._watermark, self._idle = state


@dataclass(frozen=True)
class Debounce(Staged):
    """`debounce`."""

    seconds: float | Callable[[Any], float]

    @property
    def drops(self) -> bool:
        return True

    def details(self) -> dict[str, object]:
        return {"seconds": "by item" if callable(self.seconds) else f"{self.seconds:g}"}

    def stage(self, context: Context) -> Stage[Any]:
        return _DebounceStage(self.seconds, context)


class _DebounceStage(HoldingStage):
    def __init__(self, seconds: float | Callable[[Any], float], context: Context) -> None:
        super().__init__(context)
        self._seconds = seconds
        self._wait = 0.0

    def begin(self, now: float) -> None:
        if self.holds:
            self.deadline = now + self._wait

    async def on_chunk(self, chunk: Chunk[Any], now: float) -> None:
        seconds = self._seconds
        if callable(seconds):
            await self._hold_each(chunk, seconds)
        else:
            self._wait = seconds
            self.hold(chunk.items[-1], None if chunk.times is None else chunk.times[-1])
        self.deadline = now + self._wait if self.holds else None

    async def _hold_each(self, chunk: Chunk[Any], fn: Callable[[Any], float]) -> None:
        items, times = chunk.items, chunk.times
        last: int | None = None
        for index, item in enumerate(items):
            self._wait = seconds_for("debounce", fn, item, self.context)
            last = index
            if not self._wait:
                self.hold(item, None if times is None else times[index])
                self.give_held()
                last = None
            if self.context.overdue():
                await let_others_run()
        if last is not None:
            self.hold(items[last], None if times is None else times[last])

    def snapshot(self) -> Any:
        return super().snapshot(), self._wait

    def restore(self, state: Any) -> None:
        held, self._wait = state
        super().restore(held)


@dataclass(frozen=True)
class ThrottleFirst(Stepwise):
    """`throttle` that gives the first item of each window alone."""

    seconds: float

    @property
    def drops(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "throttle"

    def details(self) -> dict[str, object]:
        return {"seconds": f"{self.seconds:g}"}

    def step(self, context: Context) -> Step[Any, Any]:
        return _ThrottleFirstStep(self.seconds)


class _ThrottleFirstStep(Step[Any, Any]):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._until = -math.inf

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        now = self._clock()
        if now >= self._until:
            self._until = now + self._seconds
            out.append(chunk.split(1)[0])

    def snapshot(self) -> Any:
        return self._clock() < self._until

    def restore(self, state: Any) -> None:
        if state:
            self._until = self._clock() + self._seconds


@dataclass(frozen=True)
class ThrottleLast(Staged):
    """`throttle` that gives the last item of each window, and with `leading` the first as well."""

    seconds: float
    leading: bool

    @property
    def drops(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "throttle"

    def details(self) -> dict[str, object]:
        gives = "first and last" if self.leading else "last"
        return {"seconds": f"{self.seconds:g}", "gives": gives}

    def stage(self, context: Context) -> Stage[Any]:
        return _ThrottleLastStage(self, context)


class _ThrottleLastStage(HoldingStage):
    def __init__(self, operator: ThrottleLast, context: Context) -> None:
        super().__init__(context)
        self._seconds = operator.seconds
        self._leading = operator.leading
        self._restored = False

    def begin(self, now: float) -> None:
        if self._restored:
            self.deadline = now + self._seconds

    async def on_chunk(self, chunk: Chunk[Any], now: float) -> None:
        items, times = chunk.items, chunk.times
        left = len(items)
        if self.deadline is None:
            self.deadline = now + self._seconds
            if self._leading:
                left -= 1
                self.give(items[0], None if times is None else times[0])
        if left:
            self.hold(items[-1], None if times is None else times[-1])

    def on_deadline(self, now: float) -> None:
        self.deadline = now + self._seconds if self.holds else None
        self.give_held()

    def snapshot(self) -> Any:
        return super().snapshot(), self.deadline is not None

    def restore(self, state: Any) -> None:
        held, self._restored = state
        super().restore(held)


@dataclass(frozen=True)
class Sample(Staged):
    """`sample` by a period."""

    every: float

    @property
    def drops(self) -> bool:
        return True

    def details(self) -> dict[str, object]:
        return {"every": f"{self.every:g} s"}

    def stage(self, context: Context) -> Stage[Any]:
        return _SampleStage(self.every, context)


class _SampleStage(HoldingStage):
    """Has a timer only while there is something to give at the next tick."""

    def __init__(self, every: float, context: Context) -> None:
        super().__init__(context)
        self._every = every
        self._opened = 0.0

    def begin(self, now: float) -> None:
        self._opened = now
        if self.holds:
            self.deadline = now + self._every

    async def on_chunk(self, chunk: Chunk[Any], now: float) -> None:
        self.hold(chunk.items[-1], None if chunk.times is None else chunk.times[-1])
        ticks = math.floor((now - self._opened) / self._every) + 1
        self.deadline = self._opened + ticks * self._every


@dataclass(frozen=True)
class SampleWith(Staged):
    """`sample` by another stream."""

    @property
    def drops(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "sample"

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return any(inputs)

    def stage(self, context: Context) -> Stage[Any]:
        return _SampleWithStage(context)


class _SampleWithStage(HoldingStage):
    """The sampler's control signals say nothing of the items and are dropped."""

    async def open(self) -> None:
        sampler = self.inputs[1]
        assert isinstance(sampler, Edge)
        self._sampler = sampler
        self._waker = Waker()
        for edge in (self.edge, sampler):
            edge.share(self._waker)

    async def on_chunk(self, chunk: Chunk[Any], now: float) -> None:
        self.hold(chunk.items[-1], None if chunk.times is None else chunk.times[-1])

    async def next(self) -> Signal[Any] | None:
        while True:
            while (tick := self._sampler.poll()) is not None:
                if type(tick) is Chunk:
                    self.give_held()
            if self._sampler.ended:
                self.ended = True
                self.give_held()
            if self.out or self.ended:
                return None
            signal = self.edge.poll()
            if signal is not None or self.edge.ended:
                return signal
            await self._waker.wait()
