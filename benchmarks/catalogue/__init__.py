"""What every operator costs an item, beside the same operator of other libraries."""

from typing import Final

LIBRARIES: Final = {
    "reactive": "benchmarks.catalogue.ours",
    "by hand": "benchmarks.catalogue.by_hand",
    "aiostream": "benchmarks.catalogue.with_aiostream",
    "reactivex": "benchmarks.catalogue.with_reactivex",
    "streamable": "benchmarks.catalogue.with_streamable",
}
"""The libraries, and the modules that have each operator's pipeline in them: `PIPELINES` by the
name of the operator, and `run(name, count)`, which gives how many items came out and the last."""

BASE: Final = ""
"""The name of the pipeline without any operator."""
