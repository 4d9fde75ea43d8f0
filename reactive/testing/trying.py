"""Trying a law on random cases, and showing a small one that breaks it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

_QUICK_SECONDS = 0.05


def for_all(cases: st.SearchStrategy[T], law: Callable[[T], None], examples: int) -> None:
    """Try a law on random cases; where that is quick, make the one that breaks it smaller."""
    seconds = 0.0

    def attempt(*phases: Phase) -> None:
        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=phases,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
        )
        @given(cases)
        def check(case: T) -> None:
            nonlocal seconds
            begun = time.perf_counter()
            try:
                law(case)
            finally:
                seconds = time.perf_counter() - begun

        check()

    number = random.getrandbits(32)
    try:
        attempt(Phase.generate)
    except Exception:
        if seconds < _QUICK_SECONDS:
            attempt(Phase.generate, Phase.shrink)
        raise
