"""The windows of a join that each key has of its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import field
from heapq import heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from operators.assigners import WindowAssigner
from operators.joined_windows import JoinedWindows, Results, check_length, windowed
from operators.sides import AT_ONCE, Key
from reactive.fast_dataclasses import dataclass
from reactive.levels import Changes, Kept
from reactive.windows import LATEST, ONLY_PANE, Window

if TYPE_CHECKING:
    from operators.window_joins import WindowJoin


@dataclass(slots=True, eq=False)
class Part:
    """What one window of one key holds: of each side, items with their number among all of it."""

    key: Any
    window: Window
    sides: tuple[list[tuple[int, Any]], list[tuple[int, Any]]] = field(
        default_factory=lambda: ([], [])
    )
    gone: bool = False
    due: int = LATEST

    def place(self) -> tuple[int, int, int]:
        """Where its results come, whichever side was read first."""
        left, right = (min((n for n, _ in rows), default=LATEST) for rows in self.sides)
        return self.window.end, left, right


class Merging(JoinedWindows):
    """Windows that each key has of its own, and that become one where they overlap."""

    def __init__(self, operator: WindowJoin, refuse: Callable[[Any], None]) -> None:
        super().__init__(operator, refuse)
        self._overlapping = type(self.assigner).merge is WindowAssigner.merge
        self._live = self.held()
        self._ends: list[tuple[int, int, Part]] = []
        self._order = 0
        self._numbers = [0, 0]

    def take(self, side: int, key: Key, items: list[Any], times: list[int], passed: int) -> Results:
        assign = self.assigner.assign
        for item, time in zip(items, times, strict=True):
            of = key(item)
            number = self._numbers[side] = self._numbers[side] + 1
            late = True
            for window in assign(item, time):
                check_length(self.assigner, window)
                part = self._part(of, window, passed)
                if part is not None:
                    late = False
                    part.sides[side].append((number, item))
            if late:
                self.refuse(item)
        yield []

    def _part(self, of: Any, window: Window, passed: int) -> Part | None:
        """Where an item of a new window belongs; None if that is over."""
        parts: list[Part] = self._live.find(of, [])
        whole: Window = window
        joined: list[Part] = []
        if self._overlapping:
            # Those of a key do not overlap each other.
            start, end = window
            for part in parts:
                begun, ended = part.window
                if start < ended and begun < end:
                    joined.append(part)
                    if begun < whole.start or ended > whole.end:
                        whole = Window(min(begun, whole.start), max(ended, whole.end))
        elif parts:
            live = {part.window: part for part in parts}
            for made, group in self.assigner.merge(sorted({*live, window})):
                if window in group:
                    whole, joined = made, [live[each] for each in group if each in live]
        if whole.end <= passed:
            return None
        if len(joined) == 1 and joined[0].window == whole:
            return joined[0]
        return self._grown(of, whole, joined)

    def _grown(self, key: Any, whole: Window, joined: list[Part]) -> Part:
        """A window that takes the place of several, or is new."""
        live = self._live.find(key)
        if live is None:
            live = self._live[key] = []
        part, *others = joined or [Part(key, whole)]
        if not joined:
            live.append(part)
        for other in others:
            other.gone = True
            live.remove(other)
            for rows, more in zip(part.sides, other.sides, strict=True):
                rows += more
        part.window = whole
        if whole.end < part.due:
            self._remember(part)
        return part

    def _remember(self, part: Part) -> None:
        part.due = part.window.end
        self._order += 1
        heappush(self._ends, (part.due, self._order, part))

    def complete(self, watermark: int) -> Results:
        done: list[Part] = []
        looked = 0
        while self._ends and self._ends[0][0] <= watermark:
            due, _, part = heappop(self._ends)
            if not part.gone and due == part.due:
                self._live.find(part.key)
                if part.window.end > watermark:
                    self._remember(part)
                else:
                    self._forget(part)
                    done.append(part)
            looked += 1
            if not looked % AT_ONCE:
                yield []
        done.sort(key=Part.place)
        for part in done:
            yield from self._results(part)

    def _forget(self, part: Part) -> None:
        part.gone = True
        parts = self._live[part.key]
        parts.remove(part)
        if not parts:
            self._live.forget(part.key)

    def _results(self, part: Part) -> Results:
        left, right = ([item for _, item in sorted(rows, key=itemgetter(0))] for rows in part.sides)
        values = self.form.values(left, right)
        return windowed(((part.key, value) for value in values), part.window, ONLY_PANE)

    def live(self) -> int:
        return sum(len(parts) for _, parts in self._live.everything())

    def snapshot(self) -> Any:
        return list(self._numbers), pickle.dumps(dict(self._live.everything()))

    def changes(self) -> Changes:
        self._live, pieces = self._live.freeze()
        return Changes(list(self._numbers), {"windows": pieces})

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            numbers = state.shared
            self._live = self.held(state.sections["windows"])
        else:
            numbers, held = state
            self._live = self.held(pickle.loads(held), changed=True)
        self._numbers = list(numbers)

    def come(self, held: list[Part]) -> None:
        for part in held:
            self._order += 1
            heappush(self._ends, (part.due, self._order, part))
