"""A chain of steps behind one input, run in one task with direct calls, fair to the loop."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from reactive.channel import Channel, Waker
from reactive.fused import FusedStep
from reactive.operator import Puller, Step
from reactive.signals import IDLE, Barrier, Chunk, Idle, Signal, Watermark
from reactive.tasks import raise_together

_COST_TARGET = 0.0005
_SIGNALS_BETWEEN_YIELDS = 256


class Fairness:
    """Tells the parts of one run when they have held the event loop for long enough.

    Whether the loop got control in between is not guessed: a callback put in the loop's queue
    says so. It is put there only when some time has gone by since the last one that is known of,
    so that a run that waits often does not pay for it. That is done after half a budget, since up
    to twice that may go by.
    Where time stands still (virtual time), calls are counted instead.
    """

    def __init__(self, budget: float) -> None:
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._call_soon = loop.call_soon
        self._budget = budget
        self._asked = False
        self._since = self._time()
        self._calls = 0

    def overdue(self) -> bool:
        """Whether to let others run now."""
        self._calls += 1
        if self._calls > _SIGNALS_BETWEEN_YIELDS:
            self._calls = 0
            return True
        now = self._time()
        if now - self._since < self._budget / 2:
            return False
        if self._asked:
            return True
        self._asked = True
        self._since = now
        self._call_soon(self._had_control)
        return False

    def _had_control(self) -> None:
        self._asked = False
        self._since = self._time()
        self._calls = 0


async def let_others_run() -> None:
    """Give the loop two turns: a timer needs one for its callback and one for the task it wakes."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class _End:
    """The end of a chain's input on its way through the steps: well, or with an error."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Slot:
    """A step with what waits for it, and how many items it gets at once."""

    __slots__ = ("inbox", "name", "on_chunk", "slice", "step")

    def __init__(self, step: Step[Any, Any], name: str) -> None:
        self.step = step
        self.name = name
        self.on_chunk = step.on_chunk
        self.inbox: deque[Signal[Any] | _End] = deque()
        self.slice = sys.maxsize if step.whole else 1

    def states(self) -> Mapping[str, Any]:
        """What its operators hold, by their names."""
        state = self.step.snapshot()
        return state if isinstance(self.step, FusedStep) else {self.name: state}


class Surroundings(Protocol):
    """What a chain knows of its region: whether items wait to leave by side outputs, and where
    the state of operators is kept when a barrier passes them."""

    unsent: bool
    state: str

    @property
    def keeps(self) -> bool:
        """Whether states are kept in this run."""
        ...

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """Keep what operators, by their names, hold at a barrier."""
        ...

    async def flush(self) -> None:
        """Hand them on, waiting for room."""


class Edge:
    """The receiving end of a channel, as a puller; a concurrent stage may also poll it."""

    def __init__(self, channel: Channel[Any], limit: int, region: Surroundings) -> None:
        self.channel = channel
        self._limit = limit
        self._region = region
        self._waiting = f"waiting for {channel.name}"

    @property
    def ended(self) -> bool:
        """Whether everything was received."""
        return self.channel.ended

    def poll(self) -> Signal[Any] | None:
        """What is there now, or None; see `Channel.poll`."""
        return self.channel.poll(self._limit)

    async def open(self) -> None:
        """Nothing to do: the run made the channel."""

    async def read(self, deadline: float | None = None) -> Signal[Any] | None:
        """The next signal; None at the end, or when loop time `deadline` has come."""
        while (signal := self.channel.poll(self._limit)) is None:
            if self.channel.ended:
                return None
            self._region.state = self._waiting
            woken = await self.channel.waker.wait(deadline)
            self._region.state = "working"
            if not woken:
                return None
        return signal

    def share(self, waker: Waker) -> None:
        """Have several edges wake one reader."""
        self.channel.waker = waker

    async def close(self) -> None:
        """Tell the sender that nobody receives any more."""
        self.channel.close()


class Chain:
    """Pulls signals from `head` and pushes them through the steps.

    Every step has an inbox, and the step farthest down that can do something does it: what is
    under way is finished before more is taken in, and no call nests, however many steps there
    are. Ends and errors travel through the inboxes in order with the items.
    """

    def __init__(
        self,
        head: Puller[Any],
        steps: Sequence[tuple[Step[Any, Any], str]],
        fairness: Fairness,
        region: Surroundings,
    ) -> None:
        self._head = head
        self._slots = [_Slot(step, name) for step, name in steps]
        self._timed = steps[0][0] if isinstance(head, Edge) else None
        self._fairness = fairness
        self._region = region
        self._time = asyncio.get_running_loop().time
        self._ready: deque[Signal[Any] | _End] = deque()
        self._cursor = -1
        self._idle = False

    async def open(self) -> None:
        """Open the input."""
        await self._head.open()

    async def read(self) -> Signal[Any] | None:
        """The next signal that came through."""
        ready = self._ready
        while True:
            if self._region.unsent:
                await self._region.flush()
            if ready:
                signal = ready.popleft()
                if type(signal) is not _End:
                    return signal  # type: ignore[return-value]
                if signal.error is not None:
                    raise signal.error
                return None
            if self._cursor < 0:
                await self._pull()
            if self._fairness.overdue():
                await let_others_run()
            self._advance()

    async def close(self) -> None:
        """Close the steps and the input."""
        errors: list[BaseException] = []
        for slot in self._slots:
            try:
                slot.step.close()
            except Exception as error:
                errors.append(error)
        try:
            await self._head.close()
        except Exception as error:
            errors.append(error)
        raise_together(errors)

    async def _pull(self) -> None:
        timed = self._timed
        try:
            if timed is not None and timed.deadline is not None:
                if timed.deadline <= self._time():
                    self._run(0, self._on_timer)
                    return
                signal = await self._head.read(timed.deadline)  # type: ignore[call-arg]
                if signal is None and not self._head.ended:  # type: ignore[attr-defined]
                    self._run(0, self._on_timer)
                    return
            else:
                signal = await self._head.read()
        except Exception as error:
            self._enter(0, _End(error))
            return
        if timed is not None and signal is not None:
            self._idle = type(signal) is Idle
        self._enter(0, _End() if signal is None else signal)

    def _on_timer(self, out: list[Signal[Any]]) -> None:
        timed = self._timed
        assert timed is not None
        timed.on_timer(self._time(), out)
        if out and self._idle:
            # What was held came out of an input that is idle still: nobody is to wait for more.
            out.append(IDLE)

    def _enter(self, index: int, signal: Signal[Any] | _End) -> None:
        if index == len(self._slots):
            self._ready.append(signal)
        else:
            self._slots[index].inbox.append(signal)
            if self._cursor < index:
                self._cursor = index

    def _advance(self) -> None:
        """Let the step at the cursor do one piece of work."""
        index = self._cursor
        if index < 0:
            return
        slot = self._slots[index]
        step = slot.step
        if step.busy:
            self._resume(index, step)
        elif not slot.inbox:
            self._cursor -= 1
        else:
            signal = slot.inbox.popleft()
            if type(signal) is Chunk:
                if len(signal.items) > slot.slice:
                    signal, rest = signal.split(slot.slice)
                    slot.inbox.appendleft(rest)
                self._run_chunk(index, slot, signal)
            elif type(signal) is _End:
                if signal.error is not None:
                    self._enter(index + 1, signal)
                else:
                    self._run(index, step.on_end, ending=True)
            elif type(signal) is Watermark:
                self._run(index, lambda out: step.on_watermark(signal, out))
            else:
                if type(signal) is Barrier and self._region.keeps:
                    self._region.keep(signal, slot.states())
                self._enter(index + 1, signal)

    def _run_chunk(self, index: int, slot: _Slot, chunk: Chunk[Any]) -> None:
        """Handle items, and learn from the time it took how many to handle at once."""
        count = len(chunk.items)
        step = slot.step
        if isinstance(step, FusedStep):
            step.budget = slot.slice
        out: list[Signal[Any]] = []
        failure: _End | None = None
        # A single item teaches nothing once more than one at a time has proved quick.
        learns = (count > 1 or slot.slice == 1) and not step.whole
        before = self._time() if learns else 0.0
        try:
            slot.on_chunk(chunk, out)
        except Exception as error:
            failure = _End(error)
        if learns:
            took = self._time() - before
            if took > 2 * _COST_TARGET:
                slot.slice = max(1, int(count * _COST_TARGET / took))
            elif took < _COST_TARGET and count >= slot.slice:
                slot.slice *= 2
        self._settle(index, step, out, failure, False)

    def _resume(self, index: int, step: Step[Any, Any]) -> None:
        """Let a step give more of what it left over; a fused loop learns how much at once."""
        before = self._time()
        self._run(index, step.resume)
        if isinstance(step, FusedStep) and step.busy:
            took = self._time() - before
            if took > 2 * _COST_TARGET:
                step.budget = max(1, int(step.budget * _COST_TARGET / took))
            elif took < _COST_TARGET:
                step.budget = min(2 * step.budget, step.most)

    def _run(
        self, index: int, act: Callable[[list[Signal[Any]]], None], ending: bool = False
    ) -> None:
        out: list[Signal[Any]] = []
        failure: _End | None = None
        try:
            act(out)
        except Exception as error:
            failure = _End(error)
        self._settle(index, self._slots[index].step, out, failure, ending)

    def _settle(
        self,
        index: int,
        step: Step[Any, Any],
        out: list[Signal[Any]],
        failure: _End | None,
        ending: bool,
    ) -> None:
        """Pass on what a step gave, and the end if it came to one."""
        for signal in out:
            self._enter(index + 1, signal)
        if failure is None and not step.busy and (step.done or ending):
            failure = _End()
        if failure is not None:
            for slot in self._slots[: index + 1]:
                slot.inbox.clear()
                slot.step.busy = False
            self._enter(index + 1, failure)
        elif self._cursor == index and not step.busy and not self._slots[index].inbox:
            self._cursor -= 1
