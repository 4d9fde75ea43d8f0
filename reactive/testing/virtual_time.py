"""An asyncio event loop whose clock jumps: code that sleeps for hours is tested in milliseconds."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from reactive.errors import DeadlockError
from reactive.testing.describe import describe_descriptor, describe_task, describe_thread
from reactive.testing.workers import has_unanswered_call, is_anyio_worker

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Events = list[tuple[selectors.SelectorKey, int]]

PATIENCE_SECONDS = 0.05
GIVE_UP_SECONDS = 10.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps: when all tasks wait, its clock jumps to the next timer.

    `time()` starts at 0.0 seconds and moves only by such jumps, so work takes no time, `time()`
    is exact and runs are repeatable. Timers due at the same moment run in the order in which they
    were set. `time.monotonic()` and the wall clock are left alone.

    Sockets, pipes, child processes and threads work, in real time. Before the clock jumps, the
    loop polls them, and what they bring is handled first, at the unchanged time:

    - While a call in a thread pool is out (`run_in_executor`, `asyncio.to_thread`,
      `anyio.to_thread`, name lookups), timers take their real time: a `timeout(5)` around the call
      fires when 5 real seconds have passed without an answer.
    - While the loop watches a descriptor, or a thread lives that was started since the loop was
      made or has called into it, every jump first waits `patience` real seconds for them (or as
      long as the jump is, if that is shorter). Raise it where a peer or a child process needs
      longer to answer; `math.inf` makes all timers take their real time while one is open.
    - With nothing of that kind, nothing real is waited for.

    When no timer is left and nothing outside can wake a task, or nothing did in `give_up` real
    seconds, the loop raises `DeadlockError` with the list of what waits and where.

    The class is its own loop factory:

    ```python
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(asyncio.sleep(3600))
        assert runner.get_loop().time() == 3600.0
    ```
    """

    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float
    _closed = True

    def __init__(
        self, *, patience: float = PATIENCE_SECONDS, give_up: float = GIVE_UP_SECONDS
    ) -> None:
        if patience < 0 or give_up < 0:
            raise ValueError("patience and give_up are real seconds, 0 or more")
        self._now = 0.0
        self._patience = patience
        self._give_up = give_up
        self._order = itertools.count()
        self._rounds = 0
        self._at_rounds: dict[int, list[Callable[[], object]]] = {}
        self._calls: set[asyncio.Future[Any]] = set()
        self._joining = False
        self._pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._strangers = weakref.WeakSet(threading.enumerate())
        self._watching = selectors.DefaultSelector()
        super().__init__(_JumpingSelector(self, self._watching))
        self._own = frozenset(key.fd for key in self._watching.get_map().values())
        self._clock_resolution = math.ulp(self._now)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    @property
    def rounds(self) -> int:
        """How many rounds the loop has begun: each runs the callbacks that are ready by then."""
        return self._rounds

    def at_round(self, number: int, callback: Callable[[], object]) -> None:
        """Call back at the beginning of a round, to do something after exactly so many steps.

        Between two rounds every task stands at an `await`; cancelling a task at every round in
        turn, in runs of the same code, cancels it at every await it comes to.
        """
        self._at_rounds.setdefault(number, []).append(callback)

    def _begin_round(self) -> bool:
        """Whether callbacks were due, so that something may be ready now."""
        self._rounds += 1
        callbacks = self._at_rounds.pop(self._rounds, ())
        for callback in callbacks:
            callback()
        return bool(callbacks)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at loop time `when`; callbacks due at the same time run in the order set."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = _OrderedTimer(when, callback, args, self, context)
        timer.order = next(self._order)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As on any loop; timers take their real time until the call has answered."""
        future = super().run_in_executor(executor, func, *args)
        if not future.done():
            self._calls.add(future)
            future.add_done_callback(self._calls.discard)
        pool = getattr(self, "_default_executor", None) if executor is None else executor
        if pool is not None:
            self._pools.add(pool)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As on any loop, within real time."""
        self._joining = True
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._joining = False

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As on any loop; the calling thread is one the clock waits for from now on."""
        self._strangers.discard(threading.current_thread())
        return super().call_soon_threadsafe(callback, *args, context=context)

    def _pass_time(self, timeout: float | None) -> _Events:
        """No callback is ready: hear what is outside, otherwise move the clock.

        What could call in is looked up before the poll, so that a thread which calls and ends in
        between has been heard by the poll.
        """
        outside = self._outside()
        events = self._watching.select(0)
        if events:
            return events
        if timeout is None or self._scheduled[0].when() == math.inf:
            return self._hear(outside)
        begun = time.monotonic()
        while outside:
            # A worker of anyio is done with its call a moment after the loop has heard the answer.
            wait = timeout if self._calling() else min(timeout, self._patience)
            left = begun + wait - time.monotonic()
            events = self._watching.select(max(0.0, min(left, PATIENCE_SECONDS)))
            if events:
                return events
            if left <= 0:
                break
        self._now = self._scheduled[0].when()
        self._clock_resolution = math.ulp(self._now)
        return events

    def _hear(self, outside: bool) -> _Events:
        """No timer is left: only something outside can go on, if there is anything outside."""
        deadline = time.monotonic() + self._give_up
        while outside and (left := deadline - time.monotonic()) > 0:
            events = self._watching.select(min(left, PATIENCE_SECONDS))
            if events:
                return events
            outside = self._outside()
            if not outside and (events := self._watching.select(0)):
                return events
        raise DeadlockError(self._stuck())

    def _outside(self) -> bool:
        return bool(self._calling() or self._descriptors() or self._threads())

    def _calling(self) -> bool:
        """Whether a call in a thread pool has not answered yet."""
        if self._joining or any(not call.done() for call in self._calls):
            return True
        return any(map(has_unanswered_call, self._anyio_workers()))

    def _anyio_workers(self) -> Iterable[threading.Thread]:
        return (
            thread
            for thread in threading.enumerate()
            if is_anyio_worker(thread) and getattr(thread, "loop", None) is self
        )

    def _descriptors(self) -> list[int]:
        """The descriptors that the program watches, without the loop's own."""
        return [key.fd for key in self._watching.get_map().values() if key.fd not in self._own]

    def _threads(self) -> list[threading.Thread]:
        """Live threads that may call in, without the workers of pools, whose calls are counted."""
        workers: set[threading.Thread] = set()
        for pool in self._pools:
            workers.update(getattr(pool, "_threads", ()))
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._strangers
            and thread not in workers
            and thread is not threading.current_thread()
            and not is_anyio_worker(thread)
        ]

    def _stuck(self) -> str:
        """Say what waits, and for whom."""
        lines = [f"at {self._now:g} s of virtual time no timer is left, and every task waits:"]
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        lines += [describe_task(task) for task in tasks] or ["(no task is left either)"]
        outside = [describe_descriptor(number) for number in self._descriptors()]
        outside += [describe_thread(thread) for thread in self._threads()]
        if self._calling():
            outside.append("calls in a thread pool that have not answered")
        if outside:
            lines.append(f"nothing came in {self._give_up:g} real seconds (give_up=) from:")
            lines += outside
        return "\n".join(lines)


