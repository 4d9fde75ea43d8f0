"""Every row of the benchmarks, with little to do: ours and what it replaces give the same, and bars
and columns can be told from what they measured."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks import report
from benchmarks.catalogue.__main__ import renewed
from benchmarks.harness import Measured
from benchmarks.rows import NAMES, load

SMALL: dict[str, Mapping[str, int]] = {
    "three-lambdas": {"count": 300},
    "ten-operators": {"count": 300},
    "async-for": {"count": 300},
    "tcp-json": {"count": 300},
    "file-lines": {"bytes": 100_000},
    "latency": {"count": 200, "rate": 10_000},
    "async-map": {"count": 200, "concurrency": 100},
    "windows": {"count": 3000},
    "sessions": {"count": 3000},
    "join": {"count": 3000},
    "sort": {"bytes": 200_000, "memory": 1 << 20},
    "checkpoints": {"count": 20_000},
    "checkpoint-state": {"keys": 300},
    "ingest": {"count": 200, "clients": 16},
    "memory": {"count": 3000, "first": 1000, "rate": 400_000},
    "fairness": {"count": 30_000, "slow_count": 500},
    "import-time": {"imports": 1},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_measures_what_gives_the_same(name: str) -> None:
    row = load(name)
    assert row.bars
    measured = Measured(row, SMALL.get(name, row.quick))
    results: dict[str, object] = {}
    with row.around(measured.settings) as settings:
        for contestant in row.contestants:
            if contestant.kind == "peer":
                continue
            outcome = contestant.run(settings)
            measured.samples.add(1, contestant.name, {"seconds": 1.0, **outcome.figures})
            if outcome.result is not None:
                assert results.setdefault(outcome.kind, outcome.result) == outcome.result
    shown = report.text(measured)
    assert row.title in shown
    for bar in row.bars:
        assert bar.text in shown


def test_a_page_of_speed_keeps_what_was_not_measured_again() -> None:
    old = (
        "| `map` | 80 |\n| `top` | 239 |\n| `batch` | 60 |\n\n"
        "- top: 239 ns\n- expand: 359 ns\n\nMeasured with python, by `command`.\n"
    )
    new = "| `top` | 82 |\n| `batch` | 160 |\n\n- batch: 160 ns\n\nMeasured by `it`.\n"
    page = renewed(old, new, {"top", "batch"})
    assert page == (
        "| `map` | 80 |\n| `top` | 82 |\n| `batch` | 160 |\n\n"
        "- expand: 359 ns\n- batch: 160 ns\n\n"
        "Measured with python, by `command`. Measured again: `batch`, `top`.\n"
    )
    assert renewed(page, new, {"batch"}).endswith("Measured again: `batch`, `top`.\n")
