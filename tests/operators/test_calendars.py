"""Windows of the calendar: that they tile time, where the clocks change too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reactive as rx

HOUR = 3_600_000_000
UNITS = ["hour", "day", "week", "month", "quarter", "year"]
# Clocks that change by an hour and by half of one, at midnight, not at all, and over the date line.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Atlantic/Azores",
]


def at(zone: str, *parts: int, fold: int = 0) -> int:
    """A local time in microseconds."""
    moment = datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold)  # type: ignore[arg-type, misc]
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def label(unit: str, zone: str, time: int) -> tuple[Any, ...]:
    """The model: what a calendar and a clock on the wall say. An hour that comes twice is told
    apart by `fold`."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).astimezone(
        ZoneInfo(zone)
    )
    if unit == "hour":
        return (local.date(), local.hour, local.utcoffset())
    if unit == "week":
        return local.isocalendar()[:2]
    return {
        "day": (local.date(),),
        "month": (local.year, local.month),
        "quarter": (local.year, (local.month - 1) // 3),
        "year": (local.year,),
    }[unit]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=40, deadline=None)
@given(time=st.integers(at("UTC", 1975, 1, 2), at("UTC", 2037, 1, 1)))
def test_a_window_is_where_the_calendar_says_the_same(unit: Any, zone: str, time: int) -> None:
    window = rx.Calendar(unit, zone).window(time)
    assert window.start <= time < window.end
    inside = label(unit, zone, time)
    # In St. John's a minute past midnight the clocks went back: that minute is of both days.
    if zone != "America/St_Johns" or unit == "hour":
        assert label(unit, zone, window.start) == inside == label(unit, zone, window.end - 1)
    assert label(unit, zone, window.start - 1) != inside
    assert label(unit, zone, window.end) != inside
    assert rx.Calendar(unit, zone).window(window.end).start == window.end
    assert rx.Calendar(unit, zone).window(window.start - 1).end == window.start


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2024, 3, 31), 23),
        ("Europe/Berlin", (2024, 10, 27), 25),
        ("America/New_York", (2024, 11, 3), 25),
        ("America/Sao_Paulo", (2018, 11, 4), 23),  # Midnight is left out.
        ("America/Sao_Paulo", (2018, 2, 17), 25),
        ("Australia/Lord_Howe", (2024, 4, 7), 24.5),
        ("Atlantic/Azores", (2024, 10, 27), 25),  # Midnight comes twice.
        ("America/St_Johns", (2006, 10, 28), 24),  # A minute past midnight the day before returns.
    ],
)
def test_days_on_which_the_clocks_change(zone: str, day: Any, hours: float) -> None:
    window = rx.Calendar("day", zone).window(at(zone, *day, 12))
    assert window.seconds == hours * 3600


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Europe/Berlin", "America/St_Johns"])
def test_windows_tile_a_year(zone: str) -> None:
    for unit in ("hour", "day"):
        calendar = rx.Calendar(unit, zone)
        time, windows = at("UTC", 2006, 1, 1), []
        while time < at("UTC", 2007, 1, 1):
            windows.append(calendar.window(time))
            time = windows[-1].end
        assert all(one.end == other.start for one, other in pairwise(windows))


def test_a_time_zone_may_be_an_object() -> None:
    zone = timezone(timedelta(hours=2))
    assert rx.Calendar("day", zone).window(0) == rx.Window(-2 * HOUR, 22 * HOUR)
