"""What windowed joins hold, and what comes of it, whatever kind their windows are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from operators.assigners import WindowAssigner
from operators.keeping import Keeping
from operators.sides import AT_ONCE, LEFT, RIGHT, Key
from reactive.fast_dataclasses import dataclass
from reactive.levels import Changes, Levels
from reactive.windows import Pane, Window, Windowed

if TYPE_CHECKING:
    from operators.window_joins import WindowJoin

T = TypeVar("T")

Cells: TypeAlias = Levels[Any]
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
            yield from windowed(made, window, pane)
        if self.pairs and not self.keeps[RIGHT]:
            return
        for some in batched(right.items()):
            yield from windowed(
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


def windowed(pairs: Iterator[tuple[Any, Any]], window: Window, pane: Pane) -> Results:
    """Results of pairs of keys and values."""
    while some := [
        _make(Windowed, (key, window, value, pane)) for key, value in islice(pairs, AT_ONCE)
    ]:
        yield some
    yield []


class JoinedWindows(Keeping, ABC):
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
    def changes(self) -> Changes:
        """What has changed since the last time."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go on from a snapshot, or from what all changes amount to."""


def check_length(assigner: WindowAssigner, window: Window) -> None:
    """Refuse a window that nothing could be in."""
    if window.end <= window.start:
        raise ValueError(f"{assigner!r} gave {window!r}, which has no length")
