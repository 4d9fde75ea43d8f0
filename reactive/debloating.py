"""How many items may wait on an edge, so that a barrier behind them waits a short time."""

from __future__ import annotations

import asyncio
from typing import Final

TARGET_SECONDS: Final = 0.05
_FIRST = 2
_GROWTH = 4
_TIMES = 4
_APART = 1.5
_TRY_MORE_AFTER = 8


class _Average:
    """How much at once in how long, of a few times; of fewer where each takes long."""

    __slots__ = ("_amount", "_counted", "_seconds", "_times")

    def __init__(self) -> None:
        self._times = self._amount = 0
        self._seconds = self._counted = 0.0

    def add(self, amount: int, seconds: float, counted: float) -> tuple[float, float] | None:
        """One time more, of which so many seconds count; the average, once it is of enough."""
        self._times += 1
        self._amount += amount
        self._seconds += seconds
        self._counted += counted
        if self._times < _TIMES and self._seconds < _TIMES * TARGET_SECONDS:
            return None
        average = self._amount / self._times, self._counted / self._times
        self._times = self._amount = 0
        self._seconds = self._counted = 0.0
        return average


class Writes:
    """Finds out how long the writes of a sink take whatever they are of.

    A sink may need as long for one item as for a thousand, where it makes one request of all it is
    given; fewer at once would only make it slower. How long, is seen from writes of amounts that
    differ.
    """

    def __init__(self) -> None:
        self._average = _Average()
        self._known: tuple[float, float] | None = None
        self._fixed = 0.0
        self.excused = 0.0
        """The sum of what writes took and fewer items would not have made shorter: what is fixed,
        and as much again, which bounds the wait by it and the loss of speed to a half."""

    def took(self, amount: int, seconds: float) -> None:
        """So many items were written in so long."""
        self.excused += min(seconds, 2 * self._fixed)
        average = self._average.add(amount, seconds, seconds)
        if average is None:
            return
        written, took = average
        before, earlier = self._known or average
        if self._known is None:
            self._known = average
        elif max(written, before) >= _APART * min(written, before):
            self._known = average
            slope = max(0.0, (took - earlier) / (written - before))
            # One that takes longer for less has become slower, and nothing is known of it.
            changed = written < before and took > 2 * earlier
            self._fixed = 0.0 if changed else max(0.0, took - slope * written)


class Debloating:
    """Learns how fast the receiver of an edge takes what is there, and limits the edge to what
    takes about `TARGET_SECONDS`, the time that a barrier then stands in line there.

    This is what Apache Flink calls buffer debloating. What counts here is the time from when some
    items were taken until more are asked for, so that a receiver that waits for input is not taken
    for a slow one. Before a sink, what its `writes` take in any case is left out, and more is
    tried now and then, or nobody would see that it takes no longer.
    """

    def __init__(self, most: int, writes: Writes | None = None) -> None:
        self._most = most
        self._writes = writes
        self.limit = min(_FIRST, most)
        """The most that may wait, in the units of the edge."""
        self._time = asyncio.get_running_loop().time
        self._taken = 0
        self._since = self._excused = 0.0
        self._average = _Average()
        self._untried = _TRY_MORE_AFTER

    def takes(self, amount: int) -> None:
        """The receiver has taken so much."""
        self._taken = amount
        self._since = self._time()
        if self._writes is not None:
            self._excused = self._writes.excused

    def asks(self) -> int:
        """The receiver asks for more; the limit from now on."""
        taken = self._taken
        if taken:
            self._taken = 0
            took, limit = self._time() - self._since, self.limit
            if took * limit > TARGET_SECONDS * taken or 2 * taken >= limit < self._most:
                self._learn(taken, took)
        return self.limit

    def forget(self) -> None:
        """Something other than work keeps the receiver from asking."""
        self._taken = 0

    def _learn(self, taken: int, took: float) -> None:
        excused = 0.0 if self._writes is None else self._writes.excused - self._excused
        average = self._average.add(taken, took, max(0.0, took - excused))
        if average is None:
            return
        amount, seconds = average
        if seconds * self._most <= TARGET_SECONDS * amount:
            wanted = self._most
        else:
            wanted = max(1, int(TARGET_SECONDS * amount / seconds))
        if wanted <= self.limit:
            self.limit = wanted
            if self._writes is not None:
                self._try_more(int(2 * amount))
        elif 2 * amount >= self.limit:
            self.limit = min(wanted, _GROWTH * self.limit)

    def _try_more(self, amount: int) -> None:
        self._untried += 1
        if self._untried >= _TRY_MORE_AFTER:
            self._untried = 0
            self.limit = max(self.limit, min(amount, self._most))
