"""`Hub`: broadcast to subscribers that come and go, each with an overflow policy of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from reactive.broadcast import Audience, Broadcast, Listener, Seat, call_from_thread
from reactive.channel import Channel, Overflow, check_overflow
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.graph import Node, caller_location
from reactive.operator import SourceOperator
from reactive.signals import Chunk
from reactive.stream import Stream

if TYPE_CHECKING:
    from reactive.context import Context, Settings

T = TypeVar("T")


class Hub(Stream[T], Sink[T]):
    """Sends each item to everybody who listens just then.

    ```text
    send(1)  send(2)  send(3)  close()
    --1--------2--------3--------|       listens from the beginning
               --2------3--------|       comes later
    ```

    Push with `await hub.send(item)`, or let a stream do it: a Hub is a sink, `stream.to(hub)`;
    the end of that stream does not end the hub. Listen to `hub.subscribe(limit=, overflow=)`, or
    to the hub itself, which is a stream with the limit and policy that it was made with. A run
    subscribes when it is first asked for an item and gets what is sent from then on; what is sent
    while nobody listens is lost.

    Every subscriber has up to `limit` items waiting. When that many wait, `overflow` decides for
    this subscriber alone: `backpressure`, the default, holds the senders, and so everybody, back;
    `drop_oldest`, `drop_newest` and `latest` lose items; `fail` ends it with `OverflowFailure`.
    So give clients that may be slow a policy that drops. `close()` completes all subscribers,
    `fail(error)` fails them, once they have what was sent before; sending after that raises
    `StreamClosedError`, and who subscribes then gets just the end. Event times do not pass.
    A Hub serves one event loop at a time and does not pickle.

    ```python
    prices: rx.Hub[float] = rx.Hub()

    async def websocket(send) -> None:
        async with prices.subscribe(limit=10, overflow="drop_oldest").open() as items:
            async for price in items:
                await send(price)

    await prices.send(9.5)
    ```
    """

    def __init__(
        self, limit: int = 1024, *, overflow: Overflow = "backpressure", name: str = "hub"
    ) -> None:
        check_overflow(limit, overflow)
        self._subscribers: Broadcast[T] = Broadcast(
            name, "make a hub for each, or use hub.send_from_thread(item)"
        )
        self._policy = limit, overflow
        super().__init__(_node(_Subscribing(self._subscribers, limit, overflow, name)))

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    def subscribe(
        self,
        *,
        limit: int | None = None,
        overflow: Overflow | None = None,
        name: str | None = None,
    ) -> Subscription[T]:
        """A stream of what is sent, with a limit and overflow policy of its own; by default those
        of the hub. Every run of it is a subscriber.

        ```python
        hub: rx.Hub[str] = rx.Hub()
        clicks = hub.subscribe(limit=10, overflow="drop_oldest", name="client 7")
        ```
        """
        own_limit, own_overflow = self._policy
        limit = own_limit if limit is None else limit
        overflow = own_overflow if overflow is None else overflow
        check_overflow(limit, overflow)
        return Subscription(
            _Subscribing(self._subscribers, limit, overflow, name or self._subscribers.name)
        )

    async def send(self, item: T) -> None:
        """Give an item to all subscribers, waiting until those that backpressure have room; the
        others have got it by then. Cancelled, it has gone to those that had room."""
        await self._subscribers.send(Chunk([item]))

    def send_nowait(self, item: T) -> None:
        """Give an item to all subscribers at once. `OverflowFailure` if one that backpressures has
        no room; then nobody got it."""
        self._subscribers.send_nowait([item])

    def send_from_thread(self, item: T, timeout: float | None = None) -> None:
        """`send` from another thread, blocking it until all have the item, at most `timeout`
        seconds of the loop's clock; then `TimeoutError`, and who had no room did not get it."""
        call_from_thread(
            self._subscribers.loop,
            lambda: self.send(item),
            timeout,
            owner="Hub",
            method="send_from_thread",
            instead="await hub.send(item)",
        )

    def close(self) -> None:
        """Complete all subscribers once they have what was sent."""
        self._subscribers.end()

    def fail(self, error: Exception) -> None:
        """Fail all subscribers once they have what was sent."""
        self._subscribers.end(error)

    @property
    def label(self) -> str:
        return self._subscribers.name

    def writer(self, context: Context) -> Writer[T]:
        return _HubWriter(self._subscribers)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


class Subscription(Stream[T]):
    """A stream of what is sent to a `Hub`."""

    __slots__ = ("_subscribing",)

    def __init__(self, subscribing: _Subscribing) -> None:
        self._subscribing = subscribing
        super().__init__(_node(subscribing))

    @property
    def dropped(self) -> int:
        """How many items it lost for want of room, in all of its runs."""
        return self._subscribing.dropped

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


def _node(subscribing: _Subscribing) -> Node:
    return Node(SourceOperator(subscribing), (), None, caller_location())


def _refuse_pickling() -> NoReturn:
    raise TypeError("a Hub belongs to one program and does not pickle; use a source instead")


class _Subscribing(Source[Any], Audience[Any]):
    """One way to subscribe to a hub: its limit and policy, and what was lost to them."""

    def __init__(
        self, subscribers: Broadcast[Any], limit: int, overflow: Overflow, name: str
    ) -> None:
        self._subscribers = subscribers
        self._limit = limit
        self._overflow: Overflow = overflow
        self._name = name
        self.dropped = 0

    @property
    def label(self) -> str:
        return self._name

    def details(self) -> dict[str, object]:
        return {"limit": f"{self._limit} items", "overflow": self._overflow}

    def reader(self, context: Context) -> Reader[Any]:
        return Listener(self.join, context)

    async def join(self, settings: Settings) -> Seat[Any]:
        """One more subscriber."""
        channel: Channel[Any] = Channel(
            self._limit, overflow=self._overflow, name=self._name, on_drop=self._count
        )
        self._subscribers.add(channel)
        return Seat(self, channel)

    def _count(self, lost: list[Any]) -> None:
        self.dropped += len(lost)

    def retire(self, channel: Channel[Any]) -> None:
        self._subscribers.retire(channel)

    async def leave(self, channel: Channel[Any]) -> None:
        self._subscribers.remove(channel)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


class _HubWriter(Writer[Any]):
    def __init__(self, subscribers: Broadcast[Any]) -> None:
        self._subscribers = subscribers

    async def write(self, chunk: Chunk[Any]) -> None:
        await self._subscribers.send(Chunk(chunk.items))
