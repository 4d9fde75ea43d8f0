"""rescuing: what to do when a stream fails, and at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.checking import check_callable, check_count, check_seconds
from operators.circuit import CircuitBreaker, Guarded
from operators.conditions import ErrorTypes, condition
from operators.finishing import Finally, OnComplete, OnError
from operators.recovering import Recover, RecoverWith
from operators.retrying import Repeat, Restart, Retry
from reactive.backoff import Backoff, RetryBudget
from reactive.graph import Blueprint, Node, boundedness, stream_of, walk

if TYPE_CHECKING:
    from reactive.stream import Stream

E = TypeVar("E", bound=Exception)
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


class Rescuing(Blueprint[T_co]):
    """retry, restart, repeat, recover, recover_with, on_complete, on_error, finally_,
    circuit_breaker. For single items, see `on_error=` of each operator."""

    __slots__ = ()

    @overload
    def retry(
        self,
        backoff: Backoff | int | None = None,
        *,
        when: Callable[[Exception], bool] | None = None,
        budget: RetryBudget | None = None,
    ) -> Stream[T_co]: ...

    @overload
    def retry(
        self,
        backoff: Backoff | int | None = None,
        *,
        on: type[E] | tuple[type[E], ...],
        when: Callable[[E], bool] | None = None,
        budget: RetryBudget | None = None,
    ) -> Stream[T_co]: ...

    def retry(
        self,
        backoff: Backoff | int | None = None,
        *,
        on: ErrorTypes = Exception,
        when: Callable[[Any], bool] | None = None,
        budget: RetryBudget | None = None,
    ) -> Stream[T_co]:
        """Run everything upstream again when it fails, after a pause.

        ```text
        --1--2--#
        --1--2--3--|
        retry(rx.Backoff(initial=1, jitter=0))
        --1--2-----1--2--3--|
        ```

        Emits what upstream gives, and backpressures it, each attempt from its beginning: items
        given before a failure come again, and watermarks do not go back, so that they may be late.
        Pauses as the `Backoff` says (a number is its `attempts`), in seconds of the loop's clock;
        an item resets it (Rx counts across items), so that what fails after every item is tried
        again for ever, unless a `rx.RetryBudget` says how often it may be in what time. Completes
        with upstream, or when the run is drained. Each attempt is a run of its own, fully closed
        before the next. Raises the last error when attempts or budget are used up, and at once what
        is not an instance of `on`, or what `when(error)` says no to. A `PlanError` is never tried
        again.

        ```python
        def passing(error: OSError) -> bool:
            return error.errno != 13

        feed = rx.from_async_iterable(feed)
        feed.retry(rx.Backoff(initial=0.5, attempts=5), on=OSError, when=passing)
        ```
        """
        pauses, meant = _check_backoff("retry", backoff, budget), condition("retry", on, when)
        node = self._node
        return stream_of(Retry(node, pauses, meant, budget, is_bounded(node)))

    @overload
    def restart(
        self,
        backoff: Backoff | int | None = None,
        *,
        when: Callable[[Exception], bool] | None = None,
        budget: RetryBudget | None = None,
        healthy: float = 10,
    ) -> Stream[T_co]: ...

    @overload
    def restart(
        self,
        backoff: Backoff | int | None = None,
        *,
        on: type[E] | tuple[type[E], ...],
        when: Callable[[E], bool] | None = None,
        budget: RetryBudget | None = None,
        healthy: float = 10,
    ) -> Stream[T_co]: ...

    def restart(
        self,
        backoff: Backoff | int | None = None,
        *,
        on: ErrorTypes = Exception,
        when: Callable[[Any], bool] | None = None,
        budget: RetryBudget | None = None,
        healthy: float = 10,
    ) -> Stream[T_co]:
        """Run everything upstream again whenever it fails or ends: for sources that never should.

        ```text
        --1-|
        --2--#
        --3------
        restart(rx.Backoff(initial=1, factor=1, jitter=0))
        --1----2-----3----
        ```

        Emits what upstream gives, and backpressures it, one run after the other, each closed before
        the next; a restart is counted and logged. Pauses as the `Backoff` says (a number is its
        `attempts`), in seconds of the loop's clock; it begins anew after a run that lasted
        `healthy` seconds from its opening. Completes when the run is drained, and after a run that
        ended well when attempts or `budget` are used up; after a failure it raises that. Raises at
        once what is not an instance of `on`, or what `when(error)` says no to. Loses nothing of its
        own; what the source has to give between two runs is lost where the source does not keep it.

        ```python
        rx.from_async_iterable(feed).restart(rx.Backoff(initial=1, maximum=60), healthy=30)
        ```
        """
        pauses, meant = _check_backoff("restart", backoff, budget), condition("restart", on, when)
        check_seconds("restart", "`healthy`", healthy, zero=True)
        return stream_of(Restart(self._node, pauses, meant, budget, healthy))

    def repeat(self, times: int | None = None, *, pause: float = 0) -> Stream[T_co]:
        """Run everything upstream again when it completes, `times` times in all, or for ever.

        ```text
        -1-2|
        repeat(3, pause=1)
        -1-2--1-2--1-2|
        ```

        Emits what upstream gives, and backpressures it, one run after the other, each closed before
        the next, `pause` seconds later. Completes after the last run, or when the run is drained;
        `repeat(0)` at once. Raises upstream's failure. Loses nothing. Watermarks do not go back, so
        that items with event times may be late from the second run on.

        ```python
        rx.of(1, 2).repeat(3)
        ```
        """
        if times is not None:
            check_count("repeat", times)
        check_seconds("repeat", "a pause", pause, zero=True)
        return stream_of(Repeat(self._node, times, pause, is_bounded(self._node)))

    @overload
    def recover(
        self, fallback: Stream[U], *, when: Callable[[Exception], bool] | None = None
    ) -> Stream[T_co | U]: ...

    @overload
    def recover(
        self,
        fallback: Stream[U],
        *,
        on: type[E] | tuple[type[E], ...],
        when: Callable[[E], bool] | None = None,
    ) -> Stream[T_co | U]: ...

    def recover(
        self,
        fallback: Stream[U],
        *,
        on: ErrorTypes = Exception,
        when: Callable[[Any], bool] | None = None,
    ) -> Stream[T_co | U]:
        """Go on with another stream when this one fails; see `recover_with` for one that depends
        on the error, and `on_error=` of each operator for single items.

        ```text
        --1--2--#
        a--b|           fallback
        recover(fallback)
        --1--2--a--b|
        ```

        Emits what upstream gave, then what `fallback` gives, and backpressures both. It is opened
        only then, after upstream was closed. Completes with upstream, or with the fallback. Raises
        the fallback's failure, and at once what is not an instance of `on`, or what `when(error)`
        says no to. Loses nothing that was given before the failure.

        ```python
        rx.of("1", "x").map(int).recover(rx.of(0), on=ValueError)
        ```
        """
        meant = condition("recover", on, when)
        if not isinstance(fallback, Blueprint):
            fix = "use recover_with(function)" if callable(fallback) else "use rx.of(...)"
            raise TypeError(f"recover needs a stream to go on with, not {fallback!r}; {fix}")
        node = fallback.node
        return self._then(Recover(node, meant, is_bounded(node)))

    @overload
    def recover_with(
        self,
        fn: Callable[[Exception], Stream[U] | Awaitable[Stream[U]]],
        *,
        when: Callable[[Exception], bool] | None = None,
    ) -> Stream[T_co | U]: ...

    @overload
    def recover_with(
        self,
        fn: Callable[[E], Stream[U] | Awaitable[Stream[U]]],
        *,
        on: type[E] | tuple[type[E], ...],
        when: Callable[[E], bool] | None = None,
    ) -> Stream[T_co | U]: ...

    def recover_with(
        self,
        fn: Callable[[Any], Any],
        *,
        on: ErrorTypes = Exception,
        when: Callable[[Any], bool] | None = None,
    ) -> Stream[Any]:
        """Go on with the stream that a function makes of the error when this one fails.

        ```text
        --1--2--#
        recover_with(lambda error: rx.timer(2))
        --1--2----(0|)
        ```

        Emits what upstream gave, then what `fn(error)` gives, and backpressures both; `fn` may be
        async, and is called after upstream was closed. Completes with upstream, or with the stream
        that was made. Raises what `fn` or its stream raises (`rx.fail(other)` puts another error in
        place), and at once what is not an instance of `on`, or what `when(error)` says no to. Loses
        nothing that was given before the failure.

        ```python
        rx.of("1", "x").map(int).recover_with(lambda error: rx.of(str(error)))
        ```
        """
        meant = condition("recover_with", on, when)
        check_callable("recover_with", fn)
        return self._then(RecoverWith(fn, meant))

    def on_complete(self, fn: Callable[[], object]) -> Stream[T_co]:
        """Call a function when upstream completes, before the end passes.

        ```text
        --1--2--|
        on_complete(print)
        --1--2--|
        ```

        Emits what it gets, and backpressures with its neighbours. `fn` may be async; it is not
        called on a failure, nor when downstream takes no more. Completes when `fn` is done. Loses
        nothing. Raises what `fn` raises.

        ```python
        rx.of(1, 2).on_complete(lambda: print("done"))
        ```
        """
        check_callable("on_complete", fn)
        return self._then(OnComplete(fn))

    @overload
    def on_error(self, fn: Callable[[Exception], object]) -> Stream[T_co]: ...

    @overload
    def on_error(
        self, fn: Callable[[E], object], *, on: type[E] | tuple[type[E], ...]
    ) -> Stream[T_co]: ...

    def on_error(self, fn: Callable[[Any], object], *, on: ErrorTypes = Exception) -> Stream[T_co]:
        """Call a function with the error when upstream fails, before the failure passes.

        ```text
        --1--2--#
        on_error(print)
        --1--2--#
        ```

        Emits what it gets, and backpressures with its neighbours. `fn` may be async; it is not
        called when the run is cancelled, nor for errors that are not an instance of `on`. Completes
        with upstream. Loses nothing. Raises upstream's error; if `fn` raises, both, in an
        `ExceptionGroup`.

        ```python
        rx.of("x").map(int).on_error(print, on=ValueError).recover(rx.empty())
        ```
        """
        meant = condition("on_error", on)
        check_callable("on_error", fn)
        return self._then(OnError(fn, meant.on))

    def finally_(self, fn: Callable[[], object]) -> Stream[T_co]:
        """Call a function once however a run ends: it completes, fails, is cancelled, or
        downstream takes no more.

        ```text
        --1--2--3--|
        finally_(print)
        --1--2--3--|
        ```

        Emits what it gets, and backpressures with its neighbours. `fn` may be async and is awaited,
        as all cleanup, even when the run is cancelled. It is called after upstream was closed,
        before the end or the failure passes, and not in a run that never got to open it. When
        downstream takes no more, what runs in tasks of its own upstream (before `merge`, `buffer`)
        may be closing still; `rx.using` waits for that too. Completes when `fn` is done. Loses
        nothing. Raises what `fn` raises; together with a failure, both, in an `ExceptionGroup`.

        ```python
        rx.of(1, 2).finally_(lambda: print("closed"))
        ```
        """
        check_callable("finally_", fn)
        return self._then(Finally(fn))

    def circuit_breaker(self, breaker: CircuitBreaker) -> Stream[T_co]:
        """Do not even open upstream while a `rx.CircuitBreaker` is open: fail at once.

        ```text
        --1--#
        --2--|
        circuit_breaker(rx.CircuitBreaker(1, reset=10)).retry(rx.Backoff(4, factor=1, jitter=0))
        --1----------------2--|
        ```

        Emits what it gets, and backpressures with its neighbours. A run counts as one call of the
        breaker: its first item, or its end, as a success, a failure as a failure, also after items.
        Completes with upstream. Loses nothing. Raises `CircuitOpenError` when the breaker refuses,
        and upstream's failures. Put `retry` or `restart` after it. To guard the calls of a `map`,
        wrap the function: `map(breaker(fetch))`.

        ```python
        breaker = rx.CircuitBreaker(failures=3, reset=60)
        rx.from_async_iterable(feed).circuit_breaker(breaker).retry(rx.Backoff(maximum=60))
        ```
        """
        if not isinstance(breaker, CircuitBreaker):
            raise TypeError(f"circuit_breaker needs a rx.CircuitBreaker, not {breaker!r}")
        return self._then(Guarded(breaker))


def _check_backoff(operator: str, backoff: object, budget: object) -> Backoff:
    """The pauses between attempts, as the user gave them."""
    if budget is not None and not isinstance(budget, RetryBudget):
        raise TypeError(f"{operator}: budget is a rx.RetryBudget, not {budget!r}")
    if backoff is None:
        return Backoff()
    if isinstance(backoff, int) and not isinstance(backoff, bool):
        return Backoff(attempts=backoff)
    if isinstance(backoff, Backoff):
        return backoff
    raise TypeError(f"{operator} needs a rx.Backoff or a number of attempts, not {backoff!r}")


def is_bounded(root: Node) -> bool:
    """Whether a graph ends by itself."""
    return boundedness(walk([root]))[root]
