"""A chain of steps behind one input, run in one task with direct calls, fair to the loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from reactive.channel import Channel, Waker
from reactive.operator import Puller, Step
from reactive.signals import IDLE, Barrier, Chunk, Idle, Signal
from reactive.steps import End, Steps, Surroundings
from reactive.tasks import raise_together

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
        self._half = budget / 2
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
        if now - self._since < self._half:
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


class Edge:
    """The receiving end of a channel, as a puller; a concurrent stage may also poll it."""

    def __init__(
        self, channel: Channel[Any], limit: int, region: Surroundings, *, listening: bool = False
    ) -> None:
        self.channel = channel
        self._listening = listening
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
        """Where the sender is to listen before anything is read, wait until it does; else there is
        nothing to do, for the run made the channel."""
        if self._listening:
            await self.channel.begin()

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


class Chain(Steps):
    """Pulls signals from `head` and pushes them through the steps."""

    def __init__(
        self,
        head: Puller[Any],
        steps: Sequence[tuple[Step[Any, Any], str]],
        fairness: Fairness,
        region: Surroundings,
    ) -> None:
        super().__init__(steps, region)
        self._head = head
        self._timed = steps[0][0] if isinstance(head, Edge) else None
        self._fairness = fairness
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
                if type(signal) is not End:
                    return signal  # type: ignore[return-value]
                if signal.error is not None:
                    raise signal.error
                return None
            if self._cursor < 0:
                await self._pull()
            if self._fairness.overdue():
                await let_others_run()
            self._advance()

    def pass_through(self, barrier: Barrier) -> None:
        """Let a barrier pass the steps while the input is waited for, when they have nothing left
        to do. It is for the caller to hand on."""
        self._enter(0, barrier)
        while self._cursor >= 0:
            self._advance()
        self._ready.clear()

    async def close(self) -> None:
        """Close the steps and the input."""
        errors: list[BaseException] = []
        self._close_steps(errors)
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
            self._enter(0, End(error))
            return
        if timed is not None and signal is not None:
            self._idle = type(signal) is Idle
        self._enter(0, End() if signal is None else signal)

    def _on_timer(self, out: list[Signal[Any]]) -> None:
        timed = self._timed
        assert timed is not None
        timed.on_timer(self._time(), out)
        if out and self._idle:
            # What was held came out of an input that is idle still: nobody is to wait for more.
            out.append(IDLE)


class FedChain(Steps):
    """Steps that are given their input by hand, and so never wait for it.

    They can be worked piece by piece with `poll`, or read as any puller once all input was given.
    """

    waits: bool = False
    """Whether they had nothing left to do at the last `poll`, before their end."""

    def __init__(
        self,
        steps: Sequence[tuple[Step[Any, Any], str]],
        fairness: Fairness,
        region: Surroundings,
        slices: list[int],
    ) -> None:
        """`slices` is how many items each step gets at once, as a chain of the same kind learned;
        what this one learns is put there."""
        super().__init__(steps, region)
        self._fairness = fairness
        self.ended = False
        self._slices = slices
        for slot, size in zip(self._slots, slices, strict=False):
            slot.slice = size

    def feed(self, signal: Signal[Any]) -> None:
        """Give the first step a signal."""
        self._enter(0, signal)

    def end(self, error: BaseException | None = None) -> None:
        """Tell the first step that no more will come, or what failed."""
        self._enter(0, End(error))

    def poll(self, most: int) -> Signal[Any] | None:
        """The next signal that came through, of at most so many items, after a piece of work if
        there is none. None if there is none still, or when they `ended`."""
        ready = self._ready
        if not ready:
            self._advance()
            if not ready:
                return None
        signal = ready.popleft()
        if type(signal) is End:
            self.ended = True
            if signal.error is not None:
                raise signal.error
            return None
        if type(signal) is Chunk and len(signal.items) > most:
            signal, rest = signal.split(most)
            ready.appendleft(rest)
        return signal  # type: ignore[return-value]

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to do or to take before more is fed."""
        return self._cursor < 0 and not self._ready

    async def open(self) -> None:
        """Nothing to do: there is no head."""

    async def read(self) -> Signal[Any] | None:
        """The next signal that came through; None at the end."""
        while True:
            if self._region.unsent:
                await self._region.flush()
            if self._fairness.overdue():
                await let_others_run()
            signal = self.poll(sys.maxsize)
            if signal is not None or self.ended or self.waits:
                return signal

    async def close(self) -> None:
        """Close the steps."""
        self.release()

    def release(self) -> None:
        """Close the steps at once."""
        self._slices[:] = [slot.slice for slot in self._slots]
        errors: list[BaseException] = []
        self._close_steps(errors)
        raise_together(errors)
