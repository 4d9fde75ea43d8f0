"""Reading several edges at once: data as it comes, control signals aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from reactive.chain import Edge
from reactive.channel import Waker
from reactive.signals import IDLE, Barrier, Chunk, Control, Idle, Signal, Watermark

Arrival: TypeAlias = tuple[int, Chunk[Any] | None] | Control | None
"""A chunk with the index of its input, `(index, None)` when that input ended, an aligned control
signal, or None when all inputs have ended."""


class Rising:
    """Tells which watermarks may pass where inputs follow one another, each with its own: those
    later than all before. One that went back would break what the one before it said."""

    def __init__(self) -> None:
        self._said: int | None = None

    def passes(self, signal: Signal[Any] | None) -> bool:
        """Whether to hand a signal on; anything but a watermark always is."""
        if type(signal) is not Watermark:
            return True
        if self._said is not None and signal.time <= self._said:
            return False
        self._said = signal.time
        return True


class Inlets:
    """Gives what arrives on any input, round robin, so that no input starves another.

    The watermark it gives is the minimum over the inputs that are neither idle nor ended. An
    input whose barrier came is not read, nor its end told, until that barrier came on all inputs;
    one that has ended counts as aligned. A stage may `pause` an input it cannot take more from;
    it still gets what that input has before a barrier that came on another.
    """

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.waker = Waker()
        self._edges = edges
        self._open = dict.fromkeys(range(len(edges)))
        self._paused: set[int] = set()
        self._times: dict[int, int | None] = dict.fromkeys(self._open)
        self._idle: set[int] = set()
        self._barrier: Barrier | None = None
        self._aligned: set[int] = set()
        self._said: int | None = None
        self._said_idle = False
        self._turn = 0
        self._fewer = False
        for edge in edges:
            edge.share(self.waker)

    def pause(self, index: int) -> None:
        """Do not read this input for now."""
        self._paused.add(index)

    def resume(self, index: int) -> None:
        """Read it again."""
        self._paused.discard(index)

    def drop(self, index: int) -> None:
        """Be done with an input before its end."""
        if index in self._open:
            del self._open[index]
            self._fewer = True
            self._edges[index].channel.close()

    async def next(self) -> Arrival:
        """The next arrival, waiting for one."""
        while True:
            arrival = self.poll()
            if arrival is not None:
                return arrival
            if not self._open:
                return None
            await self.waker.wait()

    def poll(self) -> Arrival:
        """The next arrival that is already there, or None."""
        freed = self._check_aligned() or self._check_freed()
        if freed is not None:
            return freed
        barrier = self._barrier
        count = len(self._edges)
        first = self._turn
        for offset in range(count):
            index = (first + offset) % count
            if index in self._aligned or index not in self._open:
                continue
            if index in self._paused and self._barrier is None:
                continue
            edge = self._edges[index]
            while (signal := edge.poll()) is not None:
                self._turn = index + 1
                if type(signal) is Chunk:
                    self._idle.discard(index)
                    self._said_idle = False
                    return index, signal
                said = self._control(index, signal)
                if said is not None:
                    return said
                if index in self._aligned:
                    break
            if edge.ended and index not in self._aligned:
                del self._open[index]
                self._fewer = True
                self._turn = index + 1
                return index, None
        # A barrier that came just now lets paused inputs be read.
        return None if self._barrier is barrier else self.poll()

    def _check_aligned(self) -> Barrier | None:
        if self._barrier is not None and all(index in self._aligned for index in self._open):
            barrier, self._barrier = self._barrier, None
            self._aligned.clear()
            return barrier
        return None

    def _check_freed(self) -> Control | None:
        """An input that ended no longer holds back the watermark of the others."""
        if self._fewer:
            self._fewer = False
            self._idle.intersection_update(self._open)
            return self._advance()
        return None

    def _control(self, index: int, signal: Any) -> Control | None:
        if isinstance(signal, Barrier):
            self._barrier = signal
            self._aligned.add(index)
            return self._check_aligned()
        if isinstance(signal, Idle):
            self._idle.add(index)
        elif isinstance(signal, Watermark):
            self._idle.discard(index)
            self._times[index] = signal.time
        return self._advance()

    def _advance(self) -> Control | None:
        """The new minimum watermark, if it moved; `Idle` once every open input is idle."""
        active = [index for index in self._open if index not in self._idle]
        if not active:
            if self._open and not self._said_idle:
                self._said_idle = True
                return IDLE
            return None
        lows = [self._times[index] for index in active]
        known = [low for low in lows if low is not None]
        if len(known) < len(lows):
            return None
        low = min(known)
        if self._said is not None and low <= self._said:
            return None
        self._said = low
        self._said_idle = False
        return Watermark(low)
