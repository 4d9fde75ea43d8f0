"""Cases of `operators/event_time.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import BAD, Build, Case, fail, fail_on_nine

import reactive as rx

REPLACED: tuple[Any, ...] = ("signals",)
"""The watermarks of the times from before are replaced; barriers and idleness have a test."""


class Trailing(rx.WatermarkStrategy[Any]):
    """Remembers something, to see that copies do."""

    def __init__(self) -> None:
        self.highest = 0

    def on_item(self, item: Any, time: int) -> int:
        self.highest = max(self.highest, time)
        return self.highest - 10_000_000


def times(count: int) -> Any:
    return rx.replace_with(lambda item, error: float(count))


LAWS: dict[str, Build | Case] = {
    "event_time": Case(lambda s: s.event_time(lambda x: x, lateness=10), skip=REPLACED),
    "event_time, timed": Case(
        lambda s: s.event_time(lambda x: x, lateness=10, idle=60), skip=REPLACED
    ),
    "event_time by partition": Case(
        lambda s: s.event_time(lambda x: x, lateness=10, partition=lambda x: x % 2, idle=60),
        skip=REPLACED,
    ),
    "event_time told by items": Case(
        lambda s: s.event_time(
            lambda x: x + 100,
            watermarks=rx.Punctuated(lambda x: x if x > 3 else None),
            on_error="skip",
        ),
        skip=REPLACED,
    ),
    "event_time of one's own": Case(
        lambda s: s.event_time(lambda x: x, watermarks=Trailing(), every=0), skip=REPLACED
    ),
    "event_time that never goes back": Case(
        lambda s: s.event_time(lambda x: x, watermarks=rx.Monotonic(), on_error="skip"),
        skip=REPLACED,
    ),
    "event_time that goes back": Case(
        lambda s: s.event_time(lambda x: x, watermarks=rx.Monotonic()), skip=REPLACED
    ),
    "event_time, skipping": Case(
        lambda s: s.event_time(fail_on_nine, lateness=10, on_error="skip"), skip=REPLACED
    ),
    "event_time, replacing": Case(
        lambda s: s.event_time(fail_on_nine, lateness=10, on_error=times(5)), skip=REPLACED
    ),
    "event_time that fails": Case(lambda s: s.event_time(fail_on_nine, lateness=10), skip=REPLACED),
    "event_time in milliseconds": Case(
        lambda s: s.event_time(lambda x: x, unit="ms", lateness=10), skip=REPLACED
    ),
    "event_time of too many partitions": Case(
        lambda s: s.event_time(lambda x: x, lateness=10, partition=lambda x: x, partition_limit=3),
        skip=REPLACED,
    ),
    "event_time too far ahead": Case(
        lambda s: s.event_time(lambda x: x * 1e9, future=60, on_error="skip"), skip=REPLACED
    ),
}

RULES: dict[str, Build] = {
    "event_time": lambda s: s.event_time(lambda x: 1),
    "event_time, timed": lambda s: s.event_time(lambda x: 1, idle=60),
    "event_time by partition": lambda s: s.event_time(
        lambda x: 1, partition=lambda x: id(x) % 2, idle=60
    ),
    "event_time to dead letters": lambda s: s.event_time(
        lambda x: 1, watermarks=rx.Monotonic(), on_error=BAD
    ),
}

CALLBACKS: dict[str, Build] = {
    "event_time": lambda s: s.event_time(fail),
    "the partition of event_time": lambda s: s.event_time(lambda x: 1, partition=fail),
    "the watermarks of event_time": lambda s: s.event_time(
        lambda x: 1, watermarks=rx.Punctuated(fail)
    ),
    "the policy of event_time": lambda s: s.event_time(
        lambda x: None,  # type: ignore[arg-type,return-value]
        on_error=rx.replace_with(fail),
    ),
}
