"""retry, restart, repeat: everything upstream run again, each time as a run of its own."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from operators.conditions import Condition
from reactive.backoff import Backoff, RetryBudget
from reactive.chain import let_others_run
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.inlets import Rising
from reactive.log import log_event
from reactive.operator import Puller, Stage, Staged
from reactive.signals import Chunk, Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class _Again(Staged):
    concurrent: ClassVar[bool] = False
    begins_anew: ClassVar[bool] = True

    template: Node

    def nested(self) -> Sequence[Node]:
        return (self.template,)


@dataclass(frozen=True)
class _Trying(_Again):
    backoff: Backoff
    condition: Condition
    budget: RetryBudget | None

    def details(self) -> dict[str, object]:
        most, budget = self.backoff.attempts, self.budget
        shown: dict[str, object] = {"again": "for ever" if most is None else f"up to {most} times"}
        if budget is not None:
            shown["budget"] = f"{budget.retries} in {budget.per:g} s"
        return shown


@dataclass(frozen=True)
class Retry(_Trying):
    """`retry`."""

    upstream_bounded: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return self.upstream_bounded

    def stage(self, context: Context) -> Stage[Any]:
        return _RetryStage(self, context)


@dataclass(frozen=True)
class Restart(_Trying):
    """`restart`."""

    healthy: float

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return False

    def details(self) -> dict[str, object]:
        return {**super().details(), "healthy": f"after {self.healthy:g} s"}

    def stage(self, context: Context) -> Stage[Any]:
        return _RestartStage(self, context)


@dataclass(frozen=True)
class Repeat(_Again):
    """`repeat`."""

    times: int | None
    pause: float
    upstream_bounded: bool

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return self.times is not None and self.upstream_bounded

    def details(self) -> dict[str, object]:
        times = "for ever" if self.times is None else self.times
        pause = {"pause": f"{self.pause:g} s"} if self.pause else {}
        return {"times": times, **pause}

    def stage(self, context: Context) -> Stage[Any]:
        return _RepeatStage(self, context)


class _AgainStage(Stage[Any]):
    """Runs the template, and again, each run fully closed before the next."""

    counter: ClassVar[str]

    def __init__(self, template: Node, context: Context) -> None:
        self._template = template
        self._context = context
        self._attempt: Puller[Any] | None = None
        self._pause_ends: float | None = None
        self._rising = Rising()

    @abstractmethod
    def pause_after(self, error: Exception | None) -> float | None:
        """How many seconds after a failure or a good end to run it again; None to end here. An
        error that is not to be rescued is raised."""

    def opened(self) -> None:
        """An attempt was opened."""

    def gave(self) -> None:
        """An attempt gave items."""

    async def read(self) -> Signal[Any] | None:
        while True:
            if self._pause_ends is not None:
                barrier = await self._context.pause(self._pause_ends)
                if barrier is not None:
                    self._rising.passes(barrier)
                    return barrier
                self._pause_ends = None
                if self._context.stopping():
                    return None
            try:
                if self._attempt is None:
                    self._attempt = self._context.nested(self._template)
                    await self._attempt.open()
                    self.opened()
                signal = await self._attempt.read()
            except Exception as error:
                if not await self._go_on(error):
                    return None
                continue
            if signal is None:
                if self._context.stopping() or not await self._go_on(None):
                    return None
                continue
            if type(signal) is Chunk:
                self.gave()
            if self._rising.passes(signal):
                return signal

    async def _go_on(self, error: Exception | None) -> bool:
        """Close the attempt, and say when the next begins; False if none is to come."""
        seconds = self.pause_after(error)
        if seconds is None:
            return False
        await self._close_attempt(error)
        self._context.meter.count(self.counter)
        self.tell(error, seconds)
        if seconds > 0:
            self._pause_ends = asyncio.get_running_loop().time() + seconds
        elif self._context.overdue():
            await let_others_run()
        return not self._context.stopping()

    async def _close_attempt(self, error: Exception | None) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        try:
            await uninterrupted(attempt.close())
        except Exception as second:
            if error is None:
                raise
            if second is not error:
                raise ExceptionGroup("failed, and cleanup failed too", [error, second]) from None

    def tell(self, error: Exception | None, seconds: float) -> None:
        """Log that another attempt follows."""

    async def close(self) -> None:
        if self._attempt is not None:
            await self._attempt.close()

    def snapshot(self) -> Any:
        return self._rising.snapshot()

    def restore(self, state: Any) -> None:
        self._rising.restore(state)


class _Attempts:
    """How far one run has used up its backoff and its budget."""

    def __init__(self, backoff: Backoff, budget: RetryBudget | None) -> None:
        self._backoff = backoff
        self._budget = budget
        self._delays: Iterator[float] | None = None
        self._failed = 0
        self._used_up = ""
        self._times: deque[float] = deque(maxlen=budget.retries if budget is not None else 0)

    def succeeded(self) -> None:
        """The backoff begins anew; what was spent of the budget stays spent."""
        self._delays = None
        self._failed = 0

    def next(self) -> float | None:
        """The pause before the next attempt; None if there is none left."""
        self._failed += 1
        now = asyncio.get_running_loop().time()
        times, budget = self._times, self._budget
        if budget is not None and len(times) == budget.retries and now - times[0] < budget.per:
            self._used_up = f"a budget of {budget.retries} retries in {budget.per:g} s"
            return None
        if self._delays is None:
            self._delays = self._backoff.delays()
        delay = next(self._delays, None)
        if delay is None:
            self._used_up = f"{self._failed} attempts" if self._failed > 1 else ""
        else:
            times.append(now)
        return delay

    def note_on(self, error: Exception, context: Context) -> None:
        """Say on the error, which is raised next, what it took to give up."""
        note = f"given up after {self._used_up}, in operator {context.where()}"
        if self._used_up and note not in getattr(error, "__notes__", ()):
            error.add_note(note)


class _TryingStage(_AgainStage):
    event: ClassVar[str]

    def __init__(self, operator: _Trying, context: Context) -> None:
        super().__init__(operator.template, context)
        self._condition = operator.condition
        self._attempts = _Attempts(operator.backoff, operator.budget)

    def pause_after(self, error: Exception | None) -> float | None:
        if error is not None and not self._condition.met_in(self._context, error):
            raise error
        seconds = self._attempts.next()
        if seconds is None and error is not None:
            self._attempts.note_on(error, self._context)
            raise error
        return seconds

    def tell(self, error: Exception | None, seconds: float) -> None:
        why = "completed" if error is None else repr(error)
        log_event("warning", self.event, operator=self._context.name, error=why, seconds=seconds)


class _RetryStage(_TryingStage):
    counter = "retries"
    event = "retrying"

    def pause_after(self, error: Exception | None) -> float | None:
        return None if error is None else super().pause_after(error)

    def gave(self) -> None:
        self._attempts.succeeded()


class _RestartStage(_TryingStage):
    counter = "restarts"
    event = "restarting"

    def __init__(self, operator: Restart, context: Context) -> None:
        super().__init__(operator, context)
        self._healthy = operator.healthy
        self._healthy_at: float | None = None

    def opened(self) -> None:
        self._healthy_at = asyncio.get_running_loop().time() + self._healthy

    def pause_after(self, error: Exception | None) -> float | None:
        healthy_at, self._healthy_at = self._healthy_at, None
        if healthy_at is not None and asyncio.get_running_loop().time() >= healthy_at:
            self._attempts.succeeded()
        return super().pause_after(error)


class _RepeatStage(_AgainStage):
    counter = "repeats"

    def __init__(self, operator: Repeat, context: Context) -> None:
        super().__init__(operator.template, context)
        self._times = operator.times
        self._pause = operator.pause
        self._done = 0

    async def read(self) -> Signal[Any] | None:
        return None if self._done == self._times else await super().read()

    def pause_after(self, error: Exception | None) -> float | None:
        if error is not None:
            raise error
        self._done += 1
        return None if self._done == self._times else self._pause

    def snapshot(self) -> Any:
        return self._done, super().snapshot()

    def restore(self, state: Any) -> None:
        self._done, said = state
        super().restore(said)
