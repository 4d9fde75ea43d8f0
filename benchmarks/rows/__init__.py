"""The rows of the table of bars, one a module."""

from __future__ import annotations

from importlib import import_module

from benchmarks.model import Row

NAMES = (
    "three-lambdas",
    "ten-operators",
    "async-for",
    "tcp-json",
    "file-lines",
    "latency",
    "async-map",
    "windows",
    "sessions",
    "live-sessions",
    "join",
    "sort",
    "checkpoints",
    "checkpoint-state",
    "journal",
    "ingest",
    "memory",
    "fairness",
    "import-time",
)


def load(name: str) -> Row:
    """Import one row, and nothing of the others."""
    row: Row = import_module(f"benchmarks.rows.{name.replace('-', '_')}").ROW
    return row
