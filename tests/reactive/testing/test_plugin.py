"""The pytest plugin, run on small suites of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

GUARD = """
import pytest

@pytest.fixture(autouse=True)
def no_leaks(leak_check):
    pass
"""


@pytest.fixture(autouse=True)
def settings(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        """
    )


class TestVirtualTime:
    def test_by_fixture_and_by_marker(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import asyncio
            import pytest
            from reactive.testing import VirtualTimeLoop

            async def test_fixture(virtual_time):
                assert virtual_time.now == 0
                await asyncio.sleep(3600)
                assert virtual_time.now == 3600

            @pytest.mark.virtual_time(patience=0.5)
            async def test_marker():
                assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
                assert asyncio.get_running_loop()._patience == 0.5

            async def test_neither():
                assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

            @pytest.fixture
            async def served():
                await asyncio.sleep(5)
                yield asyncio.get_running_loop()
                await asyncio.sleep(5)

            async def test_async_fixtures_share_the_loop(served, virtual_time):
                assert served is asyncio.get_running_loop()
                assert virtual_time.now == 5

            @pytest.mark.parametrize("number", [1, 2])
            async def test_parameters(virtual_time, number):
                await asyncio.sleep(number)
                assert virtual_time.now == number
            """
        )
        result = pytester.runpytest("-v")
        result.assert_outcomes(passed=6)
        result.stdout.fnmatch_lines(["*::test_fixture PASSED*", "*::test_neither PASSED*"])

    def test_hypothesis_tests(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import asyncio
            from hypothesis import HealthCheck, given, settings, strategies as st

            @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
            @given(seconds=st.integers(1, 10**6))
            async def test_given(virtual_time, seconds):
                before = virtual_time.now
                await asyncio.sleep(seconds)
                assert virtual_time.now == before + seconds
            """
        )
        pytester.runpytest().assert_outcomes(passed=1)

    def test_a_hook_of_the_users_own_keeps_its_tests(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            """
            import uvloop

            def pytest_asyncio_loop_factories(config, item):
                return {"uvloop": uvloop.new_event_loop}
            """
        )
        pytester.makepyfile(
            """
            import asyncio
            import uvloop

            async def test_virtual(virtual_time):
                await asyncio.sleep(1000)

            async def test_theirs():
                assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
            """
        )
        pytester.runpytest().assert_outcomes(passed=2)

    def test_a_sync_test_is_told_what_to_do(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            def test_sync(virtual_time):
                pass
            """
        )
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*reactive.testing.run(main())*"])

    def test_a_deadlock_fails_the_test(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            import asyncio

            async def test_stuck(virtual_time):
                await asyncio.Event().wait()
            """
        )
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*DeadlockError: at 0 s of virtual time*"])


class TestLeakCheck:
    def test_each_kind_is_found(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            """
            import asyncio, os, socket, threading

            kept = []

            async def test_task():
                kept.append(asyncio.create_task(asyncio.Event().wait(), name="kept"))

            async def test_generator():
                async def numbers():
                    yield 1
                    yield 2
                kept.append(numbers())
                await anext(kept[-1])

            def test_socket():
                kept.append(socket.socket())

            async def test_file():
                kept.append(os.pipe())

            def test_thread():
                kept.append(threading.Event())
                threading.Thread(target=kept[-1].wait, name="kept").start()

            def test_clean():
                while kept:
                    if hasattr(kept[-1], "set"):
                        kept[-1].set()
                    if isinstance(kept[-1], tuple):
                        os.close(kept[-1][0])
                        os.close(kept[-1][1])
                    if isinstance(kept[-1], socket.socket):
                        kept[-1].close()
                    kept.pop()
            """
        )
        result = pytester.runpytest("-v")
        result.assert_outcomes(passed=6, errors=5)
        for words in ("task 'kept' running", "numbers() was neither", "socket ", "pipe:", "'kept'"):
            result.stdout.fnmatch_lines([f"*{words}*"])

    @pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
    def test_loops_of_every_scope(self, pytester: pytest.Pytester, scope: str) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            f"""
            import asyncio, pytest, anyio.to_thread

            pytestmark = pytest.mark.asyncio(loop_scope="{scope}")

            class TestScope:
                async def test_clean(self):
                    await anyio.to_thread.run_sync(int)
                    await asyncio.to_thread(int)

                async def test_task(self):
                    self.task = asyncio.create_task(asyncio.Event().wait(), name="kept")

                async def test_clean_again(self):
                    await asyncio.to_thread(int)
            """
        )
        result = pytester.runpytest()
        result.assert_outcomes(passed=3, errors=1)
        result.stdout.fnmatch_lines(["*1 leaked:*", "*task 'kept' running*"])

    def test_what_fixtures_hold_is_no_leak(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            """
            import asyncio, pytest

            @pytest.fixture
            async def start():
                tasks, servers = [], []

                async def start():
                    tasks.append(asyncio.create_task(asyncio.Event().wait()))
                    servers.append(await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0))

                yield start
                tasks.pop().cancel()
                servers[0].close()
                await servers.pop().wait_closed()

            @pytest.fixture(scope="module")
            def listener():
                import socket
                with socket.socket() as listener:
                    yield listener

            async def test_it(start, listener):
                await start()

            def test_sync(listener):
                pass
            """
        )
        pytester.runpytest().assert_outcomes(passed=2)

    def test_markers_allow(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            """
            import asyncio, pytest

            @pytest.mark.allow_leaks("task")
            async def test_named():
                asyncio.create_task(asyncio.Event().wait())

            @pytest.mark.allow_leaks()
            async def test_all():
                asyncio.create_task(asyncio.Event().wait())

            @pytest.mark.allow_leaks("thread")
            async def test_other():
                asyncio.create_task(asyncio.Event().wait())

            @pytest.mark.allow_leaks("tsak")
            async def test_misspelt():
                pass
            """
        )
        result = pytester.runpytest()
        result.assert_outcomes(passed=3, errors=2)
        result.stdout.fnmatch_lines(["*not 'tsak'*"])

    def test_a_failed_test_is_not_checked(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            """
            import asyncio

            async def test_fails():
                asyncio.create_task(asyncio.Event().wait())
                raise LookupError
            """
        )
        pytester.runpytest().assert_outcomes(failed=1)

    def test_on_virtual_time(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(GUARD)
        pytester.makepyfile(
            """
            import asyncio

            async def test_clean(virtual_time):
                await asyncio.sleep(10)

            async def test_task(virtual_time):
                asyncio.create_task(asyncio.sleep(3600), name="kept")
            """
        )
        pytester.runpytest().assert_outcomes(passed=2, errors=1)


def test_importing_the_plugin_does_not_import_asyncio_or_the_kit() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import reactive.testing.plugin;"
        "new = set(sys.modules) - before;"
        "print(*sorted(m for m in new if m.startswith('reactive.testing')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == ["reactive.testing", "reactive.testing.plugin"]


def test_without_pytest_asyncio_sync_tests_are_guarded(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(GUARD)
    pytester.makepyfile(
        """
        import socket

        kept = []

        def test_clean():
            pass

        def test_leaks():
            kept.append(socket.socket())

        def test_virtual(virtual_time):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*virtual_time works in async tests*"])


def test_anyio_tests_are_guarded_too(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(GUARD)
    pytester.makepyfile(
        """
        import pytest, anyio
        from reactive.testing import VirtualTimeLoop

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio", {"loop_factory": VirtualTimeLoop}

        async def test_virtual():
            await anyio.sleep(3600)
            assert anyio.current_time() == 3600
        """
    )
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)
