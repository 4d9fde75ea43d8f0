"""timing: when items come: pauses, delays, deadlines, rates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.checking import check_count, check_plain, check_seconds
from operators.delaying import Delay, DelayEach, RateLimit, check_amount
from operators.quieting import Debounce, Sample, SampleWith, ThrottleFirst, ThrottleLast
from operators.rescuing import is_bounded
from operators.silences import Heartbeat, Timeout
from operators.stamping import WithInterval, WithTimestamp
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import Stream

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


def _check_seconds_or_function(operator: str, seconds: object, *, zero: bool = False) -> None:
    if callable(seconds):
        check_plain(operator, seconds)
    else:
        check_seconds(operator, "its time", seconds, zero=zero)  # type: ignore[arg-type]


class Timing(Blueprint[T_co]):
    """debounce, throttle, sample, delay, delay_each, rate_limit, timeout, heartbeat,
    with_timestamp, with_interval.

    All times are seconds of the event loop's clock. An item comes when it is taken from upstream:
    what waits there while downstream is busy comes when downstream asks for more. Where that
    matters, put `buffer` behind the operator, which then has a task of its own. Watermarks never
    overtake an item that is held. A checkpoint contains what is held; a pause that was under way
    begins anew when it is restored.
    """

    __slots__ = ()

    def debounce(self, seconds: float | Callable[[T_co], float]) -> Stream[T_co]:
        """Give an item when none has followed it for so long: the last of a flurry.

        ```text
        --1-2-3------4--|
        debounce(3)
        ---------3------(4|)
        ```

        `seconds` may be a function of the item; 0 then gives it at once. Emits the latest item
        `seconds` after it came, unless another has come. Never backpressures, except while
        downstream is busy, when nothing is held. Completes with upstream, and gives what is held
        at once. Loses the items that another followed, by design, and what is held when upstream
        fails. Raises what the function raises. `ValueError` for a time not above 0.

        ```python
        rx.of("r", "re", "rea").debounce(0.3)
        ```
        """
        _check_seconds_or_function("debounce", seconds)
        return self._then(Debounce(seconds))

    def throttle(
        self, seconds: float, *, leading: bool = True, trailing: bool = False
    ) -> Stream[T_co]:
        """Give at most one item in any `seconds`.

        ```text
        --1-2-3----4-5--|
        throttle(3)
        --1---3----4----|
        ```

        The first item opens a window of `seconds`. `leading` gives that item at once (Rx:
        throttleFirst). `trailing` gives the last that came in the window when it closes, which
        opens the next; without one, the next item opens it. Both together are RxJava's
        throttleLatest. `rate_limit` keeps every item instead, `sample` has fixed ticks.

        Emits as said. Never backpressures, except while downstream is busy. Completes with
        upstream; what `trailing` holds is then given at once (RxJS waits for the window to close).
        Loses the other items, by design,
        and what is held when upstream fails. `ValueError` for a time not above 0, and if neither
        end of the window is given.

        ```python
        rx.interval(0.1).throttle(1, trailing=True).take(3)
        ```
        """
        check_seconds("throttle", "its time", seconds)
        if trailing:
            return self._then(ThrottleLast(seconds, bool(leading)))
        if not leading:
            raise ValueError("throttle gives nothing without `leading` and `trailing`; set one")
        return self._then(ThrottleFirst(seconds))

    def sample(self, every: float | Stream[Any]) -> Stream[T_co]:
        """Look every so often, and give the latest item if it is new.

        ```text
        -1--2-3----4-|
        sample(5)
        -----2----3--(4|)
        ```

        `every` is in seconds since the opening, or a stream whose items are the ticks. Emits at a
        tick the latest item since the tick before, if there was one; an item that comes at the very
        time of a tick belongs to the next. Never backpressures, except while downstream is busy;
        ticks missed meanwhile are one. Completes with upstream or the stream of ticks; the latest
        item is then given at once, as in Reactor (RxJS drops it, RxPY gives it at the next tick).
        Loses the other items, by design, and the latest when upstream fails. `ValueError` for a
        time not above 0.

        ```python
        rx.interval(0.1).sample(1).take(3)
        ```
        """
        if isinstance(every, Blueprint):
            return self._then(SampleWith(), every)
        check_seconds("sample", "its period", every)
        return self._then(Sample(every))

    def delay(self, seconds: float, *, limit: int = 100_000) -> Stream[T_co]:
        """Give every item so much later.

        ```text
        --1-2---3-|
        delay(3)
        -----1-2---(3|)
        ```

        Emits each item `seconds` after it came, with the distances it came in. Holds up to `limit`
        items on their way, then backpressures (Rx holds any number): more than `limit` items in
        `seconds` come through no faster than that. Completes after the last item, and not later
        (RxJava and RxPY complete `seconds` after upstream). Loses what is on its way when upstream
        fails: a failure is not delayed. A checkpoint keeps the items with the time that was left.
        `ValueError` for a time below 0 or a limit below 1.

        ```python
        rx.of(1, 2).delay(0.5)
        ```
        """
        check_seconds("delay", "its time", seconds, zero=True)
        check_count("delay", limit, 1)
        return self._then(Delay(seconds, limit))

    def delay_each(self, seconds: float | Callable[[T_co], float]) -> Stream[T_co]:
        """Pause before every item, one after the other.

        ```text
        --(123)------|
        delay_each(2)
        ----1-2-3----|
        ```

        `seconds` may be a function of the item. Takes an item, pauses, emits it, and takes the
        next when downstream asks for it; so it slows a stream down to one item in `seconds`, as
        Rx's concatMap to a delayed item does. Backpressures during the pause. Completes with
        upstream. Loses nothing, also when upstream fails. Raises what the function raises.
        `ValueError` for a time below 0.

        ```python
        rx.of(1, 2).delay_each(lambda x: x / 10)
        ```
        """
        _check_seconds_or_function("delay_each", seconds, zero=True)
        return self._then(DelayEach(seconds))

    def rate_limit(
        self, rate: float, burst: float = 1, *, weight: Callable[[T_co], float] | None = None
    ) -> Stream[T_co]:
        """Let through `rate` items a second on average, and `burst` at once.

        ```text
        (1234)--------|
        rate_limit(0.2, burst=2)
        (12)-3----4---|
        ```

        A token bucket: it holds `burst` tokens, is full at first and gains `rate` a second; an
        item takes one, or what `weight` says of it (bytes, say; 0 is free). An item heavier than
        the bucket leaves when that is full, and those after it wait until its debt is paid, so
        that the average holds.

        Emits an item when there are tokens for it. Backpressures until then. Completes with
        upstream. Loses nothing, also when upstream fails. What a late timer loses of the rate is
        made up, up to 50 ms. Raises what `weight` raises; `ValueError` for a weight below 0, and
        for a rate or burst not above 0.

        ```python
        rx.from_iterable(urls).rate_limit(10, burst=5).map(fetch)
        ```
        """
        check_amount("rate_limit", "rate", rate)
        check_amount("rate_limit", "burst", burst)
        if weight is not None:
            check_plain("rate_limit", weight)
        return self._then(RateLimit(rate, burst, weight))

    @overload
    def timeout(
        self,
        each: float | None = None,
        *,
        first: float | None = None,
        total: float | None = None,
    ) -> Stream[T_co]: ...

    @overload
    def timeout(
        self,
        each: float | None = None,
        *,
        first: float | None = None,
        total: float | None = None,
        fallback: Stream[U] | Callable[[TimeoutError], Stream[U]],
    ) -> Stream[T_co | U]: ...

    def timeout(
        self,
        each: float | None = None,
        *,
        first: float | None = None,
        total: float | None = None,
        fallback: Stream[Any] | Callable[[TimeoutError], Stream[Any]] | None = None,
    ) -> Stream[Any]:
        """Fail, or go on with another stream, when upstream takes too long.

        ```text
        --1-2-------3--|
        a-b|                 fallback
        timeout(4, fallback=fallback)
        --1-2---a-b|
        ```

        `each` is how long any item, and the end, may take; `first` is for the first item alone,
        opening included; `total` for everything together. They count while downstream waits for
        upstream: time that downstream takes is not counted, unlike in Rx, and what is there when
        it is asked for is never late. Once one has passed, whatever upstream was awaiting is
        cancelled and upstream closed; then comes `TimeoutError`, which names the operator and the
        limit, or `fallback` (a stream, or a function of that error), to which no limit applies.

        Emits what upstream gives, then what the fallback gives. Backpressures when downstream
        does. Completes with upstream or the fallback. Loses nothing that came in time. A
        `TimeoutError` of upstream's own passes. `ValueError` for a time not above 0 or without
        any.

        ```python
        rx.from_async_iterable(feed).timeout(30, first=60)
        ```
        """
        limits = {"each": each, "first": first, "total": total}
        for name, limit in limits.items():
            if limit is not None:
                check_seconds("timeout", f"`{name}`", limit)
        if all(limit is None for limit in limits.values()):
            raise ValueError(
                "timeout needs at least one of `each`, `first` and `total`, in seconds"
            )
        if isinstance(fallback, Blueprint):
            node = fallback.node
            return self._then(Timeout(first, each, total, node, is_bounded(node)))
        if fallback is not None:
            if not callable(fallback):
                raise TypeError(
                    f"timeout needs a stream or a function as fallback, not {fallback!r}; use "
                    "rx.of(...)"
                )
            check_plain("timeout", fallback)
        return self._then(Timeout(first, each, total, fallback))

    @overload
    def heartbeat(self, every: float, item: Callable[[], U]) -> Stream[T_co | U]: ...

    @overload
    def heartbeat(self, every: float, item: U) -> Stream[T_co | U]: ...

    def heartbeat(self, every: float, item: Any) -> Stream[Any]:
        """Give `item` whenever nothing has come for so many seconds.

        ```text
        --1---------2---|
        heartbeat(4, "h")
        --1---h---h-2---|
        ```

        `item` may be a function, which is called for each. Emits what upstream gives, and `item`
        `every` seconds after the last of either, the opening counting as one; never before
        something that is there already, and once for a silence that downstream slept through. Its
        event time is the latest seen. Backpressures when downstream does. Completes with
        upstream. Loses nothing. Raises what the function raises. `ValueError` for a time not
        above 0.

        ```python
        rx.of("event").heartbeat(15, "keep-alive")
        ```
        """
        check_seconds("heartbeat", "`every`", every)
        if callable(item):
            check_plain("heartbeat", item)
        return self._then(Heartbeat(every, item))

    @overload
    def with_timestamp(self) -> Stream[tuple[datetime, T_co]]: ...

    @overload
    def with_timestamp(self, clock: Callable[[], U]) -> Stream[tuple[U, T_co]]: ...

    def with_timestamp(self, clock: Callable[[], Any] | None = None) -> Stream[tuple[Any, T_co]]:
        """Pair every item with the time at which it comes.

        ```text
        --a-----b--|
        with_timestamp(asyncio.get_running_loop().time)
        --2a----8b-|
        ```

        Emits `(time, item)`. The time is what `clock` gives, by default an aware UTC `datetime` of
        the system's clock, which virtual time does not move: tests give a clock. This is not the
        item's event time. Backpressures and completes with its neighbours. Loses nothing. Raises
        what `clock` raises.

        ```python
        rx.of("a", "b").with_timestamp()
        ```
        """
        if clock is not None:
            check_plain("with_timestamp", clock)
        return self._then(WithTimestamp(clock))

    def with_interval(self) -> Stream[tuple[float, T_co]]:
        """Pair every item with the seconds since the one before it.

        ```text
        --a---b------c-|
        with_interval()
        --2a--4b-----7c|
        ```

        Emits `(seconds, item)`; for the first item, seconds since the opening. Items that came
        together have 0 between them. Backpressures and completes with its neighbours. Loses
        nothing.

        ```python
        rx.interval(0.5).with_interval().take(3)
        ```
        """
        return self._then(WithInterval())
