"""What every test of the suite runs under: a leak check, and the event loop that was asked for."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog
import uvloop

from reactive.testing.plugin import virtual_loop_factory, wants_virtual_time

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
CHOSEN = os.environ.get("REACTIVE_TEST_LOOP", "asyncio")
if CHOSEN not in LOOPS:
    raise pytest.UsageError(f"REACTIVE_TEST_LOOP is asyncio or uvloop, not {CHOSEN!r}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "any_loop: run this async test on asyncio and on uvloop")
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Hundreds of processes are started, and each would compile all that it imports.
        compiled = tempfile.TemporaryDirectory(prefix="reactive-compiled-")
        os.environ["PYTHONPYCACHEPREFIX"] = compiled.name
        config.add_cleanup(compiled.cleanup)


def pytest_report_header() -> str:
    return f"event loop: {CHOSEN} (REACTIVE_TEST_LOOP)"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops to run an async test on: virtual, both kinds, or the one chosen for this run."""
    if wants_virtual_time(item):
        return {"virtual": virtual_loop_factory(item)}
    if "any_loop" in getattr(item, "fixturenames", ()) or item.get_closest_marker("any_loop"):
        return LOOPS
    return {CHOSEN: LOOPS[CHOSEN]}


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """What was made by the modules before stays until the end. Without it, the hundreds of garbage
    collections that tests and leak checks ask for take a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks(leak_check: None) -> None:
    """Guards every test; `@pytest.mark.allow_leaks(...)` makes an exception."""


@pytest.fixture(autouse=True)
def unconfigured_structlog() -> Iterator[None]:
    """Undoes what a test configured, as `capture_logs` and the command do: once configured,
    structlog gets the library's log events, and prints them by default."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def any_loop() -> None:
    """Runs an async test twice, on asyncio and on uvloop."""


@pytest.fixture
def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop chosen for this run, for tests that start loops of their own."""
    return LOOPS[CHOSEN]
