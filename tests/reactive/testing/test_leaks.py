"""The leak check finds what stays, says where it came from, and lets what ends in peace."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import uvloop

from reactive.testing.leaks import LeakError, check_leaks
from reactive.testing.virtual_time import VirtualTimeLoop


@pytest.fixture(
    params=[asyncio.SelectorEventLoop, uvloop.new_event_loop, VirtualTimeLoop],
    ids=["asyncio", "uvloop", "virtual"],
)
def run_on_loop(
    request: pytest.FixtureRequest,
) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main)

    return run


def leaked(error: pytest.ExceptionInfo[LeakError]) -> list[str]:
    return [leak.kind for leak in error.value.leaks]


async def forever() -> None:
    await asyncio.Event().wait()


async def count() -> AsyncIterator[int]:
    for number in range(10):
        yield number


class TestTasks:
    def test_a_task_left_behind(self, run_on_loop: Any) -> None:
        async def main() -> None:
            with pytest.raises(LeakError) as caught:
                async with check_leaks(grace=0.01):
                    task = asyncio.create_task(forever(), name="left behind")
            assert leaked(caught) == ["task"]
            message = str(caught.value)
            assert "1 leaked" in message
            assert "task 'left behind' running forever()" in message
            assert "created in TestTasks" in message and "test_leaks.py:" in message
            assert "waits in forever" in message
            task.cancel()

        run_on_loop(main())

    def test_a_task_about_to_end(self, run_on_loop: Any) -> None:
        async def main() -> None:
            async with check_leaks():
                asyncio.get_running_loop().create_task(asyncio.sleep(0))
                task = asyncio.get_running_loop().create_task(asyncio.sleep(0.02))
            assert task.done()

        run_on_loop(main())

    def test_tasks_from_before_may_stay(self, run_on_loop: Any) -> None:
        async def main() -> None:
            task = asyncio.create_task(forever())
            async with check_leaks():
                pass
            task.cancel()

        run_on_loop(main())

    def test_a_task_factory_set_before_still_makes_the_tasks(self, run_on_loop: Any) -> None:
        class Special(asyncio.Task[Any]):
            pass

        async def main() -> None:
            def factory(loop: Any, work: Any, **options: Any) -> Special:
                return Special(work, loop=loop, **options)

            loop = asyncio.get_running_loop()
            loop.set_task_factory(factory)
            async with check_leaks():
                task = asyncio.create_task(asyncio.sleep(0), name="named")
                await task
            assert type(task) is Special
            assert task.get_name() == "named"
            assert loop.get_task_factory() is factory

        run_on_loop(main())

    def test_the_loop_is_left_as_it_was(self, run_on_loop: Any) -> None:
        async def main() -> None:
            before = asyncio.get_running_loop().get_task_factory(), sys.get_asyncgen_hooks()
            async with check_leaks():
                pass
            assert before == (
                asyncio.get_running_loop().get_task_factory(),
                sys.get_asyncgen_hooks(),
            )

        run_on_loop(main())


class TestAsyncGenerators:
    def test_one_left_open(self, run_on_loop: Any) -> None:
        async def main() -> None:
            numbers = count()
            with pytest.raises(LeakError) as caught:
                async with check_leaks(grace=0.01):
                    await anext(numbers)
            assert leaked(caught) == ["async generator"]
            message = str(caught.value)
            assert "count() was neither finished nor closed" in message
            assert "started in TestAsyncGenerators" in message
            assert "stopped in count (" in message
            await numbers.aclose()  # type: ignore[attr-defined]

        run_on_loop(main())

    def test_finished_closed_and_dropped_ones(self, run_on_loop: Any) -> None:
        async def main() -> None:
            async with check_leaks():
                assert [number async for number in count()] == list(range(10))
                closed = count()
                await anext(closed)
                await closed.aclose()  # type: ignore[attr-defined]
                dropped = count()
                await anext(dropped)
                del dropped
                cycle: list[Any] = [count()]
                await anext(cycle[0])
                cycle.append(cycle)
                del cycle

        run_on_loop(main())

    def test_one_that_a_task_from_before_waits_in(self, run_on_loop: Any) -> None:
        async def endless(begin: asyncio.Event) -> AsyncIterator[int]:
            await begin.wait()
            await forever()
            yield 0

        async def consume(begin: asyncio.Event) -> None:
            await begin.wait()
            async for _ in endless(begin):
                pass

        async def main() -> None:
            begin = asyncio.Event()
            task = asyncio.create_task(consume(begin))
            async with check_leaks(grace=0.01):
                begin.set()
                await asyncio.sleep(0.01)
            task.cancel()

        run_on_loop(main())


class TestThreads:
    def test_one_left_running(self, run_on_loop: Any) -> None:
        release = threading.Event()
        thread = threading.Thread(target=release.wait, name="left running")

        async def main() -> None:
            with pytest.raises(LeakError) as caught:
                async with check_leaks(grace=0.01):
                    thread.start()
            assert leaked(caught) == ["thread"]
            assert "thread 'left running'" in str(caught.value)
            assert "started with Event.wait (" in str(caught.value)

        try:
            run_on_loop(main())
        finally:
            release.set()
            thread.join()

    def test_idle_workers_belong_to_the_loop(self, run_on_loop: Any) -> None:
        async def main() -> None:
            async with check_leaks():
                await asyncio.to_thread(int)
                await anyio.to_thread.run_sync(int)

        run_on_loop(main())

    @pytest.mark.parametrize("pool", ["asyncio", "anyio"])
    def test_a_worker_whose_call_was_abandoned(self, run_on_loop: Any, pool: str) -> None:
        release = threading.Event()

        async def main() -> None:
            loop, started = asyncio.get_running_loop(), asyncio.Event()

            def work() -> None:
                loop.call_soon_threadsafe(started.set)
                release.wait()

            try:
                with pytest.raises(LeakError) as caught:
                    async with check_leaks(grace=0.05):
                        call = (
                            asyncio.to_thread(work)
                            if pool == "asyncio"
                            else anyio.to_thread.run_sync(work, abandon_on_cancel=True)
                        )
                        task = asyncio.create_task(call)
                        await started.wait()
                        task.cancel()
                assert leaked(caught) == ["thread"]
                assert ".work (" in str(caught.value)
            finally:
                release.set()

        run_on_loop(main())

    def test_outside_a_loop_a_pool_left_open_is_a_leak(self) -> None:
        pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pool")
        with pytest.raises(LeakError, match="thread 'pool_0'"), check_leaks(grace=0.01):
            pool.submit(int).result()
        with check_leaks():
            pool.shutdown()

    def test_outside_a_loop_the_workers_of_a_closed_loop_are_gone(self) -> None:
        async def main() -> None:
            await asyncio.to_thread(int)
            await anyio.to_thread.run_sync(int)

        with check_leaks():
            asyncio.run(main())


class TestDescriptors:
    def test_a_file_left_open(self) -> None:
        with tempfile.NamedTemporaryFile() as existing:
            with pytest.raises(LeakError) as caught, check_leaks(grace=0.01):
                left = Path(existing.name).open("rb")  # noqa: SIM115
            assert leaked(caught) == ["descriptor"]
            assert existing.name in str(caught.value)
            assert "held by <_io.FileIO" in str(caught.value)
            assert "tracemalloc" in str(caught.value)
            left.close()

    def test_a_connection_left_open(self, run_on_loop: Any) -> None:
        async def main() -> None:
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1")
            port = server.sockets[0].getsockname()[1]
            async with server:
                with pytest.raises(LeakError) as caught:
                    async with check_leaks(grace=0.05):
                        connection = socket.create_connection(("127.0.0.1", port))
                        await asyncio.sleep(0.01)
            assert leaked(caught) == ["socket"]
            assert f"AF_INET SOCK_STREAM 127.0.0.1:{connection.getsockname()[1]} -> " in str(
                caught.value
            )
            assert f"127.0.0.1:{port}" in str(caught.value)
            connection.close()

        run_on_loop(main())

    def test_a_number_used_again_is_seen(self) -> None:
        first = os.open(os.devnull, os.O_RDONLY)
        with pytest.raises(LeakError, match="pipe:"), check_leaks(grace=0.01):
            os.close(first)
            ends = os.pipe()
            assert first in ends
        for end in ends:
            os.close(end)

    def test_an_event_loop_left_open(self) -> None:
        with pytest.raises(LeakError, match="eventpoll"), check_leaks(grace=0.01):
            loop = asyncio.new_event_loop()
        loop.close()

    def test_one_that_only_garbage_holds(self) -> None:
        with check_leaks():
            near, far = socket.socketpair()
            far.close()
            cycle: list[Any] = [near.detach()]
            holder = os.fdopen(cycle[0], "rb")
            holder.close()

    def test_creation_is_told_when_it_is_traced(self) -> None:
        import tracemalloc

        tracemalloc.start(5)
        try:
            with pytest.raises(LeakError) as caught, check_leaks(grace=0.01):
                left = socket.socket()
            assert "created File" in str(caught.value) and "test_leaks.py" in str(caught.value)
            left.close()
        finally:
            tracemalloc.stop()


class TestProcesses:
    def test_a_child_left_running(self) -> None:
        with pytest.raises(LeakError) as caught, check_leaks(grace=0.01):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        assert leaked(caught) == ["process"]
        assert "time.sleep(60)" in str(caught.value)
        child.kill()
        child.wait()

    def test_a_child_nobody_waited_for(self) -> None:
        with pytest.raises(LeakError, match="nobody has waited for it"), check_leaks(grace=0.3):
            child = subprocess.Popen([sys.executable, "-c", "pass"])
            with open(f"/proc/{child.pid}/stat", "rb") as status:  # noqa: PTH123
                while b" Z " not in status.read():
                    status.seek(0)
        child.wait()

    def test_the_helpers_of_multiprocessing_are_not_ours(self) -> None:
        with check_leaks():
            lock = multiprocessing.get_context("spawn").Lock()
            del lock


class TestUse:
    def test_the_error_of_the_body_passes(self, run_on_loop: Any) -> None:
        async def main() -> None:
            with pytest.raises(LookupError):
                async with check_leaks():
                    task = asyncio.create_task(forever())
                    raise LookupError
            task.cancel()

        run_on_loop(main())

    def test_allowed_kinds_may_stay(self, run_on_loop: Any) -> None:
        async def main() -> None:
            async with check_leaks(allow=["task"], grace=0.01):
                task = asyncio.create_task(forever())
            task.cancel()

        run_on_loop(main())

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"async generator, .*not 'tasks'"):
            check_leaks(allow=["tasks"])  # type: ignore[list-item]

    async def test_the_sync_form_in_a_loop_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="async with"), check_leaks():
            pass

    def test_it_nests(self, run_on_loop: Any) -> None:
        async def main() -> None:
            with pytest.raises(LeakError) as outer:
                async with check_leaks(grace=0.01):
                    numbers = count()
                    with pytest.raises(LeakError):
                        async with check_leaks(grace=0.01):
                            await anext(numbers)
            assert leaked(outer) == ["async generator"]
            await numbers.aclose()  # type: ignore[attr-defined]

        run_on_loop(main())

    def test_it_is_cheap(self, run_on_loop: Any) -> None:
        """Where nothing is left, no garbage is collected, and nobody else gets a turn."""

        async def main() -> None:
            seen: list[str] = []

            def note(phase: str, info: dict[str, int]) -> None:
                seen.append(f"garbage: {phase}")

            asyncio.get_running_loop().call_soon(seen.append, "a turn of another")
            gc.disable()
            gc.callbacks.append(note)
            try:
                async with check_leaks():
                    pass
                assert seen == []
            finally:
                gc.callbacks.remove(note)
                gc.enable()

        run_on_loop(main())
