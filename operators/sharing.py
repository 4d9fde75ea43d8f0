"""sharing: one run of a stream for many consumers that come and go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from operators.checking import check_count, check_seconds
from operators.rescuing import is_bounded
from reactive.broadcast import Audience, Broadcast, Listener, Seat
from reactive.chain import let_others_run
from reactive.channel import Channel, Overflow, check_overflow
from reactive.endpoint import Reader, Source
from reactive.errors import StreamClosedError
from reactive.execution import Execution
from reactive.graph import Blueprint, stream_of
from reactive.operator import Holding, SourceOperator
from reactive.plan import JobPlan, make_plan
from reactive.signals import Chunk, Idle, Signal, Watermark
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context, Settings
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)


_ONE_LOOP = "share it within one, or describe it anew for each"


class History:
    """What was given last, for who joins late: so many items, or those of so many seconds."""

    def __init__(self, count: int | None, seconds: float | None) -> None:
        self._count = count
        self._seconds = seconds
        self._chunks: deque[tuple[float, Chunk[Any]]] = deque()
        self._size = 0

    def add(self, chunk: Chunk[Any], now: float) -> None:
        """A chunk was given."""
        count = self._count
        if count is not None and len(chunk.items) > count:
            chunk = chunk.split(len(chunk.items) - count)[1]
        self._chunks.append((now, chunk))
        self._size += len(chunk.items)
        self._forget(now)

    def _forget(self, now: float) -> None:
        chunks, count, seconds = self._chunks, self._count, self._seconds
        while chunks:
            time, chunk = chunks[0]
            fits = count is None or self._size - len(chunk.items) < count
            if fits and (seconds is None or now - time <= seconds):
                break
            chunks.popleft()
            self._size -= len(chunk.items)

    def recall(self, now: float) -> list[Chunk[Any]]:
        """What who joins now is given first."""
        self._forget(now)
        chunks = [chunk for _, chunk in self._chunks]
        excess = 0 if self._count is None else self._size - self._count
        if excess > 0:
            chunks[0] = chunks[0].split(excess)[1]
        return chunks


class _Live(Audience[Any]):
    """One run of what is upstream, in a task of its own, and the consumers that share it."""

    def __init__(self, shared: Shared, settings: Settings) -> None:
        self.over = False
        self.closed = asyncio.Event()
        self._shared = shared
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._receivers: Broadcast[Any] = Broadcast(shared.label, _ONE_LOOP)
        self._consumers: set[Channel[Any]] = set()
        self._history = shared.history()
        self._watermark: Watermark | None = None
        self._idle: Idle | None = None
        self._tasks = Tasks()

    @property
    def abandoned(self) -> bool:
        """Whether its event loop ended without letting it close."""
        return self._loop.is_closed()

    def check_loop(self) -> None:
        """Refuse a consumer in another event loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(f"{self._shared.label} is in use in another event loop; {_ONE_LOOP}")

    def start(self) -> None:
        """Begin to run; what is upstream opens at the loop's next turn."""
        self._tasks.spawn(self._drive(), name=f"reactive {self._shared.label}")

    def join(self, channel: Channel[Any]) -> Seat[Any]:
        """One more consumer."""
        self._receivers.add(channel)
        self._consumers.add(channel)
        first: list[Signal[Any]] = []
        if self._history is not None:
            first += self._history.recall(asyncio.get_running_loop().time())
        first += [said for said in (self._watermark, self._idle) if said is not None]
        return Seat(self, channel, first)

    def retire(self, channel: Channel[Any]) -> None:
        self._receivers.retire(channel)

    async def leave(self, channel: Channel[Any]) -> None:
        """A consumer has gone; the last one waits until upstream is closed."""
        self._receivers.remove(channel)
        self._consumers.discard(channel)
        if not self._consumers:
            self.over = True
            try:
                await self._tasks.close()
            finally:
                # A task that is cancelled before it began says nothing.
                self._closed()

    def _closed(self) -> None:
        self._shared.ended(self)
        self.closed.set()

    async def _drive(self) -> None:
        failure: Exception | None = None
        try:
            await self._run()
        except Exception as error:
            failure = error
        except BaseException:
            if len(self._receivers):
                failure = StreamClosedError(
                    f"the run that {self._shared.label} shares was cancelled"
                )
            raise
        finally:
            received = len(self._receivers) > 0
            self._receivers.end(failure)
            self._closed()
        if failure is not None and not received:
            raise failure

    async def _run(self) -> None:
        plan = make_plan(
            [JobPlan(self._shared.template.node)],
            mode="auto" if self._settings.mode == "batch" else "stream",
        )
        execution = Execution(plan, self._settings)
        try:
            await execution.open()
            await self._forward(execution)
        except Exception as error:
            self._closing()
            await execution.close_after(error)
            raise
        except BaseException:
            self._closing()
            await execution.close()
            raise
        self._closing()
        await execution.close()

    def _closing(self) -> None:
        self.over = True
        self._tasks.cleaning()

    async def _forward(self, execution: Execution) -> None:
        time = asyncio.get_running_loop().time
        while len(self._receivers) and (signal := await execution.read()) is not None:
            if type(signal) is Chunk:
                self._idle = None
                if self._history is not None:
                    self._history.add(signal, time())
            elif isinstance(signal, Watermark):
                self._watermark = signal
            elif isinstance(signal, Idle):
                self._idle = signal
            await self._receivers.send(signal)
            if execution.fairness.overdue():
                await let_others_run()


