"""The rules of Reactive Streams, read for async iterators, held by every operator."""

from __future__ import annotations

import asyncio
import gc
import inspect
import operator
import weakref

import pytest
import structlog.testing
from cases import Build, Failure, collected, same_later

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

BUILDS: dict[str, Build] = collected("RULES")
CALLBACKS: dict[str, Build] = collected("CALLBACKS")
NO_OPERATORS = {"to", "open", "collect", "explain"}
ONLY_FIRST = {"take", "first"}


def test_every_operator_is_here() -> None:
    methods = {name for name, _ in inspect.getmembers(rx.Stream, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")} - NO_OPERATORS
    assert public == {name.split()[0].rstrip(",") for name in BUILDS}


class Item:
    """Something that can be watched for being alive."""


@pytest.mark.parametrize("name", BUILDS)
async def test_after_the_end_upstream_is_closed_and_every_pull_says_the_end(name: str) -> None:
    probe = Probe([Item() for _ in range(5)])
    items = aiter(BUILDS[name](probe.stream))
    given = [item async for item in items]
    assert given
    assert (probe.opens, probe.closes) == (1, 1)
    reads = probe.reads
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    assert probe.reads == reads
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_after_a_failure_upstream_is_closed_and_every_pull_says_the_end(name: str) -> None:
    error = OSError("gone")
    probe = Probe(rx.fail(error))
    items = aiter(BUILDS[name](probe.stream))
    with pytest.raises(OSError, match="gone") as caught:
        await anext(items)
    assert caught.value is error
    assert (probe.opens, probe.closes) == (1, 1)
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_an_empty_source_just_ends(name: str) -> None:
    probe = Probe(rx.empty())
    await asyncio.wait_for(BUILDS[name](probe.stream).collect(), 10)
    assert (probe.opens, probe.closes) == (1, 1)
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_closing_is_idempotent_and_comes_at_any_time(name: str) -> None:
    probe = Probe([Item() for _ in range(50)])
    stream = BUILDS[name](probe.stream)
    before = aiter(stream)
    await before.aclose()  # type: ignore[attr-defined]
    await before.aclose()  # type: ignore[attr-defined]
    assert probe.opens == 0
    with pytest.raises(StopAsyncIteration):
        await anext(before)
    during = aiter(stream)
    await anext(during)
    await during.aclose()  # type: ignore[attr-defined]
    await during.aclose()  # type: ignore[attr-defined]
    assert (probe.opens, probe.closes) == (1, 1)
    with pytest.raises(StopAsyncIteration):
        await anext(during)
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_after_the_end_nothing_is_kept_alive(name: str) -> None:
    items = [Item() for _ in range(5)]
    alive = weakref.WeakSet(items)
    source = rx.from_iterable(iter(items))
    items = []
    results = await BUILDS[name](source).collect()
    assert results
    del source, results
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert not list(alive)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("name", CALLBACKS)
async def test_what_a_callback_raises_is_the_streams_failure(
    virtual_time: VirtualTime, name: str
) -> None:
    loop, unhandled = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    probe = Probe([Item() for _ in range(5)])
    with structlog.testing.capture_logs(), pytest.raises(Failure):
        await asyncio.wait_for(CALLBACKS[name](probe.stream).collect(), 3600)
    gc.collect()
    await asyncio.sleep(0)
    assert unhandled == []
    assert probe.opens == probe.closes == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    probe.check()


@pytest.mark.parametrize("name", ["batch within", "buffer", "merge", "map of several at once"])
async def test_many_short_runs_leave_nothing_behind(name: str) -> None:
    stream = BUILDS[name](rx.range(5))
    for _ in range(200):
        await stream.take(1).collect()
    assert len(asyncio.all_tasks()) == 1


async def test_callbacks_of_one_stage_do_not_overlap() -> None:
    running = 0

    async def alone(x: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return x

    stream = rx.range(200).map(alone).buffer(3).merge(rx.range(5).map(same_later))
    assert len(await stream.collect()) == 205


async def test_reduce_of_operators_is_that_of_python() -> None:
    assert await rx.range(1, 6).reduce(operator.mul) == 120
