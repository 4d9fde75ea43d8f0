"""The work of windowed joins: the items of two inputs by window and key, and what comes of them."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import islice, product
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from operators.assigners import Global, Tiling, WindowAssigner, microseconds
from operators.sides import AT_ONCE, LEFT, ONLY_IN_STREAM, RIGHT, Given, Key, Sides, kept
from reactive.graph import Node
from reactive.operator import Holding, Stage, Staged, kind_of_state
from reactive.signals import Chunk, Control
from reactive.windows import LATEST, ONLY_PANE, Pane, Window, Windowed

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")

Cells: TypeAlias = dict[Any, list[Any]]
"""The items of one side and window by key."""
Results: TypeAlias = Iterator[list[Windowed[Any, Any]]]
"""Results a few at a time; an empty list is a place to let others run."""

_NOBODY = (None,)
_make = tuple.__new__


@dataclass(frozen=True)
class Form:
    """What comes of the items of a key in a window: `pairs`, or both lists at once; and which
    items are given without a partner."""

    pairs: bool
    keeps: tuple[bool, bool]

    def values(self, left: list[Any], right: list[Any]) -> Iterable[Any]:
        """What comes of these items of one key."""
        if not self.pairs:
            return ((left, right),)
        if left and right:
            return product(left, right)
        if left:
            return product(left, _NOBODY) if self.keeps[LEFT] else ()
        return product(_NOBODY, right) if self.keeps[RIGHT] else ()

    def results(self, window: Window, sides: tuple[Cells, Cells], pane: Pane) -> Results:
        """What comes of all that a window holds: by the keys of the left in the order in which
        they came, then by those that only the right has."""
        values, (left, right) = self.values, sides
        nobody = _NOBODY if self.keeps[LEFT] else ()
        for some in batched(left.items()):
            if self.pairs:
                # What `values` would say, without a call for each key.
                made = (
                    (key, value)
                    for key, rows in some
                    for value in product(rows, right.get(key, nobody))
                )
            else:
                made = ((key, (rows, right.get(key, []))) for key, rows in some)
            yield from _windowed(made, window, pane)
        if self.pairs and not self.keeps[RIGHT]:
            return
        for some in batched(right.items()):
            yield from _windowed(
                ((key, v) for key, rows in some if key not in left for v in values([], rows)),
                window,
                pane,
            )

    def any(self, left: list[Any], right: list[Any]) -> bool:
        """Whether anything comes of a key that has these."""
        if not self.pairs or (left and right):
            return bool(left or right)
        return self.keeps[LEFT if left else RIGHT] and bool(left or right)


def batched(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, so many at once that they do not hold the event loop."""
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _windowed(pairs: Iterator[tuple[Any, Any]], window: Window, pane: Pane) -> Results:
    """Results of pairs of keys and values."""
    while some := [
        _make(Windowed, (key, window, value, pane)) for key, value in islice(pairs, AT_ONCE)
    ]:
        yield some
    yield []


@dataclass(frozen=True)
class WindowJoin(Staged):
    """`join` and `cogroup` in windows."""

    left: Key
    right: Key
    assigner: WindowAssigner
    how: str
    allowed_lateness: float
    late: Node | None
    operator: str = "join"

    @property
    def label(self) -> str:
        return self.operator

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {} if self.operator == "cogroup" else {"how": self.how}
        shown["windows"] = self.assigner
        if self.allowed_lateness:
            shown["allowed lateness"] = f"{self.allowed_lateness:g} s"
        return shown

    def holds(self, batch: bool) -> Sequence[Holding]:
        late = f"{self.allowed_lateness:g} s past its end"
        closes = late if self.allowed_lateness else "past its end"
        limit = None if batch else f"a window is let go when the watermark is {closes}"
        what = f"for each key, all items of both sides of {self.assigner.holds()}"
        return [Holding(what, limit)]

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def without_end(self, batch: bool) -> str | None:
        if not isinstance(self.assigner, Global):
            return ONLY_IN_STREAM if batch else None
        return (
            f"give it windows ({self.operator}(..., window=rx.Tumbling(60))), join within an "
            "interval (interval_join(..., before=5, after=5)), make tables of what is updated "
            "(.table(limit=100_000)) and join or look up those"
        )

    @property
    def state_kind(self) -> str:
        return kind_of_state(self.label, self.how, self.assigner)

    def form(self) -> Form:
        """What comes of a window."""
        return Form(self.operator == "join", kept(self.how))

    def stage(self, context: Context) -> Stage[Any]:
        return _WindowJoinStage(self, context)


