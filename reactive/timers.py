"""Timers by key: the next one that is due, at a cost that does not grow with those moved about."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, NamedTuple

_STALE_KEPT = 1_000


class Due(NamedTuple):
    """A timer whose time has come. `note` is what was given when it was set."""

    time: int
    key: Any
    name: Hashable
    note: Any


class Timers:
    """At most one timer for a key and a name; those of one time are due in the order in which
    they were set."""

    __slots__ = ("_live", "_order", "_queue", "_size")

    def __init__(self) -> None:
        self._live: dict[Any, dict[Hashable, tuple[int, int, Any]]] = {}
        self._queue: list[tuple[int, int, Any, Hashable]] = []
        self._order = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def set(self, key: Any, name: Hashable, time: int, note: Any = None) -> None:
        """Set a timer, or move it."""
        mine = self._live.get(key)
        if mine is None:
            mine = self._live[key] = {}
        known = mine.get(name)
        if known is None:
            self._size += 1
        elif known[0] == time:
            mine[name] = (time, known[1], note)
            return
        order = next(self._order)
        mine[name] = (time, order, note)
        heappush(self._queue, (time, order, key, name))
        if len(self._queue) > 2 * self._size + _STALE_KEPT:
            self._queue = [
                (time, order, key, name)
                for key, timers in self._live.items()
                for name, (time, order, _) in timers.items()
            ]
            heapify(self._queue)

    def delete(self, key: Any, name: Hashable) -> bool:
        """Remove a timer; False if there was none."""
        mine = self._live.get(key)
        if mine is None or name not in mine:
            return False
        del mine[name]
        self._size -= 1
        if not mine:
            del self._live[key]
        return True

    def first(self) -> int | None:
        """The time of the next one."""
        queue = self._queue
        while queue:
            time, order, key, name = queue[0]
            known = self._live.get(key, {}).get(name)
            if known is not None and known[1] == order:
                return time
            heappop(queue)
        return None

    def take(self, until: int) -> Due | None:
        """Take out the next one, if its time has come by `until`."""
        time = self.first()
        if time is None or time > until:
            return None
        _, _, key, name = heappop(self._queue)
        note = self._live[key][name][2]
        self.delete(key, name)
        return Due(time, key, name, note)

    def soon(self, until: int, most: int) -> list[Any]:
        """The keys of about so many that are due by `until`, that of the next one first; none if
        there is none."""
        if (first := self.first()) is None or first > until:
            return []
        queue, places, keys = self._queue, [0], list[Any]()
        while places and len(keys) < most:
            place = places.pop()
            keys.append(queue[place][2])
            below = range(2 * place + 1, min(2 * place + 3, len(queue)))
            places += [each for each in below if queue[each][0] <= until]
        return keys

    def keys(self) -> Iterable[Any]:
        """The keys that have any."""
        return self._live.keys()

    def saved(self, key: Any) -> list[tuple[int, int, Hashable, Any]]:
        """Those of a key: time, order, name, note."""
        timers = self._live.get(key, {}).items()
        return [(time, order, name, note) for name, (time, order, note) in timers]

    def load(self, saved: Iterable[tuple[Any, tuple[int, int, Hashable, Any]]]) -> None:
        """Set timers that were saved, of several keys."""
        for key, (time, _, name, note) in sorted(saved, key=_order):
            self.set(key, name, time, note)


def _order(saved: tuple[Any, tuple[int, int, Hashable, Any]]) -> int:
    return saved[1][1]
