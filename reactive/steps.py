"""Steps, one behind the other, with direct calls: inboxes, slices, ends and errors in order."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from reactive.fuse import NESTED_LOOPS
from reactive.fused import FusedStep
from reactive.operator import Inline, Operator, Step, Stepwise
from reactive.signals import Barrier, Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context

_COST_TARGET = 0.0005
_HANDLED = (Chunk, Watermark)
_OPERATORS_A_GROUP = 200


class End:
    """The end of a chain's input on its way through the steps: well, or with an error."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Slot:
    """A step with what waits for it, and how many items it gets at once."""

    __slots__ = ("inbox", "name", "on_chunk", "slice", "step")

    def __init__(self, step: Step[Any, Any], name: str) -> None:
        self.step = step
        self.name = name
        self.on_chunk = step.on_chunk
        self.inbox: deque[Signal[Any] | End] = deque()
        self.slice = sys.maxsize if step.whole else 1

    def states(self, changes: bool) -> Mapping[str, Any]:
        """What its operators hold, by their names, or what has changed of it."""
        state = self.step.changes() if changes else self.step.snapshot()
        return state if isinstance(self.step, FusedStep) else {self.name: state}


class Surroundings(Protocol):
    """What a chain knows of its region: whether items wait to leave by side outputs, and where
    the state of operators is kept when a barrier passes them."""

    state: str

    @property
    def unsent(self) -> bool:
        """Whether items wait to leave by side outputs."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether states are kept in this run."""
        ...

    @property
    def keeps_changes(self) -> bool:
        """Whether what has changed since the barrier before is enough."""
        ...

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """Keep what operators, by their names, hold at a barrier."""
        ...

    async def flush(self) -> None:
        """Hand them on, waiting for room."""


Restore: TypeAlias = Callable[[str, Callable[[Any], None]], None]
"""Has a function called with what an operator, by its name, held in an earlier run."""


def _restore_one(fused: FusedStep, name: str, state: Any) -> None:
    fused.restore({name: state})


def make_steps(
    operators: Iterable[tuple[Operator, Context]], restore: Restore
) -> list[tuple[Step[Any, Any], str]]:
    """New steps for these operators, each with its name, continuing from what `restore` knows
    under an operator's name, if anything. Neighbours that fuse are one step."""
    steps: list[tuple[Step[Any, Any], str]] = []
    group: list[tuple[Inline, Context]] = []
    loops = 0

    def close_group() -> None:
        nonlocal loops
        if group:
            fused = FusedStep(group.copy())
            for _, context in group:
                restore(context.name, partial(_restore_one, fused, context.name))
            steps.append((fused, fused.name))
        group.clear()
        loops = 0

    for operator, context in operators:
        if isinstance(operator, Inline):
            loops += operator.loops
            if loops > NESTED_LOOPS or len(group) >= _OPERATORS_A_GROUP:
                close_group()
                loops = operator.loops
            group.append((operator, context))
        else:
            assert isinstance(operator, Stepwise)
            close_group()
            step = operator.step(context)
            restore(context.name, step.restore)
            steps.append((step, context.name))
    close_group()
    return steps


def fair_slice(most: int, count: int, seconds: float) -> int:
    """How many items to handle at once, where that was `most`, and so many took that long."""
    if seconds > 2 * _COST_TARGET:
        return max(1, int(count * _COST_TARGET / seconds))
    return 2 * most if seconds < _COST_TARGET and count >= most else most


