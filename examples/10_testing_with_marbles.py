"""Testing with marbles: pipelines that wait for seconds or hours, tested at once and exactly.

These are ordinary pytest tests (pytest-asyncio in auto mode); the fixtures come with the library.
Each runs on an event loop whose clock jumps to the next timer. In a diagram a `-` is a second, and
so is every letter.
"""

from __future__ import annotations

import subprocess
import sys

import reactive as rx
from reactive.testing import Marbles


def bills(orders: rx.Stream[str]) -> rx.Stream[str]:
    """Under test: orders are billed together, three at a time, or after five seconds."""
    return orders.batch(3, within=5).map("".join)


async def test_three_are_billed_at_once_and_the_rest_in_time(marbles: Marbles) -> None:
    orders = marbles.cold("-a-b-c-d----------|")
    await marbles.check(bills(orders), "-----1------2-----|", {"1": "abc", "2": "d"})


async def test_what_waits_is_billed_when_the_orders_end(marbles: Marbles) -> None:
    await marbles.check(bills(marbles.cold("-a-b|")), "----(1|)", {"1": "ab"})


async def test_a_shop_that_fails_after_an_hour(marbles: Marbles) -> None:
    closed = ConnectionError("shop closed")
    orders = marbles.cold("a 60m #", error=closed)
    await marbles.check(bills(orders), "-----a 3595s #", error=closed)


async def test_attempts_are_further_and_further_apart(marbles: Marbles) -> None:
    backoff = rx.Backoff(initial=1, factor=10, maximum=1000, jitter=0, attempts=3)
    recording = await marbles.record(marbles.cold("#").retry(backoff))
    assert [event.time for event in recording.events] == [1 + 10 + 100]


async def test_nothing_is_left_behind(marbles: Marbles, leak_check: None) -> None:
    async with bills(marbles.cold("-abcabc-")).open() as items:
        assert await anext(items) == "abc"


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-v", __file__]))
