"""The same items to receivers that come and go, each with a bounded channel of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from reactive.channel import Channel, Waker
from reactive.endpoint import Reader
from reactive.errors import ChannelClosed, OverflowFailure, StreamClosedError
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context, Settings

T = TypeVar("T")

Held: TypeAlias = tuple[Channel[T], Signal[T]]

_SECONDS_BETWEEN_LOOKS = 0.2


class Broadcast(Generic[T]):
    """Sends signals to every receiver, as each one's overflow policy says.

    One that is full holds the sender back (`backpressure`) or loses items; with `fail` it fails by
    itself, which is no concern of the sender. The first receiver brings the event loop; while
    there are any, use from another loop or from a thread without one is refused.
    """

    def __init__(self, name: str, fix: str) -> None:
        self.name = name
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ended = False
        self._fix = fix
        self._error: Exception | None = None
        self._channels: dict[Channel[T], None] = {}
        self._lock = asyncio.Lock()
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def __len__(self) -> int:
        return len(self._channels)

    def check_loop(self) -> None:
        """Refuse use from elsewhere than the loop that the receivers are in."""
        loop = self.loop
        if not self._channels or loop is None:
            return
        here = asyncio._get_running_loop()
        if here is loop or (here is None and not loop.is_running()):
            return
        if loop.is_closed():
            self._channels.clear()
            return
        raise RuntimeError(f"{self.name} is in use in another event loop; {self._fix}")

    def _check_open(self) -> None:
        if self.ended:
            raise StreamClosedError(f"{self.name} was closed; make a new one to send more")
        self.check_loop()

    def add(self, channel: Channel[T]) -> None:
        """A receiver has come; after the end it gets just that."""
        self.check_loop()
        here = asyncio.get_running_loop()
        if here is not self.loop:
            self.loop, self._lock = here, asyncio.Lock()
        if self.ended:
            self._end(channel)
        else:
            self._channels[channel] = None

    def retire(self, channel: Channel[T]) -> None:
        """A receiver takes what was sent to it and no more."""
        if channel in self._channels:
            del self._channels[channel]
            channel.end()

    def remove(self, channel: Channel[T]) -> None:
        """A receiver has gone."""
        self._channels.pop(channel, None)
        channel.close()

    async def send(self, signal: Signal[T]) -> None:
        """Give a signal to each, at once where there is room, and wait for the others. One sender
        at a time, so that all receivers get items in the same order."""
        self._check_open()
        async with self._lock:
            self._check_open()
            held = self._offer(signal)
            if held:
                await self._wait(held)

    def send_nowait(self, items: list[T]) -> None:
        """Give items to each without waiting; where one would have to be waited for, to nobody."""
        self._check_open()
        for channel in self._channels:
            if channel.overflow == "backpressure" and (
                self._lock.locked() or channel.room < len(items)
            ):
                raise OverflowFailure(
                    f"{channel.name} is full ({channel.limit} items), so nobody was sent this; "
                    "await send(item), or give its receiver an overflow policy that drops"
                )
        self._offer(Chunk(items))

    def end(self, error: Exception | None = None) -> None:
        """End all receivers, and those that come later."""
        if not self.ended:
            self.check_loop()
            self.ended, self._error = True, error
            for channel in self._channels:
                self._end(channel)
            self._channels.clear()

    def _end(self, channel: Channel[T]) -> None:
        if self._error is None:
            channel.end()
        else:
            channel.fail(self._error)

    def _offer(self, signal: Signal[T]) -> list[Held[T]]:
        """Give to each what it has room for now; returns who has to be waited for."""
        held: list[Held[T]] = []
        for channel in tuple(self._channels):
            rest = self._admit(channel, signal)
            if rest is not None:
                held.append((channel, rest))
        return held

    def _admit(self, channel: Channel[T], signal: Signal[T]) -> Signal[T] | None:
        try:
            return channel.admit(signal)
        except OverflowFailure as error:
            self._channels.pop(channel, None)
            channel.fail(error)
        except ChannelClosed:
            if self.ended:
                raise StreamClosedError(f"{self.name} was closed before there was room") from None
        return None

    async def _wait(self, held: list[Held[T]]) -> None:
        waker = Waker()
        turns: dict[asyncio.Future[None], Held[T]] = {}
        come: deque[asyncio.Future[None]] = deque()

        def stand_in_line(channel: Channel[T], rest: Signal[T]) -> None:
            turn = channel.turn()
            turns[turn] = channel, rest
            turn.add_done_callback(its_turn)

        def its_turn(turn: asyncio.Future[None]) -> None:
            come.append(turn)
            waker.wake()

        for channel, rest in held:
            stand_in_line(channel, rest)
        try:
            while turns:
                await waker.wait()
                while come:
                    turn = come.popleft()
                    channel, rest = turns.pop(turn)
                    left = self._admit(channel, rest)
                    if left is not None:
                        stand_in_line(channel, left)
        finally:
            for turn, (channel, _) in turns.items():
                channel.give_up(turn)


class Audience(ABC, Generic[T]):
    """Those that listen to one thing."""

    @abstractmethod
    def retire(self, channel: Channel[T]) -> None:
        """A receiver takes what was sent to it and no more."""

    @abstractmethod
    async def leave(self, channel: Channel[T]) -> None:
        """A receiver has gone."""


class Seat(Generic[T]):
    """The place of one receiver: its channel, and what it is given before what comes there."""

    __slots__ = ("audience", "channel", "first")

    def __init__(
        self, audience: Audience[T], channel: Channel[T], first: Sequence[Signal[T]] = ()
    ) -> None:
        self.audience = audience
        self.channel = channel
        self.first = first


class Listener(Reader[T]):
    """One run's receiver: it takes its seat when it is opened and leaves it when it is closed."""

    def __init__(
        self,
        join: Callable[[Settings], Awaitable[Seat[T]]],
        context: Context,
        lost: str = "dropped",
    ) -> None:
        self._join = join
        self._context = context
        self._lost = lost
        self._seat: Seat[T] | None = None
        self._first: deque[Signal[T]] = deque()

    async def open(self) -> None:
        seat = self._seat = await self._join(self._context.settings)
        self._first.extend(seat.first)
        channel, meter = seat.channel, self._context.meter
        meter.gauges["depth"] = lambda: channel.depth
        meter.gauges["limit"] = lambda: channel.limit
        meter.totals[self._lost] = lambda: channel.dropped

    async def read(self, limit: int) -> Signal[T] | None:
        if self._first:
            signal = self._first.popleft()
            if isinstance(signal, Chunk) and len(signal.items) > limit:
                signal, rest = signal.split(limit)
                self._first.appendleft(rest)
            return signal
        assert self._seat is not None
        return await self._seat.channel.receive(limit)

    def stop(self) -> bool:
        if self._seat is None:
            return False
        self._seat.audience.retire(self._seat.channel)
        return True

    async def close(self) -> None:
        seat, self._seat = self._seat, None
        self._first.clear()
        if seat is not None:
            await seat.audience.leave(seat.channel)


