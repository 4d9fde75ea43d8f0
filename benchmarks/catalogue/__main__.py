"""The command: `python -m benchmarks.catalogue`."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.catalogue import BASE, LIBRARIES
from benchmarks.harness import ROOT
from benchmarks.report import machine

_ABOUT = """\
Measures what every operator costs an item, in a pipeline of a range, the operator and a consumer
that counts, beside the same operator of aiostream, reactivex and streamable where they have one.
`own` is what the operator adds to the pipeline without it, in nanoseconds, scaled to a machine on
which a call of `lambda x: x + 1` costs 45 ns; a user's function that it calls is part of that. The
other columns are how many times as long the other library's whole pipeline takes. All figures are
processor time, the smallest of the rounds. Operators that wait for time to pass are not measured.
"""
OWN_BAR = 150.0
AIOSTREAM_BAR = 10.0
HAND_BAR = 2.0
CALL = 45.0
ITEMS = {
    "reactive": 200_000,
    "by hand": 40_000,
    "aiostream": 10_000,
    "reactivex": 30_000,
    "streamable": 60_000,
}
"""How many items each library gets: enough for the start of a run not to count."""
AWAITED = {"map, awaited", "map, two at a time"}
"""Where every item is a wait, the base is not subtracted, and fewer items will do."""


_PIPELINE_EACH = (
    "Each item describes a pipeline that gives a single one, which is more than a third of it"
)
_GENERATOR_EACH = "Each item makes an async generator that gives a single one and is stepped twice"
WHY = {
    "concat_map, of pipelines": f"{_PIPELINE_EACH}.",
    "concat_map, of generators": f"{_GENERATOR_EACH}.",
    "merge_map, of pipelines": f"{_PIPELINE_EACH}; upstream waits for room after 16 items.",
    "merge_map, of generators": f"{_GENERATOR_EACH}; upstream waits for room after 16 items.",
    "flat_map": "The call, the tuple it makes and a loop over that take most of it.",
    "expand": "The call, a loop over its result, a queue of what is due, and whether to pause.",
    "variance": "Four additions and a multiplication of Python numbers.",
    "batch, by weight": "The call of the weight, a sum, two comparisons, and lists of only ten.",
    "batch_while": "A call with two arguments, the list it looks at, and lists of only ten.",
    "batch_by": "The call of the key, a comparison, and lists of only ten.",
    "sliding": "Each item is a new list of ten.",
    "event_time": "The call, a time in microseconds, and whether the watermark rises.",
    "with_timestamp": "A look at the clock, and a datetime for each microsecond; "
    "`with_timestamp(time.time)` is faster.",
}
"""Why an operator takes longer than its bar."""


class Library:
    """The process of one library."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.catalogue.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.pipelines: list[str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended by itself; see above")
        return json.loads(line)

    def measure(self, name: str, count: int) -> float | None:
        """Nanoseconds an item; None where it failed, which is said."""
        assert self._process.stdin is not None
        print(json.dumps([name, count]), file=self._process.stdin, flush=True)
        answer = self._answer()
        if "failed" in answer:
            print(f"{self.name}, {name}: {answer['failed']}", file=sys.stderr)
            return None
        return float(answer["seconds"]) / count * 1e9

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Row:
    """One operator: nanoseconds an item of each library's whole pipeline."""

    name: str
    family: str
    form: str
    nanoseconds: dict[str, float] = field(default_factory=dict)

    def own(self, base: float, call: float) -> float:
        """What the operator itself costs, on a machine with calls of `CALL` nanoseconds."""
        added = self.nanoseconds["reactive"] - (0 if self.name in AWAITED else base)
        return added * CALL / call

    def times(self, library: str) -> float | None:
        """How many times as long the other library takes."""
        theirs = self.nanoseconds.get(library)
        return None if theirs is None else theirs / self.nanoseconds["reactive"]


def call_cost() -> float:
    """What calling a lambda costs here, in nanoseconds: the smallest of several tries."""
    numbers = range(200_000)
    increment = lambda x: x + 1  # noqa: E731

    def loop(called: bool) -> float:
        begun = time.process_time()
        if called:
            for number in numbers:
                increment(number)
        else:
            for number in numbers:
                number  # noqa: B018
        return time.process_time() - begun

    return (min(loop(True) for _ in range(9)) - min(loop(False) for _ in range(9))) / 200_000 * 1e9


def missed(rows: Sequence[Row], base: float, call: float) -> list[str]:
    """The bars that were not met."""
    found = []
    for row in rows:
        own, aiostream = row.own(base, call), row.times("aiostream")
        if row.form in ("inline", "step") and own > OWN_BAR:
            line = f"{row.name}: {own:.0f} ns of its own, above {OWN_BAR:.0f}"
            if "by hand" in row.nanoseconds:
                hand = row.nanoseconds["by hand"] * CALL / call
                line += f"; a generator by hand, and the loop that counts, take {hand:.0f} ns"
                more = hand - base * CALL / call
                if more > OWN_BAR:
                    line += (
                        f", {more:.0f} more than the pipeline without an operator, so that is "
                        "above the bar, too"
                    )
            if row.name in WHY:
                line += f". {WHY[row.name]}"
            found.append(line)
        if row.name in AWAITED:
            hand = row.times("by hand")
            if hand is not None and 1 / hand > HAND_BAR:
                found.append(f"{row.name}: {1 / hand:.2f} times the loop by hand")
        elif aiostream is not None and aiostream < AIOSTREAM_BAR:
            line = f"{row.name}: {aiostream:.1f} times as fast as aiostream"
            found.append(f"{line}. {WHY[row.name]}" if row.name in WHY else line)
    return found


