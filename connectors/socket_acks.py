"""Acknowledging frames once they are committed: what a server and its clients say to each other.

A client begins a connection with a line, `reactive-ack 1 NAME FIRST`. `NAME` is its own, the same
on every connection, and `FIRST` the number of the first frame it will send here; frames are
numbered one after the other, from 0 on for a new name. The server answers with lines, each a number
in decimal: all frames with a smaller number are committed. After a broken connection the client
begins another one with what is not. Frames that come again are known by their numbers, and given
once.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

import reactive as rx
from connectors.socket_listen import ListenReader, ListenSource
from connectors.sockets import FAREWELL_SECONDS, Peer, Received, check_bounds
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.graph import stream_of
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Holding, Step, Stepwise
from reactive.signals import Chunk, Signal
from reactive.stream import Stream

if TYPE_CHECKING:
    from reactive.context import Context

_HELLO = re.compile(rb"reactive-ack 1 ([!-~]{1,128}) (\d{1,18})\r?")
_LONGEST_HELLO = 256


@dataclass(frozen=True, kw_only=True)
class AckOptions:
    """See `tcp.listen`."""

    within: float
    remember: float

    def check(self, name: str) -> None:
        """Refuse what cannot work."""
        check_bounds(name, commit_within=self.within, remember_senders=self.remember)


def check_ack(name: str, ack: object) -> bool:
    """Whether acknowledgements are asked for; refuses what is no answer to that."""
    if ack not in ("commit", None):
        raise ValueError(f'{name}: ack is "commit" or None, not {ack!r}')
    return ack is not None


def ack_options(name: str, ack: object, within: float, remember: float) -> AckOptions | None:
    """What a listener is told of acknowledgements."""
    return AckOptions(within=within, remember=remember) if check_ack(name, ack) else None


@dataclass(frozen=True, kw_only=True)
class AckListenSource(ListenSource):
    """A listener that can acknowledge frames."""

    acks: AckOptions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.acks is not None:
            self.acks.check(self.label)
            if getattr(self.framing, "oversize", "") == "skip":
                raise ValueError(
                    f'{self.label}: with ack="commit" frames are counted, so none may be skipped; '
                    'let the framing have oversize="truncate" or "fail"'
                )

    @property
    def acknowledges(self) -> bool:
        return self.acks is not None

    @property
    def repeats(self) -> str:
        return "known by its number"

    @property
    def replay_fix(self) -> str:
        return f'ack="commit" to it, or {super().replay_fix}'

    def reader(self, context: Context) -> ListenReader:
        if self.acks is not None:
            return AckReader(self, self.acks, context)
        return super().reader(context)


def listening(source: AckListenSource) -> Stream[Any]:
    """The frames of a listener, each once."""
    frames = rx.from_source(source)
    if source.acks is None:
        return frames
    return stream_of(EachFrameOnce(f"{source.label}-numbers", source.acks.remember), frames)


@dataclass(slots=True)
class Numbered:
    """A frame with its number."""

    sender: str
    number: int
    received: float
    """Seconds since 1970."""
    item: Any
    connection: int


class Acknowledged:
    """One connection whose frames are answered for."""

    def __init__(self, stream: ByteStream, number: int, first: int) -> None:
        self._stream = stream
        self._number = number
        self._marks: deque[tuple[int, int]] = deque()
        self._taken = self._committed = self._told = first
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        self._broken = False

    def wrap(self, sender: str, item: Any) -> Numbered:
        """The next frame."""
        self._taken += 1
        return Numbered(sender, self._taken - 1, time.time(), item, self._number)

    def given(self, position: int, count: int) -> None:
        """Frames below `count` are given before this position of the reader."""
        self._marks.append((position, count))

    def committed(self, position: int) -> bool:
        """All before the position is; tells whether that is all of this connection."""
        while self._marks and self._marks[0][0] <= position:
            self._committed = self._marks.popleft()[1]
            self._news.set()
        return self._committed == self._taken

    async def tell(self) -> None:
        """Tell the peer what is committed, until the connection breaks."""
        while await self.flush():
            await self._news.wait()
            self._news.clear()

    async def flush(self) -> bool:
        """Tell it what it has not been told; False if it cannot hear any more."""
        if self._committed > self._told:
            self._told = self._committed
            try:
                await self._stream.send(b"%d\n" % self._told)
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._broken = True
            self._heard.set()
        return not self._broken

    async def settled(self) -> None:
        """Wait until all it sent is committed, and it was told so."""
        while self._told < self._taken and not self._broken:
            self._heard.clear()
            await self._heard.wait()


class AckReader(ListenReader):
    """One run's listening, where frames are acknowledged when they are committed. Its position is
    how many frames were given in this run."""

    def __init__(self, source: ListenSource, options: AckOptions, context: Context) -> None:
        super().__init__(source, context)
        self._within = options.within
        self._given = 0
        self._begun = 0
        self._connections: dict[int, Acknowledged] = {}

    async def open(self) -> None:
        self._context.ask_for_commit()
        await super().open()

    async def _take_in(self, stream: ByteStream, peer: Peer) -> None:
        buffered = BufferedByteReceiveStream(stream)
        sender, first = await self._hello(buffered)
        self._begun += 1
        number = self._begun
        connection = self._connections[number] = Acknowledged(stream, number, first)
        with_peer = self._source.with_peer

        def wrap(frame: bytes) -> Numbered:
            self._context.ask_for_commit(self._within)
            return connection.wrap(sender, Received(peer, frame) if with_peer else frame)

        task = asyncio.current_task()
        assert task is not None
        telling = self._tasks.spawn(connection.tell(), name=f"{self._source.label} answers")
        try:
            await self._run_intake(cast("ByteStream", buffered), task, wrap)
            # What is committed last, is so after everybody has ended.
            self._serving.pop(task, None)
            self._changed.set()
            await connection.settled()
        finally:
            telling.cancel()
            del self._connections[number]

    async def _hello(self, stream: BufferedByteReceiveStream) -> tuple[str, int]:
        try:
            async with asyncio.timeout(self._source.handshake_timeout):
                line = await stream.receive_until(b"\n", _LONGEST_HELLO)
        except (TimeoutError, anyio.DelimiterNotFound, anyio.IncompleteRead):
            line = b""
        found = _HELLO.fullmatch(line)
        if found is None:
            raise ConnectorError(
                "the client did not begin with the line 'reactive-ack 1 NAME FIRST', as those do "
                'that wait for acknowledgements; let it do so, or listen without ack="commit"'
            )
        return found[1].decode(), int(found[2])

    async def read(self, limit: int) -> Chunk[Any] | None:
        chunk = await super().read(limit)
        if chunk is not None:
            self._given += len(chunk.items)
            counts = {each.connection: each.number + 1 for each in chunk.items}
            for number, count in counts.items():
                if (connection := self._connections.get(number)) is not None:
                    connection.given(self._given, count)
        return chunk

    def position(self) -> int:
        return self._given

    def committed(self, position: Any) -> None:
        settled = [each.committed(position) for each in self._connections.values()]
        if not all(settled):
            self._context.ask_for_commit(self._within)

    async def _release(self) -> None:
        await super()._release()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                for connection in list(self._connections.values()):
                    await connection.flush()


@dataclass(frozen=True)
class EachFrameOnce(Stepwise):
    """Gives frames, and none whose number it has passed."""

    title: str
    remember: float

    @property
    def label(self) -> str:
        return self.title

    def details(self) -> dict[str, object]:
        return {"remember_senders": f"{self.remember:g} s"}

    def holds(self, batch: bool) -> Sequence[Holding]:
        limit = f"of those that sent within {self.remember:g} seconds"
        return (Holding("a number for each name of a client", limit),)

    def step(self, context: Context) -> Step[Any, Any]:
        return _EachFrameOnce(self.remember, context)


class _EachFrameOnce(Step[Numbered, Any]):
    """Holds, by name, the number that is next and when the last came, the oldest first."""

    def __init__(self, remember: float, context: Context) -> None:
        self._remember = remember
        self._meter = context.meter
        self._next: Tracked[str] = Tracked(context.keeps_changes)

    def on_chunk(self, chunk: Chunk[Numbered], out: list[Signal[Any]]) -> None:
        items: list[Any] = []
        for frame in chunk.items:
            self._next.touch(frame.sender)
            expected, _ = self._next.pop(frame.sender, (0, 0.0))
            if frame.number >= expected:
                items.append(frame.item)
                expected = frame.number + 1
            else:
                self._meter.count("repeated")
            self._next[frame.sender] = expected, frame.received
            self._forget(frame.received - self._remember)
        if items:
            out.append(Chunk(items))

    def _forget(self, over: float) -> None:
        while (sender := next(iter(self._next))) and self._next[sender][1] < over:
            self._next.take(sender)

    def snapshot(self) -> bytes:
        return self._next.whole()

    def changes(self) -> Changes:
        return Changes(None, {"senders": self._next.freeze()})

    def restore(self, state: bytes | Kept) -> None:
        held = state.sections["senders"] if isinstance(state, Kept) else state
        self._next.load(held, order=itemgetter(1))
