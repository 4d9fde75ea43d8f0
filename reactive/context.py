"""What a run tells each of its parts: settings, names, counters, and where to report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactive.graph import Location
    from reactive.metrics import Meter


@dataclass(frozen=True, slots=True)
class Settings:
    """The bounds of one run.

    `chunk` is the most items handed on at once; `edge` the most items waiting on an edge between
    regions; `slice_seconds` how long a pipeline may hold the event loop before it lets others in.
    """

    chunk: int = 1024
    edge: int = 1024
    slice_seconds: float = 0.002

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.edge < 1:
            raise ValueError("chunk and edge must be at least 1 item")
        if self.slice_seconds <= 0:
            raise ValueError("slice_seconds must be above 0 seconds")


@dataclass(frozen=True, slots=True)
class Context:
    """Given to every reader, writer, step and stage of a run when it is made."""

    name: str
    location: Location | None
    settings: Settings
    meter: Meter
    run: Any

    def where(self) -> str:
        """The operator and the line that defined it, for messages."""
        return self.name if self.location is None else f"{self.name} ({self.location})"
