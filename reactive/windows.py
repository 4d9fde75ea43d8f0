"""Windows of event time, and what comes out of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from reactive.fast_dataclasses import dataclass

K_co = TypeVar("K_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)

MICROSECONDS: Final = 1_000_000
"""In a second: event times are whole microseconds since 1970, in UTC."""
EARLIEST: Final = -(2**63)
LATEST: Final = 2**63 - 1

Timing: TypeAlias = Literal["early", "on time", "late"]


class Window(NamedTuple):
    """A span of event time, from `start` up to but without `end`, in microseconds since 1970."""

    start: int
    end: int

    @property
    def begins(self) -> datetime:
        """The start as a datetime in UTC."""
        return datetime.fromtimestamp(self.start / MICROSECONDS, UTC)

    @property
    def ends(self) -> datetime:
        """The end as a datetime in UTC."""
        return datetime.fromtimestamp(self.end / MICROSECONDS, UTC)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / MICROSECONDS

    def __str__(self) -> str:
        if self == GLOBAL:
            return "all time"
        return f"{self.begins.isoformat()} to {self.ends.isoformat()}"


GLOBAL: Final = Window(EARLIEST, LATEST)
"""The one window over all time."""


@dataclass(frozen=True, slots=True)
class Pane:
    """Which of a window's results this is: before, at or after the watermark passed its end; the
    how manieth, from 0; and whether it was the first, and is known to be the last."""

    timing: Timing = "on time"
    index: int = 0
    first: bool = True
    last: bool = True
    retracted: bool = False
    """Whether it takes back what an earlier pane said, under `accumulation="retracting"`."""


ONLY_PANE: Final = Pane()
"""The pane of a window that gives one result, on time."""


class Windowed(NamedTuple, Generic[K_co, V_co]):
    """A result of one window, for one key (None without `key_by`)."""

    key: K_co
    window: Window
    value: V_co
    pane: Pane = ONLY_PANE
