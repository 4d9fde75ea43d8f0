"""Runs rows: a new process for each contestant in each round, contestants taking turns.

A process of its own keeps one contestant's imports, heap and warmed-up code away from the others,
and a new one each round averages over what is fixed for a process's life (memory layout, hash
seeds). Taking turns lets a slow minute of the machine hit every contestant alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.model import Contestant, Row, Samples, Settings

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT = 600.0


@dataclass
class Measured:
    """What a row gave."""

    row: Row
    settings: Settings
    samples: Samples = field(default_factory=Samples)
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    differing: dict[str, str] = field(default_factory=dict)

    @property
    def agreed(self) -> bool:
        """Whether every contestant that is installed ran, with one and the same result."""
        return not self.failed and not self.differing


def installed(contestant: Contestant) -> bool:
    """Whether the library of a contestant can be imported."""
    return contestant.module is None or find_spec(contestant.module) is not None


def measure(
    row: Row,
    *,
    quick: bool,
    rounds: int | None,
    overrides: Mapping[str, Any],
    loop: str,
    chosen: Callable[[Contestant], bool],
    say: Callable[[str], None],
) -> Measured:
    """Run a row: every contestant once in each round."""
    settings: dict[str, Any] = {**(row.quick if quick else row.full)}
    settings.update({key: value for key, value in overrides.items() if key in settings})
    if row.warm is not None:
        settings["warm"] = dict(row.warm)
    measured = Measured(row, settings)
    playing = [contestant for contestant in row.contestants if chosen(contestant)]
    measured.missing = [one.name for one in playing if not installed(one)]
    playing = [one for one in playing if installed(one)]
    spent = dict.fromkeys((one.name for one in playing), 0.0)
    count = rounds or (row.quick_rounds if quick else row.rounds)
    with row.around(settings) as prepared:
        measured.settings = prepared
        for number in range(count):
            turn = number % len(playing) if playing else 0
            for contestant in playing[turn:] + playing[:turn]:
                name = contestant.name
                enough = number >= 3 and spent[name] > row.seconds_for_a_contestant
                if enough or name in measured.failed:
                    continue
                say(f"{row.name}: round {number + 1} of {count}, {name}")
                before = time.perf_counter()
                _run_one(measured, contestant, prepared, loop)
                spent[name] += time.perf_counter() - before
    _compare(measured)
    return measured


def _run_one(measured: Measured, contestant: Contestant, settings: Settings, loop: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker"]
    try:
        done = subprocess.run(
            [*command, measured.row.name, contestant.name],
            input=json.dumps(dict(settings)),
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            cwd=ROOT,
            env={**os.environ, "BENCHMARK_LOOP": loop},
        )
    except subprocess.TimeoutExpired:
        measured.failed[contestant.name] = f"took longer than {TIME_LIMIT:.0f} s"
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        measured.failed[contestant.name] = "\n".join(lines[-12:])
        return
    said = json.loads(done.stdout)
    measured.samples.rounds.setdefault(contestant.name, []).append(said["figures"])
    if said["result"] is None:
        return
    result = measured.results.setdefault(contestant.name, said["result"])
    if result != said["result"]:
        measured.differing[contestant.name] = f"{said['result']!r} after {result!r}"


def _compare(measured: Measured) -> None:
    """All results against that of the first contestant that is written by hand."""
    by_hand = [one.name for one in measured.row.contestants if one.kind == "by hand"]
    known = [name for name in [*by_hand, *measured.results] if name in measured.results]
    if not known:
        return
    expected = measured.results[known[0]]
    for name, result in measured.results.items():
        if result != expected:
            measured.differing[name] = f"{result!r}, and {known[0]} gives {expected!r}"
