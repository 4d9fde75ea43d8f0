"""Holds what the pipelines give against what SQL gives over the same events."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import reactive as rx
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.queries import Query, Row, Surroundings
from benchmarks.nexmark.sql import BIDS_A_SECOND

Mode = Literal["stream", "batch"]
MODES: tuple[Mode, Mode] = ("stream", "batch")


def rows_of(query: Query, events: Sequence[Event], mode: Mode) -> list[Row]:
    """The rows that a query leaves, with a clock that each bid moves on."""
    ticks = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        around = Surroundings(Path(folder), lambda: next(ticks) / BIDS_A_SECOND)
        results = query.over(rx.from_iterable(events), around)
        return [tuple(row) for row in query.rows(asyncio.run(results.collect(mode=mode)))]


def difference(given: Iterable[Row], expected: Iterable[Row]) -> str | None:
    """What two tables do not have in common, if anything."""
    ours, theirs = Counter(given), Counter(expected)
    if ours == theirs:
        return None
    more, less = ours - theirs, theirs - ours
    examples = [f"not expected: {row}" for row in itertools.islice(more, 2)]
    examples += [f"missing: {row}" for row in itertools.islice(less, 2)]
    return f"{more.total():,} rows too many and {less.total():,} missing; " + "; ".join(examples)
