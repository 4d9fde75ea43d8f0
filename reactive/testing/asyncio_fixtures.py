"""Fixtures of the plugin that run on a test's own event loop; registered with pytest-asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from reactive.testing.footprint import Footprint
from reactive.testing.leaks import GRACE_SECONDS, LoopWatch
from reactive.testing.plugin import Watch, has_failed


def _watch_on_loop(scope: Any) -> Any:
    """The fixture that watches the tasks and async generators of a loop of this scope."""

    @pytest_asyncio.fixture(loop_scope=scope, name=f"_leak_watch_of_{scope}_loop")
    async def leak_watch_of_loop(
        request: pytest.FixtureRequest, _leak_watch: Watch
    ) -> AsyncIterator[None]:
        _leak_watch.loop = asyncio.get_running_loop()
        if scope != "function":
            _leak_watch.before = Footprint.take()
        watch = LoopWatch()
        watch.start()
        yield
        if not has_failed(request.node):
            _leak_watch.leaks += await watch.settle(GRACE_SECONDS)
        watch.stop()

    return leak_watch_of_loop


_function_loop = _watch_on_loop("function")
_class_loop = _watch_on_loop("class")
_module_loop = _watch_on_loop("module")
_package_loop = _watch_on_loop("package")
_session_loop = _watch_on_loop("session")