class Shared(Source[Any]):
    """A shared stream: what is upstream of it, and the run of that, while there is one."""

    def __init__(
        self,
        template: Blueprint[Any],
        limit: int,
        overflow: Overflow,
        replays: tuple[int | None, float | None] | None = None,
    ) -> None:
        self.template = template
        self._limit = limit
        self._overflow: Overflow = overflow
        self._replays = replays
        self._live: _Live | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # What it shares is a run in this program; a copy shares one of its own, elsewhere.
        return Shared, (self.template, self._limit, self._overflow, self._replays)

    @property
    def bounded(self) -> bool:
        return is_bounded(self.template.node)

    @property
    def label(self) -> str:
        return "share" if self._replays is None else "replay"

    def details(self) -> dict[str, object]:
        details: dict[str, object] = {"runs": self.template.node.label}
        if self._replays is not None:
            count, seconds = self._replays
            if count is not None:
                details["last"] = f"{count} items"
            if seconds is not None:
                details["within"] = f"{seconds:g} s"
        return {**details, "limit": f"{self._limit} items", "overflow": self._overflow}

    def holds(self) -> Sequence[Holding]:
        if self._replays is None:
            return ()
        count, seconds = self._replays
        limits = [] if count is None else [f"{count:,} at most"]
        if seconds is not None:
            limits.append(f"those of {seconds:g} s")
        return [Holding("items for those who come later", ", ".join(limits))]

    def history(self) -> History | None:
        """What is kept of one run."""
        return None if self._replays is None else History(*self._replays)

    def reader(self, context: Context) -> Reader[Any]:
        return Listener(self.join, context)

    async def join(self, settings: Settings) -> Seat[Any]:
        """A place in the run that there is, or in a new one."""
        channel: Channel[Any] = Channel(self._limit, overflow=self._overflow, name=self.label)
        while (live := self._live) is not None and not live.abandoned:
            live.check_loop()
            if not live.over:
                return live.join(channel)
            await live.closed.wait()
        live = self._live = _Live(self, settings)
        seat = live.join(channel)
        live.start()
        return seat

    def ended(self, live: _Live) -> None:
        """A run is over and closed: who comes next begins another."""
        if self._live is live:
            self._live = None


class Sharing(Blueprint[T_co]):
    """share, replay: one run for many consumers."""

    __slots__ = ()

    def share(self, *, limit: int = 1024, overflow: Overflow = "backpressure") -> Stream[T_co]:
        """Let all runs of this stream that are under way at the same time share one run of it.

        ```text
        --1--2--3--|
        share()
        --1--2--3--|
        ```

        A stream used twice within one run executes once anyway; this is for consumers that come and
        go: several `async for`, or the handlers of a web service. The first starts upstream, in a
        task of its own and with its settings; the last one to leave closes it, and waits for that.
        Emits to each consumer what upstream gives from when it joined, event times included.
        Completes and fails with upstream, for all; who joins then (where RxPY completes at once),
        or after all have left, starts a new run, once the old one is closed.

        Every consumer has up to `limit` items waiting, and `overflow` for when that many wait:
        with `backpressure` the slowest consumer holds all back, where the `share` of Rx buffers
        without bounds; the others lose items of the slow one only; `fail` fails that one with
        `OverflowFailure`. Loses for who joins late what was before. Side outputs of what is
        upstream cannot be read beside a consumer. Serves one event loop at a time
        (`RuntimeError`); a pickled copy shares a run of its own.

        ```python
        ticks = rx.interval(1).share()
        first, second = await asyncio.gather(ticks.take(2).collect(), ticks.take(3).collect())
        ```
        """
        check_overflow(limit, overflow)
        return stream_of(SourceOperator(Shared(self, limit, overflow)))

    def replay(
        self,
        count: int | None = None,
        *,
        seconds: float | None = None,
        limit: int = 1024,
        overflow: Overflow = "backpressure",
    ) -> Stream[T_co]:
        """As `share`, and who joins late first gets the last items again.

        ```text
        --1--2--3--|
        replay(2)
        --1--2--3--|
        ```

        Emits to a consumer that joins while upstream runs the last `count` items that it gave,
        or those of the last `seconds` of the loop's clock, or what is both; then what follows.
        Holds these items, of which `count` bounds the number and `seconds` does not. They belong
        to the run: after its end or failure, and when all have left, they are forgotten and who
        joins starts a new one, where the `shareReplay` of Rx keeps them after the end. Otherwise
        it backpressures, completes, fails and loses as `share` does. `ValueError` without a bound.

        ```python
        prices = rx.interval(1).replay(1)
        async with prices.open() as items:
            await anext(items)
            assert await prices.first() == 0
        ```
        """
        if count is None and seconds is None:
            raise ValueError("replay needs a bound: a count, seconds, or both")
        if count is not None:
            check_count("replay", count, 1)
        if seconds is not None:
            check_seconds("replay", "a time", seconds)
        check_overflow(limit, overflow)
        return stream_of(SourceOperator(Shared(self, limit, overflow, (count, seconds))))
