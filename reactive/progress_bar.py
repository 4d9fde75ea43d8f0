"""How far a run has come, as a bar: of the files it reads, or of what it does with all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reactive.metrics import Progress

_WIDTH: Final = 20
_READING: Final = "reading"


def progress_bar(progress: Sequence[Progress]) -> str:
    """A bar with how much is done, how fast, and the time left; nothing where no end is known.

    What sources read is added up, if all of them know their size in the same unit. Once that is
    done, it is the first phase of an operator that has an end.
    """
    reading = [each for each in progress if each.phase == _READING]
    if any(each.fraction != 1 for each in reading):
        if any(each.total is None for each in reading) or len({each.unit for each in reading}) > 1:
            return ""
        done = sum(each.done for each in reading)
        total = sum(each.total or 0 for each in reading)
        seconds = max(each.seconds for each in reading)
        return _bar(Progress("", _READING, done, total, reading[0].unit, seconds))
    for each in progress:
        if each.phase != _READING:
            return _bar(each) if each.total is not None else f"{each.operator}: {each.phase}"
    return ""


def _bar(progress: Progress) -> str:
    fraction, left = progress.fraction, progress.remaining
    assert fraction is not None
    assert progress.total is not None
    full = int(_WIDTH * fraction)
    bar = "=" * full + (">" if full < _WIDTH else "") + " " * (_WIDTH - full - 1)
    what = f"{progress.operator}: {progress.phase}" if progress.operator else progress.phase
    if progress.unit == "bytes":
        amounts = f"{_bytes(progress.done)} of {_bytes(progress.total)}"
        rate = f"{_bytes(progress.rate)}/s"
    else:
        amounts = f"{progress.done:,} of {progress.total:,}"
        rate = f"{progress.rate:,.{0 if progress.rate >= 10 else 1}f}/s"
    text = f"{what} {fraction:4.0%} [{bar}] {amounts}  {rate}"
    return text if left is None else f"{text}  {_duration(left)} left"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02} h" if hours else f"{minutes}:{whole % 60:02} min"
