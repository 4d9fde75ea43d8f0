"""How a run that has the process to itself hears of signals."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable

import pytest

from reactive.supervision import _Interrupts

PATIENCE = 30

pytestmark = pytest.mark.any_loop


async def within_patience(event: asyncio.Event, act: Callable[[], None]) -> bool:
    """Whether `event` is set after `act` in another thread, while the loop has nothing to do.

    The time limit is kept by that thread, because a timer would wake the loop."""
    loop = asyncio.get_running_loop()
    ended = threading.Event()
    done = asyncio.Event()

    def act_then_wait() -> None:
        # Long enough for the loop to wait in its selector. If it does not yet, the test is easier.
        time.sleep(0.2)
        act()
        ended.wait(PATIENCE)
        loop.call_soon_threadsafe(done.set)

    waiting = asyncio.create_task(event.wait())
    waiting.add_done_callback(lambda _: ended.set())
    thread = threading.Thread(target=act_then_wait)
    thread.start()
    await done.wait()
    thread.join()
    heard = waiting.done()
    waiting.cancel()
    return heard


def signal_to_this_thread() -> None:
    """Unlike one to the process, which the kernel gives to the main thread, this one does not
    interrupt what the main thread waits in."""
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


async def test_a_signal_wakes_a_loop_that_waits_and_is_not_interrupted() -> None:
    interrupts = _Interrupts()
    with interrupts.installed():
        assert await within_patience(interrupts.first, signal_to_this_thread)
        assert not interrupts.second.is_set()
        assert await within_patience(interrupts.second, signal_to_this_thread)
    assert interrupts.number == signal.SIGTERM


async def test_what_was_installed_before_is_back_afterwards() -> None:
    def wakeup_fd() -> int:
        now = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(now)
        return now

    before = wakeup_fd(), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with _Interrupts().installed():
        assert wakeup_fd() != -1
        assert signal.getsignal(signal.SIGINT) != before[1]
    assert (
        wakeup_fd(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    ) == before


async def test_the_loops_own_signal_handlers_work_beside_it() -> None:
    loop = asyncio.get_running_loop()
    own = asyncio.Event()
    interrupts = _Interrupts()
    loop.add_signal_handler(signal.SIGUSR1, own.set)
    try:
        with interrupts.installed():
            assert await within_patience(interrupts.first, signal_to_this_thread)
            assert await within_patience(
                own, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            )
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
