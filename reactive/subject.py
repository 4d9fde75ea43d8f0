"""`Subject`: push items into pipelines from anywhere in the loop, or from other threads."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, TypeVar

from reactive.broadcast import call_from_thread
from reactive.channel import Channel, Overflow, check_overflow
from reactive.context import Context
from reactive.endpoint import Reader, Source
from reactive.errors import ChannelClosed, StreamClosedError
from reactive.graph import Node, caller_location
from reactive.operator import SourceOperator
from reactive.signals import Chunk, Signal
from reactive.stream import Stream

T = TypeVar("T")


class Subject(Stream[T]):
    """A stream whose items are pushed in.

    ```text
    send(1)  send(2)  close()
    --1--------2--------|
    ```

    Holds up to `limit` items for each run that reads it; what is pushed before any run reads is
    held for the first that does. `await send(item)` waits for room in every run (backpressure);
    `send_nowait(item)` follows `overflow`, which with the default, `backpressure`, raises
    `OverflowFailure` when there is no room. `close()` completes the stream, `fail(error)` fails
    it. `send_from_thread(item)` blocks another thread until there is room. Pushing after the
    end raises `StreamClosedError`. A Subject belongs to one event loop and does not pickle.

    ```python
    orders: rx.Subject[int] = rx.Subject(limit=100)
    async with rx.start(orders.map(str).to(sink)):
        await orders.send(1)
    ```
    """

    __slots__ = ("_hub",)

    def __init__(
        self, limit: int = 1024, *, overflow: Overflow = "backpressure", name: str = "subject"
    ) -> None:
        check_overflow(limit, overflow)
        self._hub: _Hub = _Hub(limit, overflow, name)
        super().__init__(
            Node(SourceOperator(_SubjectSource(self._hub)), (), None, caller_location())
        )

    async def send(self, item: T) -> None:
        """Push an item, waiting until every run that reads has room for it."""
        pushed = False
        while not pushed:
            self._hub.check_open()
            for channel in self._hub.receivers():
                try:
                    await channel.send(Chunk([item]))
                    pushed = True
                except ChannelClosed:
                    self._hub.check_open()

    def send_nowait(self, item: T) -> None:
        """Push an item at once, as the overflow policy says when there is no room."""
        self._hub.check_open()
        for channel in self._hub.receivers():
            channel.put([item])

    def send_from_thread(self, item: T, timeout: float | None = None) -> None:
        """Push an item from another thread, blocking it until there is room, at most `timeout`
        seconds of the loop's clock; then `TimeoutError`, and where there was no room the item was
        not pushed."""
        call_from_thread(
            self._hub.loop,
            lambda: self.send(item),
            timeout,
            owner="Subject",
            method="send_from_thread",
            instead="await subject.send(item)",
        )

    def close(self) -> None:
        """Complete the stream once what was pushed is taken."""
        self._hub.end(None)

    def fail(self, error: Exception) -> None:
        """Fail the stream once what was pushed is taken."""
        self._hub.end(error)


class _Hub:
    """The readers of one Subject, each with its own channel."""

    def __init__(self, limit: int, overflow: Overflow, name: str) -> None:
        self.name = name
        self.limit = limit
        self.overflow: Overflow = overflow
        self.loop: asyncio.AbstractEventLoop | None = None
        self._waiting: Channel[Any] | None = self._channel()
        self._channels: list[Channel[Any]] = []
        self._ended = False
        self._error: Exception | None = None
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def _channel(self) -> Channel[Any]:
        return Channel(self.limit, overflow=self.overflow, name=self.name)

    def check_open(self) -> None:
        """Refuse to push after the end."""
        if self._ended:
            raise StreamClosedError(f"{self.name} was closed; make a new Subject to push more")

    def receivers(self) -> list[Channel[Any]]:
        """Where an item goes now."""
        if not self._channels and self._waiting is None:
            self._waiting = self._channel()
        if self._waiting is not None:
            return [self._waiting]
        return list(self._channels)

    def attach(self) -> Channel[Any]:
        """The channel of a new reader; the first one gets what was pushed before it."""
        self.loop = asyncio.get_running_loop()
        channel, self._waiting = self._waiting or self._channel(), None
        self._channels.append(channel)
        if self._ended:
            self._end(channel)
        return channel

    def retire(self, channel: Channel[Any]) -> None:
        """A reader takes what was pushed to it and no more: what follows is for others."""
        if channel in self._channels:
            self._channels.remove(channel)
            channel.end()

    def detach(self, channel: Channel[Any]) -> None:
        """A reader has gone."""
        if channel in self._channels:
            self._channels.remove(channel)
        channel.close()

    def end(self, error: Exception | None) -> None:
        """End every reader's channel, and those of later ones."""
        if self._ended:
            return
        self._ended, self._error = True, error
        for channel in (*self._channels, *([self._waiting] if self._waiting else [])):
            self._end(channel)

    def _end(self, channel: Channel[Any]) -> None:
        if self._error is None:
            channel.end()
        else:
            channel.fail(self._error)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Subject belongs to one program and does not pickle; use a source instead"
        )


class _SubjectSource(Source[Any]):
    def __init__(self, hub: _Hub) -> None:
        self.hub = hub

    @property
    def label(self) -> str:
        return self.hub.name

    def details(self) -> dict[str, object]:
        return {"limit": f"{self.hub.limit} items", "overflow": self.hub.overflow}

    def reader(self, context: Context) -> Reader[Any]:
        return _SubjectReader(self.hub, context)


class _SubjectReader(Reader[Any]):
    def __init__(self, hub: _Hub, context: Context) -> None:
        self._hub = hub
        self._context = context
        self._channel: Channel[Any] | None = None

    async def open(self) -> None:
        channel = self._channel = self._hub.attach()
        meter = self._context.meter
        meter.gauges["depth"] = lambda: channel.depth
        meter.gauges["limit"] = lambda: channel.limit
        meter.totals["dropped"] = lambda: channel.dropped

    async def read(self, limit: int) -> Signal[Any] | None:
        assert self._channel is not None
        return await self._channel.receive(limit)

    def stop(self) -> bool:
        if self._channel is not None:
            self._hub.retire(self._channel)
            return True
        return False

    async def close(self) -> None:
        if self._channel is not None:
            self._hub.detach(self._channel)
