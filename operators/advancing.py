"""The work of `event_time`: times set on items, and watermarks at places among them."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final

from operators.timestamps import FIRST, LAST, Reading, wall_clock
from reactive.fuse import annotate
from reactive.operator import Step
from reactive.policy import bind_policy
from reactive.signals import IDLE, Chunk, Signal, Watermark

if TYPE_CHECKING:
    from operators.event_time import AssignTimes
    from reactive.context import Context

NEVER: Final = -(2**63)
_FOREVER: Final = 2**63
_PROMPT_SECONDS = 0.005
_MOMENT_SECONDS = 0.001
_TICKS_AN_IDLE = 60


class EventTimeStep(Step[Any, Any]):
    """Sets times, says watermarks, and knows what it is to be idle.

    Time waited for input counts as idle, and not the time that downstream takes: where the timer
    is seen to late, what came meanwhile is taken in first.
    """

    def __init__(self, operator: AssignTimes, idle: float | None, context: Context) -> None:
        self._context = context
        handler = bind_policy(operator.on_error, context)
        self._reading = Reading(operator.fn, operator.unit, operator.future, handler, context)
        self._granule = 1 if operator.strategy.exact else max(1, round(operator.every * 1_000_000))
        self._said = NEVER
        self._idle = idle
        self._time = asyncio.get_running_loop().time
        self._seen = self._time()
        self._looked: float | None = None
        self._since: float | None = None
        self._base = NEVER
        if idle is not None:
            self.deadline = self._seen + idle

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        meter = self._context.meter
        meter.items_in += len(chunk.items)
        if self._idle is not None:
            self._seen = self._time()
            if self._since is not None or self.deadline is None:
                self._since = self._looked = None
                self.deadline = self._seen + self._idle
        try:
            self._take(chunk.items, out)
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            if self._said != NEVER and "watermark" not in meter.gauges:
                meter.gauges["watermark"] = lambda: self._said / 1e6
                meter.gauges["lag"] = lambda: wall_clock() - self._said / 1e6
            meter.items_out += sum(len(one.items) for one in out if type(one) is Chunk)

    def _take(self, items: list[Any], out: list[Signal[Any]]) -> None:
        """Give the items that have a time, and after each that raises it, the watermark."""
        raise NotImplementedError

    def _say(self, low: int, out: list[Signal[Any]]) -> None:
        if low > self._said:
            self._said = low
            out.append(Watermark(low))

    def _next(self) -> int:
        """The watermark from which on to tell it; in batch none is told before the end."""
        if self._context.batch:
            return _FOREVER
        if self._said == NEVER:
            return NEVER + 1
        return (self._said // self._granule + 1) * self._granule

    def _count(self, out_of_order: int, late: int) -> None:
        if out_of_order:
            self._context.meter.count("out_of_order", out_of_order)
        if late:
            self._context.meter.count("late", late)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        """Those of the times that this replaces say nothing any more."""

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        idle, due = self._idle, self.deadline
        assert idle is not None and due is not None
        if self._looked is None and now - due > _PROMPT_SECONDS:
            self._looked = now
            self.deadline = now + _MOMENT_SECONDS
            return
        moment = due if self._looked is None else self._looked
        self._looked = None
        tick = max(idle / _TICKS_AN_IDLE, self._granule / 1e6)
        if self._since is not None:
            if self._base == NEVER:
                self.deadline = None
                return
            passed = round((moment - self._since) * 1_000_000)
            self._say(min(self._base + passed, LAST), out)
            self._raised()
            out.append(IDLE)
            self.deadline = moment + tick
        elif self._seen + idle <= moment:
            self._since = moment
            self._base = max(self._highest(), self._said)
            self._rest(math.inf, [])
            self._say(self._base, out)
            self._raised()
            out.append(IDLE)
            self.deadline = None if self._base == NEVER else moment + tick
        else:
            resting = self._rest(moment - idle, out)
            self.deadline = min(self._seen + idle, max(resting + idle, moment + tick))

    def _highest(self) -> int:
        """The watermark where nothing holds another back."""
        raise NotImplementedError

    def _raised(self) -> None:
        """The clock raised the watermark."""

    def _rest(self, before: float, out: list[Signal[Any]]) -> float:
        """Let the partitions rest that had no item after this loop time; gives the time of the
        one that has waited longest of the others."""
        return math.inf

    def snapshot(self) -> Any:
        return self._said, self._held()

    def restore(self, state: Any) -> None:
        self._said, held = state
        self._take_back(held)

    def _held(self) -> Any:
        raise NotImplementedError

    def _take_back(self, held: Any) -> None:
        raise NotImplementedError


class TrailingStep(EventTimeStep):
    """One watermark, some time behind the latest item."""

    def __init__(
        self, operator: AssignTimes, lateness: int, idle: float | None, context: Context
    ) -> None:
        super().__init__(operator, idle, context)
        self._lateness = lateness
        self._high = NEVER
        self._in_order = True
        self._threshold = _FOREVER if context.batch else NEVER
        self._due = NEVER
        self._due_after: Callable[[int], int] = super().due

    def leads_to(self, step: Step[Any, Any]) -> None:
        self._due_after = step.due

    def _take(self, items: list[Any], out: list[Signal[Any]]) -> None:
        reading = self._reading
        times, values, failed = reading.read_all(items)
        if times and self._place(items, times, out, reading.last()):
            return
        items, times, failed = reading.read_each(items, values, failed)
        if times:
            self._place(items, times, out)
        if failed is not None:
            raise failed

    def _place(
        self, items: list[Any], times: list[int], out: list[Signal[Any]], last: int = _FOREVER
    ) -> bool:
        """Give the items and the watermarks. Where a time may be of no use, `last` says which are
        too late; if there is such a one, nothing is done, and this is False."""
        # Where items come in order, which is quickly told, none has to be looked at.
        if self._in_order and times[0] >= self._high and times == sorted(times):
            span, rises = (times[0], times[-1]), self._rises_in_order(times)
            out_of_order = late = 0
        else:
            span, rises, out_of_order, late = self._rises(times)
        if last != _FOREVER and (span[0] < FIRST or span[1] > last):
            return False
        self._high, self._in_order = span[1], not out_of_order
        self._count(out_of_order, late)
        start, told = 0, self._said
        for end, low in rises:
            said = times[end - 1] - self._lateness
            if said >= self._due:
                out.append(Chunk(items[start:end], times[start:end], (low, times[end - 1])))
                if self._said > told:
                    out.append(Watermark(self._said))
                out.append(Watermark(said))
                start, told, self._due = end, said, self._due_after(said)
            self._said = said
        if start == 0:
            out.append(Chunk(items, times, span))
        elif start < len(items):
            out.append(Chunk(items[start:], times[start:], span))
        if self._said > told:
            # Downstream it makes no difference where among these items it rose.
            out.append(Watermark(self._said))
        if rises:
            self._threshold = self._next() + self._lateness
        return True

    def _rises_in_order(self, times: list[int]) -> list[tuple[int, int]]:
        """Behind which items the watermark rises, as their numbers counted from 1, and the lowest
        time up to there."""
        rises = []
        threshold, end = self._threshold, 0
        while times[-1] >= threshold:
            end = bisect_left(times, threshold, end) + 1
            rises.append((end, times[0]))
            said = times[end - 1] - self._lateness
            threshold = times[end - 1] + self._granule - said % self._granule
        return rises

    def _rises(self, times: list[int]) -> tuple[tuple[int, int], list[tuple[int, int]], int, int]:
        """The same of items in any order, behind the span of their times; and how many are out of
        order, and late."""
        high, threshold, said = self._high, self._threshold, self._said
        granule, lateness = self._granule, self._lateness
        low = times[0] if high == NEVER else high
        out_of_order = late = 0
        rises = []
        left = iter(times)
        for time in left:
            if time < high:
                out_of_order += 1
                if time < low:
                    low = time
                if time < said:
                    late += 1
            else:
                high = time
                if time >= threshold:
                    # Cheaper than to count along, as this is seldom.
                    rises.append((len(times) - length_hint(left), low))
                    said = time - lateness
                    threshold = time + granule - said % granule
        return (low, high), rises, out_of_order, late

    def _highest(self) -> int:
        return NEVER if self._high == NEVER else self._high - self._lateness

    def _raised(self) -> None:
        if self._said != NEVER:
            self._high = max(self._high, self._said + self._lateness)
            self._threshold = self._next() + self._lateness

    def _held(self) -> Any:
        return self._high

    def _take_back(self, held: Any) -> None:
        self._high = held
        if self._said != NEVER:
            self._threshold = self._next() + self._lateness
