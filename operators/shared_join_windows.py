"""The windows of a join that are the same for all keys."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from operators.assigners import Tiling, microseconds
from operators.joined_windows import Cells, JoinedWindows, Results, check_length, windowed
from operators.sides import AT_ONCE, LEFT, RIGHT, Key
from reactive.fast_dataclasses import dataclass
from reactive.levels import Changes, Kept, Levels, Pieces
from reactive.windows import LATEST, ONLY_PANE, Pane, Window

if TYPE_CHECKING:
    from operators.window_joins import WindowJoin


@dataclass(slots=True)
class Open:
    """What one window holds, and how many panes each key was given since its end."""

    window: Window
    sides: tuple[Cells, Cells]
    given: bool = False
    panes: dict[Any, int] = field(default_factory=dict)


class Shared(JoinedWindows):
    """Windows that are the same for all keys. Where the times of a chunk fall in one, it is found
    once."""

    def __init__(self, operator: WindowJoin, refuse: Callable[[Any], None]) -> None:
        super().__init__(operator, refuse)
        self._lateness = microseconds(operator.allowed_lateness)
        self._tiling = self.assigner if isinstance(self.assigner, Tiling) else None
        self._windows: dict[Window, Open] = {}
        self._last = Window(0, 0)
        self._next = LATEST

    def take(self, side: int, key: Key, items: list[Any], times: list[int], passed: int) -> Results:
        pairs: Iterable[tuple[Any, int]] = zip(items, times, strict=True)
        if self._tiling is not None:
            pairs = self._add(self._tiling, side, key, items, times, passed)
        assign = self.assigner.assign
        for item, time in pairs:
            of = key(item)
            found = [self._find(window, passed) for window in assign(item, time)]
            if not any(found):
                self.refuse(item)
            for open_ in found:
                if open_ is None:
                    continue
                cells = open_.sides[side]
                if open_.given:
                    yield from self._update(open_, side, of, item)
                _add(cells, of, item)

    def _add(
        self,
        tiling: Tiling,
        side: int,
        key: Key,
        items: list[Any],
        times: list[int],
        passed: int,
    ) -> list[tuple[Any, int]]:
        """Add the items of windows that are open, where each is in one; gives the others."""
        first = min(times)
        window = self._last
        if not window.start <= first < window.end:
            window = self._last = tiling.window(first)
        if max(times) < window.end:
            cells = self._cells(window, side, passed)
            if cells is not None:
                _add_all(items, key, cells)
                return []
        others: list[tuple[Any, int]] = []
        start = end = 0
        cells = None
        for item, time in zip(items, times, strict=True):
            if not start <= time < end:
                window = tiling.window(time)
                start, end = window
                cells = self._cells(window, side, passed)
            if cells is None:
                others.append((item, time))
                continue
            _add(cells, key(item), item)
        return others

    def _cells(self, window: Window, side: int, passed: int) -> Cells | None:
        """What a window holds of a side; None if it has given its results or is over."""
        open_ = self._find(window, passed)
        return None if open_ is None or open_.given else open_.sides[side]

    def _find(self, window: Window, passed: int) -> Open | None:
        """What a window holds; None if it is over."""
        if window.end + self._lateness <= passed and window.end != LATEST:
            return None
        open_ = self._windows.get(window)
        if open_ is None:
            check_length(self.assigner, window)
            open_ = self._windows[window] = Open(window, (self.held(), self.held()))
            self._next = min(self._next, window.end)
        return open_

    def _update(self, open_: Open, side: int, key: Any, item: Any) -> Results:
        """What comes of one more item in a window that has given its results."""
        window, form = open_.window, self.form
        held = [cells.find(key, []) for cells in open_.sides]
        ours, others = held[side], held[RIGHT - side]
        index = open_.panes.get(key, int(form.any(*held)))
        pane = Pane("late", index, index == 0, False)

        def given(ours: list[Any], others: list[Any], pane: Pane) -> Results:
            values = form.values(*((ours, others) if side == LEFT else (others, ours)))
            return windowed(((key, value) for value in values), window, pane)

        if form.pairs:
            if others and not ours:
                # They were given without a partner, and have one now.
                yield from given([], others, replace(pane, retracted=True))
            results = given([item], others, pane)
        else:
            results = given([*ours, item], list(others), pane)
        for some in results:
            if some:
                open_.panes[key] = index + 1
            yield some

    def complete(self, watermark: int) -> Results:
        if watermark < self._next:
            return
        due = [one for one in self._windows.values() if one.window.end <= watermark]
        for open_ in sorted(due, key=lambda one: (one.window.end, one.window.start)):
            over = open_.window.end + self._lateness <= watermark or watermark == LATEST
            if over:
                del self._windows[open_.window]
            if not open_.given:
                open_.given = True
                pane = Pane("on time", 0, True, False) if self._lateness else ONLY_PANE
                yield from self._results(open_, pane, over)
            if over:
                yield from self._forget(open_)
        self._next = min(map(self._due, self._windows.values()), default=LATEST)

    def _results(self, open_: Open, pane: Pane, over: bool) -> Results:
        """What comes of a window; `over` if no more comes to it."""
        for cells in open_.sides:
            for _ in cells.gather():
                yield []
        sides = open_.sides if over or self.form.pairs else _copies(open_.sides)
        yield from self.form.results(open_.window, sides, pane)

    def _forget(self, open_: Open) -> Results:
        """Let go of a window."""
        for cells in open_.sides:
            for _ in cells.gather():
                yield []
            yield from _freed(cells)

    def _due(self, open_: Open) -> int:
        return open_.window.end + (self._lateness if open_.given else 0)

    def live(self) -> int:
        return len(self._windows)

    def snapshot(self) -> Any:
        held = [
            (one.window, [dict(cells.everything()) for cells in one.sides], one.given, one.panes)
            for one in self._windows.values()
        ]
        return pickle.dumps(held)

    def changes(self) -> Changes:
        shared = []
        sections: dict[str, Pieces] = {}
        for one in self._windows.values():
            names = [f"{one.window.start}:{one.window.end}:{side}" for side in ("left", "right")]
            left, sections[names[LEFT]] = one.sides[LEFT].freeze()
            right, sections[names[RIGHT]] = one.sides[RIGHT].freeze()
            one.sides = left, right
            shared.append((one.window, names, one.given, dict(one.panes)))
        return Changes(shared, sections)

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            held = [
                (window, [self.held(state.sections[name]) for name in names], given, panes)
                for window, names, given, panes in state.shared
            ]
        else:
            held = [
                (window, [self.held(cells, changed=True) for cells in sides], given, panes)
                for window, sides, given, panes in pickle.loads(state)
            ]
        self._windows = {
            window: Open(window, (left, right), given, dict(panes))
            for window, (left, right), given, panes in held
        }
        self._next = min(map(self._due, self._windows.values()), default=LATEST)


def _add(cells: Cells, key: Any, item: Any) -> None:
    rows = cells.find(key)
    if rows is None:
        cells[key] = [item]
    else:
        rows.append(item)


def _add_all(items: list[Any], key: Key, cells: Cells) -> None:
    get = cells.get
    for item in items:
        of = key(item)
        rows = get(of)
        if rows is None and (rows := cells.recall(of)) is None:
            cells[of] = [item]
        else:
            rows.append(item)


def _copies(sides: tuple[Cells, Cells]) -> tuple[Cells, Cells]:
    """For results that are the lists themselves, to which items may yet come."""
    left, right = (
        Levels.changed({key: list(rows) for key, rows in cells.items()}) for cells in sides
    )
    return left, right


def _freed(cells: Cells) -> Results:
    """To free a million lists at once takes as long as to give them."""
    while len(cells) > AT_ONCE:
        for _ in range(AT_ONCE):
            cells.popitem()
        yield []
