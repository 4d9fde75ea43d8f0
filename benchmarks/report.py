"""Measured rows as text, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness import Measured
from benchmarks.model import Bar

_DISTRIBUTIONS = (
    "reactive-pipelines",
    "anyio",
    "orjson",
    "uvloop",
    "aiostream",
    "apache-beam",
    "bytewax",
    "csp",
    "reactivex",
    "streamable",
    "streamz",
)


def machine(loop: str, clock: str) -> dict[str, str]:
    """What the numbers were measured on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loop": loop,
        "clock": clock,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        **{name: found for name in _DISTRIBUTIONS if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def verdict(measured: Measured, bar: Bar) -> tuple[str, str]:
    """What was measured for a bar, and whether it was met."""
    value, limit = bar.measure(measured.samples), bar.limit_in(measured.samples)
    if value is None or limit is None:
        return "", "not measured"
    met = value <= limit if bar.sense == "at most" else value >= limit
    shown = f"{value:.3g}{bar.unit}"
    if callable(bar.limit):
        shown += f" ({bar.sense} {limit:.3g}{bar.unit})"
    return shown, "met" if met else "missed"


def _cells(measured: Measured) -> list[list[str]]:
    """A line for each contestant: its name, then its columns."""
    rows = []
    columns = measured.row.columns
    for contestant in measured.row.contestants:
        name = contestant.name
        if name in measured.missing:
            rows.append([name, "not installed", *[""] * (len(columns) - 1)])
        elif name in measured.failed:
            rows.append([name, "failed", *[""] * (len(columns) - 1)])
        elif name in measured.samples.rounds:
            shown = [column.show(measured.samples, name, measured.settings) for column in columns]
            label = name if contestant.share == 1 else f"{name} (on {contestant.share:.0%})"
            rows.append([label, *shown])
    return rows


def _sizes(measured: Measured) -> str:
    hidden = {"warm", "path", "port", "folder"}
    return ", ".join(
        f"{key} {value:,}" for key, value in measured.settings.items() if key not in hidden
    )


def text(measured: Measured) -> str:
    """One row for a terminal."""
    rounds = max(map(len, measured.samples.rounds.values()), default=0)
    lines = ["", measured.row.title, f"  {_sizes(measured)}; rounds: {rounds}"]
    table = [["", *(column.label for column in measured.row.columns)], *_cells(measured)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  " + "  ".join(cells).rstrip())
    for bar in measured.row.bars:
        value, outcome = verdict(measured, bar)
        lines.append(f"  {outcome.upper():12}  {bar.text}{': ' if value else ''}{value}")
    for name, what in measured.failed.items():
        lines.append(f"  FAILED        {name}:\n{what}")
    for name, what in measured.differing.items():
        lines.append(f"  DIFFERS       {name}: {what}")
    return "\n".join(lines)


def markdown(rows: Sequence[Measured], about: dict[str, str]) -> str:
    """All rows: first the bars in one table, then the contestants of each row."""
    lines = ["| work | bar | measured | |", "| --- | --- | --- | --- |"]
    for measured in rows:
        for bar in measured.row.bars:
            value, outcome = verdict(measured, bar)
            lines.append(f"| {measured.row.title} | {bar.text} | {value} | {outcome} |")
    for measured in rows:
        labels = [column.label for column in measured.row.columns]
        lines += ["", f"**{measured.row.title}** ({_sizes(measured)})", ""]
        lines.append(f"| | {' | '.join(labels)} |")
        lines.append("| --- |" + " --- |" * len(labels))
        lines += [f"| {' | '.join(row)} |" for row in _cells(measured)]
    versions = ", ".join(f"{name} {value}" for name, value in about.items())
    lines += ["", f"Measured with {versions}.", ""]
    return "\n".join(lines)


def as_json(rows: Sequence[Measured], about: dict[str, str]) -> dict[str, Any]:
    """Everything, each round's figures included."""
    return {
        "machine": about,
        "rows": {
            measured.row.name: {
                "title": measured.row.title,
                "settings": {
                    key: value for key, value in measured.settings.items() if key != "warm"
                },
                "rounds": measured.samples.rounds,
                "results": measured.results,
                "bars": [
                    dict(
                        zip(
                            ("bar", "measured", "verdict"),
                            (bar.text, *verdict(measured, bar)),
                            strict=True,
                        )
                    )
                    for bar in measured.row.bars
                ],
                "not installed": measured.missing,
                "failed": measured.failed,
                "differing": measured.differing,
            }
            for measured in rows
        },
    }
