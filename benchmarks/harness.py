"""Runs rows: a process for each contestant, contestants taking turns, run by run.

A process of its own keeps one contestant's imports, heap and warmed-up code away from the others;
making new ones a few times over (a generation) averages over what is fixed for a process's life,
such as memory layout and hash seeds. Taking turns lets a slow minute of the machine hit all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.model import Contestant, Row, Samples, Settings

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Measured:
    """What a row gave."""

    row: Row
    settings: Settings
    samples: Samples = field(default_factory=Samples)
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    results: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Kind of result -> who gave it first, and the result."""
    differing: dict[str, str] = field(default_factory=dict)

    @property
    def agreed(self) -> bool:
        """Whether every contestant that is installed ran, with one and the same result."""
        return not self.failed and not self.differing


class Failed(Exception):
    """A contestant's process ended by itself; the message is what it said last."""


class Process:
    """The process of one contestant, idle between runs."""

    def __init__(
        self, row: Row, contestant: Contestant, settings: Settings, how: Mapping[str, str]
    ) -> None:
        self.contestant = contestant
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in close()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "benchmarks.worker"),
                *(row.name, contestant.name),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env={**os.environ, **how},
        )
        try:
            self.warm = json.loads(self._ask(json.dumps(dict(settings))))
        except BaseException:
            self.close()
            raise

    def run(self) -> dict[str, Any]:
        """Let it run once."""
        answer: dict[str, Any] = json.loads(self._ask("run"))
        return answer

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(line, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass
        if answer := self._process.stdout.readline():
            return answer
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines() or [f"exit status {status}"]
        raise Failed("\n".join(lines[-12:]))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        with self._process, self._said:
            pass


def installed(contestant: Contestant) -> bool:
    """Whether the library of a contestant can be imported."""
    return contestant.module is None or find_spec(contestant.module) is not None


def measure(
    row: Row,
    *,
    quick: bool,
    rounds: int | None,
    overrides: Mapping[str, Any],
    how: Mapping[str, str],
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
    count = rounds or (row.quick_rounds if quick else row.rounds)
    spent: dict[str, float] = {}
    with row.around(settings) as prepared:
        measured.settings = prepared
        for first in range(0, count, row.generation):
            with ExitStack() as stack:
                processes: list[Process] = []
                for contestant in playing:
                    if contestant.name in measured.failed or _enough(row, contestant, spent):
                        continue
                    say(f"{row.name}: starting {contestant.name}")
                    try:
                        process = Process(row, contestant, prepared, how)
                    except Failed as error:
                        measured.failed[contestant.name] = str(error)
                        continue
                    stack.callback(process.close)
                    processes.append(process)
                    _compare(measured, contestant.name, process.warm)
                for number in range(first, min(first + row.generation, count)):
                    say(f"{row.name}: round {number + 1} of {count}")
                    _round(measured, processes, number, spent)
    return measured


def _enough(row: Row, contestant: Contestant, spent: Mapping[str, float]) -> bool:
    """A slow contestant leaves once it has had its share of time."""
    return spent.get(contestant.name, 0.0) > row.seconds_for_a_contestant


def _round(
    measured: Measured, processes: list[Process], number: int, spent: dict[str, float]
) -> None:
    turn = number % len(processes) if processes else 0
    for process in processes[turn:] + processes[:turn]:
        name = process.contestant.name
        if name in measured.failed or _enough(measured.row, process.contestant, spent):
            continue
        before = time.perf_counter()
        try:
            said = process.run()
        except Failed as error:
            measured.failed[name] = str(error)
            continue
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - before
        measured.samples.add(number, name, said["figures"])
        _compare(measured, name, said)


def _compare(measured: Measured, name: str, said: dict[str, Any]) -> None:
    """Hold a result against the first of its kind."""
    kind, result = said["kind"], said["result"]
    if result is None:
        return
    first, expected = measured.results.setdefault(kind, (name, result))
    if result != expected:
        measured.differing[name] = f"{result!r}, and {first} gave {expected!r}"
