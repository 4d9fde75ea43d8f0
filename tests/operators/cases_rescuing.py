"""Cases of `operators/rescuing.py` for the tests of every operator."""

from __future__ import annotations

from collections.abc import Callable

from cases import Build, Case, fail, fail_later, fail_on_nine

import reactive as rx
from reactive.testing import failing_source


def fail_at_first() -> Callable[[int], int]:
    failed = False

    def check(number: int) -> int:
        nonlocal failed
        if not failed:
            failed = True
            raise LookupError("at first")
        return number

    return check


def at_first(error: Exception) -> bool:
    return error.args == ("at first",)


LAWS: dict[str, Build | Case] = {
    "recover": lambda s: s.map(fail_on_nine).recover(rx.of(-1)),
    "recover from the start": lambda s: failing_source([7], OSError()).recover(s),
    "recover_with": lambda s: s.map(fail_on_nine).recover_with(lambda error: rx.of(str(error))),
    "restart": lambda s: s.restart(0),
    "repeat": lambda s: s.repeat(1),
    "repeat twice": Case(
        lambda s: s.repeat(2).enumerate(),
        # A second run gives the signals of its source again, and takes its items again.
        skip=("signals", "lateness", "snapshot", "backpressure"),
    ),
    "on_complete": lambda s: s.on_complete(list),
    "on_complete that fails": lambda s: s.on_complete(fail),
    "on_error": lambda s: s.map(fail_on_nine).on_error(lambda error: None),
    "finally_": lambda s: s.finally_(list),
    "finally_ of a failure": lambda s: s.map(fail_on_nine).finally_(list),
    "circuit_breaker": lambda s: s.circuit_breaker(rx.CircuitBreaker()),
    "circuit_breaker of a failure": lambda s: s.map(fail_on_nine).circuit_breaker(
        rx.CircuitBreaker(1000)
    ),
    # Each attempt is a run from the beginning, which gives its control signals again.
    "retry": Case(lambda s: s.map(fail_at_first()).retry(2), skip=("signals", "snapshot")),
    "retry of some errors": Case(
        lambda s: s.map(fail_at_first()).retry(
            rx.Backoff(2), on=LookupError, when=at_first, budget=rx.RetryBudget(3, 60)
        ),
        skip=("signals", "snapshot"),
    ),
    "restart of some errors": Case(
        lambda s: (
            s.map(fail_at_first())
            .restart(1, on=LookupError, when=at_first, budget=rx.RetryBudget(3, 60), healthy=5)
            .take(8)
        ),
        skip=("signals", "snapshot"),
    ),
    "repeat with a pause": Case(
        lambda s: s.repeat(2, pause=1).enumerate(),
        skip=("signals", "lateness", "snapshot", "backpressure"),
    ),
    "recover from some errors": lambda s: s.map(fail_on_nine).recover(
        rx.of(-1), on=LookupError, when=bool
    ),
    "recover not from others": lambda s: s.map(fail_on_nine).recover(rx.of(-1), on=OSError),
    "recover_with from some errors": lambda s: s.map(fail_on_nine).recover_with(
        lambda error: rx.of(str(error)), on=LookupError, when=bool
    ),
    "on_error of some errors": lambda s: s.map(fail_on_nine).on_error(list, on=OSError),
}

RULES: dict[str, Build] = {
    "retry": lambda s: s.retry(0),
    "restart": lambda s: s.restart(0),
    "repeat": lambda s: s.repeat(1),
    "recover": lambda s: s.recover(rx.empty(), on=KeyError),
    "recover_with": lambda s: s.recover_with(lambda error: rx.empty(), on=KeyError),
    "on_complete": lambda s: s.on_complete(list),
    "on_error": lambda s: s.on_error(lambda error: None),
    "finally_": lambda s: s.finally_(list),
    "circuit_breaker": lambda s: s.circuit_breaker(rx.CircuitBreaker()),
}

CALLBACKS: dict[str, Build] = {
    "retry": lambda s: s.map(fail).retry(0),
    "when of retry": lambda s: s.map(lambda x: x.nothing).retry(when=fail),
    "when of restart": lambda s: s.map(lambda x: x.nothing).restart(when=fail),
    "when of recover": lambda s: s.map(lambda x: x.nothing).recover(rx.empty(), when=fail),
    "recover_with": lambda s: s.map(lambda x: x.nothing).recover_with(fail),
    "recover_with, async": lambda s: s.map(lambda x: x.nothing).recover_with(fail_later),
    "on_complete": lambda s: s.on_complete(fail),
    "on_complete, async": lambda s: s.on_complete(fail_later),
    "finally_": lambda s: s.finally_(fail),
    "finally_, async": lambda s: s.finally_(fail_later),
    "circuit_breaker": lambda s: s.map(fail).circuit_breaker(rx.CircuitBreaker()),
}
