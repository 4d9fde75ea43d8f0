"""The circuit breaker: after too many failures, fail at once and leave the peer in peace."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeAlias, TypeVar, cast

from operators.checking import check_callable, check_count, check_seconds, is_async
from operators.conditions import ErrorTypes, condition
from reactive.errors import CircuitOpenError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint
from reactive.log import log_event
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context

P = ParamSpec("P")
R = TypeVar("R")

_COUNTED = ("succeeded", "failed", "refused", "opened")

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Refuses calls for a while after too many have failed: `CircuitOpenError`, at once.

    *closed*: calls pass. `failures` of them that fail in a row, or within `within` seconds if that
    is given, open it. *open*: calls are refused for `reset` seconds. *half open*: then `trials`
    calls may try (1 by default), and as long as they are under way the others are refused; when
    all of them succeed it closes, when one fails it opens again. Calls that began before the last
    change do not count, nor do cancelled ones.

    What fails is an exception of the types in `on` for which `when(error)`, if given, is true;
    any other is the answer of a peer that is there, and counts as success. Times are seconds of
    the loop's clock (in threads without a loop, of `time.monotonic`).

    It has one state, shared by all that use it, in all runs; give each peer one of its own. It
    guards functions, sync and async ones, as a call or a decorator; blocks, by `guard()`; and
    streams, by `circuit_breaker`. A pickled copy begins closed: each worker of
    `map(on="process")` has its own. Changes are logged as `circuit_opened` (warning),
    `circuit_half_open` and `circuit_closed`, with the `name` as `circuit`.

    ```python
    breaker = rx.CircuitBreaker(failures=5, reset=30, name="pages")
    pages = rx.from_iterable(urls).map(breaker(fetch), concurrency=10, on_error="skip")
    ```
    """

    def __init__(
        self,
        failures: int = 5,
        reset: float = 30,
        *,
        within: float | None = None,
        trials: int = 1,
        on: ErrorTypes = Exception,
        when: Callable[[Any], object] | None = None,
        name: str = "circuit",
    ) -> None:
        check_count("CircuitBreaker: `failures`", failures, at_least=1)
        check_seconds("CircuitBreaker", "`reset`", reset)
        if within is not None:
            check_seconds("CircuitBreaker", "`within`", within)
        check_count("CircuitBreaker: `trials`", trials, at_least=1)
        self.name = name
        self._failures, self._within = failures, within
        self._reset, self._trials = reset, trials
        self._failing = condition("CircuitBreaker", on, when)
        self._lock = threading.RLock()
        self._state: CircuitState = "closed"
        self._changes = 0
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._until = 0.0
        self._trying = 0
        self._succeeded = 0
        self._counts: Counter[str] = Counter()
        self._last_error = ""

    def __reduce__(self) -> tuple[Any, ...]:
        failing = self._failing
        limits = self._failures, self._reset, self._within, self._trials
        return _remade, (*limits, failing.on, failing.when, self.name)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state}>"

    @property
    def state(self) -> CircuitState:
        """`closed`, `open`, or `half_open` when the next call would be a trial."""
        with self._lock:
            over = self._state == "open" and _now() >= self._until
            return "half_open" if over else self._state

    @property
    def counts(self) -> dict[str, int]:
        """How many calls `succeeded`, `failed`, were `refused`, and how often it `opened`."""
        with self._lock:
            return {
                name: self._counts[name] for name in ("succeeded", "failed", "refused", "opened")
            }

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """The function, guarded: async if it is, else plain."""
        check_callable("CircuitBreaker", fn)
        if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
            raise TypeError(
                f"a circuit breaker guards calls, and {fn!r} is a generator function; guard the "
                "stream with circuit_breaker(breaker), or what it calls"
            )
        call: Callable[..., Any] = fn

        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            with self.guard():
                return await call(*args, **kwargs)

        async def guarded_result(result: Any) -> Any:
            guard = _Guard(self)
            try:
                guard.begin()
            except CircuitOpenError:
                if inspect.iscoroutine(result):
                    result.close()
                raise
            with guard:
                return await result

        def guarded(*args: Any, **kwargs: Any) -> Any:
            with _Guard(self) as guard:
                result = call(*args, **kwargs)
                if not inspect.isawaitable(result) or isinstance(result, Blueprint):
                    return result
                # The work is still to come, or never will: it is a call of its own.
                guard.abandon()
            return guarded_result(result)

        made = guarded_async if is_async(fn) else guarded
        return cast("Callable[P, R]", functools.wraps(fn)(made))

    def guard(self) -> AbstractContextManager[object]:
        """Guard a block of code, sync or async, as one call.

        ```python
        breaker = rx.CircuitBreaker()
        with breaker.guard():
            page = await fetch("a")
        ```
        """
        return _Guard(self)

    def _enter(self) -> int:
        """Admit a call, or refuse it; the number is for `_leave`."""
        with self._lock:
            if self._state == "open":
                left = self._until - _now()
                if left > 0:
                    raise self._refusal(left, f"for another {round(left, 1):g} s")
                self._change("half_open")
            if self._state == "half_open":
                if self._trying + self._succeeded >= self._trials:
                    raise self._refusal(0.0, "while a trial is under way")
                self._trying += 1
            return self._changes

    def _leave(self, number: int, error: BaseException | None) -> None:
        """A call that was admitted is over."""
        failed: bool | None = error is not None
        try:
            if error is not None:
                failed = self._failing.met_by(error) if isinstance(error, Exception) else None
        finally:
            self._count(number, failed, error)

    def _count(
        self, number: int, failed: bool | None = None, error: BaseException | None = None
    ) -> None:
        """Draw the consequences of a call; one that tells nothing of the peer did not fail and
        did not succeed."""
        with self._lock:
            if failed is not None:
                self._counts["failed" if failed else "succeeded"] += 1
            if number != self._changes:
                return
            trial = self._state == "half_open"
            if trial:
                self._trying -= 1
            if failed:
                self._last_error = repr(error)
                now = _now()
                self._failed_at.append(now)
                recent = self._within is None or now - self._failed_at[0] < self._within
                if trial or (len(self._failed_at) == self._failures and recent):
                    self._change("open")
            elif failed is False and trial:
                self._succeeded += 1
                if self._succeeded == self._trials:
                    self._change("closed")
            elif failed is False and self._within is None:
                self._failed_at.clear()

    def _failed_after(self, error: Exception) -> None:
        """A call that had counted as a success has failed after all."""
        with self._lock:
            if self._state == "closed":
                self._leave(self._changes, error)

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self._changes += 1
        self._trying = self._succeeded = 0
        self._failed_at.clear()
        if state == "open":
            self._until = _now() + self._reset
            self._counts["opened"] += 1
            seconds, error = self._reset, self._last_error
            log_event("warning", "circuit_opened", circuit=self.name, seconds=seconds, error=error)
        else:
            log_event("info", f"circuit_{state}", circuit=self.name)

    def _refusal(self, seconds: float, until: str) -> CircuitOpenError:
        self._counts["refused"] += 1
        return CircuitOpenError(
            f"circuit breaker {self.name!r} refuses calls {until}; the last failure was "
            f"{self._last_error}",
            self.name,
            seconds,
        )


