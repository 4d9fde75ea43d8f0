"""The process of one contestant: warms up, then runs once for every line on standard input.

`python -m benchmarks.worker ROW CONTESTANT`: the settings come as JSON on the first line; each run
answers with a line of JSON on standard output, to which nothing else can write.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any

from benchmarks.model import Outcome
from benchmarks.rows import load


def main() -> None:
    row_name, contestant_name = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.readline())
    row = load(row_name)
    contestant = next(one for one in row.contestants if one.name == contestant_name)
    kind = ""
    if contestant.share < 1:
        settings["count"] = int(settings["count"] * contestant.share)
        kind = f"count {settings['count']}"
    warm = None
    if row.warm is not None:
        warm = contestant.run({**settings, **settings.get("warm", {})})
    by_cpu = os.environ.get("BENCHMARK_CLOCK") == "cpu"
    print(json.dumps(_answer(warm, "warm", {})), file=out, flush=True)
    while sys.stdin.readline():
        gc.collect()
        gc.freeze()
        cpu, wall = time.process_time(), time.perf_counter()
        outcome = contestant.run(settings)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        measured = {"seconds": cpu if by_cpu and row.computes else wall, **outcome.figures}
        measured["seconds"] /= contestant.share
        figures = {**measured, "wall": wall, "cpu": cpu}
        print(json.dumps(_answer(outcome, kind, figures)), file=out, flush=True)


def _answer(outcome: Outcome | None, kind: str, figures: dict[str, float]) -> dict[str, Any]:
    if outcome is None:
        return {"result": None, "kind": kind, "figures": figures}
    return {"result": outcome.result, "kind": f"{kind} {outcome.kind}", "figures": figures}


if __name__ == "__main__":
    main()
