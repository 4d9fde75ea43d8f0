"""What a run tells each of its parts: settings, names, counters, and where to report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactive.graph import Location, Node
    from reactive.metrics import Meter
    from reactive.operator import Puller
    from reactive.region import Region


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
    region: Region | None = None

    def where(self) -> str:
        """The operator and the line that defined it, for messages."""
        return self.name if self.location is None else f"{self.name} ({self.location})"

    def side(self, node: Node) -> Callable[[Any], None]:
        """How to send an item to a side output; it leaves with the next `flush`, which chains do
        by themselves and stages and readers do after sending."""
        if self.region is None:
            raise RuntimeError("side outputs need a run")
        return self.region.side(node, self)

    async def flush(self) -> None:
        """Hand on what was sent to side outputs, waiting for room there."""
        if self.region is not None and self.region.unsent:
            await self.region.flush()

    def nested(self, node: Node) -> Puller[Any]:
        """A run of another graph inside this operator, to be opened, read and closed by it."""
        if self.region is None:
            raise RuntimeError("nested runs need a run")
        return self.region.nested(node, self)

    def stopping(self) -> bool:
        """Whether the run was asked to take no more from outside."""
        return self.region is not None and self.region.execution.stopping

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the run is asked to take no more; False if it was."""
        if self.region is None:
            raise RuntimeError("pauses need a run")
        return await self.region.execution.pause(seconds)

    def overdue(self) -> bool:
        """Whether this run has held the event loop for long enough: `await asyncio.sleep(0)`."""
        return self.region is not None and self.region.execution.fairness.overdue()
