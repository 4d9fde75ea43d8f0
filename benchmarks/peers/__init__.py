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
    "streamable": ("streamable_peer", "total"),
    "bytewax": ("bytewax_peer", "total"),
    "bytewax, its fastest way": ("bytewax_peer", "fastest_total"),
    "reactivex": ("reactivex_peer", "total"),
    "csp (Python nodes)": ("csp_peer", "total"),
    "csp (Python nodes), fed from NumPy": ("csp_peer", "fastest_total"),
    "streamz": ("streamz_peer", "total"),
    "aiostream": ("aiostream_peer", "total"),
}
_SLOW = ("csp (Python nodes)", "streamz", "aiostream")


def summing_peers(
    run: Callable[[Callable[[Operators, int], int], Settings], Outcome],
) -> tuple[Contestant, ...]:
    """A contestant for each library: `run` gets its `total`, imported in its own process only."""

    def contestant(name: str, adapter: str, function: str) -> Contestant:
        def run_peer(settings: Settings) -> Outcome:
            peer = import_module(f"benchmarks.peers.{adapter}")
            return run(getattr(peer, function), settings)

        share = 0.1 if name in _SLOW else 1.0
        module = adapter.removesuffix("_peer")
        return Contestant(name, run_peer, module=module, share=share)

    return tuple(contestant(name, *found) for name, found in _PEERS.items())