class _WindowJoinStage(Sides):
    def __init__(self, operator: WindowJoin, context: Context) -> None:
        super().__init__(context, operator.left, operator.right, operator.late)
        self._uses_time = operator.assigner.uses_time
        self._timed = True
        kind = _Merging if operator.assigner.merging else _Shared
        self._windows: _Windows = kind(operator, self.refuse)
        context.meter.gauges["windows"] = self._windows.live

    def hold(self) -> Any:
        return super().hold(), self._timed, self._windows.snapshot()

    def go_on(self, state: Any) -> None:
        sides, self._timed, windows = state
        super().go_on(sides)
        self._windows.restore(windows)

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        self._timed = self._timed and chunk.times is not None
        times = self.times_of(side, chunk) if self._uses_time else [0] * len(chunk.items)
        taking = self._windows.take(side, self.keys[side], chunk.items, times, self.passed(side))
        yield from self._given(taking)

    def pass_on(self, signal: Control) -> Given:
        yield from self._given(self._windows.complete(self.watermark))
        yield signal

    def finish(self) -> Given:
        return self._given(self._windows.complete(LATEST))

    def _given(self, results: Results) -> Given:
        """Results in chunks that are worth handing on."""
        items: list[Any] = []
        times: list[int] = []
        try:
            for some in results:
                if not some:
                    yield None
                    continue
                items += some
                times += [some[0].window.end - 1] * len(some)
                if len(items) >= AT_ONCE:
                    given, items, stamps, times = items, [], times, []
                    yield Chunk(given, stamps if self._timed else None)
        except Exception:
            if items:
                yield Chunk(items, times if self._timed else None)
            raise
        if items:
            yield Chunk(items, times if self._timed else None)


