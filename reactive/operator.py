"""The operator contracts. Use the weakest that works: inline, then step, then stage.

An operator is a blueprint: a frozen dataclass of parameters that does nothing when made and
pickles when its functions do. What a run needs to remember lives in the generated function of a
fused group, in a `Step` or in a `Stage`, made anew for every run.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.channel import Overflow
    from reactive.context import Context
    from reactive.endpoint import Source
    from reactive.fuse import Code
    from reactive.graph import Node

A = TypeVar("A")
B = TypeVar("B")


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """What a class is called in lower case, its words apart."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Holding(NamedTuple):
    """State that an operator holds while it runs, as `explain()` tells it."""

    what: str
    limit: str | None
    """How large it may grow, in words; None where nothing but the input bounds it."""
    fix: str = ""
    """What to add, for it to be bounded where the input is not."""
    input: int | None = None
    """The input that it is state of, if it is of one only."""


def kind_of_state(label: str, *parts: object) -> str:
    """What tells apart states that do not fit each other, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{label} of {', '.join(map(str, parts))}")


@dataclass(frozen=True)
class Operator:
    """Base of every operator blueprint."""

    vouches: ClassVar[bool] = False
    """Whether it says of its input that it ends by itself, where nothing else tells."""
    replays: ClassVar[bool] = False
    """Whether it can give again after a crash what came in, though upstream may not."""
    forgets: ClassVar[str] = ""
    """What it holds that no checkpoint keeps, so that it is lost when a run goes on."""
    begins_anew: ClassVar[bool] = False
    """Whether it may run what is before it again within a run, with nothing of what was held."""
    cuts: ClassVar[bool] = False
    """Whether it ends once it has had so many items, though its input may go on."""
    resumes: ClassVar[bool] = False
    """Whether the streams it makes at run time go on where they were in a run that goes on from a
    checkpoint. Those of others, and what they hold, begin anew."""
    listens: ClassVar[int | None] = None
    """The input, if there is one, that has to be listening before the others are opened: a source
    with what works item by item, read by this operator alone."""

    @property
    def label(self) -> str:
        """The name shown when the user gave none: the class name in snake case."""
        return snake_case(type(self).__name__)

    def details(self) -> dict[str, object]:
        """Bounds and policies, as `explain()` shows them."""
        return {}

    def holds(self, batch: bool) -> Sequence[Holding]:
        """The state it holds that grows with what comes, in that mode."""
        return ()

    @property
    def spills(self) -> bool:
        """Whether `Settings.state_memory` bounds what it holds in memory."""
        return False

    @property
    def drops(self) -> bool:
        """Whether it leaves items out because more came than there was time for."""
        return False

    @property
    def state_kind(self) -> str:
        """What the state of its runs is of. A run does not go on from a checkpoint in which an
        operator of the same name has another one."""
        return self.label

    def side_outputs(self) -> Sequence[Node]:
        """The side outputs that this operator feeds."""
        return ()

    def bounded(self, inputs: Sequence[bool]) -> bool:
        """Whether the output ends by itself, given which inputs do."""
        return all(inputs)

    def without_end(self, batch: bool) -> str | None:
        """What to do instead, if it gives nothing before its input has ended and could wait for
        ever; None where it can do with an input that never ends."""
        return None

    def nested(self) -> Sequence[Node]:
        """Graphs that this operator runs by itself, as often as it needs (retry, recover)."""
        return ()


@dataclass(frozen=True)
class SourceOperator(Operator):
    """Where items come in."""

    source: Source[Any]

    @property
    def label(self) -> str:
        return self.source.label

    def details(self) -> dict[str, object]:
        return self.source.details()

    def holds(self, batch: bool) -> Sequence[Holding]:
        return self.source.holds()

    def side_outputs(self) -> Sequence[Node]:
        return self.source.side_outputs()

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return self.source.bounded


@dataclass(frozen=True)
class SideOperator(Operator):
    """Where the items of a side output come out, in the run that has an operator feeding it."""

    title: str

    @property
    def label(self) -> str:
        return self.title


@dataclass(frozen=True)
class Inline(Operator, ABC):
    """Per-item code, pure or stateful, fused with its neighbours into one generated loop."""

    loops: ClassVar[int] = 0
    """How many inner loops its code opens."""
    binds: ClassVar[tuple[str, ...] | None] = None
    """The parameters that its code only binds, without looking at them, if all else that is
    written or bound follows from the others, which are plain values. Then groups that are made
    again and again need not be written again. Said by the very class that has the code."""

    @abstractmethod
    def emit(self, code: Code) -> None:
        """Write the code for one item; see `reactive.fuse.Code`."""

    def end(self, code: Code) -> str:
        """An expression for the iterable of items to give when the input ends, if overridden.
        Their event time is that of the item that came to this operator last, or of the last
        watermark if that is later, so that they are not late."""
        return "()"


class Step(Generic[A, B]):
    """Sync work on signals, chunk in and chunk out, called directly by its region.

    Methods append what they give to `out`; on an error, what is in `out` is delivered first.
    """

    deadline: float | None = None
    """Loop time at which `on_timer` is wanted; only for operators with `timed`."""
    done: bool = False
    """Set when nothing will come out any more, so that the input can be closed."""
    whole: ClassVar[bool] = False
    """Whether it needs chunks as they come, however long they take it. By default it gets pieces
    of them, small enough to be fair to the loop."""
    busy: bool = False
    """Set while there is more to give without new input: `resume` is called until it is not."""

    def on_chunk(self, chunk: Chunk[A], out: list[Signal[B]]) -> None:
        """Handle items."""
        raise NotImplementedError

    def on_watermark(self, watermark: Watermark, out: list[Signal[B]]) -> None:
        """Handle the progress of event time; by default it is passed on."""
        out.append(watermark)

    def due(self, watermark: int) -> int:
        """The first watermark above this one that has to come in its place among the items: by
        default every one. Those below it may come behind items that followed them, the last of
        them for all, or not at all where the stream ends or fails among those items: where they
        come changes nothing that this step gives."""
        return watermark + 1

    def leads_to(self, step: Step[Any, Any]) -> None:
        """What this step gives goes to that one, directly: told before the first signal."""

    def on_timer(self, now: float, out: list[Signal[B]]) -> None:
        """Loop time reached `deadline`. Set a later one or None."""

    def on_end(self, out: list[Signal[B]]) -> None:
        """The input ended well: give what is left. A step that stays `busy` here sets `done`
        once it has given everything."""

    def resume(self, out: list[Signal[B]]) -> None:
        """Give more of what an earlier call left over."""

    def close(self) -> None:
        """Release what it holds. Called at least once, whether or not the input ended."""

    def snapshot(self) -> Any:
        """A picklable copy of the state between two chunks."""
        return None

    def changes(self) -> Any:
        """What checkpoints keep: a snapshot, or where much is held by key, the changes since the
        last time (`reactive.levels.Changes`); what all of them amount to is given to `restore`
        (`reactive.levels.Kept`)."""
        return self.snapshot()

    def restore(self, state: Any) -> None:
        """Continue from a snapshot; called before the first signal."""


@dataclass(frozen=True)
class Stepwise(Operator, ABC):
    """An operator whose work is a `Step`."""

    timed: ClassVar[bool] = False
    """Whether steps ask for timers; their input is then an edge, so that waiting can end early."""

    @abstractmethod
    def step(self, context: Context) -> Step[Any, Any]:
        """A new step for one run."""


class Puller(Protocol[B]):
    """Whatever signals can be pulled from: a source, a chain, a stage, an edge."""

    async def open(self) -> None:
        """Get ready; called once, before the first read."""
        ...

    async def read(self) -> Signal[B] | None:
        """The next signal; None at the end. Never called again after the end or an error."""
        ...

    async def close(self) -> None:
        """Release everything. Safe to call at any time and again."""
        ...


class Stage(ABC, Generic[B]):
    """Async work on one or more inputs, pulled by its region.

    `inputs` are set before `open`. In a concurrent stage they are edges (`Edge`), which can be
    polled without waiting; otherwise any puller, opened by the stage when it first needs it.
    """

    inputs: Sequence[Puller[Any]] = ()

    async def open(self) -> None:
        """Get ready."""

    @abstractmethod
    async def read(self) -> Signal[B] | None:
        """The next signal; None at the end."""

    async def close(self) -> None:
        """Release everything of its own. The inputs are closed by the region."""

    def snapshot(self) -> Any:
        """A picklable copy of the state at a barrier, when nothing is in flight."""
        return None

    def changes(self) -> Any:
        """As `Step.changes`."""
        return self.snapshot()

    def restore(self, state: Any) -> None:
        """Continue from a snapshot; called before `open`."""

    def committed(self, epoch: int) -> None:
        """The checkpoint of a barrier that was given is durable, and no run will continue an
        earlier one: the moment to let go of what only those need. It must not wait."""


@dataclass(frozen=True)
class Staged(Operator, ABC):
    """An operator whose work is a `Stage`."""

    concurrent: ClassVar[bool] = True
    """Whether the inputs run beside the stage (then each arrives over a bounded edge) or are
    pulled by it, one at a time, in its own task."""
    simple: ClassVar[bool] = False
    """Whether it pulls a single input, and runs no other stream, so that inner streams with it
    need no plan."""

    def edge_limit(self) -> int | None:
        """The most items waiting on each input edge; None for the run's setting."""
        return None

    @abstractmethod
    def stage(self, context: Context) -> Stage[Any]:
        """A new stage for one run."""


@dataclass(frozen=True)
class Buffered(Operator):
    """An edge that the user asked for, with its limit and overflow policy."""

    limit: int
    overflow: Overflow
    in_bytes: bool = False
    discarded: Node | None = None

    @property
    def label(self) -> str:
        return "buffer"

    def details(self) -> dict[str, object]:
        unit = "bytes" if self.in_bytes else "items"
        return {"limit": f"{self.limit} {unit}", "overflow": self.overflow}

    @property
    def spills(self) -> bool:
        """Whether `Settings.state_memory` bounds what it holds in memory."""
        return False

    @property
    def drops(self) -> bool:
        return self.overflow not in ("backpressure", "fail")

    def side_outputs(self) -> Sequence[Node]:
        return () if self.discarded is None else (self.discarded,)
