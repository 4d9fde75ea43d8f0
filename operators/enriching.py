"""enriching: each item with what is fetched for its key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from inspect import isawaitable
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.asynchronous import check_concurrency
from operators.caches import Cache
from operators.calling import Calling, ErrorTypes, check_calling
from operators.checking import MISSING, check_callable, check_plain, refuse_awaitable
from reactive.backoff import Backoff
from reactive.chain import Edge, let_others_run
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node
from reactive.operator import Stage, Staged
from reactive.policy import ErrorPolicy, bind_policy, check_policy, describe_policy, policy_sides
from reactive.signals import Chunk, Control, Signal
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True)
class Enrich(Staged):
    """`enrich`."""

    fetch: Callable[[Any], Awaitable[Any]]
    key: Callable[[Any], Hashable] | None
    concurrency: int
    cache: Cache | None
    calling: Calling
    on_error: Any

    def details(self) -> dict[str, object]:
        return {
            "concurrency": self.concurrency,
            "cache": "none" if self.cache is None else str(self.cache),
            **self.calling.details(),
            **describe_policy(self.on_error),
        }

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def stage(self, context: Context) -> Stage[Any]:
        return _EnrichStage(self, context)


class _Call:
    """A call for a key, which one or more items wait for."""

    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None


class _Place:
    """An item in line, with what is known for it or the call that it waits for."""

    __slots__ = ("call", "item", "time", "value")

    def __init__(self, item: Any, time: int | None, value: Any, call: _Call | None) -> None:
        self.item = item
        self.time = time
        self.value = value
        self.call = call


class _EnrichStage(Stage[Any]):
    """Items and control signals stand in line until what is fetched for the first is there. No
    more stand there than a chunk may have; and an item for which no call may start waits before
    it, with all behind it."""

    def __init__(self, operator: Enrich, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._key = operator.key
        self._handler = bind_policy(operator.on_error, context)
        self._call = operator.calling.bind(self._fetch, context)
        self._cache = None if operator.cache is None else operator.cache.start()
        self._room = context.settings.chunk
        self._task_name = f"reactive {context.name}"
        self._waker = Waker()
        self._tasks = Tasks()
        self._closing = False
        self._calls: dict[Hashable, _Call] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._line: deque[_Place | Control] = deque()
        self._next: deque[tuple[Any, int | None]] = deque()
        self._due: Any = MISSING
        """The key of the next item, which waits for a call to be done."""
        self._ended = False
        self._failure: BaseException | None = None
        self._checked = operator.key is None
        gauges = context.meter.gauges
        gauges["in_flight"] = lambda: len(self._calls)
        gauges["cached"] = lambda: 0 if self._cache is None else len(self._cache)

    async def open(self) -> None:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        self._edge = edge
        edge.share(self._waker)

    async def _fetch(self, key: Hashable) -> Any:
        result = self._operator.fetch(key)
        if not isawaitable(result):
            raise TypeError(
                f"{self._context.where()}: the function gave {type(result).__name__}, which "
                "cannot be awaited; write it as `async def`, or use map(...) for a plain one"
            )
        return await result

    async def read(self) -> Signal[Any] | None:
        while True:
            took = self._fill()
            standing = len(self._line)
            signal = self._give()
            # What has gone makes room, even if it gave nothing.
            took = took or len(self._line) < standing
            if self._context.overdue():
                await let_others_run()
            if self._handler is not None:
                await self._context.flush()
            if signal is not None:
                return signal
            if took:
                continue
            if not self._line and not self._next:
                if self._failure is not None:
                    raise self._failure
                if self._ended:
                    return None
            await self._waker.wait()

    def _fill(self) -> bool:
        """Take items in line while there is room, and start the calls that they need; whether
        anything was taken."""
        before = len(self._line), len(self._next)
        counts = {"hits": 0, "misses": 0, "coalesced": 0}
        while len(self._line) < self._room and self._failure is None:
            if not self._next and not self._take_input():
                break
            if self._next and not self._start_next(counts):
                break
        for name, count in counts.items():
            if count:
                self._context.meter.count(name, count)
        return before != (len(self._line), len(self._next))

    def _take_input(self) -> bool:
        if self._ended:
            return False
        try:
            signal = self._edge.poll()
        except Exception as error:
            self._failure, self._ended = error, True
            return False
        if signal is None:
            self._ended = self._edge.ended
            return False
        if type(signal) is Chunk:
            self._context.meter.items_in += len(signal.items)
            times = signal.times or repeat(None, len(signal.items))
            self._next.extend(zip(signal.items, times, strict=True))
        else:
            self._line.append(signal)
        return True

    def _start_next(self, counts: dict[str, int]) -> bool:
        """Have the next item stand in line; False where it has to wait until a call is done."""
        item, time = self._next[0]
        value: Any = None
        call: _Call | None = None
        try:
            if self._due is MISSING:
                self._due = item if self._key is None else self._key(item)
                if not self._checked:
                    refuse_awaitable(self._due)
                    self._checked = True
            key = self._due
            value = MISSING if self._cache is None else self._cache.get(key)
            if value is not MISSING:
                counts["hits"] += 1
            elif (call := self._calls.get(key)) is not None:
                counts["coalesced"] += 1
            elif len(self._calls) >= self._operator.concurrency:
                return False
            else:
                counts["misses"] += 1
                call = self._start(key)
        except Exception as error:
            call = _Call()
            call.error, call.done = error, True
        self._due = MISSING
        self._next.popleft()
        self._line.append(_Place(item, time, value, call))
        return True

    def _start(self, key: Hashable) -> _Call:
        call = self._calls[key] = _Call()
        task = asyncio.get_running_loop().create_task(self._run(key, call), name=self._task_name)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return call

    async def _run(self, key: Hashable, call: _Call) -> None:
        try:
            call.value = await self._call(key)
        except BaseException as error:
            call.error = error
            if self._closing:
                raise
        else:
            if self._cache is not None:
                self._cache.put(key, call.value)
        call.done = True
        del self._calls[key]
        self._waker.wake()

    def _give(self) -> Signal[Any] | None:
        """What can leave now; a failure leaves after what was before it."""
        line = self._line
        items: list[Any] = []
        times: list[int] = []
        try:
            while line:
                head = line[0]
                if not isinstance(head, _Place):
                    if not items:
                        return line.popleft()  # type: ignore[return-value]
                    break
                if head.call is not None and not head.call.done:
                    break
                if items and (head.time is None) is bool(times):
                    break
                line.popleft()
                self._settle(head, items, times)
        except BaseException as error:
            if not items:
                raise
            self._failure = error
            line.clear()
            self._next.clear()
        return Chunk(items, times or None) if items else None

    def _settle(self, place: _Place, items: list[Any], times: list[int]) -> None:
        call = place.call
        value = place.value if call is None else call.value
        if call is not None and call.error is not None:
            error = call.error
            if self._handler is None or not isinstance(error, Exception):
                annotate(error, self._context)
                raise error
            try:
                value = self._handler.handle(place.item, error)
            except Exception as failure:
                annotate(failure, self._context)
                raise
            if not self._handler.replaces:
                return
        items.append((place.item, value))
        if place.time is not None:
            times.append(place.time)

    async def close(self) -> None:
        self._closing = True
        for task in self._under_way:
            self._tasks.own(task)
        await self._tasks.close()


class Enriching(Blueprint[T_co]):
    """enrich."""

    __slots__ = ()

    @overload
    def enrich(
        self,
        fetch: Callable[[T_co], Awaitable[R]],
        *,
        concurrency: int = 1,
        cache: Cache | None = None,
        timeout: float | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[tuple[T_co, R | V]]: ...

    @overload
    def enrich(
        self,
        fetch: Callable[[K], Awaitable[R]],
        *,
        key: Callable[[T_co], K],
        concurrency: int = 1,
        cache: Cache | None = None,
        timeout: float | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[tuple[T_co, R | V]]: ...

    def enrich(
        self,
        fetch: Callable[[Any], Awaitable[Any]],
        *,
        key: Callable[[T_co], Hashable] | None = None,
        concurrency: int = 1,
        cache: Cache | None = None,
        timeout: float | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[Any] = "raise",
    ) -> Stream[Any]:
        """Give each item with what an async function fetches for its key.

        ```text
        --1-1-------2----1-|
        enrich(busy(3), cache=rx.Cache())
        -----(11 11)---2211|
        ```

        Gives tuples `(item, await fetch(key(item)))`, in the order of the items; without `key` the
        item is its key. For one key there is one call under way at a time: items that come
        meanwhile wait for the same result, or share its failure. A `cache` keeps results for items
        that come later (see `rx.Cache`), but no failures.

        Up to `concurrency` calls are under way, one by default; `timeout`, `retry` and `retry_on`
        are those of `map`. `on_error` says what becomes of an item for which fetching failed;
        `rx.replace(value)` gives the item with `value`.

        Emits an item when what it needs is there and all before it have left. Backpressures when
        downstream does, when `concurrency` calls are under way and another one is needed, and when
        as many items wait as a chunk may have (`Settings.chunk`). Completes when upstream does and
        all items have left. Watermarks and barriers leave in their places; calls under way are
        none of a checkpoint's, and the cache is empty after a restart. Loses nothing, except failed
        items under an `on_error` policy, counted. Counts `hits` (in the cache), `coalesced` (waited
        for a call under way), `misses` and `retries`.

        Raises what `fetch` and `key` raise, after the items before it; `TypeError` for a `fetch`
        that is not async, which belongs into `map`; `ValueError` for a concurrency below 1.

        ```python
        visits = rx.of(("ann", "/"), ("bob", "/"), ("ann", "/cart"))
        visits.enrich(fetch, key=lambda visit: visit[0], concurrency=8, cache=rx.Cache(ttl=60))
        ```
        """
        check_callable("enrich", fetch)
        if key is not None:
            check_plain("enrich (key)", key)
        check_concurrency(concurrency)
        if cache is not None and not isinstance(cache, Cache):
            raise TypeError(f"enrich: cache must be a rx.Cache, not {cache!r}")
        check_policy(on_error)
        calling = check_calling(timeout, retry, retry_on, "loop", "enrich")
        return self._then(Enrich(fetch, key, concurrency, cache, calling, on_error))
