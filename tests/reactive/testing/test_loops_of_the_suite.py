"""The suite's own fixtures: which event loop a test runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from reactive.testing import VirtualTimeLoop


def on_uvloop() -> bool:
    return isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_any_loop_by_fixture(request: pytest.FixtureRequest, any_loop: None) -> None:
    assert on_uvloop() == ("[uvloop]" in request.node.name)
    assert "[uvloop]" in request.node.name or "[asyncio]" in request.node.name


@pytest.mark.any_loop
async def test_any_loop_by_marker(request: pytest.FixtureRequest) -> None:
    assert on_uvloop() == ("[uvloop]" in request.node.name)


async def test_the_chosen_loop(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    assert on_uvloop() == (loop_factory is uvloop.new_event_loop)


async def test_virtual_time_whatever_was_chosen(virtual_time: object) -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