def table(rows: Sequence[Row], base: float, call: float) -> str:
    """The table in Markdown."""
    others = [name for name in LIBRARIES if name != "reactive"]
    lines = [
        f"| operator | family | form | own ns | {' | '.join(others)} |",
        f"| --- | --- | --- | ---: |{' ---: |' * len(others)}",
    ]
    for row in rows:
        cells = ["" if (times := row.times(other)) is None else f"{times:.3g}x" for other in others]
        own = f"{row.own(base, call):.0f}"
        lines.append(f"| `{row.name}` | {row.family} | {row.form} | {own} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; the exit status is 0 unless a library fails."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.catalogue",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the items, two rounds")
    parser.add_argument("--only", action="append", metavar="NAME", help="only operators named so")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="PATH",
        help="write the page of the site; with --only, all other figures of it are kept",
    )
    arguments = parser.parse_args()
    from benchmarks.catalogue import ours

    libraries = []
    for name, module in LIBRARIES.items():
        needs = module.rpartition("with_")[2] if "with_" in module else "reactive"
        if find_spec(needs) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        libraries.append(Library(name))
    samples: dict[tuple[str, str], list[float]] = {}
    calls = []
    for turn in range(2 if arguments.quick else arguments.rounds):
        calls.append(call_cost())
        for name in ours.PIPELINES:
            if arguments.only and name != BASE and name.split(",")[0] not in arguments.only:
                continue
            if sys.stderr.isatty():
                print(f"\r\033[K{turn + 1}: {name}", end="", file=sys.stderr, flush=True)
            for library in libraries:
                if name in library.pipelines:
                    count = ITEMS[library.name] // (10 if arguments.quick or name in AWAITED else 1)
                    took = library.measure(name, count)
                    if took is not None:
                        samples.setdefault((name, library.name), []).append(took)
    for library in libraries:
        library.close()
    call = median(calls)
    rows: dict[str, Row] = {}
    for (name, library_name), found in samples.items():
        row = rows.setdefault(name, Row(name, *ours.describe(name)))
        row.nanoseconds[library_name] = min(found)
    base = rows.pop(BASE).nanoseconds["reactive"]
    measured = [row for row in rows.values() if "reactive" in row.nanoseconds]
    about = ", ".join(f"{key} {value}" for key, value in machine("asyncio", "wall").items())
    text = table(measured, base, call)
    print(text)
    print(f"\nthe pipeline without an operator: {base:.1f} ns an item; a call: {call:.1f} ns")
    for line in (bars := missed(measured, base, call)) or ["every bar is met"]:
        print(line)
    if arguments.page is not None:
        page = _page(text, bars, about, arguments.rounds)
        if arguments.only:
            page = renewed(arguments.page.read_text(), page, {row.name for row in measured})
        arguments.page.write_text(page)
    return 0


def _page(text: str, bars: Sequence[str], about: str, rounds: int) -> str:
    notes = "\n".join(f"- {line}" for line in bars) or "None."
    return (
        "# What an operator costs\n\n"
        + _ABOUT
        + f"\n{text}\n\n## Bars that were missed\n\nNo inline or step operator above {OWN_BAR:.0f} "
        f"ns of its own, every operator that does not wait at least {AIOSTREAM_BAR:.0f} times as "
        f"fast as aiostream's, two calls at a time within {HAND_BAR:.0f} times the loop by hand:\n"
        f"\n{notes}\n\nMeasured with {about}, by "
        f"`python -m benchmarks.catalogue --rounds {rounds} --page docs/speed.md`.\n"
    )


def renewed(old: str, new: str, names: set[str]) -> str:
    """The old page with the new lines of these operators, and which of them it has."""
    table = {_row_name(line): line for line in new.splitlines() if line.startswith("| `")}
    missed = {_missed_name(line): line for line in new.splitlines() if line.startswith("- ")}
    lines = []
    for line in old.splitlines():
        if line.startswith("- ") and _missed_name(line) in names:
            line = missed.pop(_missed_name(line), "")
            if not line:
                continue
        elif line.startswith("| `"):
            line = table.get(_row_name(line), line)
        elif line.startswith("Measured with "):
            lines[-1:-1] = missed.values()
            line, _, before = line.partition(" Measured again: ")
            again = {f"`{name}`" for name in names} | set(re.findall("`.*?`", before))
            line += f" Measured again: {', '.join(sorted(again))}."
        lines.append(line)
    return "\n".join(lines) + "\n"


def _row_name(line: str) -> str:
    return line.split("`")[1]


def _missed_name(line: str) -> str:
    return line.removeprefix("- ").split(":")[0]


if __name__ == "__main__":
    sys.exit(main())
