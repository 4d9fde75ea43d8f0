"""What joins share: a left and a right input by key, how far each has come, and late items."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from operators.checking import explain_key, refuse_awaitable
from operators.holding import Combination, Pace
from reactive.chain import let_others_run
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.inlets import Arrival
from reactive.policy import side_node
from reactive.signals import Barrier, Chunk, Control, Signal, Watermark
from reactive.windows import EARLIEST, LATEST

if TYPE_CHECKING:
    from reactive.context import Context

How: TypeAlias = Literal["inner", "left", "right", "full"]
Key: TypeAlias = Callable[[Any], Any]
Given: TypeAlias = Iterator[Signal[Any] | None]
"""Signals to give; None is a place to let others run."""

LEFT, RIGHT = 0, 1
AT_ONCE = 512
"""How many results or keys are handled before others may run."""
ONLY_IN_STREAM = 'use mode="stream", in which joins give results on the way'

_END: Any = object()
_NAMES = ("left", "right")


def check_how(operator: str, how: object, known: Sequence[str]) -> None:
    """Refuse a kind of join that there is not, where the pipeline is described."""
    if how not in known:
        kinds = ", ".join(map(repr, known))
        raise ValueError(f"{operator}: how must be one of {kinds}, not {how!r}")


def check_late(late: object) -> Node | None:
    """The side output for late items, refused if it is none, where the pipeline is described."""
    side = side_node(late)
    if late is not None and side is None:
        raise TypeError(f"late must be a rx.SideOutput, not {late!r}")
    return side


def kept(how: str) -> tuple[bool, bool]:
    """Whether what has no partner is given: of the left, and of the right."""
    return how in ("left", "full"), how in ("right", "full")


class Sides(Combination):
    """Takes what the two inputs give, and gives what its methods make of it.

    Whether an item is late depends on how far its own input had come, so that it is the same
    whichever input is read first; unless that one was idle and the other went on without it.
    """

    def __init__(self, context: Context, left: Key, right: Key, late: Node | None = None) -> None:
        super().__init__()
        self.context = context
        self.keys = [self._checking(LEFT, left), self._checking(RIGHT, right)]
        self.ended: set[int] = set()
        self.watermark = EARLIEST
        """What both inputs have passed."""
        self._late = None if late is None else context.side(late)
        self._pace = Pace(context.settings.chunk)
        self._clock = asyncio.get_running_loop().time
        self._giving: Given = iter(())
        self._taken = 0
        self._seconds = 0.0
        self.over = False
        """Whether there is no more to give than what is being given."""

    @abstractmethod
    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        """Items came on one side."""

    @abstractmethod
    def pass_on(self, signal: Control) -> Given:
        """A watermark of both inputs, or idleness of both."""

    def end(self, side: int) -> Given:
        """One side has ended."""
        return iter(())

    def finish(self) -> Given:
        """Both sides have ended."""
        return iter(())

    def stop_at(self, barrier: Barrier) -> Given:
        """A barrier of both inputs."""
        return iter((barrier,))

    def hold(self) -> Any:
        return self.watermark, set(self.ended)

    def go_on(self, state: Any) -> None:
        self.watermark, ended = state
        self.ended = set(ended)

    def passed(self, side: int) -> int:
        """No item of this side that counts is earlier from now on."""
        if side in self.ended:
            return LATEST
        if self.context.batch:
            return EARLIEST
        own = self.inlets.progress(side)
        return self.watermark if own is None or own < self.watermark else own

    def refuse(self, item: Any) -> None:
        """An item came too late."""
        self.context.meter.count("late")
        if self._late is not None:
            self._late(item)

    def times_of(self, side: int, chunk: Chunk[Any]) -> list[int]:
        """The event times of items that need some."""
        if chunk.times is None:
            raise TypeError(
                f"{self.context.where()}: {chunk.items[0]!r}, which has no event time, came from "
                f"the {_NAMES[side]}; put .event_time(...) before it"
            )
        return chunk.times

    async def read(self) -> Signal[Any] | None:
        while True:
            if self.context.overdue():
                await let_others_run()
            begun = self._clock()
            try:
                signal = next(self._giving, _END)
            except Exception as error:
                explain_key(error, self.context)
                annotate(error, self.context)
                raise
            self._seconds += self._clock() - begun
            if self._late is not None:
                await self.context.flush()
            if signal is None:
                continue
            if signal is not _END:
                return signal
            if self.over:
                return None
            if self._taken:
                self._pace.learn(self._taken, self._seconds)
                self.inlets.limit = self._pace.count
                self._taken = 0
            giving = await self.more()
            self._seconds = 0.0
            self._giving = giving

    async def more(self) -> Given:
        """What there is to give for what comes next."""
        return self.handle(await self.inlets.next())

    def handle(self, arrival: Arrival) -> Given:
        """What there is to give for this."""
        if arrival is None:
            self.over = True
            return self.finish()
        if not isinstance(arrival, tuple):
            if type(arrival) is Barrier:
                return self.stop_at(arrival)
            if type(arrival) is Watermark:
                if self.context.batch:
                    # What a source says of its times makes nothing late, and completes nothing.
                    return iter(())
                self.watermark = arrival.time
            return self.pass_on(arrival)
        side, chunk = arrival
        if chunk is not None:
            self._taken = len(chunk.items)
            self.context.meter.items_in += len(chunk.items)
            return self.take(side, chunk)
        self.ended.add(side)
        return self.end(side)

    def _checking(self, side: int, key: Key) -> Key:
        """The key function, which looks at its first result and then leaves it at that."""

        def first(item: Any) -> Any:
            of = key(item)
            refuse_awaitable(of)
            self.keys[side] = key
            return of

        return first
