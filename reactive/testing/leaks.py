"""A leak check: what a piece of code started or opened must be gone when it has ended."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from types import AsyncGeneratorType, CodeType, FrameType, TracebackType
from typing import Any, get_args

from reactive.testing.describe import describe_task, place, waiting_frames
from reactive.testing.footprint import Footprint, Leak, LeakKind

GRACE_SECONDS = 0.5

_ROUNDS = 10
_SITES = 3
_PLUMBING = ("asyncio.", "anyio.", "uvloop.", __name__)


class LeakError(AssertionError):
    """Something outlived the code that was checked; `leaks` lists what."""

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks = list(leaks)
        listing = "\n".join(f"  {leak.description}".replace("\n", "\n  ") for leak in self.leaks)
        hint = ""
        if "created" not in listing and {leak.kind for leak in self.leaks} & {
            "socket",
            "descriptor",
        }:
            hint = "\n(run `python -X tracemalloc=10 -m pytest ...` to see where it was opened)"
        super().__init__(f"{len(self.leaks)} leaked:\n{listing}{hint}")


def check_leaks(*, allow: Collection[LeakKind] = (), grace: float = GRACE_SECONDS) -> LeakCheck:
    """A context manager that raises `LeakError` if its body leaves something behind.

    `async with check_leaks():` finds tasks, async generators that were started and neither
    finished nor closed, threads, sockets, other descriptors (files, pipes, event loops) and child
    processes, with where each was created as far as that can be known, and where it is now.
    `with check_leaks():` is for code that runs its own event loops; it finds all but the tasks
    and generators, which end with their loop.

    What is about to end is given time: some rounds of the event loop, a garbage collection, and
    up to `grace` seconds. When nothing is left behind, none of this happens, and the check costs
    some 0.1 ms. In the async form, idle workers of thread pools are no leak, since the pool of a
    loop lives as long as the loop. `allow` names kinds that may stay: `"task"`,
    `"async generator"`, `"thread"`, `"socket"`, `"descriptor"`, `"process"`. When the body
    raises, its exception passes and nothing is checked.

    ```python
    async with check_leaks():
        await asyncio.create_task(asyncio.sleep(0))
    ```
    """
    if grace < 0:
        raise ValueError("grace is in seconds, 0 or more")
    return LeakCheck(check_kinds(allow), grace)


def check_kinds(allow: Collection[LeakKind]) -> frozenset[LeakKind]:
    """Refuse what is no kind of leak."""
    unknown = set(allow) - set(get_args(LeakKind))
    if unknown:
        known = ", ".join(get_args(LeakKind))
        raise ValueError(f"kinds of leaks to allow are {known}, not {unknown.pop()!r}")
    return frozenset(allow)


class LeakCheck:
    """What `check_leaks` returns."""

    def __init__(self, allow: frozenset[LeakKind], grace: float) -> None:
        self._allow = allow
        self._grace = grace
        self._before: Footprint | None = None
        self._watch: LoopWatch | None = None

    def __enter__(self) -> None:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("inside a running event loop use `async with check_leaks():`")
        self._before = Footprint.take()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._before is not None
        if error is None:
            raise_leaks(
                settle(self._before, grace=self._grace, idle_workers=True), allow=self._allow
            )

    async def __aenter__(self) -> None:
        self._before = Footprint.take()
        self._watch = LoopWatch()
        self._watch.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._before is not None and self._watch is not None
        try:
            if error is None:
                leaks = await self._watch.settle(self._grace, self._before)
                raise_leaks(leaks, allow=self._allow)
        finally:
            self._watch.stop()


def raise_leaks(leaks: Iterable[Leak], *, allow: Collection[LeakKind] = ()) -> None:
    """Raise `LeakError` unless all of the leaks are of an allowed kind."""
    found = [leak for leak in leaks if leak.kind not in allow]
    if found:
        raise LeakError(found)


def settle(before: Footprint, *, grace: float, idle_workers: bool) -> list[Leak]:
    """What stays after a garbage collection and `grace` seconds, outside of any event loop."""
    if not before.has_grown(idle_workers=idle_workers):
        return []
    gc.collect()
    for pause in _pauses(grace):
        if not before.has_grown(idle_workers=idle_workers):
            return []
        time.sleep(pause)
    return list(before.grown(idle_workers=idle_workers))


def _pauses(grace: float) -> Iterator[float]:
    """Growing pauses that make up `grace` seconds."""
    pause, left = 0.001, grace
    while left > 0:
        pause = min(pause, left)
        yield pause
        left -= pause
        pause = min(2 * pause, 0.05)


class LoopWatch:
    """Knows the tasks and async generators that started on an event loop since `start`.

    A task factory notes where each task was created and lets a factory that was set before make
    the task; the hook for new async generators notes those, and passes them on to the loop.
    """

    def __init__(self) -> None:
        self._generators: weakref.WeakSet[AsyncGeneratorType[Any, Any]] = weakref.WeakSet()
        self._started: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._sites: weakref.WeakKeyDictionary[Any, list[tuple[CodeType, int]]] = (
            weakref.WeakKeyDictionary()
        )
        self._hook: Callable[[AsyncGenerator[Any, Any]], None] | None = None
        self._factory: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self.loop = loop = asyncio.get_running_loop()
        self._started.update(asyncio.all_tasks(loop))
        self._factory = loop.get_task_factory()
        loop.set_task_factory(self._create_task)
        self._listen()

    def stop(self) -> None:
        """Leave the loop as it was, unless somebody has changed it since."""
        assert self.loop is not None
        if self.loop.get_task_factory() == self._create_task:
            self.loop.set_task_factory(self._factory)
        hooks = sys.get_asyncgen_hooks()
        if hooks.firstiter == self._first_iteration:
            sys.set_asyncgen_hooks(firstiter=self._hook)

    async def settle(self, grace: float, before: Footprint | None = None) -> list[Leak]:
        """What stays after some rounds of the loop, a garbage collection and `grace` seconds; with
        `before`, of the process's footprint too, except for idle workers of pools."""

        def clean() -> bool:
            footprint = before is None or not before.has_grown(idle_workers=False)
            return footprint and not self._tasks() and not self._open_generators()

        if clean():
            return []
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        if not clean():
            # A pending task that nobody refers to is a leak, and would be collected unseen.
            pending = self._tasks()
            gc.collect()
            for pause in _pauses(grace):
                await asyncio.sleep(pause)
                if clean():
                    return []
            pending.clear()
        leaks = [*self._task_leaks(), *self._generator_leaks()]
        if before is not None:
            leaks += before.grown(idle_workers=False)
        return leaks

    def _create_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any
    ) -> asyncio.Future[Any]:
        if not loop.is_running():
            loop.call_soon(self._listen)
        if self._factory is not None:
            task: asyncio.Future[Any] = self._factory(loop, work, **options)
        else:
            task = asyncio.Task(work, loop=loop, **options)
        self._sites[task] = _sites(sys._getframe(1))
        return task

    def _listen(self) -> None:
        """Hear of new async generators; a loop sets its own hook whenever it begins to run."""
        hooks = sys.get_asyncgen_hooks()
        if hooks.firstiter != self._first_iteration:
            self._hook = hooks.firstiter
            sys.set_asyncgen_hooks(firstiter=self._first_iteration)

    def _first_iteration(self, generator: AsyncGenerator[Any, Any]) -> None:
        if isinstance(generator, AsyncGeneratorType):
            self._generators.add(generator)
            self._sites[generator] = _sites(sys._getframe(1))
        if self._hook is not None:
            self._hook(generator)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        current = asyncio.current_task(self.loop)
        return [
            task
            for task in asyncio.all_tasks(self.loop)
            if task not in self._started and task is not current
        ]

    def _open_generators(self) -> list[AsyncGeneratorType[Any, Any]]:
        """Generators that were begun and have not ended, unless a task from before waits in one."""
        open_ones = [generator for generator in self._generators if generator.ag_frame is not None]
        if open_ones:
            held = {
                frame
                for task in self._started
                if not task.done()
                for frame in waiting_frames(task.get_coro())
            }
            open_ones = [generator for generator in open_ones if generator.ag_frame not in held]
        return open_ones

    def _task_leaks(self) -> Iterator[Leak]:
        for task in sorted(self._tasks(), key=lambda task: task.get_name()):
            yield Leak("task", describe_task(task, self._created(task)))

    def _generator_leaks(self) -> Iterator[Leak]:
        for generator in self._open_generators():
            frame = generator.ag_frame
            at = "nowhere" if frame is None else place(frame.f_code, frame.f_lineno)
            yield Leak(
                "async generator",
                f"async generator {generator.__qualname__}() was neither finished nor closed\n"
                f"    started in {self._created(generator)}\n    stopped in {at}",
            )

    def _created(self, made: Any) -> str | None:
        sites = self._sites.get(made)
        return None if not sites else ", called by ".join(place(*site) for site in sites)


def _sites(frame: FrameType | None) -> list[tuple[CodeType, int]]:
    """The nearest frames on the stack that are not the plumbing of event loops."""
    sites: list[tuple[CodeType, int]] = []
    while frame is not None and len(sites) < _SITES:
        module = f"{frame.f_globals.get('__name__', '')}."
        if not module.startswith(_PLUMBING):
            sites.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return sites
