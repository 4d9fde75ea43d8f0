"""The process in which one contestant runs one round: warm up, run, tell the figures.

`python -m benchmarks.worker ROW CONTESTANT`, with the settings as JSON on standard input; the
outcome is one line of JSON on standard output, to which nothing else can write.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

from benchmarks.rows import load


def main() -> None:
    row_name, contestant_name = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = json.load(sys.stdin)
    row = load(row_name)
    contestant = next(one for one in row.contestants if one.name == contestant_name)
    if row.warm is not None:
        contestant.run({**settings, **settings.get("warm", {})})
    gc.collect()
    gc.freeze()
    cpu, wall = time.process_time(), time.perf_counter()
    outcome = contestant.run(settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    figures = {"seconds": wall, "cpu": cpu, **outcome.figures}
    json.dump({"result": outcome.result, "figures": figures}, out)
    out.write("\n")
    out.close()


if __name__ == "__main__":
    main()
