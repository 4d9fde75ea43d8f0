"""Inner streams: what a function makes of an item, and how it is run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from itertools import repeat
from types import AsyncGeneratorType
from typing import Any

from operators.checking import MISSING
from operators.creating import items_at_hand
from operators.inner_iterables import InnerIterable
from operators.inner_loops import InnerLoop
from operators.inner_pipelines import InnerPipelines
from operators.inner_progress import Progress
from reactive.chain import FedChain
from reactive.context import Context
from reactive.execution import nested_execution
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node
from reactive.operator import Puller, SourceOperator
from reactive.signals import Barrier, Chunk, Signal

_SECONDS_AT_ONCE = 0.0005
"""Work that goes on for less than that is not cut short though others wait: taking it up again
costs time too."""


class InnerStream:
    """An outer item with the inner stream that is made of it, waiting to begin or under way."""

    made: Node | AsyncIterable[Any] | None = None
    puller: Puller[Any] | None = None
    task: asyncio.Task[None] | None = None
    began = False
    """Whether it holds back what would make it late."""
    ready = False
    """Whether what it polls may have something."""
    waited = False
    """Whether its task has come to wait."""
    left = False
    """Whether another has taken its place."""

    def __init__(self, item: Any, time: int | None) -> None:
        self.item = item
        self.time = time


class InnerStreams:
    """Makes the inner streams of one operator.

    Those that have nothing to wait for, since all they need is in memory, are run on the spot,
    for as long as that is fair to the loop; what they give, together with that of the ones
    before, goes to `give`. The others come as pullers, to be opened, read and closed.
    """

    def __init__(
        self,
        fn: Callable[[Any], Any] | None,
        context: Context,
        give: Callable[[Signal[Any]], object],
        progress: Progress,
    ) -> None:
        if context.region is None:
            raise RuntimeError("inner streams need a run")
        self._fn = fn
        self._context = context
        self.region = context.region
        self._fairness = context.region.execution.fairness
        self._time = asyncio.get_running_loop().time
        self._give = give
        self._progress = progress
        # Then the outer stream says nothing while an inner one runs, and async iterables never do.
        self._sequential = progress.sequential
        self._pipelines = InnerPipelines(context, context.region)
        self._iterables: Context | None = None
        self._items: list[Any] = []
        self._times: list[int] | None = None
        self._room = self._whole_room = 0
        self._in_task = False
        self.overdue = False

    def take(
        self, waiting: deque[InnerStream], room: int, in_task: bool = False
    ) -> InnerStream | None:
        """Run those that wait for nothing, for as long as there is room for what they give. The
        first one that has to be waited for is returned, with its puller. `in_task` is where that
        goes on in the same task, so that async generators may begin here."""
        self._room = self._whole_room = room
        self._in_task = in_task
        self.overdue = False
        begun = self._time()
        try:
            while waiting:
                inner = waiting.popleft()
                if not self._run(inner):
                    if inner.puller is None:
                        waiting.appendleft(inner)
                        return None
                    if not (self._sequential and type(inner.puller) is InnerIterable):
                        self.hold(inner)
                    return inner
                if self._is_overdue(begun):
                    return None
                # The next one is to have room enough to come to its end.
                if self._room <= room // 2:
                    return None
        finally:
            self._flush()
        return None

    def begin(self, inner: InnerStream, room: int) -> bool:
        """The same for one of them; whether it has ended."""
        self.overdue = False
        self._room = self._whole_room = room
        self._in_task = False
        try:
            return self._run(inner)
        finally:
            self._flush()

    def go_on(self, inner: InnerStream, room: int) -> bool:
        """The same for one that `take` cut short to let others run."""
        self.overdue = False
        self._room = self._whole_room = room
        chain = inner.puller
        assert isinstance(chain, FedChain)
        try:
            return self._work(inner, chain)
        finally:
            self._flush()

    def serve(self, ready: deque[InnerStream], room: int) -> list[InnerStream]:
        """Run those with polled sources that may have something; the ones that ended."""
        self._room = self._whole_room = room
        self.overdue = False
        ended: list[InnerStream] = []
        begun = self._time()
        try:
            while ready and self._room > 0 and not self.overdue:
                inner = ready.popleft()
                inner.ready = False
                chain = inner.puller
                assert isinstance(chain, FedChain)
                if self._work(inner, chain):
                    ended.append(inner)
                elif not chain.waits:
                    ready.append(inner)
                    inner.ready = True
                self._is_overdue(begun)
        finally:
            self._flush()
        return ended

    def hold(self, inner: InnerStream) -> None:
        """Hold back what would make an inner stream late until it has ended."""
        if not inner.began:
            inner.began = True
            self._progress.began(inner)

    def _run(self, inner: InnerStream) -> bool:
        """Make an inner stream, and run it if it waits for nothing; whether it has ended. One
        that has not has a puller, except for one that is to wait for more room."""
        made = self._make(inner)
        if not isinstance(made, Node):
            if self._iterables is None:
                context = self._context
                self._iterables = self._pipelines.context("from_async_iterable", context.location)
            iterable = inner.puller = InnerIterable(made, self._iterables, self.region)
            return self._in_task and iterable.is_generator and self._iterate(inner, iterable)
        operator = made.operator
        if isinstance(operator, SourceOperator):
            items = items_at_hand(operator.source)
            if items is not None and len(items) <= self._room:
                self._pipelines.meter(made.label).items_out += len(items)
                self._gather(items, None, inner.time)
                return True
            if items is not None and self._room < self._whole_room:
                inner.made = made
                return False
        pipelines = self._pipelines
        # Mostly it is described by the same lines as the one before.
        loop = pipelines.loop
        if loop is not None and self._loop(inner, made, loop):
            return True
        pipeline = pipelines.find(made)
        if pipeline is None:
            inner.puller = self._nested(made)
            return False
        other = pipelines.loop
        if other is not None and other is not loop and self._loop(inner, made, other):
            return True
        chain = inner.puller = pipelines.make(pipeline)
        return type(chain) is FedChain and self._work(inner, chain)

    def _loop(self, inner: InnerStream, made: Node, loop: InnerLoop) -> bool:
        """Run a pipeline in one go; False where it is no quick loop over few items."""
        result: list[Any] = []
        try:
            return loop.run(made, self._room, result)
        finally:
            self._gather(result, None, inner.time)

    def _make(self, inner: InnerStream) -> Node | AsyncIterable[Any]:
        if inner.made is not None:
            return inner.made
        try:
            made = inner.item if self._fn is None else self._fn(inner.item)
            if isinstance(made, Blueprint):
                return made.node
            if type(made) is AsyncGeneratorType or isinstance(made, AsyncIterable):
                return made
            given = "got" if self._fn is None else "its function gave"
            raise TypeError(
                f"{self._context.name} needs streams or async iterables, and {given} "
                f"{type(made).__name__}; for lists and other iterables use flat_map"
            )
        except Exception as error:
            annotate(error, self._context)
            raise

    def _iterate(self, inner: InnerStream, iterable: InnerIterable) -> bool:
        """Gather what a generator gives, for as long as it does not wait; whether it has ended."""
        count, begun = 0, self._time()
        while self._room > 0:
            item = iterable.step()
            if item is MISSING:
                return iterable.is_closed
            self._gather((item,), None, inner.time)
            count += 1
            if count > 2 and self._is_overdue(begun):
                return False
        return False

    def _work(self, inner: InnerStream, chain: FedChain) -> bool:
        """Have a chain that waits for nothing do its work; False when it is to go on later."""
        pieces, begun = 0, self._time()
        try:
            while self._room > 0:
                signal = chain.poll(self._room)
                if chain.ended:
                    break
                if chain.waits:
                    return False
                if type(signal) is Chunk:
                    if inner.began:
                        self._progress.inner_gave_items(inner)
                    self._gather(signal.items, signal.times, inner.time)
                elif signal is not None and type(signal) is not Barrier:
                    self._flush()
                    self.hold(inner)
                    self._progress.inner_gave(inner, signal)
                pieces += 1
                # Most come to their end soon.
                if pieces > 2 and self._is_overdue(begun):
                    return False
            else:
                return False
        except Exception:
            chain.release()
            raise
        chain.release()
        if inner.began:
            self._flush()
            self._progress.ended(inner)
        return True

    def _is_overdue(self, begun: float) -> bool:
        """Whether to let others run, in the midst of work that began at a time."""
        if not self.overdue and self._fairness.overdue():
            # Where time stands still, as virtual time does, only the calls count.
            self.overdue = not 0 < self._time() - begun < _SECONDS_AT_ONCE
        return self.overdue

    def _gather(self, items: Sequence[Any], times: list[int] | None, time: int | None) -> None:
        """Hold items of an inner stream, to give them together with those of the next."""
        if not items:
            return
        if times is None and time is not None:
            times = [time] * len(items)
        if self._items and (self._times is None) != (times is None):
            self._flush()
        self._room -= len(items)
        self._items += items
        if times is not None:
            if self._times is None:
                self._times = []
            self._times += times

    def _flush(self) -> None:
        if self._items:
            items, times = self._items, self._times
            self._items, self._times = [], None
            self._give(Chunk(items, times))

    def _nested(self, node: Node) -> Puller[Any]:
        """A run of its own. A drain lets it run to its end if it is known to have one, since it
        works on an item that was taken; otherwise it asks the inner sources to take no more."""
        execution = nested_execution(node, self._context, barriers=False)
        if execution.plan.bounded[node]:
            self.region.execution.nested.discard(execution)
            execution.stopping = False
        return execution


def inner_streams(chunk: Chunk[Any]) -> Iterable[InnerStream]:
    """Inner streams for the items of the outer one, not made yet."""
    return map(InnerStream, chunk.items, chunk.times or repeat(None))


def timed(chunk: Chunk[Any], time: int | None) -> Chunk[Any]:
    """A chunk of an inner stream at the time of the outer item, if it has no times of its own."""
    if time is None or chunk.times is not None:
        return chunk
    return Chunk(chunk.items, [time] * len(chunk.items))
