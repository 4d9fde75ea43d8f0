"""Reading several edges at once: data as it comes, control signals aligned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from reactive.chain import Edge
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.signals import IDLE, Barrier, Chunk, Control, Idle, Signal, Watermark

Arrival: TypeAlias = tuple[int, Chunk[Any] | None] | Control | None
"""A chunk with the index of its input, `(index, None)` when that input ended, an aligned control
signal, or None when all inputs have ended."""


class Rising:
    """Tells which control signals may pass where inputs follow one another, each with its own:
    watermarks later than all before, since one that went back would break what the one before it
    said; and a barrier only once, though an input that begins while it is under way gives it too.
    """

    def __init__(self) -> None:
        self._said: int | None = None
        self._barrier: Barrier | None = None

    def passes(self, signal: Signal[Any] | None) -> bool:
        """Whether to hand a signal on; items always are."""
        if type(signal) is not Watermark:
            if type(signal) is not Barrier:
                return True
            before, self._barrier = self._barrier, signal
            return signal != before
        if self._said is not None and signal.time <= self._said:
            return False
        self._said = signal.time
        return True

    def snapshot(self) -> int | None:
        """The latest that passed."""
        return self._said

    def restore(self, state: int | None) -> None:
        """Let nothing pass that is not later than what had passed."""
        self._said = state


@dataclass(slots=True)
class _Group:
    """Inputs of one priority, and the place among them of the one that is asked first."""

    members: list[int]
    turn: int = 0


def _groups(count: int, priorities: Sequence[float] | None) -> list[_Group]:
    """The inputs by falling priority; all together without priorities."""
    if priorities is None:
        return [_Group(list(range(count)))]
    ranks = sorted(set(priorities), reverse=True)
    return [_Group([at for at in range(count) if priorities[at] == rank]) for rank in ranks]


class Inlets:
    """Gives what arrives on any input, round robin, so that no input starves another.

    With `priorities`, one number an input, an input is asked when those with a higher number have
    nothing. `leading` are the inputs whose watermarks and idleness count, if not all do.

    The watermark it gives is the minimum over the inputs that are neither idle nor ended. An
    input whose barrier came is not read, nor its end told, until that barrier came on all inputs;
    one that has ended counts as aligned. A stage may `pause` an input it cannot take more from;
    it still gets what that input has before a barrier that came on another. What a paused input
    says of watermarks, and that it has ended, counts for those of all when it is resumed, so that
    none passes what the stage holds of it.
    """

    def __init__(
        self,
        edges: Sequence[Edge],
        *,
        priorities: Sequence[float] | None = None,
        leading: Collection[int] | None = None,
    ) -> None:
        self.waker = Waker()
        self.limit: int | None = None
        """The most items to give at once, if fewer than a chunk may have."""
        self._edges = edges
        self._open = dict.fromkeys(range(len(edges)))
        self._paused: set[int] = set()
        self._times: dict[int, int | None] = dict.fromkeys(self._open)
        self._leading = frozenset(self._open if leading is None else leading)
        self._idle: set[int] = set()
        self._ahead: dict[int, tuple[int | None, bool]] = {}
        self._barrier: Barrier | None = None
        self._aligned: set[int] = set()
        self._said: int | None = None
        self._said_idle = False
        self._groups = _groups(len(edges), priorities)
        self._changed = False
        for edge in edges:
            edge.share(self.waker)

    def pause(self, index: int) -> None:
        """Do not read this input for now."""
        self._paused.add(index)

    def resume(self, index: int) -> None:
        """Read it again, or if it has ended, be done with what it gave."""
        if index not in self._paused:
            return
        self._paused.discard(index)
        if index in self._ahead:
            time, idle = self._ahead.pop(index)
            self._hear(index, time, idle)
            self._changed = True
        elif index not in self._open:
            self._changed = True

    def drop(self, index: int) -> None:
        """Be done with an input before its end."""
        if index in self._open:
            self._paused.discard(index)
            self._leave(index)
            self._edges[index].channel.close()

    def snapshot(self) -> Any:
        """What the inputs have said, and which have ended or are paused."""
        ended = [index for index in range(len(self._edges)) if index not in self._open]
        said = self._said, self._said_idle
        return dict(self._times), set(self._idle), dict(self._ahead), set(self._paused), ended, said

    def restore(self, state: Any) -> None:
        """Continue from a snapshot; inputs that had ended are not opened again."""
        times, idle, ahead, paused, ended, (self._said, self._said_idle) = state
        self._times, self._ahead = dict(times), dict(ahead)
        self._idle = set(idle)
        for index in ended:
            self.drop(index)
        self._paused = set(paused)

    def progress(self, index: int) -> int | None:
        """How far one input has come by itself: its own watermark, if it has given one."""
        return self._times[index]

    def waited_for(self, index: int) -> bool:
        """Whether an input may say more of its watermark: it is neither idle nor has it ended."""
        return index in self._open and index not in self._idle

    @property
    def over(self) -> bool:
        """Whether all inputs have ended, and their ends were told."""
        return not self._open

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
        freed = self._check_aligned() or self._check_changed()
        if freed is not None:
            return freed
        barrier = self._barrier
        for group in self._groups:
            first, count = group.turn, len(group.members)
            for offset in range(count):
                place = (first + offset) % count
                arrival = self._ask(group.members[place])
                if arrival is not None:
                    group.turn = place + 1
                    return arrival
        if self._barrier is not barrier:
            # It came just now, and lets paused inputs be read.
            return self.poll()
        for index in self._paused:
            self._edges[index].channel.relax()
        return None

    def _ask(self, index: int) -> Arrival:
        """What one input has to give."""
        if index in self._aligned or index not in self._open:
            return None
        if index in self._paused and self._barrier is None:
            return None
        edge = self._edges[index]
        while (signal := self._take(edge)) is not None:
            if type(signal) is Chunk:
                self._hear(index, None, False)
                if index in self._leading:
                    self._said_idle = False
                return index, signal
            said = self._control(index, signal)
            if said is not None:
                return said
            if index in self._aligned:
                return None
        if edge.ended:
            self._leave(index)
            return index, None
        return None

    def _take(self, edge: Edge) -> Signal[Any] | None:
        return edge.poll() if self.limit is None else edge.channel.poll(self.limit)

    def _leave(self, index: int) -> None:
        del self._open[index]
        self._idle.discard(index)
        self._changed = True

    def _check_aligned(self) -> Barrier | None:
        if self._barrier is not None and all(index in self._aligned for index in self._open):
            barrier, self._barrier = self._barrier, None
            self._aligned.clear()
            return barrier
        return None

    def _check_changed(self) -> Control | None:
        """An input that ended no longer holds back the watermark of the others; one that is
        resumed may let it rise."""
        if self._changed:
            self._changed = False
            return self._advance()
        return None

    def _control(self, index: int, signal: Any) -> Control | None:
        if isinstance(signal, Barrier):
            self._barrier = signal
            self._aligned.add(index)
            return self._check_aligned()
        if isinstance(signal, Idle):
            self._hear(index, None, True)
            # Said again, it is told again: whoever put it there waits for it to come through.
            self._said_idle = self._said_idle and index not in self._leading
            return self._advance(signal)
        self._hear(index, signal.time, False)
        return self._advance()

    def _hear(self, index: int, time: int | None, idle: bool) -> None:
        """Note the watermark, if any, and the idleness of an input, of a paused one for later."""
        if index in self._paused:
            before, _ = self._ahead.get(index, (None, False))
            self._ahead[index] = before if time is None else time, idle
            return
        if time is not None:
            self._times[index] = time
        if idle:
            self._idle.add(index)
        else:
            self._idle.discard(index)

    def _advance(self, idle: Idle = IDLE) -> Control | None:
        """The new minimum watermark, if it moved; `Idle` once every open input is idle."""
        leading = self._leading.intersection(self._open.keys() | self._paused)
        active = [index for index in leading if index not in self._idle]
        if not active:
            if self._open and leading and not self._said_idle:
                self._said_idle = True
                return idle
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
