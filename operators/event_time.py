"""event time: when things happened, and how far that has come."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from operators.advancing import TrailingStep
from operators.checking import check_count, check_plain, check_seconds
from operators.partitions import PartitionedStep
from operators.timestamps import Timestamp, Unit, check_unit
from operators.watermarks import BoundedOutOfOrderness, WatermarkStrategy
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint, Node, boundedness, walk
from reactive.operator import Step, Stepwise
from reactive.policy import ErrorPolicy, check_policy, describe_policy, policy_sides

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)

IDLE_SECONDS = 60.0
FUTURE_SECONDS = 86_400.0


@dataclass(frozen=True)
class AssignTimes(Stepwise):
    """`event_time`."""

    fn: Callable[[Any], Any]
    unit: Unit | None
    strategy: WatermarkStrategy[Any]
    every: float
    partition: Callable[[Any], Hashable] | None
    partition_limit: int
    future: float | None
    on_error: Any

    @property
    def label(self) -> str:
        return "event_time"

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {"watermark": self.strategy.label}
        if not self.strategy.exact:
            shown["every"] = f"{self.every:g} s"
        if self.partition is not None:
            shown["limit"] = f"{self.partition_limit} partitions"
        if self.future is not None:
            shown["future"] = f"{self.future:g} s"
        return {**shown, **describe_policy(self.on_error)}

    @property
    def trails(self) -> int | None:
        """By how much the watermark trails the latest time, where that is all of the strategy."""
        strategy = self.strategy
        return strategy.microseconds if type(strategy) is BoundedOutOfOrderness else None

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def step(self, context: Context) -> Step[Any, Any]:
        return self._step(None, context)

    def _step(self, idle: float | None, context: Context) -> Step[Any, Any]:
        if self.trails is not None and self.partition is None:
            return TrailingStep(self, self.trails, idle, context)
        return PartitionedStep(self, idle, context)


@dataclass(frozen=True)
class TimedAssignTimes(AssignTimes):
    """The same with an eye on the clock, for when nothing comes."""

    timed: ClassVar[bool] = True

    idle: float

    def details(self) -> dict[str, object]:
        return {**super().details(), "idle": f"after {self.idle:g} s"}

    def step(self, context: Context) -> Step[Any, Any]:
        return self._step(None if context.batch else self.idle, context)


class EventTime(Blueprint[T_co]):
    """event_time."""

    __slots__ = ()

    def event_time(
        self,
        fn: Callable[[T_co], Timestamp],
        *,
        unit: Unit | None = None,
        lateness: float = 0,
        watermarks: WatermarkStrategy[T_co] | None = None,
        every: float = 0.2,
        partition: Callable[[T_co], Hashable] | None = None,
        partition_limit: int = 1024,
        idle: float | Literal["auto"] | None = "auto",
        future: float | Literal["auto"] | None = "auto",
        on_error: ErrorPolicy[Timestamp] = "raise",
    ) -> Stream[T_co]:
        """Say when each item happened, and with that how far event time has come.

        ```text
        --1--5--3--------|
        event_time(lambda x: x, lateness=2)
        --1--5--3--------|
        ```

        `fn` gives a datetime with a time zone, or a number since 1970 in UTC: in seconds, or in
        `unit` (`"s"`, `"ms"`, `"us"`). Event times are whole microseconds; whole numbers are kept
        exactly, others rounded to the nearest. Event times and watermarks from before are
        replaced.

        The watermark says that nothing earlier is expected: windows that end there are complete,
        and items that come behind it are late. It trails the latest time by `lateness` seconds of
        event time, or follows another strategy: `rx.Monotonic()`, `rx.Punctuated(fn)`, or a
        `rx.WatermarkStrategy` of yours. It is told after the item that lifts it past a multiple of
        `every` seconds of event time (0: after each that lifts it), so where depends on the items
        alone, never on how they came in chunks; only where windows follow of which none ends
        there, so that it completes nothing, it may come a few items later. For data sparser than
        `every`, such as a replay of a year in minutes, give a larger one: a watermark costs more
        than an item. At the end none is told: another stream may follow. In batch
        (`mode="batch"`) none is told at all, and nothing is late or idle.

        With `partition`, items that `fn` orders only among themselves (those of one file,
        connection or device) have a watermark for each partition, and the lowest counts. At most
        `partition_limit` are known: a new one takes the place of the one that has been idle for
        longest, and is an `OverflowFailure` if none is.

        Where nothing comes for `idle` seconds of the loop's clock (60, but for inputs that end by
        themselves, which do not wait; None: never), other inputs that are combined with this one
        go on without it, and a partition that is idle does not hold back the others. If nothing
        comes at all, the watermark rises to the highest of all partitions, and from there as fast
        as the clock, so that open windows close: `idle` seconds after the last item, and as many
        more as their end is ahead of the watermark. What comes behind it then is late; so `idle`
        is how long a source may be silent and still catch up. Time that downstream takes does not
        count.

        `on_error` says what becomes of an item without a usable time: none, out of the years 1
        to 9999, backwards under `rx.Monotonic()`, or more than `future` seconds after the wall
        clock (a day; unbounded for inputs that end by themselves, and for None), since one wrong
        clock would make all others late. It raises, naming the item; or skips; or
        `rx.replace_with` gives another time; or a side output gets a dead letter.

        Emits each item as it comes. Backpressures and completes with its neighbours. Loses
        nothing, except by `on_error`. Counts `out_of_order` (earlier than one before it), `late`
        (behind the watermark; passed on all the same) and `future`; the gauges `watermark`
        (seconds since 1970) and `lag` (wall clock less watermark) tell how far it is.

        Raises what `fn`, `partition` and the strategy raise. `ValueError` for a datetime without
        a time zone, a time out of range, or a negative `lateness`; `TypeError` for what is no
        timestamp, and for `lateness` together with `watermarks`.

        ```python
        orders = rx.of({"at": 1_700_000_000_250}, {"at": 1_700_000_000_100})
        orders.event_time(lambda order: order["at"], unit="ms", lateness=5)
        ```
        """
        check_plain("event_time", fn)
        check_unit("event_time", unit)
        check_seconds("event_time", "`lateness`", lateness, zero=True)
        check_seconds("event_time", "`every`", every, zero=True)
        check_count("event_time (partition_limit)", partition_limit, 1)
        check_policy(on_error)
        if partition is not None:
            check_plain("event_time (partition)", partition)
        strategy: WatermarkStrategy[T_co]
        if watermarks is None:
            strategy = BoundedOutOfOrderness(lateness)
        elif not isinstance(watermarks, WatermarkStrategy):
            raise TypeError(
                "event_time: watermarks must be a strategy such as rx.Punctuated(fn), not "
                f"{watermarks!r}"
            )
        elif lateness:
            raise TypeError(
                "event_time takes `lateness`, which is rx.BoundedOutOfOrderness(lateness), or "
                "other `watermarks`, not both"
            )
        else:
            strategy = watermarks
        bounded = boundedness(walk([self._node]))[self._node]
        waits = _seconds("`idle`", idle, None if bounded else IDLE_SECONDS)
        ahead = _seconds("`future`", future, None if bounded else FUTURE_SECONDS, zero=True)
        terms = fn, unit, strategy, every, partition, partition_limit, ahead, on_error
        if waits is None:
            return self._then(AssignTimes(*terms))
        return self._then(TimedAssignTimes(*terms, waits))


def _seconds(
    what: str, given: float | str | None, otherwise: float | None, *, zero: bool = False
) -> float | None:
    if given == "auto":
        return otherwise
    if given is None:
        return None
    if isinstance(given, str):
        raise TypeError(f'event_time: {what} must be seconds, None or "auto", not {given!r}')
    check_seconds("event_time", what, given, zero=zero)
    return given
