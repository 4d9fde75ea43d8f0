"""Which windows an item belongs to, by its event time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from math import gcd
from typing import Any, ClassVar

from operators.checking import check_count, check_seconds
from reactive.fast_dataclasses import dataclass
from reactive.windows import GLOBAL, MICROSECONDS, Window


def microseconds(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * MICROSECONDS)


def check_span(operator: str, what: str, seconds: float) -> None:
    """Refuse a length that is none in microseconds, where the pipeline is described."""
    check_seconds(operator, what, seconds)
    if microseconds(seconds) < 1:
        raise ValueError(f"{operator} needs {what} of at least a microsecond, not {seconds}")


def check_offset(operator: str, seconds: float) -> None:
    """Refuse an offset that is no time, where the pipeline is described."""
    check_seconds(
        operator, "an `offset`", abs(seconds) if _is_number(seconds) else seconds, zero=True
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class WindowAssigner(ABC):
    """Gives every item its windows. Subclass it, as a frozen dataclass, for windows of your own.

    With `merging`, windows of one key that overlap become one (sessions): `assign` gives each
    item a window of its own, and `merge` says what the live ones become with it.

    ```python
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class UntilLogout(rx.WindowAssigner):
        merging = True

        def assign(self, item, time):
            return (rx.Window(time, time + (1 if item == "logout" else 600_000_000)),)
    ```
    """

    merging: ClassVar[bool] = False
    uses_time: ClassVar[bool] = True
    """Whether items must have an event time; otherwise `time` is 0 where they have none."""

    @abstractmethod
    def assign(self, item: Any, time: int) -> Sequence[Window]:
        """The windows of an item whose event time is `time`, in microseconds since 1970."""

    def merge(self, windows: Sequence[Window]) -> Iterable[tuple[Window, Sequence[Window]]]:
        """What these windows of one key, which are sorted, become: the new ones, each with those
        that it is made of. By default those that overlap become one, which spans them."""
        group: list[Window] = []
        end = 0
        for window in windows:
            if group and window.start >= end:
                yield Window(group[0].start, end), group
                group = []
            end = max(end, window.end) if group else window.end
            group.append(window)
        if group:
            yield Window(group[0].start, end), group

    def holds(self) -> str:
        """What of a key is live at one time, for `explain()`."""
        return "open windows"


class Tiling(WindowAssigner):
    """Windows of which every time is in exactly one, the same for all keys. A subclass says
    which; such windows are the fastest."""

    @abstractmethod
    def window(self, time: int) -> Window:
        """The window that `time` is in."""

    def due(self, watermark: int) -> int:
        """The first watermark above this one at which a window may end: any, where that cannot be
        told quickly of every time."""
        return watermark + 1

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        return (self.window(time),)


@dataclass(frozen=True)
class Tumbling(Tiling):
    """Windows of `size` seconds, one after the other, the first beginning `offset` seconds after
    a multiple of `size` since 1970.

    Every item is in one window. For days and months of a time zone see `Calendar`. `ValueError`
    for a size not above 0.

    ```python
    rx.Tumbling(60)
    ```
    """

    size: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_span("Tumbling", "a `size`", self.size)
        check_offset("Tumbling", self.offset)

    @cached_property
    def _microseconds(self) -> tuple[int, int]:
        return microseconds(self.size), microseconds(self.offset)

    def window(self, time: int) -> Window:
        size, offset = self._microseconds
        start = time - (time - offset) % size
        return Window(start, start + size)

    def due(self, watermark: int) -> int:
        return self.window(watermark).end


@dataclass(frozen=True)
class Sliding(WindowAssigner):
    """Windows of `size` seconds, a new one beginning `every` so many seconds, so that they
    overlap; one of them begins `offset` seconds after 1970.

    An item is in all windows that cover its time, `size / every` of them. The accumulators of
    overlapping windows are merged from pieces that they share, unless the order of the items
    counts, or there is a trigger or an allowed lateness. `ValueError` for a size or step not
    above 0, and for a step longer than the size, which would leave out what lies between.

    ```python
    rx.Sliding(60, every=10)
    ```
    """

    size: float
    every: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_span("Sliding", "a `size`", self.size)
        check_span("Sliding", "`every`, a step", self.every)
        check_offset("Sliding", self.offset)
        if self.every > self.size:
            raise ValueError(
                f"windows of {self.size} seconds every {self.every} leave out the items between "
                "them; `every` must not be longer than the `size`"
            )

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """The size, the step and the offset in microseconds."""
        return microseconds(self.size), microseconds(self.every), microseconds(self.offset)

    def pieces(self) -> Tumbling:
        """The longest windows of which every one of these consists."""
        size, every, _ = self.steps
        return Tumbling(gcd(size, every) / MICROSECONDS, self.offset)

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        size, every, offset = self.steps
        last = time - (time - offset) % every
        first = last - (size - 1 - (time - last)) // every * every
        return [Window(start, start + size) for start in range(first, last + 1, every)]

    def holds(self) -> str:
        return f"{-(-self.size // self.every):g} open windows or more"


@dataclass(frozen=True)
class Global(Tiling):
    """One window over all time, which is complete when the stream is.

    Items need no event time. Without a trigger the one result comes at the end.

    ```python
    rx.Global()
    ```
    """

    uses_time: ClassVar[bool] = False

    def window(self, time: int) -> Window:
        return GLOBAL

    def due(self, watermark: int) -> int:
        return GLOBAL.end

    def holds(self) -> str:
        return "one window, until the stream ends"


@dataclass(frozen=True)
class Session(WindowAssigner):
    """Windows of activity: items of a key less than `gap` seconds apart are in one.

    A window lasts from its first item to `gap` seconds after its last one. An item between two
    windows makes one of them. `ValueError` for a gap not above 0.

    ```python
    rx.Session(gap=30 * 60)
    ```
    """

    merging: ClassVar[bool] = True

    gap: float

    def __post_init__(self) -> None:
        check_span("Session", "a `gap`", self.gap)

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        return (Window(time, time + self.length),)

    @cached_property
    def length(self) -> int:
        """The gap in microseconds."""
        return microseconds(self.gap)

    def holds(self) -> str:
        return "open sessions"


@dataclass(frozen=True)
class Count:
    """Windows of `count` items of a key each, in the order in which they come; a new one begins
    with `every` so many items, by default when the one before it is full.

    They are not windows of event time, which the items need not have: there are no late items,
    triggers or panes. A result's `window` spans the times of its items (all time, where they have
    none), and its event time is that of its latest item, or the watermark where that has passed
    it. What the windows that are not full hold is given when the stream ends. `ValueError` for a
    count or step below 1, and for a step above the count, which would leave out what lies between.

    ```python
    rx.Count(100)
    ```
    """

    count: int
    every: int | None = None

    def __post_init__(self) -> None:
        check_count("Count", self.count, 1)
        if self.every is not None:
            check_count("Count (every)", self.every, 1)
            if self.every > self.count:
                raise ValueError(
                    f"windows of {self.count} items every {self.every} leave out the items "
                    "between them; `every` must not be above the count"
                )

    def holds(self) -> str:
        """What of a key is live at one time, for `explain()`."""
        if self.every is None or self.every == self.count:
            return "a window that is not full"
        return f"{-(-self.count // self.every):,} windows that are not full"
