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

from benchmarks.rows import load


def main() -> None:
    row_name, contestant_name = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.readline())
    row = load(row_name)
    contestant = next(one for one in row.contestants if one.name == contestant_name)
    if row.warm is not None:
        contestant.run({**settings, **settings.get("warm", {})})
    print("ready", file=out, flush=True)
    while sys.stdin.readline():
        gc.collect()
        gc.freeze()
        cpu, wall = time.process_time(), time.perf_counter()
        outcome = contestant.run(settings)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        figures = {"seconds": wall, "cpu": cpu, **outcome.figures}
        answer = {"result": outcome.result, "kind": outcome.kind, "figures": figures}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
