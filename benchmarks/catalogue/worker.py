"""The process of one library: runs the pipelines whose names come on standard input.

`python -m benchmarks.catalogue.worker LIBRARY`: each line is a name and a number of items, and is
answered with a line of JSON on standard output: the seconds it took, and what came out.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib import import_module

from benchmarks.catalogue import LIBRARIES


def main() -> None:
    library = import_module(LIBRARIES[sys.argv[1]])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(sorted(library.PIPELINES)), file=out, flush=True)
    for line in sys.stdin:
        name, count = json.loads(line)
        library.run(name, max(count // 20, 10))
        gc.collect()
        gc.freeze()
        begun = time.perf_counter()
        result = library.run(name, count)
        seconds = time.perf_counter() - begun
        gc.unfreeze()
        print(json.dumps({"seconds": seconds, "result": result}), file=out, flush=True)


if __name__ == "__main__":
    main()
