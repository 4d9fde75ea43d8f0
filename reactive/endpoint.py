"""The contracts at both ends of a pipeline: sources with their readers, sinks with their writers.

A `Source` or `Sink` is a blueprint: a frozen dataclass of parameters that does nothing when made.
A run asks it for a `Reader` or `Writer`, which holds the run's state and does the I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from reactive.errors import PlanError

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node
    from reactive.operator import Holding
    from reactive.signals import Chunk, Signal

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


Replayed: TypeAlias = Literal["repeated", "idempotent", "transactional"]


class Extent(NamedTuple):
    """How much was read, and of how much: None where that is not known."""

    done: int
    total: int | None
    unit: Literal["bytes", "items"]


class Reader(ABC, Generic[T]):
    """One run's reading of a source. All methods are called from one task, never overlapping,
    except `stop`, which is called from any task of the same loop."""

    any_sequence: bool = False
    """Set before `open` where a chunk's items may be any sequence instead of a list, because a
    fused loop goes over them once and they go no further. A reader may make use of it."""

    async def open(self) -> None:
        """Acquire what reading needs (files, sockets). The first I/O happens here, not before."""

    @abstractmethod
    async def read(self, limit: int) -> Signal[T] | None:
        """Give what is available now: a chunk of 1 to `limit` items, a control signal, or `None`
        at the end, after which it is not called again.

        Waits while there is nothing, never for more than there is. It may be cancelled at any
        await; what was taken from the outside by then must not be lost to the next call. An error
        in the middle of a chunk: give the good items first and raise on the next call. Work that
        holds the event loop is kept to about a millisecond a call.
        """

    def stop(self) -> bool:
        """Take no more from outside (a drain was asked for).

        Return True if `read` will give what was already accepted and then `None` by itself. The
        default, False, lets the executor interrupt a waiting `read` and end the stream there.
        """
        return False

    def extent(self) -> Extent | None:
        """How much of the source was read, for those who wait for the end; None if it can only be
        told in items given. Asked now and then while `read` waits, and only after `open`."""
        return None

    def position(self) -> Any:
        """Where the next `read` starts: a small picklable value, or None if it cannot be told."""
        return None

    async def seek(self, position: Any) -> None:
        """Start the first `read` at `position`, as an earlier reader gave it. Called after
        `open`, before `read`."""
        raise NotImplementedError(f"{type(self).__qualname__} cannot seek")

    def committed(self, position: Any) -> None:
        """Everything before `position`, as this reader gave it, is durable at every sink: the
        moment to answer those who wait for that. Called while other methods may be waiting; it
        must not wait itself."""

    async def close(self) -> None:
        """Release everything. Called exactly once if `open` was called, even if that failed or
        was cancelled, and it must then not fail for lack of it."""


class Source(ABC, Generic[T_co]):
    """The blueprint of an input."""

    @property
    def bounded(self) -> bool:
        """Whether it ends by itself."""
        return False

    @property
    def replayable(self) -> bool:
        """Whether its readers can `seek` to an earlier position."""
        return False

    @property
    def acknowledges(self) -> bool:
        """Whether those who send are told when their items are committed, and send again what
        they were not told of."""
        return False

    @property
    def repeats(self) -> str:
        """Where it acknowledges: what becomes of what is sent again, for `explain()`."""
        return "recognised"

    @property
    def replay_fix(self) -> str:
        """Where it does neither: what to add, so that no crash loses anything."""
        return '.journal("folder") right behind it'

    @property
    def label(self) -> str:
        """The default operator name, such as `read_lines`."""
        return type(self).__name__.lower()

    def details(self) -> dict[str, object]:
        """What `explain()` shows beside the name: bounds, policies, addresses."""
        return {}

    def holds(self) -> Sequence[Holding]:
        """The state it holds that grows with what comes, for `explain()`."""
        return ()

    def side_outputs(self) -> Sequence[Node]:
        """The side outputs that its readers feed through `context.side(node)`."""
        return ()

    def after(self, history: Source[Any]) -> Source[Any]:
        """A source that gives what `history` gives and then goes on with this one, from where that
        ended: what `history.then(live)` reads.

        Override it where that can be done with neither a gap nor a duplicate: return
        `rx.Sequel(history, self)` where readers of this source can `seek` to the `position` that
        readers of `history` end at. Raise `PlanError`, saying what to do instead, for any other
        history.
        """
        raise PlanError(
            f"then: {self.label!r} cannot go on where {history.label!r} ends, since it knows no "
            "positions there. Say what the two have in common: .then(live, sequence=fn) with a "
            "number that rises, or .then(live, key=fn) with what tells items apart, which have "
            "`live` listen first and leave out what both give; or .then(fn) with a function that "
            "makes the live stream from the last item"
        )

    @abstractmethod
    def reader(self, context: Context) -> Reader[T_co]:
        """A new reader for one run. No I/O here."""


class Writer(ABC, Generic[T]):
    """One run's writing to a sink. Methods are called from one task, never overlapping."""

    async def open(self) -> None:
        """Acquire what writing needs."""

    @abstractmethod
    async def write(self, chunk: Chunk[T]) -> None:
        """Take all items of the chunk and hand them on (nothing lingers in a private buffer: a
        chunk is already what was available together); return when there is room for more."""

    async def finish(self) -> None:
        """The input ended well: make the output final (flush, rename into place). In a run with
        checkpoints, a last epoch was committed before, with all of it, and this may be called
        again in a later run that continues after it."""

    def position(self) -> Any:
        """How far the output is durable, for reports; None if it cannot be told."""
        return None

    async def recover(self, epoch: int, token: Any) -> None:
        """Continue what an earlier run wrote, which has committed `epoch` last, with the token
        that `prepare` gave; 0 and None where it has committed none. Called in every run with
        checkpoints, after `open` and before the first `write`. That epoch may not be visible yet:
        it becomes so now. What was written or prepared after it will come again: it is discarded.
        """
        if epoch:
            await self.commit(epoch, token)

    async def prepare(self, epoch: int) -> Any:
        """Make what was written so far durable but not visible; return a picklable token, which
        is kept, durably, with the epoch. Epochs are numbered upwards, with gaps. Not called in
        runs without checkpoints, nor is `commit`."""
        return None

    async def commit(self, epoch: int, token: Any) -> None:
        """Make a prepared epoch visible. May be called again for the same epoch. Not within
        another call, but more may be written between `prepare` and this; from another task
        than `write`."""

    async def close(self) -> None:
        """Release everything, and discard unfinished output unless `finish` was called. Called
        exactly once if `open` was called."""


class Sink(ABC, Generic[T_contra]):
    """The blueprint of an output."""

    @property
    def replayed(self) -> Replayed:
        """What becomes of items that are written again after a crash: each stands there once more
        (`repeated`), takes the place of its earlier self (`idempotent`), or the first time was
        never visible, for it was not committed (`transactional`)."""
        return "repeated"

    @property
    def label(self) -> str:
        """The default operator name, such as `write_jsonl`."""
        return type(self).__name__.lower()

    def details(self) -> dict[str, object]:
        """What `explain()` shows beside the name."""
        return {}

    @abstractmethod
    def writer(self, context: Context) -> Writer[T_contra]:
        """A new writer for one run. No I/O here."""