class _Guard(AbstractContextManager["_Guard"]):
    """One call: begun, then settled or abandoned, once."""

    __slots__ = ("_breaker", "_number")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._number: int | None = None

    def begin(self) -> None:
        self._number = self._breaker._enter()

    def settle(self, error: BaseException | None = None) -> None:
        number, self._number = self._number, None
        if number is not None:
            self._breaker._leave(number, error)

    def abandon(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            self._breaker._count(number)

    @property
    def open(self) -> bool:
        return self._number is not None

    def __enter__(self) -> _Guard:
        if self._number is None:
            self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.settle(error)


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _remade(
    failures: int,
    reset: float,
    within: float | None,
    trials: int,
    on: ErrorTypes,
    when: Callable[[Any], object] | None,
    name: str,
) -> CircuitBreaker:
    return CircuitBreaker(
        failures, reset, within=within, trials=trials, on=on, when=when, name=name
    )


@dataclass(frozen=True)
class Guarded(Staged):
    """`circuit_breaker`."""

    concurrent: ClassVar[bool] = False

    breaker: CircuitBreaker

    @property
    def label(self) -> str:
        return "circuit_breaker"

    def details(self) -> dict[str, object]:
        return {"name": self.breaker.name}

    def stage(self, context: Context) -> Stage[Any]:
        return _GuardedStage(self.breaker, context)


class _GuardedStage(Stage[Any]):
    def __init__(self, breaker: CircuitBreaker, context: Context) -> None:
        self._breaker = breaker
        self._context = context
        self._guard = _Guard(breaker)
        self._opened = False

    async def read(self) -> Signal[Any] | None:
        source = self.inputs[0]
        try:
            if not self._opened:
                self._guard.begin()
        except CircuitOpenError as error:
            self._context.meter.count("refused")
            annotate(error, self._context)
            raise
        try:
            if not self._opened:
                self._opened = True
                await source.open()
            signal = await source.read()
        except Exception as error:
            if self._guard.open:
                self._guard.settle(error)
            else:
                self._breaker._failed_after(error)
            raise
        if signal is None or type(signal) is Chunk:
            self._guard.settle()
        return signal

    async def close(self) -> None:
        self._guard.abandon()