class _Windows(ABC):
    """The windows of both sides in one run."""

    def __init__(self, operator: WindowJoin, refuse: Callable[[Any], None]) -> None:
        self.assigner = operator.assigner
        self.form = operator.form()
        self.refuse = refuse

    @abstractmethod
    def take(self, side: int, key: Key, items: list[Any], times: list[int], passed: int) -> Results:
        """Take items of one side, which has `passed` so much; give what comes of late ones."""

    @abstractmethod
    def complete(self, watermark: int) -> Results:
        """Give what comes of the windows that end by then."""

    @abstractmethod
    def live(self) -> int:
        """How many windows are held."""

    @abstractmethod
    def snapshot(self) -> Any:
        """A picklable copy of what is held."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""


def _check_length(assigner: WindowAssigner, window: Window) -> None:
    """Refuse a window that nothing could be in."""
    if window.end <= window.start:
        raise ValueError(f"{assigner!r} gave {window!r}, which has no length")


@dataclass(slots=True)
class _Open:
    """What one window holds, and how many panes each key was given since its end."""

    window: Window
    sides: tuple[Cells, Cells] = field(default_factory=lambda: ({}, {}))
    given: bool = False
    panes: dict[Any, int] = field(default_factory=dict)


class _Shared(_Windows):
    """Windows that are the same for all keys. Where the times of a chunk fall in one, it is found
    once."""

    def __init__(self, operator: WindowJoin, refuse: Callable[[Any], None]) -> None:
        super().__init__(operator, refuse)
        self._lateness = microseconds(operator.allowed_lateness)
        self._tiling = self.assigner if isinstance(self.assigner, Tiling) else None
        self._windows: dict[Window, _Open] = {}
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
                if of in cells:
                    cells[of].append(item)
                else:
                    cells[of] = [item]

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
            of = key(item)
            if of in cells:
                cells[of].append(item)
            else:
                cells[of] = [item]
        return others

    def _cells(self, window: Window, side: int, passed: int) -> Cells | None:
        """What a window holds of a side; None if it has given its results or is over."""
        open_ = self._find(window, passed)
        return None if open_ is None or open_.given else open_.sides[side]

    def _find(self, window: Window, passed: int) -> _Open | None:
        """What a window holds; None if it is over."""
        if window.end + self._lateness <= passed and window.end != LATEST:
            return None
        open_ = self._windows.get(window)
        if open_ is None:
            _check_length(self.assigner, window)
            open_ = self._windows[window] = _Open(window)
            self._next = min(self._next, window.end)
        return open_

    def _update(self, open_: _Open, side: int, key: Any, item: Any) -> Results:
        """What comes of one more item in a window that has given its results."""
        window, form = open_.window, self.form
        held = [cells.get(key, []) for cells in open_.sides]
        ours, others = held[side], held[RIGHT - side]
        index = open_.panes.get(key, int(form.any(*held)))
        pane = Pane("late", index, index == 0, False)

        def given(ours: list[Any], others: list[Any], pane: Pane) -> Results:
            values = form.values(*((ours, others) if side == LEFT else (others, ours)))
            return _windowed(((key, value) for value in values), window, pane)

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
                sides = open_.sides if over or self.form.pairs else _copies(open_.sides)
                yield from self.form.results(open_.window, sides, pane)
            if over:
                for cells in open_.sides:
                    yield from _freed(cells)
        self._next = min(map(self._due, self._windows.values()), default=LATEST)

    def _due(self, open_: _Open) -> int:
        return open_.window.end + (self._lateness if open_.given else 0)

    def live(self) -> int:
        return len(self._windows)

    def snapshot(self) -> Any:
        return pickle.dumps(list(self._windows.values()))

    def restore(self, state: Any) -> None:
        self._windows = {one.window: one for one in pickle.loads(state)}
        self._next = min(map(self._due, self._windows.values()), default=LATEST)


def _add_all(items: list[Any], key: Key, cells: Cells) -> None:
    get = cells.get
    for item in items:
        of = key(item)
        rows = get(of)
        if rows is None:
            cells[of] = [item]
        else:
            rows.append(item)


def _copies(sides: tuple[Cells, Cells]) -> tuple[Cells, Cells]:
    """For results that are the lists themselves, to which items may yet come."""
    left, right = ({key: list(rows) for key, rows in cells.items()} for cells in sides)
    return left, right


def _freed(cells: Cells) -> Results:
    """To free a million lists at once takes as long as to give them."""
    while len(cells) > AT_ONCE:
        for _ in range(AT_ONCE):
            cells.popitem()
        yield []


@dataclass(slots=True, eq=False)
class _Part:
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


class _Merging(_Windows):
    """Windows that each key has of its own, and that become one where they overlap."""

    def __init__(self, operator: WindowJoin, refuse: Callable[[Any], None]) -> None:
        super().__init__(operator, refuse)
        self._overlapping = type(self.assigner).merge is WindowAssigner.merge
        self._live: dict[Any, list[_Part]] = {}
        self._ends: list[tuple[int, int, _Part]] = []
        self._order = 0
        self._numbers = [0, 0]

    def take(self, side: int, key: Key, items: list[Any], times: list[int], passed: int) -> Results:
        assign = self.assigner.assign
        for item, time in zip(items, times, strict=True):
            of = key(item)
            number = self._numbers[side] = self._numbers[side] + 1
            late = True
            for window in assign(item, time):
                _check_length(self.assigner, window)
                part = self._part(of, window, passed)
                if part is not None:
                    late = False
                    part.sides[side].append((number, item))
            if late:
                self.refuse(item)
        yield []

    def _part(self, of: Any, window: Window, passed: int) -> _Part | None:
        """Where an item of a new window belongs; None if that is over."""
        parts = self._live.get(of, [])
        whole, joined = window, []
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

    def _grown(self, key: Any, whole: Window, joined: list[_Part]) -> _Part:
        """A window that takes the place of several, or is new."""
        live = self._live.setdefault(key, [])
        part, *others = joined or [_Part(key, whole)]
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

    def _remember(self, part: _Part) -> None:
        part.due = part.window.end
        self._order += 1
        heappush(self._ends, (part.due, self._order, part))

    def complete(self, watermark: int) -> Results:
        done: list[_Part] = []
        looked = 0
        while self._ends and self._ends[0][0] <= watermark:
            due, _, part = heappop(self._ends)
            if not part.gone and due == part.due:
                if part.window.end > watermark:
                    self._remember(part)
                else:
                    self._forget(part)
                    done.append(part)
            looked += 1
            if not looked % AT_ONCE:
                yield []
        done.sort(key=_Part.place)
        for part in done:
            yield from self._results(part)

    def _forget(self, part: _Part) -> None:
        part.gone = True
        parts = self._live[part.key]
        parts.remove(part)
        if not parts:
            del self._live[part.key]

    def _results(self, part: _Part) -> Results:
        left, right = ([item for _, item in sorted(rows, key=itemgetter(0))] for rows in part.sides)
        values = self.form.values(left, right)
        return _windowed(((part.key, value) for value in values), part.window, ONLY_PANE)

    def live(self) -> int:
        return sum(map(len, self._live.values()))

    def snapshot(self) -> Any:
        held = [part for parts in self._live.values() for part in parts]
        return list(self._numbers), pickle.dumps(held)

    def restore(self, state: Any) -> None:
        numbers, held = state
        self._numbers = list(numbers)
        for part in pickle.loads(held):
            self._live.setdefault(part.key, []).append(part)
            self._order += 1
            self._ends.append((part.due, self._order, part))
        heapify(self._ends)
