"""Windows of the calendar: hours, days, weeks, months, quarters and years of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from operators.assigners import Tiling
from reactive.fast_dataclasses import dataclass
from reactive.windows import MICROSECONDS, Window

Unit: TypeAlias = Literal["hour", "day", "week", "month", "quarter", "year"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR: Final = 3600 * MICROSECONDS
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Calendar(Tiling):
    """The hours, days, weeks (from Monday), months, quarters or years of a time zone.

    They are as long as they are there: a day on which the clocks change has 23 or 25 hours.
    `timezone` is a name such as "Europe/Berlin", or a `tzinfo`. `ValueError` for a unit or a time
    zone that is not known.

    ```python
    rx.Calendar("day", "Europe/Berlin")
    ```
    """

    unit: Unit
    timezone: str | tzinfo = "UTC"

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            known = ", ".join(map(repr, get_args(Unit)))
            raise ValueError(f"Calendar has windows of {known}, not {self.unit!r}")
        if not isinstance(self.timezone, (str, tzinfo)):
            raise TypeError(f"Calendar needs the name of a time zone, not {self.timezone!r}")
        try:
            self._zone  # noqa: B018  looked up where the pipeline is described
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"no time zone {self.timezone!r} is known; it is a name such as "
                '"Europe/Berlin", and on systems without a time zone database the package tzdata '
                "has them"
            ) from None

    @cached_property
    def _zone(self) -> tzinfo:
        return ZoneInfo(self.timezone) if isinstance(self.timezone, str) else self.timezone

    def window(self, time: int) -> Window:
        if self.unit == "hour":
            return self._hour(time)
        local = self._local(time)
        start = self._first_day(local)
        window = Window(self._instant(start), self._instant(self._next(start)))
        while time >= window.end:
            # The clocks were put back over midnight: it is the day before for a second time.
            start = self._next(start)
            window = Window(window.end, self._instant(self._next(start)))
        return window

    def _local(self, time: int) -> datetime:
        return (_EPOCH + timedelta(microseconds=time)).astimezone(self._zone)

    def _instant(self, midnight: datetime) -> int:
        """When a local day begins: where midnight comes twice at the first one, and where the
        clocks leave it out when they do."""
        return (midnight.replace(tzinfo=self._zone, fold=0) - _EPOCH) // _MICROSECOND

    def _first_day(self, local: datetime) -> datetime:
        day = datetime(local.year, local.month, local.day)
        if self.unit == "week":
            return day - timedelta(days=day.weekday())
        if self.unit == "day":
            return day
        months = _MONTHS[self.unit]
        return day.replace(month=(day.month - 1) // months * months + 1, day=1)

    def _next(self, day: datetime) -> datetime:
        if self.unit in ("day", "week"):
            return day + timedelta(days=1 if self.unit == "day" else 7)
        months = day.month - 1 + _MONTHS[self.unit]
        return day.replace(year=day.year + months // 12, month=months % 12 + 1)

    def _hour(self, time: int) -> Window:
        offset = self._offset(time)
        start = time - (time + offset) % _HOUR
        end = start + _HOUR
        # Where the clocks change by less than an hour, one hour ends and the next begins there.
        if self._offset(start) != offset:
            start = self._change(start, time)
        if self._offset(end - 1) != offset:
            end = self._change(time, end - 1)
        return Window(start, end)

    def _offset(self, time: int) -> int:
        offset = self._local(time).utcoffset()
        return 0 if offset is None else offset // _MICROSECOND

    def _change(self, before: int, after: int) -> int:
        """The first moment at which the clocks show what they do at `after`."""
        offset = self._offset(after)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                after = middle
            else:
                before = middle
        return after

    def holds(self) -> str:
        return f"an open {self.unit} or more"