class Steps:
    """Steps, one behind the other, that whoever feeds them works.

    Every step has an inbox, and the step farthest down that can do something does it: what is
    under way is finished before more is taken in, and no call nests, however many steps there
    are. Ends and errors travel through the inboxes in order with the items.
    """

    def __init__(self, steps: Sequence[tuple[Step[Any, Any], str]], region: Surroundings) -> None:
        self._slots = [Slot(step, name) for step, name in steps]
        for (step, _), (following, _) in pairwise(steps):
            step.leads_to(following)
        self._region = region
        self._time = asyncio.get_running_loop().time
        self._ready: deque[Signal[Any] | End] = deque()
        self._cursor = -1

    def _close_steps(self, errors: list[BaseException]) -> None:
        for slot in self._slots:
            try:
                slot.step.close()
            except Exception as error:
                errors.append(error)

    def _enter(self, index: int, *signals: Signal[Any] | End) -> None:
        if index == len(self._slots):
            self._ready.extend(signals)
        else:
            self._slots[index].inbox.extend(signals)
            if self._cursor < index:
                self._cursor = index

    def _advance(self) -> None:
        """Let the step at the cursor do one piece of work."""
        index = self._cursor
        if index < 0:
            return
        slot = self._slots[index]
        step = slot.step
        if step.busy:
            self._resume(index, step)
        elif not slot.inbox:
            self._cursor -= 1
        elif type(slot.inbox[0]) in _HANDLED:
            self._handle(index, slot)
        else:
            signal = slot.inbox.popleft()
            if type(signal) is End and signal.error is None:
                self._run(index, step.on_end, ending=True)
                return
            if type(signal) is Barrier and self._region.keeps:
                self._region.keep(signal, slot.states(self._region.keeps_changes))
            self._enter(index + 1, signal)

    def _handle(self, index: int, slot: Slot) -> None:
        """Handle the items and watermarks that wait, while that takes little time, and learn from
        the time it took how many items to handle at once."""
        step, inbox, most = slot.step, slot.inbox, slot.slice
        if isinstance(step, FusedStep):
            step.budget = most
        out: list[Signal[Any]] = []
        failure: End | None = None
        first = inbox[0]
        # A single item teaches nothing once more than one at a time has proved quick.
        alone = len(inbox) == 1 and (type(first) is not Chunk or len(first.items) == 1 < most)
        timed = not (alone or step.whole)
        before = self._time() if timed else 0.0
        count = 0
        try:
            while True:
                signal = inbox.popleft()
                if type(signal) is Chunk:
                    if len(signal.items) > most - count:
                        signal, rest = signal.split(most - count)
                        inbox.appendleft(rest)
                    count += len(signal.items)
                    slot.on_chunk(signal, out)
                elif type(signal) is Watermark:
                    step.on_watermark(signal, out)
                if not timed or step.busy or step.done or count >= most or not inbox:
                    break
                if type(inbox[0]) not in _HANDLED or self._time() - before >= _COST_TARGET:
                    break
        except Exception as error:
            failure = End(error)
        if timed and (count > 1 or count == most):
            slot.slice = fair_slice(most, count, self._time() - before)
        self._settle(index, step, out, failure, False)

    def _resume(self, index: int, step: Step[Any, Any]) -> None:
        """Let a step give more of what it left over; a fused loop learns how much at once."""
        before = self._time()
        self._run(index, step.resume)
        if isinstance(step, FusedStep) and step.busy:
            took = self._time() - before
            if took > 2 * _COST_TARGET:
                step.budget = max(1, int(step.budget * _COST_TARGET / took))
            elif took < _COST_TARGET:
                step.budget = min(2 * step.budget, step.most)

    def _run(
        self, index: int, act: Callable[[list[Signal[Any]]], None], ending: bool = False
    ) -> None:
        out: list[Signal[Any]] = []
        failure: End | None = None
        try:
            act(out)
        except Exception as error:
            failure = End(error)
        self._settle(index, self._slots[index].step, out, failure, ending)

    def _settle(
        self,
        index: int,
        step: Step[Any, Any],
        out: list[Signal[Any]],
        failure: End | None,
        ending: bool,
    ) -> None:
        """Pass on what a step gave, and the end if it came to one."""
        if out:
            self._enter(index + 1, *out)
        if failure is None and not step.busy and (step.done or ending):
            failure = End()
        if failure is not None:
            for slot in self._slots[: index + 1]:
                slot.inbox.clear()
                slot.step.busy = False
            self._enter(index + 1, failure)
        elif self._cursor == index and not step.busy and not self._slots[index].inbox:
            self._cursor -= 1
