"""The kit for testing pipelines: virtual time, a leak check, marble diagrams, laws of operators.

Everything here is public. The fixtures of `reactive.testing.plugin` are there in every pytest
session; names are imported when they are first used, so that the plugin costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reactive.errors import DeadlockError as DeadlockError
    from reactive.testing.crashes import check_crashes as check_crashes
    from reactive.testing.footprint import Leak as Leak
    from reactive.testing.laws import check_laws as check_laws
    from reactive.testing.leaks import LeakError as LeakError
    from reactive.testing.leaks import check_leaks as check_leaks
    from reactive.testing.marbles import DiagramError as DiagramError
    from reactive.testing.marbles import End as End
    from reactive.testing.marbles import Failure as Failure
    from reactive.testing.marbles import Item as Item
    from reactive.testing.marbles import MarbleError as MarbleError
    from reactive.testing.marbles import draw as draw
    from reactive.testing.marbles import name_items as name_items
    from reactive.testing.marbles import parse as parse
    from reactive.testing.marbles import render as render
    from reactive.testing.memory_store import MemoryStore as MemoryStore
    from reactive.testing.modes import check_modes as check_modes
    from reactive.testing.observing import LawBroken as LawBroken
    from reactive.testing.probes import ContractError as ContractError
    from reactive.testing.probes import Probe as Probe
    from reactive.testing.probes import SinkProbe as SinkProbe
    from reactive.testing.recording import Marbles as Marbles
    from reactive.testing.recording import Recording as Recording
    from reactive.testing.recording import assert_marbles as assert_marbles
    from reactive.testing.recording import cold as cold
    from reactive.testing.recording import record as record
    from reactive.testing.recovery_laws import check_recovery as check_recovery
    from reactive.testing.scripts import Pause as Pause
    from reactive.testing.scripts import chunked as chunked
    from reactive.testing.scripts import scripted_source as scripted_source
    from reactive.testing.sink_laws import check_sink as check_sink
    from reactive.testing.sources import failing_source as failing_source
    from reactive.testing.sources import slow_source as slow_source
    from reactive.testing.sources import stubborn_source as stubborn_source
    from reactive.testing.virtual_time import VirtualTimeLoop as VirtualTimeLoop
    from reactive.testing.virtual_time import run as run

_HOMES = {
    "ContractError": "probes",
    "DeadlockError": "virtual_time",
    "DiagramError": "marbles",
    "End": "marbles",
    "Failure": "marbles",
    "Item": "marbles",
    "Leak": "footprint",
    "LawBroken": "observing",
    "LeakError": "leaks",
    "MarbleError": "marbles",
    "Marbles": "recording",
    "MemoryStore": "memory_store",
    "Pause": "scripts",
    "Probe": "probes",
    "Recording": "recording",
    "SinkProbe": "probes",
    "VirtualTimeLoop": "virtual_time",
    "assert_marbles": "recording",
    "check_crashes": "crashes",
    "check_laws": "laws",
    "check_leaks": "leaks",
    "check_modes": "modes",
    "check_recovery": "recovery_laws",
    "check_sink": "sink_laws",
    "chunked": "scripts",
    "cold": "recording",
    "draw": "marbles",
    "failing_source": "sources",
    "name_items": "marbles",
    "parse": "marbles",
    "record": "recording",
    "render": "marbles",
    "run": "virtual_time",
    "scripted_source": "scripts",
    "slow_source": "sources",
    "stubborn_source": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
