"""The work of `limit_in_flight`: an entry and an exit that share the count of what is between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from operators.through import Through
from reactive.channel import Waker
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Idle, Signal

if TYPE_CHECKING:
    from reactive.context import Context


class Part:
    """Makes the entry and the exit of one part of a pipeline find each other in a run."""


_gates: WeakKeyDictionary[Any, dict[Part, Gate]] = WeakKeyDictionary()


def _gate(part: Part, count: int, context: Context) -> Gate:
    """The gate of a part in the run that `context` is of."""
    run = None if context.region is None else context.region.execution
    if run is None:
        raise RuntimeError("limit_in_flight needs a run")
    gates = _gates.setdefault(run, {})
    if part not in gates:
        gates[part] = Gate(count)
    return gates[part]


class Gate:
    """Counts what went in and came out since the last mark that went all the way.

    Operators pass control signals in order, behind what they make of the items before them. So an
    `Idle` of its own is let in as a mark when the part is full: once that very object comes out,
    what went in before it has come out too, was dropped, or is kept by an operator for later. An
    item may end the idleness before it is told; then there is another mark behind that.
    """

    def __init__(self, count: int) -> None:
        self.freed = Waker()
        self._count = count
        self._entered = 0
        self._left = 0
        self._marks: deque[tuple[Idle, int]] = deque()

    @property
    def in_flight(self) -> int:
        """How many items are between, as far as is known."""
        return self._entered - self._left

    @property
    def room(self) -> int:
        """How many items may go in now."""
        return self._count - self.in_flight

    @property
    def marked(self) -> bool:
        """Whether a mark is under way behind all that went in."""
        return bool(self._marks) and self._marks[-1][1] == self._entered

    def enter(self, count: int) -> None:
        """Items go in."""
        self._entered += count

    def mark(self) -> Idle:
        """A mark to let in."""
        mark = Idle()
        self._marks.append((mark, self._entered))
        return mark

    def leave(self, count: int) -> None:
        """Items come out; one that became several counts once, as far as can be told."""
        self._left = min(self._left + count, self._entered)
        self.freed.wake()

    def settle(self, idle: Idle) -> bool:
        """An `Idle` comes out; says whether it was a mark."""
        if not any(mark is idle for mark, _ in self._marks):
            return False
        mark = None
        while mark is not idle:
            mark, entered = self._marks.popleft()
            self._left = max(self._left, entered)
        self.freed.wake()
        return True


@dataclass(frozen=True)
class LimitInFlight(Staged):
    """The entry of a part."""

    concurrent: ClassVar[bool] = False

    count: int
    part: Part

    def details(self) -> dict[str, object]:
        return {"count": self.count}

    def stage(self, context: Context) -> Stage[Any]:
        return _EntryStage(_gate(self.part, self.count, context), context)


class _EntryStage(Stage[Any]):
    def __init__(self, gate: Gate, context: Context) -> None:
        self._gate = gate
        self._context = context
        self._chunk: Chunk[Any] | None = None

    async def open(self) -> None:
        self._context.meter.gauges["in_flight"] = lambda: self._gate.in_flight
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        gate = self._gate
        while gate.room < 1:
            if not gate.marked:
                return gate.mark()
            await gate.freed.wait()
        if self._chunk is None:
            signal = await self.inputs[0].read()
            if type(signal) is not Chunk:
                return signal
            self._context.meter.items_in += len(signal.items)
            self._chunk = signal
        chunk, self._chunk = self._chunk, None
        if len(chunk.items) > gate.room:
            chunk, self._chunk = chunk.split(gate.room)
        gate.enter(len(chunk.items))
        return chunk


@dataclass(frozen=True)
class InFlightEnd(Staged):
    """The exit of a part."""

    concurrent: ClassVar[bool] = False

    count: int
    part: Part

    def stage(self, context: Context) -> Stage[Any]:
        return _ExitStage(_gate(self.part, self.count, context))


class _ExitStage(Stage[Any]):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        gate = self._gate
        while True:
            signal = await self.inputs[0].read()
            if type(signal) is Chunk:
                gate.leave(len(signal.items))
            elif type(signal) is Idle and gate.settle(signal):
                continue
            return signal


def check_part(entry: Node, last: Node) -> None:
    """Refuse a part in which a mark could get lost, where the pipeline is described."""
    for node in _back_from(last):
        if node is entry:
            return
        if len(node.inputs) != 1:
            raise ValueError(
                f"limit_in_flight needs a part that is one line of operators from its beginning to "
                f"its end, and {node.label} has {len(node.inputs) or 'no'} inputs; put it before "
                "or after the part"
            )
        if isinstance(node.operator, Through):
            raise ValueError(
                f"limit_in_flight cannot tell what becomes of items in {node.label}; put it before "
                "or after the part"
            )


def _back_from(node: Node) -> Iterator[Node]:
    while True:
        yield node
        if not node.inputs:
            return
        node = node.inputs[0]
