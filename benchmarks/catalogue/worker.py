"""The process of one library: runs the pipelines whose names come on standard input.

`python -m benchmarks.catalogue.worker LIBRARY`: each line is a name and a number of items, and is
answered with a line of JSON on standard output: the processor seconds it took, and what came out.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from benchmarks.catalogue import LIBRARIES


def main() -> None:
    library = import_module(LIBRARIES[sys.argv[1]])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(sorted(library.PIPELINES)), file=out, flush=True)
    for line in sys.stdin:
        name, count = json.loads(line)
        try:
            answer = measured(library, name, count)
        except Exception as error:
            answer = {"failed": repr(error)}
        print(json.dumps(answer), file=out, flush=True)


def measured(library: Any, name: str, count: int) -> dict[str, Any]:
    """Run a pipeline after a warm-up."""
    library.run(name, max(count // 20, 10))
    gc.collect()
    gc.freeze()
    begun = time.process_time()
    result = library.run(name, count)
    seconds = time.process_time() - begun
    gc.unfreeze()
    return {"seconds": seconds, "result": result}


if __name__ == "__main__":
    main()
