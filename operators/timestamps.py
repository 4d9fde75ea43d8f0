"""Timestamps as users have them, read into event times: whole microseconds since 1970, in UTC."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from operators.checking import refuse_awaitable
from reactive.policy import Handler

if TYPE_CHECKING:
    from reactive.context import Context

Timestamp: TypeAlias = datetime | float
"""An aware datetime, or a number since 1970 in UTC."""
Unit: TypeAlias = Literal["s", "ms", "us"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
FIRST: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""The event times that a datetime can say: the years 1 to 9999."""

_FACTORS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
_NAMES: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}


def check_unit(operator_name: str, unit: object) -> None:
    """Refuse what is no unit, where the pipeline is described."""
    if unit is not None and unit not in get_args(Unit):
        raise ValueError(f'{operator_name}: unit must be "s", "ms" or "us", not {unit!r}')


def microseconds(value: Any, unit: Unit | None) -> int:
    """One timestamp as event time. `TypeError` or `ValueError` says what to do if it is none.

    Whole numbers are exact; others are rounded to the nearest microsecond.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(
                f"{value!r} has no time zone; where it is UTC give .replace(tzinfo=UTC), where it "
                "is local time .astimezone()"
            )
        return (value - EPOCH) // MICROSECOND
    number = _number(value)
    scaled = number * _FACTORS[unit or "s"]
    if not isinstance(scaled, int):
        if number != number:
            raise ValueError(f"{value!r} is not a moment")
        scaled = round(scaled) if math.isfinite(scaled) else LAST + 1
    moment: int = scaled
    if not FIRST <= moment <= LAST:
        raise ValueError(
            f"{value!r} {_NAMES[unit or 's']} after 1970 is not in the years 1 to 9999; give the "
            'unit it has: unit="s", "ms" or "us"'
        )
    return moment


def _number(value: Any) -> Any:
    try:
        return operator.index(value)
    except TypeError:
        if isinstance(value, (Real, Decimal)):
            return value
    refuse_awaitable(value)
    raise TypeError(
        f"{value!r} is {type(value).__name__}, and a timestamp is a datetime with a time zone or a "
        "number, in seconds or in the `unit` given"
    )


def all_microseconds(values: list[Any], unit: Unit | None) -> list[int]:
    """The same for many at once, quickly where all are of one type. It may raise anything if one
    is of no use, but it does not look whether they are in the years 1 to 9999."""
    factor = _FACTORS[unit or "s"]
    try:
        # The quickest way to know of numbers that all are whole, or that all are numbers.
        kind = type(sum(values))
    except TypeError:
        kind = None
        if set(map(type, values)) == {datetime}:
            epoch = EPOCH
            return [
                (since := value - epoch).days * 86_400_000_000
                + since.seconds * 1_000_000
                + since.microseconds
                for value in values
            ]
    if kind is int:
        return values if factor == 1 else [value * factor for value in values]
    if kind is float:
        return [round(value * factor) for value in values]
    return [microseconds(value, unit) for value in values]


def wall_clock() -> float:
    """Seconds since 1970, now."""
    return time.time()


def show(moment: int) -> str:
    """An event time, for messages."""
    try:
        return (EPOCH + timedelta(microseconds=moment)).isoformat()
    except OverflowError:
        return f"{moment} us"


class Reading:
    """Reads the times of items in one run, with a policy for those that have none to use."""

    def __init__(
        self,
        fn: Callable[[Any], Any],
        unit: Unit | None,
        future: float | None,
        handler: Handler | None,
        context: Context,
    ) -> None:
        self._fn = fn
        self._unit: Unit | None = unit
        self._future = future
        self._handler = handler
        self._count = context.meter.count

    def read(self, items: list[Any]) -> tuple[list[Any], list[int], Exception | None]:
        """The items that have a time, and the times; and what ends the stream after them, if
        anything does. The function is called once for every item."""
        times, values, failed = self.read_all(items)
        if times and min(times) >= FIRST and max(times) <= self.last():
            return items, times, None
        return self.read_each(items, values, failed)

    def read_all(self, items: list[Any]) -> tuple[list[int], list[Any], Exception | None]:
        """The times of all items, if they are from `FIRST` to `last()`, which is not looked at
        here. If they are not, or there are none because an item has none, `read_each` is to be
        called with the rest of what this gives."""
        values: list[Any] = []
        failed: Exception | None = None
        try:
            # On an error it keeps what came before, of which the policy needs the number.
            fn = self._fn
            for item in items:
                values.append(fn(item))  # noqa: PERF401
            return all_microseconds(values, self._unit), values, None
        except StopIteration:
            # It would end the stream without a word, were it raised again.
            failed = RuntimeError("the function of event_time raised StopIteration")
        except Exception as error:
            if len(values) < len(items):
                failed = error
        return [], values, failed

    def read_each(
        self, items: Sequence[Any], values: Sequence[Any], failed: Exception | None
    ) -> tuple[list[Any], list[int], Exception | None]:
        """As `read`, from the values that the function gave, and what it raised after them."""
        kept: list[Any] = []
        times: list[int] = []
        last = self.last()
        for index, item in enumerate(items):
            try:
                if index == len(values) and failed is not None:
                    raise failed
                value = values[index] if index < len(values) else self._fn(item)
                moment = self._checked(item, value, last)
            except Exception as error:
                try:
                    settled = self.settle(item, error)
                except Exception as final:
                    return kept, times, final
                if settled is None:
                    continue
                moment = settled
            kept.append(item)
            times.append(moment)
        return kept, times, None

    def _checked(self, item: Any, value: Any, last: int) -> int:
        try:
            moment = microseconds(value, self._unit)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}; for the item {item!r}") from None
        if moment > last:
            self._count("future")
            raise ValueError(
                f"the time {show(moment)} of the item {item!r} is more than {self._future:g} s "
                "after the wall clock; its clock is wrong, or else give a larger `future`, or "
                "future=None for any time; on_error= says what becomes of such items"
            )
        return moment

    def last(self) -> int:
        """The latest time that is believed now."""
        if self._future is None:
            return LAST
        return min(LAST, round((wall_clock() + self._future) * 1_000_000))

    def settle(self, item: Any, error: Exception) -> int | None:
        """What the policy makes of an item whose time is of no use: a time in place of it, or
        None to leave the item out; if there is no policy, the error is raised."""
        if self._handler is None:
            raise error
        given = self._handler.handle(item, error)
        return microseconds(given, self._unit) if self._handler.replaces else None
