"""Latest: one current value to look at, to set and to follow."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import Kept

import reactive as rx
from reactive.testing import check_leaks, run
from reactive.testing.plugin import VirtualTime


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def model(
    changes: list[tuple[float, int]], first: int | None, join: float, leave: float, pause: float
) -> list[tuple[float, int]]:
    """What a subscriber gets: the newest whenever it is free and has not had it."""
    before = [value for time, value in changes if time < join]
    given: list[tuple[float, int]] = []
    free = join
    newest = before[-1] if before else first
    if newest is not None:
        given.append((join, newest))
        free = join + pause
    coming = [change for change in changes if change[0] > join]
    while coming:
        due = [change for change in coming if change[0] <= free]
        take, now = (due[-1], free) if due else (coming[0], coming[0][0])
        given.append((now, take[1]))
        free = now + pause
        coming = coming[coming.index(take) + 1 :]
    return [(time, value) for time, value in given if time < leave]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 99)), max_size=12),
    st.one_of(st.none(), st.just(-1)),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 25), st.integers(0, 5)),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=60, deadline=None)
def test_everyone_gets_the_newest_when_it_is_free(
    drawn: list[tuple[int, int]], first: int | None, visits: list[tuple[int, int, int]]
) -> None:
    changes = [(time + 0.001 * place, value) for place, (time, value) in enumerate(sorted(drawn))]
    subscribers = [
        (join + 0.2 + 0.01 * number, join + stay + 0.7 + 0.01 * number, pause + 0.05)
        for number, (join, stay, pause) in enumerate(visits)
    ]
    latest: rx.Latest[int] = rx.Latest() if first is None else rx.Latest(first)

    async def visit(join: float, leave: float, pause: float) -> list[tuple[float, int]]:
        now = asyncio.get_running_loop().time
        start, mine = now(), []
        await asyncio.sleep(join)
        try:
            async with asyncio.timeout(leave - join), latest.open() as values:
                async for value in values:
                    mine.append((round(now() - start, 6), value))
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        return mine

    async def main() -> list[list[tuple[float, int]]]:
        loop = asyncio.get_running_loop()
        for time, value in changes:
            loop.call_at(loop.time() + time, latest.set, value)
        return await asyncio.gather(*(visit(*subscriber) for subscriber in subscribers))

    assert run(main()) == [
        [(round(time, 6), value) for time, value in model(changes, first, *subscriber)]
        for subscriber in subscribers
    ]
    assert latest.subscribers == 0


async def test_its_value_can_be_looked_at_and_changed() -> None:
    latest = rx.Latest(1)
    assert latest.value == 1
    latest.set(2)
    assert latest.update(lambda value: value * 10) == latest.value == 20
    with pytest.raises(ZeroDivisionError):
        latest.update(lambda value: value // 0)
    assert latest.value == await latest.first() == 20


async def test_without_a_value_it_waits_for_one() -> None:
    latest: rx.Latest[int | None] = rx.Latest(name="level")
    with pytest.raises(rx.EmptyStreamError, match="level has no value yet; set one, or make it"):
        latest.value  # noqa: B018
    with pytest.raises(LookupError):
        latest.update(lambda value: value)
    reading = asyncio.ensure_future(latest.take(2).collect())
    await settled()
    assert not reading.done()
    latest.set(None)
    await settled()
    latest.set(3)
    assert await reading == [None, 3]


async def test_equal_values_are_changes() -> None:
    latest = rx.Latest(1)
    both = asyncio.gather(latest.collect(), latest.distinct_until_changed().map(str).collect())
    for value in (1, 1, 2):
        await settled()
        latest.set(value)
    await settled()
    latest.close()
    assert await both == [[1, 1, 1, 2], ["1", "2"]]


async def test_streams_may_set_it(virtual_time: VirtualTime) -> None:
    latest: rx.Latest[int] = rx.Latest(name="level")
    kept = Kept(delay=2.3)
    async with rx.start(latest.to(kept)) as following:
        report = await rx.run(rx.interval(1).take(6).to(latest))
        assert report["level"].items_in == 6
        latest.close()
        report = await following.wait()
    assert kept.items == [0, 2, 4, 5]
    assert report["level"].counters == {"conflated": 2}
    assert latest.value == 5


@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_the_end_comes_after_the_last_value(error: Exception | None) -> None:
    latest = rx.Latest(1)
    given: list[int] = []
    early = asyncio.ensure_future(latest.tap(given.append).collect())
    await settled()
    latest.set(2)
    latest.set(3)
    latest.close() if error is None else latest.fail(error)
    late = asyncio.ensure_future(latest.tap(given.append).collect())
    results = await asyncio.gather(early, late, return_exceptions=True)
    assert results == ([[1, 3], [3]] if error is None else [error, error])
    assert sorted(given) == [1, 3, 3]
    assert latest.value == 3
    with pytest.raises(rx.StreamClosedError, match="latest was closed"):
        latest.set(4)
    with pytest.raises(rx.StreamClosedError, match="latest was closed"):
        await rx.run(rx.of(4).to(latest))
    assert latest.value == 3


async def test_waiting_for_a_value() -> None:
    latest: rx.Latest[int] = rx.Latest()
    async with check_leaks():
        small = asyncio.ensure_future(latest.wait_for(lambda value: value < 5))
        large = asyncio.ensure_future(latest.wait_for(lambda value: value > 5))
        failing = asyncio.ensure_future(latest.wait_for(lambda value: 1 // (value - 3)))
        await settled()
        latest.set(3)
        await settled()
        assert small.done() and not large.done()
        with pytest.raises(ZeroDivisionError):
            await failing
        latest.set(9)
        assert await asyncio.gather(small, large) == [3, 9]
        assert await latest.wait_for(lambda value: value == 9) == 9
        given_up = asyncio.ensure_future(latest.wait_for(lambda value: False))
        await settled()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert latest.subscribers == 0


async def test_who_waits_is_told_of_the_end() -> None:
    latest = rx.Latest(1)
    waiting = asyncio.ensure_future(latest.wait_for(lambda value: value > 1))
    await settled()
    latest.close()
    with pytest.raises(rx.StreamClosedError, match="latest was closed before its value was"):
        await waiting
    assert await latest.wait_for(lambda value: value == 1) == 1
    failing = rx.Latest(1)
    failing.fail(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await failing.wait_for(lambda value: value > 1)


async def test_threads_may_set_it() -> None:
    latest = rx.Latest(1)
    await asyncio.to_thread(latest.set_from_thread, 2)
    assert latest.value == 2
    with pytest.raises(RuntimeError, match=r"wait for itself; use latest\.set\(value\)"):
        latest.set_from_thread(3)
    latest.close()
    with pytest.raises(rx.StreamClosedError):
        await asyncio.to_thread(latest.set_from_thread, 4)


def test_it_needs_no_loop_and_serves_one_at_a_time() -> None:
    latest = rx.Latest(1)
    latest.set(2)
    assert asyncio.run(latest.take(1).collect()) == [2]
    latest.set(3)

    async def beside() -> None:
        reading = asyncio.ensure_future(latest.collect())
        await settled()
        wrong: list[Callable[[], Any]] = [
            lambda: latest.set(4),
            lambda: asyncio.run(once()),
            latest.close,
        ]
        for call in wrong:
            with pytest.raises(RuntimeError, match="latest is in use in another event loop"):
                await asyncio.to_thread(call)
        latest.close()
        assert await reading == [3]

    async def once() -> Any:
        return await latest.take(1).collect()

    asyncio.run(beside())


def test_it_does_not_pickle() -> None:
    for what in (rx.Latest(1), rx.Latest(1).map(str)):
        with pytest.raises(TypeError, match="a Latest belongs to one program and does not pickle"):
            pickle.dumps(what)


def test_wrong_functions_are_refused() -> None:
    latest = rx.Latest(1)

    async def later(value: int) -> int:
        return value

    with pytest.raises(TypeError, match="update takes a plain function"):
        latest.update(later)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="nobody would await"):
        latest.update(lambda value: later(value))  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="update needs a function, not int 5"):
        latest.update(5)  # type: ignore[arg-type]
    for wrong in (later, 5):
        with pytest.raises(TypeError, match="wait_for"):
            asyncio.run(latest.wait_for(wrong))  # type: ignore[arg-type]
    assert latest.value == 1


async def test_wait_for_refuses_a_predicate_that_gives_an_awaitable() -> None:
    async def positive(value: int) -> bool:
        return value > 0

    with pytest.raises(TypeError, match="nobody would await"):
        await rx.Latest(0).wait_for(lambda value: positive(value))
