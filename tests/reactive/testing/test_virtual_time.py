"""The virtual loop: exact time without waiting, real I/O and threads still heard, no hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import socket
import sys
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.testing import DeadlockError
from reactive.testing.virtual_time import VirtualTimeLoop, run
from reactive.testing.workers import is_anyio_worker


def now() -> float:
    return asyncio.get_running_loop().time()


def test_time_starts_at_zero_and_a_day_passes_at_once() -> None:
    async def main() -> tuple[float, float]:
        start = now()
        await asyncio.sleep(86_400)
        return start, now()

    began = time.monotonic()
    assert run(main()) == (0.0, 86_400.0)
    assert time.monotonic() - began < 3600


def test_work_takes_no_time() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 0.0


@given(st.lists(st.floats(0, 1e12, allow_nan=False), min_size=1, max_size=20))
def test_every_timer_fires_exactly_when_due_and_in_order(delays: list[float]) -> None:
    fired: list[tuple[float, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in delays:
            loop.call_at(delay, lambda due=delay: fired.append((due, loop.time())))
        await asyncio.sleep(max(delays))
        await asyncio.sleep(0)

    run(main())
    assert fired == [(delay, delay) for delay in sorted(delays)]


def test_timers_of_one_moment_run_in_the_order_set() -> None:
    order: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for index in range(200):
            loop.call_at(1.0, order.append, index)
        await asyncio.sleep(1)
        await asyncio.sleep(0)

    run(main())
    assert order == list(range(200))


def test_cancelled_timers_do_not_move_the_clock() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for index in range(500):
            loop.call_later(1 + index, lambda: None).cancel()
        await asyncio.sleep(0.5)
        return now()

    assert run(main()) == 0.5


def test_something_can_be_done_at_an_exact_round() -> None:
    async def main(number: int) -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        steps = 0

        async def work() -> None:
            nonlocal steps
            while True:
                await asyncio.sleep(steps % 2)
                steps += 1

        task = asyncio.create_task(work())
        loop.at_round(loop.rounds + number, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return steps, now()

    assert [run(main(number)) for number in range(1, 8)] == [
        (0, 0.0),
        (0, 0.0),
        (1, 0.0),
        (1, 1.0),
        (2, 1.0),
        (3, 1.0),
        (3, 2.0),
    ]


def test_timeouts_fire_at_their_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 30.0


def test_anyio_runs_on_it() -> None:
    async def main() -> float:
        with anyio.move_on_after(7):
            await anyio.sleep_forever()
        return anyio.current_time()

    assert anyio.run(main, backend_options={"loop_factory": VirtualTimeLoop}) == 7.0


def test_debug_mode_works() -> None:
    async def main() -> float:
        await asyncio.sleep(2)
        return now()

    assert run(main(), debug=True) == 2.0


def test_the_error_of_main_passes_through() -> None:
    async def main() -> None:
        raise LookupError("from main")

    with pytest.raises(LookupError, match="from main"):
        run(main())


def test_patience_and_give_up_are_checked() -> None:
    with pytest.raises(ValueError, match="real seconds"):
        VirtualTimeLoop(patience=-1)


class TestDeadlock:
    def test_names_every_waiting_task_and_where_it_waits(self) -> None:
        async def consume(queue: asyncio.Queue[int]) -> int:
            return await queue.get()

        async def main() -> None:
            await asyncio.sleep(3)
            task = asyncio.create_task(consume(asyncio.Queue()), name="consumer")
            await task

        with pytest.raises(DeadlockError) as caught:
            run(main())
        message = str(caught.value)
        assert "at 3 s of virtual time" in message
        assert "task 'consumer' running" in message
        assert "consume (" in message and "test_virtual_time.py:" in message
        assert "Queue.get" in message
        assert "main()" in message

    def test_cleanup_of_the_waiting_tasks_still_runs(self) -> None:
        cleaned: list[float] = []

        async def main() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5)
                cleaned.append(now())

        with pytest.raises(DeadlockError):
            run(main())
        assert cleaned == [5.0]

    def test_an_infinite_timer_is_no_timer(self) -> None:
        with pytest.raises(DeadlockError):
            run(asyncio.sleep(math.inf))

    def test_a_silent_socket_is_given_up_and_named(self) -> None:
        async def main() -> None:
            server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
            async with server:
                await asyncio.Event().wait()

        with pytest.raises(DeadlockError, match=r"(?s)0\.2 real seconds.*socket \d+: AF_INET"):
            run(main(), give_up=0.2)

    def test_a_silent_thread_is_given_up_and_named(self) -> None:
        release = threading.Event()
        thread = threading.Thread(target=release.wait, name="silent")

        async def main() -> None:
            thread.start()
            await asyncio.Event().wait()

        try:
            with pytest.raises(DeadlockError, match="thread 'silent'"):
                run(main(), give_up=0.2)
        finally:
            release.set()
            thread.join()

    def test_a_thread_that_ends_silently_is_not_waited_for(self) -> None:
        release = threading.Event()
        thread = threading.Thread(target=release.wait)

        async def main() -> None:
            thread.start()
            release.set()
            await asyncio.Event().wait()

        began = time.monotonic()
        with pytest.raises(DeadlockError):
            run(main(), give_up=600)
        assert time.monotonic() - began < 100
        thread.join()


class TestThreads:
    def test_a_slow_call_beats_a_longer_timeout(self) -> None:
        async def main() -> float:
            async with asyncio.timeout(20):
                await asyncio.to_thread(time.sleep, 0.2)
            return now()

        assert run(main()) == 0.0

    def test_a_slow_anyio_call_beats_a_longer_timeout(self) -> None:
        async def main() -> float:
            for _ in range(2):
                with anyio.fail_after(20):
                    await anyio.to_thread.run_sync(time.sleep, 0.15)
            return now()

        assert run(main()) == 0.0

    def test_a_call_that_does_not_answer_lets_a_timeout_fire_in_real_time(self) -> None:
        release = threading.Event()

        async def main() -> float:
            with anyio.move_on_after(0.1):
                await anyio.to_thread.run_sync(release.wait, abandon_on_cancel=True)
            release.set()
            return now()

        assert run(main()) == 0.1

    def test_idle_pool_workers_do_not_slow_the_clock(self) -> None:
        async def main() -> float:
            await anyio.to_thread.run_sync(int)
            await asyncio.to_thread(int)
            for _ in range(1000):
                await asyncio.sleep(60)
            return now()

        began = time.monotonic()
        assert run(main()) == 60_000.0
        # Waiting `patience` before each would take 50 seconds.
        assert time.monotonic() - began < 40

    def test_a_worker_that_is_done_a_moment_after_its_answer_does_not_stop_the_clock(self) -> None:
        async def main() -> float:
            await anyio.to_thread.run_sync(int)
            (worker,) = filter(is_anyio_worker, threading.enumerate())
            done = worker.queue.task_done  # type: ignore[attr-defined]

            def done_late() -> None:
                time.sleep(0.3)
                done()

            worker.queue.task_done = done_late  # type: ignore[attr-defined]
            await anyio.to_thread.run_sync(int)
            await asyncio.sleep(86_400)
            return now()

        assert run(main()) == 86_400.0

    def test_a_pool_of_the_users_own(self) -> None:
        async def main(pool: concurrent.futures.Executor) -> float:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(20):
                await loop.run_in_executor(pool, time.sleep, 0.15)
            return now()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert run(main(pool)) == 0.0

    def test_a_worker_thread_may_wait_for_the_loops_timer(self) -> None:
        async def main() -> float:
            await anyio.to_thread.run_sync(anyio.from_thread.run, anyio.sleep, 0.1)
            return now()

        assert run(main()) == 0.1

    def test_a_thread_of_ones_own_is_heard_before_time_moves(self) -> None:
        async def main() -> float:
            loop = asyncio.get_running_loop()
            heard = asyncio.Event()
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(heard.set,))
            loop.call_later(0, thread.start)
            async with asyncio.timeout(5):
                await heard.wait()
            thread.join()
            return now()

        assert run(main(), patience=30) == 0.0

    def test_a_thread_from_before_is_waited_for_once_it_has_called(self) -> None:
        calls: list[asyncio.AbstractEventLoop] = []
        ready, called = threading.Event(), threading.Event()
        again, done = threading.Event(), threading.Event()

        def older() -> None:
            ready.wait()
            calls[0].call_soon_threadsafe(lambda: None)
            called.set()
            again.wait()
            calls[0].call_soon_threadsafe(calls.clear)
            done.wait()

        thread = threading.Thread(target=older)
        thread.start()

        async def main() -> float:
            loop = asyncio.get_running_loop()
            calls.append(loop)
            ready.set()
            await asyncio.to_thread(called.wait)
            loop.call_later(0, again.set)
            await asyncio.sleep(10)
            assert not calls
            return now()

        try:
            assert run(main(), patience=30) == 10.0
        finally:
            done.set()
            thread.join()

    def test_a_thread_that_waits_for_the_loop_does_not_hold_the_clock(self) -> None:
        async def main() -> float:
            loop = asyncio.get_running_loop()
            release = threading.Event()
            thread = threading.Thread(target=release.wait)
            thread.start()
            loop.call_later(3600, release.set)
            await asyncio.sleep(3600)
            thread.join()
            return now()

        assert run(main()) == 3600.0


class TestSockets:
    def test_a_conversation_takes_no_time_and_silence_times_out(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        async def main() -> tuple[list[bytes], float, float]:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                lines = []
                for index in range(20):
                    writer.write(b"line %d\n" % index)
                    async with asyncio.timeout(0.5):
                        lines.append(await reader.readline())
                spoken = now()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3600):
                        await reader.readline()
                silent = now()
                writer.close()
                await writer.wait_closed()
                await asyncio.sleep(0.01)
                return lines, spoken, silent

        lines, spoken, silent = run(main())
        assert lines == [b"LINE %d\n" % index for index in range(20)]
        assert (spoken, silent) == (0.0, 3600.0)

    def test_patience_covers_a_slow_peer(self) -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        answer = threading.Timer(0.3, far.send, (b"late",))

        async def main() -> tuple[bytes, float]:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(60):
                return await loop.sock_recv(near, 10), now()

        with near, far:
            answer.start()
            try:
                assert run(main(), patience=30) == (b"late", 0.0)
            finally:
                answer.join()

    def test_a_child_process_is_heard(self) -> None:
        async def main() -> tuple[bytes, int | None, float]:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "print(input().upper())",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(3600):
                output, _ = await child.communicate(b"hello\n")
            return output, child.returncode, now()

        assert run(main(), patience=30) == (b"HELLO\n", 0, 0.0)
