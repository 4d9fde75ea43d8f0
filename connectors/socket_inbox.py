"""Where all connections of a source meet: one bounded inbox, and the reader that empties it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from connectors.sockets import Peer, let_transports_close
from reactive.channel import Channel
from reactive.context import Context
from reactive.endpoint import Reader
from reactive.errors import ChannelClosed
from reactive.graph import Node
from reactive.log import log_event
from reactive.policy import DeadLetter, side_node
from reactive.signals import Chunk
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.stream import SideOutput


class Block:
    """Frames that came together. `weight` is what they take of the inbox's room."""

    __slots__ = ("items", "weight")

    def __init__(self, items: list[Any], weight: int) -> None:
        self.items = items
        self.weight = weight


class Failure:
    """A connection that failed, in line behind the items it gave before."""

    __slots__ = ("error", "peer", "weight")

    def __init__(self, peer: Peer, error: Exception) -> None:
        self.peer = peer
        self.error = error
        self.weight = 1


Entry: TypeAlias = Block | Failure


def _weight(entry: Entry) -> int:
    return entry.weight


class Inbox:
    """Holds at most `limit` frames of at most `limit_bytes` together; who brings more waits.

    A block that is larger than the whole inbox passes alone. Accounting is by the block, so that
    its cost does not grow with the number of frames.
    """

    def __init__(self, limit: int, limit_bytes: int, name: str) -> None:
        self._limit = limit
        self._bytes_per_item = max(1, limit_bytes // limit)
        self._channel: Channel[Entry] = Channel(
            self._bytes_per_item * limit, size=_weight, name=name
        )
        self.waiting = 0

    async def send(
        self, frames: list[bytes], size: int, wrap: Callable[[bytes], Any] | None
    ) -> None:
        """Put frames of together at most `size` bytes in line, as long as it takes to find
        room."""
        limit = self._limit
        for start in range(0, len(frames), limit):
            part = frames
            if len(frames) > limit:
                part = frames[start : start + limit]
                size = sum(map(len, part))
            weight = max(size, len(part) * self._bytes_per_item)
            items = part if wrap is None else [wrap(frame) for frame in part]
            entries: list[Entry] = [Block(items, weight)]
            await self._channel.send(Chunk(entries))
            self.waiting += len(part)

    async def report(self, failure: Failure) -> None:
        """Put a failure in line."""
        failure.weight = self._bytes_per_item
        entries: list[Entry] = [failure]
        await self._channel.send(Chunk(entries))

    async def receive(self) -> Entry | None:
        """The next entry; None at the end."""
        signal = await self._channel.receive(1)
        if type(signal) is not Chunk:
            return None
        entry = signal.items[0]
        if isinstance(entry, Block):
            self.waiting -= len(entry.items)
        return entry

    def end(self) -> None:
        """Nothing more will be sent."""
        self._channel.end()

    def fail(self, error: BaseException) -> None:
        """Nothing more will be sent, because of `error`."""
        self._channel.fail(error)

    def close(self) -> None:
        """Nobody receives any more; who waits for room is turned away."""
        self._channel.close()


ConnectionPolicy: TypeAlias = Union[Literal["count", "raise"], "SideOutput[DeadLetter[Peer]]"]


def check_connection_policy(name: str, policy: object) -> None:
    """Refuse what is no policy, when the pipeline is described."""
    if policy not in ("count", "raise") and side_node(policy) is None:
        raise TypeError(
            f'{name}: on_connection_error must be "count", "raise" or a rx.SideOutput, '
            f"not {policy!r}"
        )


def connection_sides(policy: object) -> Sequence[Node]:
    """For `Source.side_outputs`."""
    node = side_node(policy)
    return () if node is None else (node,)


class InboxReader(Reader[Any]):
    """Reads what connections bring, and does with failed ones what the policy says."""

    def __init__(self, context: Context, limit: int, limit_bytes: int, policy: object) -> None:
        self._context = context
        self._meter = context.meter
        self._inbox = Inbox(limit, limit_bytes, context.name)
        self._tasks = Tasks()
        self._policy = policy
        self._rest: list[Any] = []
        self._failure: Failure | None = None
        self._meter.gauges["waiting"] = lambda: self._inbox.waiting
        node = side_node(policy)
        self._to_side = None if node is None else context.side(node)

    async def read(self, limit: int) -> Chunk[Any] | None:
        """Frames of one block or of several; failures are dealt with between them."""
        items, self._rest = self._rest, []
        while not items:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                await self._deal_with(failure)
            entry = await self._inbox.receive()
            if entry is None:
                return None
            if isinstance(entry, Failure):
                self._failure = entry
            else:
                items = entry.items
        joined = False
        while len(items) < limit and self._failure is None and self._inbox.waiting:
            entry = await self._inbox.receive()
            if isinstance(entry, Failure):
                self._failure = entry
            elif entry is not None:
                items, joined = (items if joined else items.copy()), True
                items += entry.items
        if len(items) > limit:
            self._rest = items[limit:]
            items = items[:limit]
        return Chunk(items)

    async def _deal_with(self, failure: Failure) -> None:
        if self._policy == "raise":
            raise failure.error
        if self._to_side is not None:
            self._to_side(DeadLetter(failure.peer, failure.error, self._context.name))
            await self._context.flush()

    async def _failed(self, peer: Peer, error: Exception) -> None:
        """Count and log a failed connection, and put it in line for the policy."""
        self._meter.count("connection_errors")
        log_event(
            "warning",
            "connection_failed",
            operator=self._context.name,
            peer=str(peer),
            error=str(error),
        )
        if self._policy != "count":
            with suppress(ChannelClosed):
                await self._inbox.report(Failure(peer, error))

    async def close(self) -> None:
        """Close every connection and wait for the tasks that served them."""
        self._inbox.close()
        try:
            await self._release()
        finally:
            await self._tasks.close()
            await let_transports_close()

    async def _release(self) -> None:
        """Release what is not a task's; the tasks still run."""
