"""What `group_by` runs: a task that routes each item into the group of its key."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.reading import PolledReader, PolledSource
from reactive.chain import Edge, let_others_run
from reactive.channel import Channel, WakeCall
from reactive.errors import OverflowFailure, SourceConsumedError, StreamClosedError
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.log import log_event
from reactive.operator import SourceOperator, Stage
from reactive.signals import Barrier, Chunk, Control, Idle, Signal, Watermark
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context

Parts: TypeAlias = dict[Any, tuple[list[Any], list[int]]]
"""The items of each group, with their times."""

_PATIENCE_SECONDS = 10.0
_CONTROLS_IN_LINE = 64


class _Line:
    """A bounded channel for a reader that may be slow or never come: of many watermarks that were
    not read it keeps the latest."""

    def __init__(self, limit: int, name: str) -> None:
        self.channel: Channel[Any] = Channel(limit, name=name)
        self._controls = 0
        self._latest: Watermark | Idle | None = None

    def put(self, chunk: Chunk[Any]) -> Chunk[Any] | None:
        """Put items in line; those that have to wait for room are returned."""
        if type(self._latest) is Watermark:
            self.channel.admit(self._latest)
        self._latest = None
        rest = self.channel.admit(chunk)
        assert rest is None or type(rest) is Chunk
        return rest

    def say(self, control: Control) -> None:
        """Put a control signal in line, or have it told when the line was read."""
        if type(control) is Barrier or self._controls < _CONTROLS_IN_LINE:
            if type(self._latest) is Watermark:
                self.channel.admit(self._latest)
            self._latest = None
            self._controls += 1
            self.channel.admit(control)
        elif type(control) is Watermark or type(self._latest) is not Watermark:
            self._latest = control

    def poll(self, limit: int) -> Signal[Any] | None:
        """What is in line; None if there is nothing."""
        signal = self.channel.poll(limit)
        if signal is None:
            latest, self._latest = self._latest, None
            return latest
        if type(signal) is not Chunk:
            self._controls = max(0, self._controls - 1)
        return signal

    async def next(self, limit: int) -> Signal[Any] | None:
        """The next signal; None at the end."""
        while (signal := self.poll(limit)) is None:
            if self.channel.ended:
                return None
            await self.channel.waker.wait()
        return signal


class _Live:
    """A group, as the one who fills it and the one who reads it know it."""

    def __init__(self, key: Any, limit: int, stage: GroupByStage) -> None:
        self.key = key
        self.line = _Line(limit, f"group {key!r}")
        self.stage = stage
        self.since = 0.0
        self.waiting = False
        self.read = False

    @property
    def abandoned(self) -> bool:
        """Whether nobody reads it, nor can."""
        return self.line.channel.closed


class _GroupSource(PolledSource[Any]):
    """The items of a group. Once nobody refers to it any more, nobody can begin to read it."""

    def __init__(self, live: _Live) -> None:
        self.live = live
        weakref.finalize(self, live.stage.forgotten, live).atexit = False

    @property
    def label(self) -> str:
        return "group"

    def reader(self, context: Context) -> PolledReader[Any]:
        return _GroupReader(self.live)


class _GroupReader(PolledReader[Any]):
    def __init__(self, live: _Live) -> None:
        self._live = live
        self._reads = False

    async def open(self) -> None:
        self._begin()

    def begin(self, wake: Callable[[], None]) -> None:
        self._begin()
        self._live.line.channel.waker = WakeCall(wake)

    def _begin(self) -> None:
        live = self._live
        if live.read:
            raise SourceConsumedError(
                f"group {live.key!r} was read before, and a group can be read once; use it several "
                "times in one pipeline, or send it to a rx.Hub"
            )
        live.read = self._reads = True

    async def read(self, limit: int) -> Signal[Any] | None:
        return await self._live.line.next(limit)

    def poll(self, limit: int) -> Signal[Any] | None:
        return self._live.line.poll(limit)

    @property
    def ended(self) -> bool:
        return self._live.line.channel.ended

    def stop(self) -> bool:
        # It ends with the stream that was grouped, which is asked to stop as well.
        return True

    async def close(self) -> None:
        self.finish()

    def finish(self) -> None:
        if self._reads:
            self._reads = False
            self._live.stage.left(self._live)


class GroupByStage(Stage[Any]):
    """Gives groups; a task of its own fills them, so that they can be read one after the other
    while what the others get has room."""

    def __init__(
        self, limit: int, buffer: int, idle: float | None, fails: bool, context: Context
    ) -> None:
        self._limit = limit
        self._buffer = buffer
        self._idle = idle
        self._fails = fails
        self._context = context
        self._tasks = Tasks()
        self._groups: OrderedDict[Any, _Live] = OrderedDict()
        self._given = _Line(limit, context.name)
        self._ended = False
        self._stall_reported = False
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        from reactive.group import Group

        self._group = Group
        self._context.meter.gauges["groups"] = lambda: len(self._groups)
        self._tasks.spawn(self._route(), name=f"reactive {self._context.name}")

    async def read(self) -> Signal[Any] | None:
        return await self._given.next(self._context.settings.chunk)

    async def close(self) -> None:
        await self._tasks.close()
        if not self._ended:
            where = self._context.where()
            self._end(StreamClosedError(f"the run of {where}, which this group is of, was left"))

    def left(self, live: _Live) -> None:
        """The one who read a group has gone; the next item of its key opens another."""
        if self._groups.get(live.key) is live:
            del self._groups[live.key]
        self._close(live)

    def forgotten(self, live: _Live) -> None:
        """Nobody refers to a group any more; called by the garbage collector, in any thread."""
        if not live.read and not self._ended and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close, live)

    def _close(self, live: _Live) -> None:
        self._drop(live.line.channel.depth)
        live.line.channel.close()

    def _drop(self, count: int) -> None:
        if count:
            self._context.meter.count("dropped", count)

    async def _route(self) -> None:
        failure: Exception | None = None
        try:
            await self._read()
        except Exception as error:
            failure = error
        self._end(failure)

    def _end(self, failure: Exception | None) -> None:
        """End all groups and the stream of groups."""
        self._ended = True
        channels = [live.line.channel for live in self._groups.values()]
        self._groups.clear()
        for channel in (*channels, self._given.channel):
            if failure is None:
                channel.end()
            else:
                channel.fail(failure)

    async def _read(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        while True:
            signal = await edge.read(self._deadline())
            if signal is None:
                if edge.ended:
                    return
                self._end_idle()
            elif type(signal) is Chunk:
                await self._take(signal)
            elif type(signal) is Barrier:
                for live in list(self._groups.values()):
                    self._end_group(live)
                self._given.say(signal)
            else:
                self._given.say(signal)
                for live in self._groups.values():
                    if not live.abandoned:
                        live.line.say(signal)
            if self._context.overdue():
                await let_others_run()

    async def _take(self, chunk: Chunk[Any]) -> None:
        """Route the items of a chunk, as if they came one by one."""
        self._context.meter.items_in += len(chunk.items)
        parts: Parts = {}
        keys: list[Any] = []
        times: Iterable[int | None] = chunk.times or repeat(None, len(chunk.items))
        for (key, item), time in zip(chunk.items, times, strict=True):
            try:
                part = parts.get(key)
            except TypeError as error:
                annotate(error, self._context)
                await self._deliver(parts, keys)
                raise
            if part is None:
                if key not in self._groups:
                    await self._deliver(parts, keys)
                    parts.clear()
                    keys.clear()
                    await self._open(key, time)
                part = parts[key] = ([], [])
            keys.append(key)
            part[0].append(item)
            if time is not None:
                part[1].append(time)
        await self._deliver(parts, keys)

    async def _deliver(self, parts: Parts, keys: list[Any]) -> None:
        """Hand each group its items, first what has room at once."""
        rests: list[tuple[Any, Chunk[Any]]] = []
        # The groups come in the order of their last items, as the limit has to know them.
        for key in reversed(dict.fromkeys(reversed(keys))):
            items, times = parts[key]
            rest = self._put(key, Chunk(items, times or None))
            if rest is not None:
                rests.append((key, rest))
        for key, rest in rests:
            await self._insist(key, rest)

    def _put(self, key: Any, chunk: Chunk[Any]) -> Chunk[Any] | None:
        """Give a group what it has room for; the rest has to wait."""
        live = self._groups.get(key)
        if live is None:
            return chunk
        self._groups.move_to_end(key)
        live.since = self._loop.time()
        if live.abandoned:
            self._drop(len(chunk.items))
            return None
        rest = live.line.put(chunk)
        live.waiting = rest is not None
        return rest

    async def _insist(self, key: Any, chunk: Chunk[Any]) -> None:
        """Wait until a group, or the one after it, has taken its items."""
        while (rest := self._put(key, chunk)) is not None:
            chunk = rest
            live = self._groups.get(key)
            if live is None:
                await self._open(key, None if chunk.times is None else chunk.times[0])
            else:
                await self._wait_for_room(live.line.channel, live)

    async def _open(self, key: Any, time: int | None) -> None:
        """Begin a group, and give it to the one who reads the groups."""
        if len(self._groups) >= self._limit:
            self._make_room(key)
        live = self._groups[key] = _Live(key, self._buffer, self)
        live.since = self._loop.time()
        # It has no item yet, but one will come.
        live.waiting = True
        node = Node(SourceOperator(_GroupSource(live)), (), None, self._context.location)
        given: Chunk[Any] = Chunk([self._group(key, node)], None if time is None else [time])
        while self._given.put(given) is not None:
            await self._wait_for_room(self._given.channel, live)

    def _make_room(self, key: Any) -> None:
        """Make the limit allow for another group."""
        if self._fails:
            raise OverflowFailure(
                f"{self._context.where()} has {self._limit} groups, and {key!r} would be one more; "
                'raise limit=, let groups end with idle=, or use overflow="end_longest_idle"'
            )
        calm = (live for live in self._groups.values() if not live.waiting)
        self._end_group(next(calm, None) or next(iter(self._groups.values())))
        self._context.meter.count("ended_early")

    def _end_group(self, live: _Live) -> None:
        del self._groups[live.key]
        live.line.channel.end()

    def _deadline(self) -> float | None:
        """When the group without an item for longest ends."""
        if self._idle is None or not self._groups:
            return None
        return next(iter(self._groups.values())).since + self._idle

    def _end_idle(self) -> None:
        now = self._loop.time()
        while (deadline := self._deadline()) is not None and deadline <= now:
            live = next(iter(self._groups.values()))
            if live.waiting:
                live.since = now
                self._groups.move_to_end(live.key)
            else:
                self._end_group(live)

    async def _wait_for_room(self, channel: Channel[Any], live: _Live) -> None:
        """Wait until a full channel has room or is closed, while groups may become idle."""
        patience = self._loop.time() + _PATIENCE_SECONDS
        turn = channel.turn()
        try:
            while not turn.done():
                deadline = min(patience, self._deadline() or patience)
                await asyncio.wait((turn,), timeout=max(0.0, deadline - self._loop.time()))
                self._end_idle()
                if self._loop.time() >= patience:
                    patience = math.inf
                    self._report_stall(live)
        finally:
            if not turn.done():
                channel.give_up(turn)

    def _report_stall(self, live: _Live) -> None:
        """A full group that nobody reads may never be read: say so, once."""
        if not live.read and not self._stall_reported:
            self._stall_reported = True
            log_event(
                "warning",
                "unread_group_holds_back_others",
                operator=self._context.where(),
                group=repr(live.key),
                groups=len(self._groups),
                fix="read all groups at the same time: merge_map with a concurrency of at least "
                "as many as are live; or raise buffer=, or let groups end with idle=",
            )
