"""The event loop that contestants run on, and the clock they are measured with."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on uvloop if the command said `--loop uvloop`."""
    if os.environ.get("BENCHMARK_LOOP") == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)


def now() -> float:
    """Seconds of the clock that the command said, for contestants that time parts of a run."""
    by_cpu = os.environ.get("BENCHMARK_CLOCK") == "cpu"
    return time.process_time() if by_cpu else time.perf_counter()
