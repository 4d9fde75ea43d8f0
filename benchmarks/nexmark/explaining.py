"""The plan of a query."""

from __future__ import annotations

from pathlib import Path

import reactive as rx
from benchmarks.nexmark.check import MODES
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.queries import Query, Surroundings


def explain(query: Query, mode: str) -> str:
    """What runs in each mode, and what it holds."""
    events: rx.Stream[Event] = rx.empty()
    pipeline = query.over(events, Surroundings(Path()))
    parts = [f"{query.name}: {query.title}"]
    parts += [str(pipeline.explain(mode=each)) for each in MODES if mode in (each, "both")]
    return "\n\n".join([*parts, ""])
