"""Runs windows on a script, and tells what each of its steps caused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import reactive as rx
from reactive.execution import Execution
from reactive.plan import JobPlan, make_plan
from reactive.testing import Pause, run, scripted_source
from reactive.windows import LATEST

SECOND = 1_000_000

Step: TypeAlias = rx.Chunk[Any] | rx.Watermark | Pause
Result: TypeAlias = tuple[rx.Windowed[Any, Any], int]


@dataclass(frozen=True)
class ToList(rx.Aggregator[Any, list[Any], list[Any]]):
    """All values, as they came."""

    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: list[Any], item: Any) -> list[Any]:
        return [*accumulator, item]

    def merge(self, accumulator: list[Any], other: list[Any]) -> list[Any]:
        return accumulator + other

    def result(self, accumulator: list[Any]) -> list[Any]:
        return accumulator


@dataclass(frozen=True)
class Validity(rx.WindowAssigner):
    """A window lasts until the next one of its key begins."""

    merging = True

    def assign(self, item: Any, time: int) -> Sequence[rx.Window]:
        return (rx.Window(time, LATEST),)

    def merge(
        self, windows: Sequence[rx.Window]
    ) -> Iterable[tuple[rx.Window, Sequence[rx.Window]]]:
        starts = sorted({window.start for window in windows})
        for start, end in pairwise([*starts, LATEST]):
            yield rx.Window(start, end), [each for each in windows if each.start == start]


def caused_by(
    steps: Sequence[Step], build: Callable[[rx.Stream[Any]], rx.Stream[Any]]
) -> list[list[Result]]:
    """What comes out of a pipeline after each of the steps, and, last, at its end."""
    script = [signal for number, step in enumerate(steps) for signal in (step, rx.Barrier(number))]
    return run(_caused(build(scripted_source(script))))


async def _caused(stream: rx.Stream[Any]) -> list[list[Result]]:
    execution = Execution(make_plan([JobPlan(stream.node)]), None)
    caused: list[list[Result]] = [[]]
    try:
        await execution.open()
        while (signal := await execution.read()) is not None:
            if isinstance(signal, rx.Barrier):
                caused.append([])
            elif isinstance(signal, rx.Chunk):
                assert signal.times is not None
                caused[-1] += zip(signal.items, signal.times, strict=True)
    finally:
        await execution.close()
    return caused
