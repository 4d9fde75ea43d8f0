"""The alternatives, each as its own documentation uses it, one a module.

`total(operators, count)` puts the integers below `count` through the operators, given as
`("map", function)` and `("filter", predicate)`, and sums what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

from benchmarks.model import Contestant, Outcome, Settings

Operators: TypeAlias = Sequence[tuple[str, Callable[[int], Any]]]

_PEERS = {
    "streamable": ("streamable", "streamable_peer"),
    "bytewax": ("bytewax", "bytewax_peer"),
    "reactivex": ("reactivex", "reactivex_peer"),
    "csp (Python nodes)": ("csp", "csp_peer"),
    "streamz": ("streamz", "streamz_peer"),
    "aiostream": ("aiostream", "aiostream_peer"),
}


def summing_peers(
    run: Callable[[Callable[[Operators, int], int], Settings], Outcome],
) -> tuple[Contestant, ...]:
    """A contestant for each library: `run` gets its `total`, imported in its own process only."""

    def contestant(name: str, module: str, adapter: str) -> Contestant:
        def run_peer(settings: Settings) -> Outcome:
            return run(import_module(f"benchmarks.peers.{adapter}").total, settings)

        return Contestant(name, run_peer, module=module)

    return tuple(contestant(name, *modules) for name, modules in _PEERS.items())