def call_from_thread(
    loop: asyncio.AbstractEventLoop | None,
    work: Callable[[], Coroutine[Any, Any, None]],
    timeout: float | None,
    *,
    owner: str,
    method: str,
    instead: str,
) -> None:
    """Have `work` done in the event loop of its owner and block this thread until it is, at most
    `timeout` seconds of the loop's clock."""
    if loop is None or loop.is_closed():
        raise RuntimeError(
            f"{method} needs a {owner} that was made in, or is read by, a running loop"
        )
    if asyncio._get_running_loop() is loop:
        raise RuntimeError(f"{method} would wait for itself; use {instead}")

    async def within() -> None:
        async with asyncio.timeout(timeout):
            await work()

    ended = f"{owner}: the event loop ended before that was done"
    waiting = within()
    future = asyncio.run_coroutine_threadsafe(waiting, loop)
    try:
        # A loop that is closed tells nobody.
        while not concurrent.futures.wait((future,), _SECONDS_BETWEEN_LOOKS).done:
            if loop.is_closed() and not future.done():
                if inspect.getcoroutinestate(waiting) == inspect.CORO_CREATED:
                    waiting.close()
                raise StreamClosedError(ended)
        future.result()
    except concurrent.futures.CancelledError:
        raise StreamClosedError(ended) from None
    except StreamClosedError:
        raise
    except BaseException:
        future.cancel()
        raise
