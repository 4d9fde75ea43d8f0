"""The kit for testing pipelines: virtual time, a leak check, marble diagrams, laws of operators.

Everything here is public. The fixtures of `reactive.testing.plugin` are there in every pytest
session; names are imported when they are first used, so that the plugin costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactive.testing.footprint import Leak as Leak
    from reactive.testing.leaks import LeakError as LeakError
    from reactive.testing.leaks import check_leaks as check_leaks
    from reactive.testing.virtual_time import VirtualTimeLoop as VirtualTimeLoop
    from reactive.testing.virtual_time import run as run

_HOMES = {
    "Leak": "footprint",
    "LeakError": "leaks",
    "VirtualTimeLoop": "virtual_time",
    "check_leaks": "leaks",
    "run": "virtual_time",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
