"""One run's reading of what is posted to an ingest."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from connectors.deadlines import Deadlines
from connectors.http_commits import CommitOptions, Posted, digest, not_known, reused
from reactive.channel import Channel
from reactive.endpoint import Reader
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from connectors.http_ingest import Ingest
    from reactive.context import Context


def _expire(timeout: asyncio.Timeout) -> None:
    if not timeout.expired():
        timeout.reschedule(asyncio.get_running_loop().time())


class IngestReader(Reader[Any]):
    """One run's reading of what is posted. Room is counted in items and in bytes of bodies, those
    that are still being received included."""

    def __init__(self, ingest: Ingest, context: Context) -> None:
        self.options = ingest.options
        self.context = context
        self.meter = context.meter
        self.held_bytes = 0
        self.draining = False
        self._receiving = Deadlines[asyncio.Timeout](ingest.options.body_timeout, _expire)
        self._ingest = ingest
        self._channel: Channel[Any] = Channel(ingest.options.limit, name=context.name)
        self._receipts: deque[tuple[int, int]] = deque()
        self.meter.gauges["waiting"] = lambda: self.options.limit - self.room
        self.meter.gauges["held_bytes"] = lambda: self.held_bytes

    async def open(self) -> None:
        self._ingest.attach(self)

    @property
    def room(self) -> int:
        """How many more items fit."""
        return self._channel.room

    def admit(
        self, items: list[Any], size: int, key: str | None, body: bytes
    ) -> asyncio.Future[None] | None:
        """Put items in line that fit, of a body of so many bytes; gives what to wait for before
        the request is answered, if anything."""
        taken = self._channel.offer(items)
        assert taken == len(items)
        self._receipts.append((len(items), size))
        return None

    async def read(self, limit: int) -> Signal[Any] | None:
        chunk = await self._channel.receive(limit)
        if type(chunk) is Chunk:
            self._given(len(chunk.items))
        return chunk

    def _given(self, count: int) -> None:
        """Free the room of the bodies whose items have all left."""
        while count:
            items, size = self._receipts.popleft()
            if count < items:
                self._receipts.appendleft((items - count, size))
                return
            count -= items
            self.held_bytes -= size

    def receive(self) -> asyncio.Timeout:
        """A body is being received from now on, in this time."""
        timeout = asyncio.timeout(None)
        self._receiving.add(timeout)
        return timeout

    def received(self, timeout: asyncio.Timeout) -> None:
        """It is here, or will not come."""
        self._receiving.discard(timeout)

    def fail(self, error: BaseException) -> None:
        """What brings the requests has failed: fail after what is in line."""
        self._refuse()
        self._channel.fail(error)

    def stop(self) -> bool:
        self._refuse()
        self._channel.end()
        return True

    def _refuse(self) -> None:
        """Take nothing more, also of what is being received."""
        self.draining = True
        self._receiving.expire_all()

    async def close(self) -> None:
        self._refuse()
        self._receiving.close()
        self._channel.close()
        self._ingest.detach(self)


class CommittingReader(IngestReader):
    """One run's reading of what is posted, where an answer means that the items are committed.

    Whole requests are given, and their room is taken until they are answered. Its position is how
    many of them were given in this run.
    """

    def __init__(self, ingest: Ingest, commits: CommitOptions, context: Context) -> None:
        super().__init__(ingest, context)
        self._within = commits.within
        self._timeout = commits.timeout
        self._waiting = Deadlines(commits.timeout, self._give_up)
        self._held = 0
        self._count = 0
        self._answered = 0
        self._unanswered: deque[tuple[Posted, int, asyncio.Future[None]]] = deque()

    async def open(self) -> None:
        self.context.ask_for_commit()
        await super().open()

    @property
    def room(self) -> int:
        return self.options.limit - self._held

    def admit(
        self, items: list[Any], size: int, key: str | None, body: bytes
    ) -> asyncio.Future[None]:
        posted = Posted(items, time.time())
        if key is not None:
            posted.key, posted.digest = key, digest(body)
        self._channel.offer([posted])
        self._held += len(items)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unanswered.append((posted, size, done))
        self._waiting.add(done)
        self.context.ask_for_commit(self._within)
        return done

    async def read(self, limit: int) -> Signal[Any] | None:
        chunk = await self._channel.receive(limit)
        if type(chunk) is Chunk:
            self._count += len(chunk.items)
        return chunk

    def position(self) -> int:
        return self._count

    def committed(self, position: Any) -> None:
        while self._answered < position:
            posted, size, done = self._unanswered.popleft()
            self._waiting.discard(done)
            self._answered += 1
            self._held -= len(posted.items)
            self.held_bytes -= size
            if done.done():
                continue
            if posted.contradicts:
                done.set_exception(reused(posted.key))
            else:
                done.set_result(None)
        if self._unanswered:
            self.context.ask_for_commit(self._within)

    def _give_up(self, done: asyncio.Future[None]) -> None:
        if not done.done():
            why = f"no commit within {self._timeout:g} seconds"
            done.set_exception(not_known(why, self.options.retry_header))

    async def close(self) -> None:
        await super().close()
        self._waiting.close()
        for _, _, done in self._unanswered:
            if not done.done():
                done.set_exception(not_known("the pipeline has ended", self.options.retry_header))
                # Where the request was given up meanwhile, nobody looks at it.
                done.exception()
        self._unanswered.clear()


def ingest_reader(ingest: Ingest, context: Context) -> IngestReader:
    """What reads an ingest, by what its answers say."""
    if ingest.options.commits is not None:
        return CommittingReader(ingest, ingest.options.commits, context)
    return IngestReader(ingest, context)
