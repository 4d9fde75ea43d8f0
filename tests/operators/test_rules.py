"""The rules of Reactive Streams, read for async iterators, held by every operator."""

from __future__ import annotations

import asyncio
import gc
import inspect
import operator
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog.testing

import reactive as rx
from reactive.testing import Probe
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[Any]], rx.Stream[Any]]


async def same_later(x: Any) -> Any:
    await asyncio.sleep(0)
    return x


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


BUILDS: dict[str, Build] = {
    "map": lambda s: s.map(lambda x: x),
    "map of an async function": lambda s: s.map(same_later),
    "map of several at once": lambda s: s.map(same_later, concurrency=3),
    "map as completed": lambda s: s.map(same_later, concurrency=3, ordered=False),
    "map on threads": lambda s: s.map(lambda x: x, on="thread"),
    "starmap": lambda s: s.map(lambda x: (x,)).starmap(lambda x: x),
    "flat_map": lambda s: s.flat_map(lambda x: [x, x]),
    "tap": lambda s: s.tap(lambda x: None),
    "enumerate": lambda s: s.enumerate(),
    "pairwise": lambda s: s.pairwise(),
    "scan": lambda s: s.scan(lambda total, x: x),
    "filter": lambda s: s.filter(lambda x: True),
    "filter_map": lambda s: s.filter_map(lambda x: x),
    "distinct": lambda s: s.distinct(),
    "distinct_until_changed": lambda s: s.distinct_until_changed(),
    "take": lambda s: s.take(3),
    "take more than there are": lambda s: s.take(100),
    "skip": lambda s: s.skip(1),
    "take_while": lambda s: s.take_while(lambda x: True),
    "skip_while": lambda s: s.skip_while(lambda x: False),
    "take_last": lambda s: s.take_last(3),
    "take_until": lambda s: s.take_until(rx.never()),
    "take_until an event": lambda s: s.take_until(asyncio.Event()),
    "reduce": lambda s: s.reduce(lambda total, x: x, None),
    "count": lambda s: s.count(),
    "sum": lambda s: s.map(lambda x: 1).sum(),
    "mean": lambda s: s.map(lambda x: 1).concat(rx.of(1)).mean(),
    "min": lambda s: s.min(id, default=None),
    "max": lambda s: s.max(id, default=None),
    "first": lambda s: s.first(default=None),
    "last": lambda s: s.last(default=None),
    "to_list": lambda s: s.to_list(),
    "to_set": lambda s: s.to_set(),
    "to_dict": lambda s: s.to_dict(lambda x: x),
    "batch": lambda s: s.batch(2),
    "batch within": lambda s: s.batch(2, within=60),
    "sliding": lambda s: s.sliding(2),
    "buffer": lambda s: s.buffer(2),
    "rebatch": lambda s: s.rebatch(2),
    "merge": lambda s: s.merge(rx.empty()),
    "concat": lambda s: s.concat(rx.empty()),
    "zip": lambda s: s.zip(rx.range(100)),
    "zip with itself": lambda s: s.zip(s),
    "retry": lambda s: s.retry(0),
    "recover": lambda s: s.recover(rx.empty(), on=KeyError),
    "through": lambda s: s.through(passing),
    "pipe": lambda s: s.pipe(lambda stream: stream.map(lambda x: x)),
    "named": lambda s: s.named("source"),
}
NO_OPERATORS = {"to", "open", "collect", "explain"}
ONLY_FIRST = {"take", "first"}


def test_every_operator_is_here() -> None:
    methods = {name for name, _ in inspect.getmembers(rx.Stream, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")} - NO_OPERATORS
    assert public == {name.split()[0] for name in BUILDS}


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


class Failure(Exception):
    """What the user's function raises."""


def fail(*args: Any) -> Any:
    raise Failure


async def fail_later(*args: Any) -> Any:
    await asyncio.sleep(0)
    raise Failure


async def fail_after_one(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    await anext(items)
    raise Failure
    yield


CALLBACKS: dict[str, Build] = {
    "map": lambda s: s.map(fail),
    "map of an async function": lambda s: s.map(fail_later),
    "map of several at once": lambda s: s.map(fail_later, concurrency=3),
    "map as completed": lambda s: s.map(fail_later, concurrency=3, ordered=False),
    "map on threads": lambda s: s.map(fail, on="thread"),
    "a policy": lambda s: s.map(fail_later, concurrency=3, on_error=rx.replace_with(fail)),
    "starmap": lambda s: s.map(lambda x: (x,)).starmap(fail),
    "flat_map": lambda s: s.flat_map(fail),
    "the iterable of flat_map": lambda s: s.flat_map(lambda x: map(fail, [x])),
    "tap": lambda s: s.tap(fail),
    "scan": lambda s: s.scan(fail, 0),
    "filter": lambda s: s.filter(fail),
    "filter_map": lambda s: s.filter_map(fail),
    "distinct": lambda s: s.distinct(fail),
    "distinct_until_changed": lambda s: s.distinct_until_changed(fail),
    "take_while": lambda s: s.take_while(fail),
    "skip_while": lambda s: s.skip_while(fail),
    "reduce": lambda s: s.reduce(fail, 0),
    "min": lambda s: s.min(fail),
    "max": lambda s: s.max(fail),
    "to_dict": lambda s: s.to_dict(fail),
    "the values of to_dict": lambda s: s.to_dict(lambda x: x, fail),
    "through": lambda s: s.through(fail_after_one),
    "the making in through": lambda s: s.through(fail),
    "retry": lambda s: s.map(fail).retry(0),
    "recover": lambda s: s.map(lambda x: x.nothing).recover(fail),
    "defer": lambda s: s.concat(rx.defer(fail)),
    "the items of a side branch": lambda s: s.merge(s.map(fail)),
    "the notifier of take_until": lambda s: rx.never().take_until(s.map(fail)),
    "the other of zip": lambda s: rx.of(1, 2).zip(s.map(fail)),
    "after a buffer": lambda s: s.buffer(2).map(fail),
    "before a buffer": lambda s: s.map(fail).buffer(2),
    "before timed batches": lambda s: s.map(fail).batch(3, within=60),
}


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
