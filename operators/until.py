"""The work of take_until, skip_until and take_for: items up to a moment, or from it on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from operators.holding import Combination
from reactive.chain import Edge
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint
from reactive.inlets import Inlets
from reactive.operator import Stage, Staged
from reactive.signals import Barrier, Signal

if TYPE_CHECKING:
    from reactive.context import Context


def check_until(operator: str, until: object) -> None:
    """Refuse what tells no moment, where the pipeline is described."""
    if isinstance(until, datetime):
        if until.utcoffset() is None:
            raise ValueError(
                f"{operator} needs a datetime with a time zone, such as "
                f"datetime.now(UTC) + timedelta(hours=1), not {until!r}; where it is local time, "
                "give .astimezone()"
            )
    elif not isinstance(until, (Blueprint, asyncio.Event)):
        raise TypeError(
            f"{operator} needs a stream, an asyncio.Event or a datetime with a time zone, not "
            f"{until!r}; for seconds use rx.timer(seconds), or take_for(seconds)"
        )


@dataclass(frozen=True)
class Until(Staged):
    """`take_until`, `skip_until` and `take_for`. The moment is that of an event, of the wall
    clock, in some seconds, or, for None, that of the first item of the second input."""

    operator: str
    moment: asyncio.Event | datetime | float | None = None

    @property
    def label(self) -> str:
        return self.operator

    @property
    def takes(self) -> bool:
        """Whether items pass until the moment, and not from it on."""
        return self.operator != "skip_until"

    def details(self) -> dict[str, object]:
        if isinstance(self.moment, datetime):
            return {"moment": self.moment.isoformat()}
        return {"seconds": f"{self.moment:g}"} if isinstance(self.moment, (int, float)) else {}

    def bounded(self, inputs: Sequence[bool]) -> bool:
        if not self.takes:
            return inputs[0]
        return isinstance(self.moment, (datetime, int, float)) or any(inputs)

    def stage(self, context: Context) -> Stage[Any]:
        if self.moment is None:
            return _UntilStage(self.takes, context)
        if isinstance(self.moment, asyncio.Event):
            return _UntilEventStage(self.takes, context, self.moment)
        return _UntilTimeStage(self.takes, context, self.moment)


class _UntilStage(Combination):
    """The moment is when the second input gives, which is asked first."""

    def __init__(self, takes: bool, context: Context) -> None:
        super().__init__()
        self._takes = takes
        self._context = context
        self._reached = False
        self.deadline: float | None = None

    def read_through(self, edges: Sequence[Edge]) -> Inlets:
        return Inlets(edges, priorities=range(len(edges)), leading=[0])

    def hold(self) -> Any:
        return self._reached

    def go_on(self, state: Any) -> None:
        self._reached = state

    def come(self) -> bool:
        """Whether the moment has come, where that is not told by the second input."""
        return False

    async def read(self) -> Signal[Any] | None:
        inlets, takes = self.inlets, self._takes
        while True:
            self._reached = self._reached or self.come()
            if takes and self._reached:
                return self._barrier_under_way()
            arrival = inlets.poll()
            if arrival is None:
                woken = await inlets.waker.wait(None if self._reached else self.deadline)
                # A timer that is coarser than the clock may come a little early.
                self._reached = self._reached or not woken
            elif not isinstance(arrival, tuple):
                return arrival
            else:
                index, chunk = arrival
                if index == 1:
                    self._reached = chunk is not None
                    inlets.drop(1)
                elif chunk is None:
                    return None
                else:
                    self._context.meter.items_in += len(chunk.items)
                    if takes or self._reached:
                        return chunk

    def _barrier_under_way(self) -> Barrier | None:
        """A barrier that has come on the first input belongs before the end."""
        self.inlets.pause(0)
        arrival = self.inlets.poll()
        return arrival if isinstance(arrival, Barrier) else None


class _UntilEventStage(_UntilStage):
    """The moment is when an event is set, if only for an instant."""

    def __init__(self, takes: bool, context: Context, event: asyncio.Event) -> None:
        super().__init__(takes, context)
        self._event = event
        self._waiting: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        await super().open()
        self._waiting = asyncio.get_running_loop().create_task(
            self._event.wait(), name=f"reactive {self._context.name}"
        )
        self._waiting.add_done_callback(lambda _: self.inlets.waker.wake())

    def come(self) -> bool:
        assert self._waiting is not None
        if self._waiting.done():
            # An event that belongs to another loop fails, which is no moment.
            self._waiting.result()
            return True
        return self._event.is_set()

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])


class _UntilTimeStage(_UntilStage):
    """The moment is some seconds from the opening, or that which the wall clock makes of them."""

    def __init__(self, takes: bool, context: Context, moment: datetime | float) -> None:
        super().__init__(takes, context)
        self._moment = moment
        self._seconds = 0.0
        self._now = asyncio.get_running_loop().time

    def begin(self, count: int) -> None:
        moment = self._moment
        if isinstance(moment, datetime):
            moment = (moment - wall_clock()).total_seconds()
        self.deadline = self._now() + moment

    def hold(self) -> Any:
        assert self.deadline is not None
        return self._reached, self.deadline - self._now()

    def go_on(self, state: Any) -> None:
        self._reached, left = state
        self.begin(1)
        if not isinstance(self._moment, datetime):
            self.deadline = self._now() + left

    def come(self) -> bool:
        assert self.deadline is not None
        return self._now() >= self.deadline


def wall_clock() -> datetime:
    """The time of day, to which deadlines refer."""
    return datetime.now(UTC)
