"""What a run tells each of its parts: settings, names, counters, and where to report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.graph import Location, Node
    from reactive.metrics import Meter
    from reactive.operator import Puller
    from reactive.region import Region
    from reactive.signals import Barrier


Mode: TypeAlias = Literal["auto", "stream", "batch"]


def check_mode(mode: object) -> None:
    """Refuse what is no mode, with those that are."""
    if mode not in get_args(Mode):
        known = ", ".join(map(repr, get_args(Mode)))
        raise ValueError(f"mode must be one of {known}, not {mode!r}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The bounds of one run, and its mode.

    `chunk` is the most items handed on at once; `edge` the most items waiting on an edge between
    regions, which in a run with checkpoints hold no more than is taken in a twentieth of a second,
    so that these do not wait for long; `slice_seconds` how long a pipeline may hold the event loop
    before it lets others in.
    `mode` is `"stream"`, where windows give results as event time goes on; `"batch"`, where all
    input ends, windows give one final result each, at the end, and nothing is late; or `"auto"`:
    batch when every source ends by itself, else stream.
    What takes in its whole input (`sort`, `group`) holds up to `memory` bytes of it, each, and puts
    the rest into `spill_directory`, by default that of the system for temporary files.

    `state_memory` is about how many bytes of state each keyed handler (`process`, `deduplicate`,
    `scan`, `match` of keyed streams), each aggregate of windows of keys and each join in windows
    holds in memory; None is without limit. What keys have that were not used for longest is then
    in a file in `spill_directory`, which is gone when the run is over, and comes back when an item
    or a timer of theirs does, or their window ends; states and keys have to pickle. How much memory
    a key takes is an estimate, from the pickles of those seen lately, and the disk is read and
    written between items, in the event loop, a few dozen keys at a time. Results are the same;
    those of one window come in another order of keys. What does not go to disk: timers, tables,
    joins over an interval, windows whose trigger looks at the clock, and those with a `timestamp`
    other than their end, what a handler holds in batch until all input is there, and what a
    checkpoint is still to save of keys that have changed since. Going on from a checkpoint needs
    memory for all of it for a moment.
    """

    chunk: int = 1024
    edge: int = 1024
    slice_seconds: float = 0.002
    mode: Mode = "auto"
    memory: int = 128 * 1024 * 1024
    spill_directory: str | None = None
    state_memory: int | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.memory < 1:
            raise ValueError("memory must be at least 1 byte")
        if self.state_memory is not None and self.state_memory < 1:
            raise ValueError("state_memory must be at least 1 byte, or None for no limit")
        if self.chunk < 1 or self.edge < 1:
            raise ValueError("chunk and edge must be at least 1 item")
        if self.slice_seconds <= 0:
            raise ValueError("slice_seconds must be above 0 seconds")


def with_mode(settings: Settings | None, mode: Mode | None) -> Settings:
    """The settings of a run, where `mode`, if given, goes before theirs."""
    settings = settings or Settings()
    return settings if mode in (None, settings.mode) else replace(settings, mode=mode)


@dataclass(frozen=True, slots=True)
class Context:
    """Given to every reader, writer, step and stage of a run when it is made."""

    name: str
    location: Location | None
    settings: Settings
    meter: Meter
    region: Region | None = None

    @property
    def batch(self) -> bool:
        """Whether the run is in batch: all input ends, and windows give their results then."""
        return self.settings.mode == "batch"

    @property
    def checkpoints(self) -> bool:
        """Whether the run takes checkpoints, so that `Writer.recover` comes after `open`."""
        return self.region is not None and self.region.execution.coordinator is not None

    @property
    def keeps_changes(self) -> bool:
        """Whether the run asks operators for changes at barriers. Those that hold much by key need
        not note what has changed where it does not."""
        return self.region is None or self.region.keeps_changes

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

    async def pause(self, until: float) -> Barrier | None:
        """Wait until that loop time, or until the run is asked to take no more. A barrier comes
        back at once where a checkpoint is under way that has not passed this operator: it has no
        source open that could give it."""
        if self.region is None:
            raise RuntimeError("pauses need a run")
        return await self.region.execution.pause(until, self.name)

    def ask_for_commit(self, within: float | None = None) -> None:
        """Somebody waits for what was given so far to be committed: begin the next checkpoint in
        so many seconds at the latest. `Reader.committed` tells when it is. `PlanError` where
        nothing is ever committed; None only looks whether it is."""
        coordinator = None if self.region is None else self.region.execution.coordinator
        if coordinator is None:
            raise PlanError(
                f"{self.where()} answers when items are committed, and nothing is committed here: "
                "run it as a job with checkpoints, "
                'rx.run(job, checkpoint=rx.Checkpoint("state.db")), and not within flat_map or '
                "another operator that waits for its inner streams to end"
            )
        if within is not None:
            coordinator.ask(within)

    def overdue(self) -> bool:
        """Whether this run has held the event loop for long enough: `await asyncio.sleep(0)`."""
        return self.region is not None and self.region.execution.fairness.overdue()
