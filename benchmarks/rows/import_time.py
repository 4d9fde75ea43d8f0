"""Importing the library in a new process, with nothing imported before."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.model import Bar, Contestant, Outcome, Row, Samples, Settings, median_column

OURS, ASYNCIO = "import reactive", "import asyncio"


def importing(module: str, settings: Settings) -> Outcome:
    """The processor time of the import, the least of several."""
    code = f"import time; start = time.process_time(); import {module}; "
    code += "print(time.process_time() - start)"
    run = [sys.executable, "-c", code]
    times = [
        float(subprocess.run(run, check=True, capture_output=True, timeout=60).stdout)
        for _ in range(settings["imports"])
    ]
    return Outcome(None, {"seconds": min(times)})


def milliseconds(samples: Samples) -> float | None:
    seconds = samples.median(OURS)
    return None if seconds is None else seconds * 1000


ROW = Row(
    name="import-time",
    title="the processor time that the first import takes, asyncio included",
    contestants=(
        Contestant(OURS, lambda settings: importing("reactive", settings), "ours"),
        Contestant(ASYNCIO, lambda settings: importing("asyncio", settings), "by hand"),
    ),
    bars=(Bar("under 150 ms", milliseconds, 150, unit=" ms"),),
    columns=(median_column(),),
    full={"imports": 5},
    quick={"imports": 3},
    warm=None,
    rounds=3,
    generation=3,
    computes=False,
)
