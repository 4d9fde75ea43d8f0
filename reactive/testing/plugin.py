"""The pytest plugin: fixtures for virtual time and leak checks, loaded through its entry point.

It is imported in every pytest session of an environment that has the library, so it imports
nothing but pytest here; what a fixture needs is imported when a test asks for it.

`virtual_time` and the part of `leak_check` that looks at event loops build on pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reactive.testing.footprint import Footprint, Leak
    from reactive.testing.recording import Marbles
    from reactive.testing.virtual_time import VirtualTimeLoop

_FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and the fixtures that need pytest-asyncio if it is there."""
    config.addinivalue_line(
        "markers",
        "virtual_time(patience=0.05, give_up=10): run this async test on a loop whose clock jumps "
        "(reactive.testing.VirtualTimeLoop; both in real seconds)",
    )
    config.addinivalue_line(
        "markers",
        "allow_leaks(*kinds): kinds of leaks that this test may leave behind, all if none is named "
        "(reactive.testing.check_leaks)",
    )
    if config.pluginmanager.hasplugin("asyncio"):
        from reactive.testing import asyncio_fixtures

        config.pluginmanager.register(asyncio_fixtures, "reactive-asyncio-fixtures")


def wants_virtual_time(item: pytest.Item) -> bool:
    """Whether a test asks for virtual time, by the fixture or by the marker."""
    return (
        "virtual_time" in getattr(item, "fixturenames", ())
        or item.get_closest_marker("virtual_time") is not None
    )


def virtual_loop_factory(item: pytest.Item) -> Callable[[], VirtualTimeLoop]:
    """Makes the loop of a test, with the patience that its marker names."""
    marker = item.get_closest_marker("virtual_time")
    options = {} if marker is None else marker.kwargs

    def virtual_time_loop() -> VirtualTimeLoop:
        from reactive.testing.virtual_time import VirtualTimeLoop

        return VirtualTimeLoop(**options)

    return virtual_time_loop


class _VirtualLoops:
    """Answers pytest-asyncio's question for the loops of one test that asks for virtual time.

    It is registered only while that test is set up: pytest-asyncio wants an answer for every test
    once anybody answers at all, and the other tests are not ours to answer for.
    """

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_asyncio_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], VirtualTimeLoop]]:
        return {"virtual": virtual_loop_factory(item)}


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
    """Give a test that asks for virtual time its loop."""
    if not wants_virtual_time(metafunc.definition):
        return (yield)
    manager = metafunc.config.pluginmanager
    loops = _VirtualLoops()
    manager.register(loops)
    try:
        return (yield)
    finally:
        manager.unregister(loops)


class VirtualTime:
    """What the `virtual_time` fixture gives: the virtual clock of the test."""

    @property
    def now(self) -> float:
        """Virtual seconds since the test's loop was made."""
        import asyncio

        from reactive.testing.virtual_time import VirtualTimeLoop

        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualTimeLoop):
            raise RuntimeError(f"this code runs on {type(loop).__name__}, not on virtual time")
        return loop.time()


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> VirtualTime:
    """Run this async test on a loop whose clock jumps over every wait; `.now` is its time.

    Needs pytest-asyncio 1.4 or later. The marker `virtual_time(patience=..., give_up=...)` sets
    the loop's parameters, and alone is enough to ask for virtual time. A test that is not async
    calls `reactive.testing.run(main())`.

    ```python
    async def test_a_long_wait(virtual_time):
        await asyncio.sleep(3600)
        assert virtual_time.now == 3600
    ```
    """
    if not _runs_on_asyncio(request.node):
        pytest.fail(
            "virtual_time works in async tests that pytest-asyncio runs; elsewhere call "
            "reactive.testing.run(main()), or with anyio's plugin give the backend "
            "('asyncio', {'loop_factory': reactive.testing.VirtualTimeLoop})",
            pytrace=False,
        )
    if not hasattr(request.config.hook, "pytest_asyncio_loop_factories"):
        pytest.fail("virtual_time needs pytest-asyncio 1.4 or later", pytrace=False)
    return VirtualTime()


@pytest.fixture
def marbles(virtual_time: VirtualTime) -> Marbles:
    """Marble diagrams on virtual time, on which the test then runs: `cold`, `record`, `check`.

    ```python
    async def test_doubling(marbles):
        doubled = marbles.cold("-a-b-|", {"a": 1, "b": 2}).map(lambda x: 2 * x)
        await marbles.check(doubled, "-b-d-|", {"b": 2, "d": 4})
    ```
    """
    from reactive.testing.recording import Marbles

    return Marbles()


@pytest.fixture
def laws() -> Callable[..., None]:
    """The laws of operators, to check one's own: `reactive.testing.check_laws`.

    ```python
    def test_the_laws_of_doubling(laws):
        laws(lambda stream: stream.map(lambda x: 2 * x), range(7))
    ```
    """
    from reactive.testing.laws import check_laws

    return check_laws


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember what failed: its traceback holds on to things that are then no leaks."""
    report = yield
    if not report.passed:
        item.stash[_FAILED] = True
    return report


def has_failed(item: pytest.Item) -> bool:
    """Whether a phase of this test has failed or was skipped."""
    return item.stash.get(_FAILED, False)


class Watch:
    """What one guarded test found so far."""

    def __init__(self) -> None:
        from reactive.testing.footprint import Footprint

        self.before: Footprint = Footprint.take()
        self.leaks: list[Leak] = []
        self.loop: Any = None


@pytest.fixture
def _leak_watch(request: pytest.FixtureRequest) -> Generator[Watch, None, None]:
    """Looks at the process before the test's event loop is made and after it was closed."""
    from reactive.testing.leaks import GRACE_SECONDS, check_kinds, raise_leaks, settle

    marker = request.node.get_closest_marker("allow_leaks")
    allowed = check_kinds(() if marker is None else marker.args)
    watch = Watch()
    yield watch
    if has_failed(request.node) or (marker is not None and not allowed):
        return
    loop_ended = watch.loop is None or watch.loop.is_closed()
    watch.leaks += settle(watch.before, grace=GRACE_SECONDS, idle_workers=loop_ended)
    raise_leaks(watch.leaks, allow=allowed)


@pytest.fixture
def leak_check(request: pytest.FixtureRequest, _leak_watch: Watch) -> None:
    """Fail this test if it, or the fixtures it uses, leave something behind.

    Tasks and async generators are looked for when all fixtures were torn down, before the test's
    event loop cancels what is left (needs pytest-asyncio); threads, sockets, files and child
    processes after the loop was closed. What is about to end is given half a second. A test that
    failed is not checked. The marker `allow_leaks("thread", ...)` lets kinds of leaks pass; see
    `reactive.testing.check_leaks`. To guard a whole suite:

    ```python
    @pytest.fixture(autouse=True)
    def no_leaks(leak_check):
        pass
    ```
    """
    if _runs_on_asyncio(request.node):
        request.getfixturevalue(f"_leak_watch_of_{_loop_scope(request.node)}_loop")


def _runs_on_asyncio(item: pytest.Item) -> bool:
    """Whether pytest-asyncio runs this test."""
    if not item.config.pluginmanager.hasplugin("asyncio"):
        return False
    from pytest_asyncio import is_async_test

    return is_async_test(item)


def _loop_scope(item: pytest.Item) -> str:
    marker = item.get_closest_marker("asyncio")
    named = None if marker is None else marker.kwargs.get("loop_scope")
    return named or item.config.getini("asyncio_default_test_loop_scope") or "function"
