"""The bounded edge between regions, and the inbox of push sources."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from reactive.debloating import Debloating, Writes
from reactive.errors import ChannelClosed, OverflowFailure
from reactive.signals import Barrier, Chunk, Signal

T = TypeVar("T")

Overflow: TypeAlias = Literal["backpressure", "drop_oldest", "drop_newest", "latest", "fail"]


def check_overflow(limit: int, overflow: str) -> None:
    """Refuse a limit or policy that cannot work, when the pipeline is described."""
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise TypeError(f"limit must be a whole number, not {limit!r}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    if overflow not in get_args(Overflow):
        known = ", ".join(get_args(Overflow))
        raise ValueError(f"overflow must be one of {known}, not {overflow!r}")


class Waker:
    """Lets one task wait until any of several things happened, or until a deadline."""

    __slots__ = ("_future", "_woken")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._woken = False

    def wake(self) -> None:
        """Wake the waiting task, or let its next `wait` return at once."""
        self._woken = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    async def wait(self, deadline: float | None = None) -> bool:
        """Wait for `wake`; False when loop time `deadline` came first."""
        if not self._woken:
            loop = asyncio.get_running_loop()
            future = self._future = loop.create_future()
            timer = None
            if deadline is not None:
                timer = loop.call_at(deadline, _expire, future)
            try:
                await future
            finally:
                self._future = None
                if timer is not None:
                    timer.cancel()
        woken, self._woken = self._woken, False
        return woken


class WakeCall(Waker):
    """Has a function called instead of waking a task."""

    __slots__ = ("wake",)

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self.wake = call  # type: ignore[method-assign]


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Channel(Generic[T]):
    """Carries signals in order from senders to one receiver, never holding more than `limit`.

    `limit` counts items, or what `size(item)` gives (bytes, say). Control signals take no room.
    An item larger than the whole limit passes alone. When full, `overflow` decides:
    `backpressure` lets the sender wait, `drop_oldest` and `drop_newest` lose items, `latest`
    keeps only the newest item, `fail` raises `OverflowFailure` in the sender. `on_drop` gets what
    was lost; `dropped` counts it.
    """

    def __init__(
        self,
        limit: int,
        *,
        overflow: Overflow = "backpressure",
        size: Callable[[T], int] | None = None,
        name: str = "channel",
        waker: Waker | None = None,
        on_drop: Callable[[list[T]], None] | None = None,
    ) -> None:
        check_overflow(limit, overflow)
        if overflow == "latest":
            limit, size = 1, None
        self.limit = limit
        self.overflow: Overflow = overflow
        self.name = name
        self.waker = Waker() if waker is None else waker
        self.depth = 0
        self.dropped = 0
        self.closed = False
        self.begun = False
        """Whether the sender has said that it has begun; not all do."""
        self.on_demand: Callable[[], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.debloating: Debloating | None = None
        """What sets `limit` below what it was made with, if anything does."""
        self.relaxed = False
        """Whether its receiver waits for something else, so that only that limit counts."""
        self._most = limit
        self._size = size
        self._dropping = overflow in ("drop_oldest", "drop_newest", "latest")
        self.on_drop = on_drop
        self._buffer: deque[Signal[T]] = deque()
        self._barriers = 0
        self._senders: deque[asyncio.Future[None]] = deque()
        self._finished = False
        self._error: BaseException | None = None

    @property
    def room(self) -> int:
        """How much more fits now, in the units of `limit`."""
        return max(0, self.limit - self.depth)

    @property
    def unreceived_failure(self) -> BaseException | None:
        """The sender's failure, as long as the receiver did not get it."""
        return self._error

    @property
    def waiting_senders(self) -> int:
        """How many senders wait for room."""
        return len(self._senders)

    @property
    def ended(self) -> bool:
        """Whether the sender ended and everything was received."""
        return self._finished and not self._buffer

    async def send(self, signal: Signal[T]) -> None:
        """Put a signal in line, waiting for room where the policy is backpressure."""
        rest: Signal[T] | None = signal
        if not self._senders:
            rest = self.admit(signal)
        while rest is not None:
            turn = self.turn()
            try:
                await turn
            except asyncio.CancelledError:
                self.give_up(turn)
                raise
            rest = self.admit(rest)
            if rest is None:
                self._pass_turn()

    def turn(self) -> asyncio.Future[None]:
        """Stand in line for room; the future is done when `admit` may succeed."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._senders.append(turn)
        return turn

    def give_up(self, turn: asyncio.Future[None]) -> None:
        """Leave the line, handing a turn that already came to the next in it."""
        if turn in self._senders:
            self._senders.remove(turn)
        else:
            self._pass_turn()

    def put(self, items: list[T]) -> None:
        """Put items in line without waiting, as the policy says; with `backpressure`, all of
        them or none, and `OverflowFailure` when they do not fit."""
        must_fit = self.overflow == "backpressure"
        if must_fit and (self._senders or self._fitting(items) < len(items)):
            raise OverflowFailure(self._full())
        if items:
            self.admit(Chunk(items))

    def offer(self, items: list[T]) -> int:
        """Take as many items as fit now, without waiting; returns how many were taken."""
        self._check_open()
        count = 0 if self._senders else self._fitting(items)
        if count:
            self._append(Chunk(items[:count]))
        return count

    def end(self) -> None:
        """No more will be sent: the receiver gets what is in line, then the end; who still waits
        for room gets `ChannelClosed`."""
        self._finished = True
        self.waker.wake()
        self._pass_turn()

    def fail(self, error: BaseException) -> None:
        """End with an error, which the receiver gets after what is in line."""
        if not self._finished:
            self._error = error
        self.end()

    def debloat(self, writes: Writes | None = None) -> None:
        """From the first time that the receiver asks, hold no more than it takes in a short time;
        see `Debloating`. One that drops is left alone: what it loses is what is above its limit."""
        if self.overflow == "backpressure":
            self.debloating = Debloating(self._most, writes)

    def relax(self) -> None:
        """The receiver waits for something else, maybe for what comes behind the items that do not
        fit here: until it asks here again, let in as much as there may ever be."""
        if self.debloating is not None and not self.relaxed:
            self.debloating.forget()
            self.limit, self.relaxed = self._most, True
            self._pass_turn()

    async def begin(self) -> None:
        """Have the sender begin, and wait until it says that it has; raises its failure to."""
        if self.on_demand is not None:
            self.on_demand()
        while not (self.begun or self._finished):
            await self.waker.wait()
        if self._error is not None and not self._buffer:
            error, self._error = self._error, None
            raise error

    def put_first(self, barrier: Barrier) -> None:
        """Put a barrier before all that is in line."""
        self._buffer.appendleft(barrier)
        self._barriers += 1
        self.waker.wake()

    def poll(self, limit: int) -> Signal[T] | None:
        """Take what is in line now, several chunks as one; None if there is nothing.

        Raises the sender's failure once what came before it was taken.
        """
        if self.on_demand is not None:
            self.on_demand()
        buffer, debloating = self._buffer, self.debloating
        if debloating is not None:
            self.limit, self.relaxed = debloating.asks(), False
        if not buffer:
            if self._finished and self._error is not None:
                error, self._error = self._error, None
                raise error
            return None
        signal = buffer.popleft()
        if type(signal) is not Chunk:
            self._barriers -= type(signal) is Barrier
            return signal
        chunk = signal
        if debloating is not None and self._size is None:
            limit = min(limit, debloating.limit)
        if len(chunk.items) < limit and buffer and type(buffer[0]) is Chunk:
            chunk = self._coalesce(chunk, limit)
        if len(chunk.items) > limit:
            head, tail = chunk.split(limit)
            buffer.appendleft(tail)
            chunk = head
        size = self._size
        taken = len(chunk.items) if size is None else sum(map(size, chunk.items))
        self.depth -= taken
        if debloating is not None:
            debloating.takes(taken)
        self._pass_turn()
        return chunk

    async def receive(self, limit: int) -> Signal[T] | None:
        """As `poll`, but waits for something; None only at the end. Cancelling loses nothing."""
        while (signal := self.poll(limit)) is None:
            if self.ended:
                return None
            await self.waker.wait()
        return signal

    def close(self) -> None:
        """The receiver has gone: what is in line is discarded, senders get `ChannelClosed`."""
        if self.closed:
            return
        self.closed = True
        self._buffer.clear()
        self.depth = 0
        self._pass_turn()
        if self.on_close is not None:
            self.on_close()

    def _coalesce(self, first: Chunk[T], limit: int) -> Chunk[T]:
        buffer = self._buffer
        items = first.items.copy()
        times = None if first.times is None else first.times.copy()
        while buffer and len(items) < limit:
            following = buffer[0]
            if type(following) is not Chunk or (following.times is None) != (times is None):
                break
            items += following.items
            if times is not None and following.times is not None:
                times += following.times
            buffer.popleft()
        return Chunk(items, times)

    def _check_open(self) -> None:
        if self.closed or self._finished:
            raise ChannelClosed(f"{self.name}: nobody receives here any more")

    def _full(self) -> str:
        unit = "items" if self._size is None else "in size"
        return f"{self.name} is full ({self.limit} {unit}); receive faster, or raise its limit"

    def admit(self, signal: Signal[T]) -> Signal[T] | None:
        """Take in what the policy lets in; what has to wait for room is returned."""
        self._check_open()
        if type(signal) is not Chunk:
            if self._dropping and self.depth >= self.limit:
                self._supersede(signal)
            self._buffer.append(signal)
            self._barriers += type(signal) is Barrier
            self.waker.wake()
            return None
        if self._size is None and self.depth + len(signal.items) <= self.limit:
            self.depth += len(signal.items)
            self._buffer.append(signal)
            self.waker.wake()
            return None
        policy = self.overflow
        if policy in ("drop_oldest", "latest"):
            self._append(signal)
            self._trim()
            return None
        if policy == "drop_newest" and self._size is not None:
            self._append_fitting(signal)
            return None
        fitting = self._fitting(signal.items)
        if fitting == len(signal.items):
            self._append(signal)
            return None
        rest = signal
        if fitting:
            head, rest = signal.split(fitting)
            self._append(head)
        if policy == "backpressure":
            return rest
        if policy == "fail":
            raise OverflowFailure(self._full())
        self._drop(rest.items)
        return None

    def _append(self, chunk: Chunk[T]) -> None:
        size = self._size
        self.depth += len(chunk.items) if size is None else sum(map(size, chunk.items))
        self._buffer.append(chunk)
        self.waker.wake()

    def _fitting(self, items: list[T]) -> int:
        """How many of these items fit now; an item above the whole limit fits when empty."""
        size, depth = self._size, self.depth
        if size is None:
            return min(len(items), max(0, self.limit - depth))
        for index, item in enumerate(items):
            one = size(item)
            if depth and depth + one > self.limit:
                return index
            depth += one
        return len(items)

    def _append_fitting(self, chunk: Chunk[T]) -> None:
        """Take the items that fit, each as if it came alone: a smaller one may fit behind one that
        does not."""
        size, depth = self._size, self.depth
        assert size is not None
        kept: list[int] = []
        lost: list[T] = []
        for index, item in enumerate(chunk.items):
            one = size(item)
            if depth and depth + one > self.limit:
                lost.append(item)
            else:
                kept.append(index)
                depth += one
        if kept:
            times = None if chunk.times is None else [chunk.times[index] for index in kept]
            self._append(Chunk([chunk.items[index] for index in kept], times))
        if lost:
            self._drop(lost)

    def _up_to_barrier(self) -> list[Signal[T]]:
        """Take out what is up to the last barrier in line, where what is dropped goes somewhere:
        there that barrier has passed already."""
        ahead: list[Signal[T]] = []
        if self.on_drop is not None and self._barriers:
            while type(self._buffer[-1]) is not Barrier:
                ahead.append(self._buffer.pop())
            ahead.reverse()
            self._buffer, ahead = deque(ahead), list(self._buffer)
        return ahead

    def _trim(self) -> None:
        size = self._size
        lost: list[T] = []
        kept: deque[Signal[T]] = deque()
        ahead = self._up_to_barrier()
        excess = self.depth - self.limit
        for signal in ahead:
            if type(signal) is Chunk:
                excess -= len(signal.items) if size is None else sum(map(size, signal.items))
        while excess > 0 and self._buffer:
            signal = self._buffer.popleft()
            if type(signal) is not Chunk:
                kept.append(signal)
                continue
            count = 0
            last = not any(type(other) is Chunk for other in self._buffer)
            for item in signal.items:
                if excess <= 0 or (last and count == len(signal.items) - 1):
                    break
                excess -= 1 if size is None else size(item)
                count += 1
            lost += signal.items[:count]
            if count < len(signal.items):
                self._buffer.appendleft(signal.split(count)[1] if count else signal)
                break
        self._buffer.extendleft(reversed(_newest_controls(kept)))
        self._buffer.extendleft(reversed(ahead))
        if lost:
            self.depth -= len(lost) if size is None else sum(map(size, lost))
            self._drop(lost)

    def _supersede(self, signal: Signal[T]) -> None:
        """Where the items between were dropped, only the newest watermark is of use: who is slow
        for long does not let them pile up."""
        between: list[Signal[T]] = []
        buffer = self._buffer
        while buffer and type(buffer[-1]) is not Chunk:
            last = buffer.pop()
            if type(last) is not type(signal) or type(last) is Barrier:
                between.append(last)
        buffer.extend(reversed(between))

    def _drop(self, items: list[T]) -> None:
        self.dropped += len(items)
        if self.on_drop is not None:
            self.on_drop(items)

    def _pass_turn(self) -> None:
        """Let the sender that has waited longest try again, if it may succeed."""
        senders = self._senders
        over = self.closed or self._finished
        if not (over or self.depth < self.limit):
            return
        while senders:
            turn = senders.popleft()
            if not turn.done():
                turn.set_result(None)
                if not over:
                    return


def _newest_controls(kept: deque[Signal[T]]) -> deque[Signal[T]]:
    """Without the watermarks, and what else is said again later, that had items after them only
    which were dropped."""
    newest: deque[Signal[T]] = deque()
    seen: set[type[object]] = set()
    for signal in reversed(kept):
        if type(signal) is Barrier or type(signal) not in seen:
            newest.appendleft(signal)
            seen.add(type(signal))
    return newest