class _OrderedTimer(asyncio.TimerHandle):
    """A timer that comes after those set earlier for the same time."""

    __slots__ = ("order",)

    _scheduled: bool
    order: int

    def __lt__(self, other: asyncio.TimerHandle) -> bool:
        if isinstance(other, _OrderedTimer) and self.when() == other.when():
            return self.order < other.order
        return self.when() < other.when()


class _JumpingSelector(selectors.BaseSelector):
    """Gives the loop's waits to `VirtualTimeLoop._pass_time`, and polls without waiting."""

    def __init__(self, loop: VirtualTimeLoop, watching: selectors.BaseSelector) -> None:
        self._loop = weakref.ref(loop)
        self._watching = watching

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._watching.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._watching.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._watching.modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._watching.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._watching.get_map()

    def close(self) -> None:
        self._watching.close()

    def select(self, timeout: float | None = None) -> _Events:
        loop = self._loop()
        if loop is None or loop._begin_round() or (timeout is not None and timeout <= 0):
            return self._watching.select(0)
        return loop._pass_time(timeout)


def run(
    main: Coroutine[Any, Any, T],
    *,
    patience: float = PATIENCE_SECONDS,
    give_up: float = GIVE_UP_SECONDS,
    debug: bool | None = None,
) -> T:
    """Run a coroutine as `asyncio.run` does, on a new `VirtualTimeLoop`, and return its result.

    Raises `DeadlockError` instead of hanging. `patience` and `give_up` are real seconds.

    ```python
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(main()) == 3600.0
    ```
    """

    def factory() -> VirtualTimeLoop:
        return VirtualTimeLoop(patience=patience, give_up=give_up)

    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(main)
