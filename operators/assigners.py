"""Which windows an item belongs to, by its event time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from operators.checking import check_seconds
from reactive.windows import GLOBAL, MICROSECONDS, Window


def microseconds(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * MICROSECONDS)


class WindowAssigner(ABC):
    """Gives every item its windows. Subclass it, as a frozen dataclass, for windows of your own.

    With `merging`, windows of one key that overlap become one (sessions): `assign` gives each
    item a window of its own, and `merge` says which of the live ones belong together.
    """

    merging: ClassVar[bool] = False
    uses_time: ClassVar[bool] = True
    """Whether items must have an event time; otherwise `time` is 0 where they have none."""

    @abstractmethod
    def assign(self, item: Any, time: int) -> Sequence[Window]:
        """The windows of an item whose event time is `time`, in microseconds since 1970."""

    def merge(self, windows: Sequence[Window]) -> Sequence[Sequence[Window]]:
        """The groups of windows that become one each, out of these, which are sorted; the merged
        window spans its group. By default those that overlap."""
        groups: list[list[Window]] = []
        end = 0
        for window in windows:
            if groups and window.start < end:
                groups[-1].append(window)
                end = max(end, window.end)
            else:
                groups.append([window])
                end = window.end
        return groups


@dataclass(frozen=True)
class Tumbling(WindowAssigner):
    """Windows of `size` seconds, one after the other, the first beginning `offset` seconds after
    a multiple of `size` since 1970.

    ```python
    rx.Tumbling(60)
    ```
    """

    size: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_seconds("Tumbling", "a `size`", self.size)

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        size = microseconds(self.size)
        start = time - (time - microseconds(self.offset)) % size
        return (Window(start, start + size),)


@dataclass(frozen=True)
class Global(WindowAssigner):
    """One window over all time, which is complete when the stream is.

    ```python
    rx.Global()
    ```
    """

    uses_time: ClassVar[bool] = False

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        return (GLOBAL,)


@dataclass(frozen=True)
class Session(WindowAssigner):
    """Windows of activity: items of a key less than `gap` seconds apart are in one.

    ```python
    rx.Session(gap=30 * 60)
    ```
    """

    merging: ClassVar[bool] = True

    gap: float

    def __post_init__(self) -> None:
        check_seconds("Session", "a `gap`", self.gap)

    def assign(self, item: Any, time: int) -> Sequence[Window]:
        return (Window(time, time + microseconds(self.gap)),)
