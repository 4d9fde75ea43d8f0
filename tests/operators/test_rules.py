"""The rules of Reactive Streams, read for async iterators, held by every operator.

`WHERE` says where each rule is tested; those that hold for Java only are left out.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import operator
import weakref
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from cases import Build, Failure, collected, same_later

import reactive as rx
from reactive.testing import Pause, Probe, failing_source, scripted_source
from reactive.testing.plugin import VirtualTime

BUILDS: dict[str, Build] = collected("RULES")
CALLBACKS: dict[str, Build] = collected("CALLBACKS")
ROOT = Path(__file__).parent.parent.parent
LAWS = "reactive/testing/laws.py"
HERE = "tests/operators/test_rules.py"
CHAINS = "tests/operators/test_chains.py"
ARGUMENTS = "tests/operators/test_arguments.py"
STOPPING = "tests/operators/test_stopping.py"

WHERE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("1.1", "2.1"): (LAWS, "backpressure"),
    ("1.2", "2.9", "2.10"): (HERE, "test_an_empty_source_just_ends"),
    ("1.3", "2.7"): (HERE, "test_one_call_at_a_time", "test_callbacks_of_one_stage_do_not_overlap"),
    ("1.4", "4.2"): (HERE, "test_a_failure_after_some_items_comes_out_as_it_is"),
    ("1.5", "1.6", "2.4"): (
        HERE,
        "test_after_the_end_upstream_is_closed_and_every_pull_says_the_end",
    ),
    ("1.7",): (HERE, "test_after_a_failure_upstream_is_closed_and_every_pull_says_the_end"),
    ("1.8", "2.8", "3.12", "4.1"): (LAWS, "cancelling"),
    ("1.9",): (HERE, "test_describing_does_nothing"),
    ("1.10",): (LAWS, "reuse"),
    ("1.11",): (HERE, "test_a_source_that_can_be_read_once_says_so"),
    ("2.6",): (STOPPING, "test_upstream_is_closed_at_the_moment_it_is_not_needed"),
    ("2.13",): (HERE, "test_what_a_callback_raises_is_the_streams_failure"),
    ("3.3",): (
        CHAINS,
        "test_a_thousand_operators_in_a_row",
        "test_a_hundred_thousand_skipped_items",
        "test_a_hundred_thousand_empty_inputs",
    ),
    ("3.4",): ("tests/reactive/test_fairness.py", "test_others_get_their_turn"),
    ("3.5", "3.6", "3.7", "3.15"): (HERE, "test_closing_is_idempotent_and_comes_at_any_time"),
    ("3.9",): (ARGUMENTS, "test_a_number_that_makes_no_sense_is_refused"),
    ("3.13",): (
        HERE,
        "test_after_the_end_nothing_is_kept_alive",
        "test_after_leaving_nothing_is_kept_alive",
    ),
    ("3.14",): (
        "tests/operators/test_sharing.py",
        "test_after_the_end_a_new_run_begins_once_all_is_closed",
    ),
}
PORTABLE = (
    *("1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11"),
    *("2.1", "2.4", "2.6", "2.7", "2.8", "2.9", "2.10", "2.13"),
    *("3.3", "3.4", "3.5", "3.6", "3.7", "3.9", "3.12", "3.13", "3.14", "3.15", "4.1", "4.2"),
)
NO_OPERATORS = {"to", "open", "collect", "explain"}
ENOUGH = {
    **dict.fromkeys(["first", "single", "find", "is_empty", "sequence_equal"], 1),
    "take": 3,
    "take as a slice": 4,
    "element_at": 4,
}
"""After how many items a pipeline needs no more."""


def test_every_operator_is_here() -> None:
    methods = {name for name, _ in inspect.getmembers(rx.Stream, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")} - NO_OPERATORS
    assert public == {name.split()[0].rstrip(",") for name in BUILDS}


def test_every_rule_is_tested() -> None:
    assert len(PORTABLE) == 31
    assert sorted(rule for rules in WHERE for rule in rules) == sorted(PORTABLE)
    for path, *tests in WHERE.values():
        tree = ast.walk(ast.parse((ROOT / path).read_text()))
        functions = {each.name for each in tree if isinstance(each, FUNCTIONS)}
        assert set(tests) <= functions, f"{path} has no {set(tests) - functions}"


FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


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


@pytest.mark.parametrize("name", BUILDS)
async def test_after_leaving_nothing_is_kept_alive(name: str) -> None:
    items = [Item() for _ in range(50)]
    alive = weakref.WeakSet(items)
    source = rx.from_iterable(iter(items))
    items = []
    async with BUILDS[name](source).open() as results:
        await anext(results)
    del source, results
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert not list(alive)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", BUILDS)
async def test_a_failure_after_some_items_comes_out_as_it_is(name: str, count: int) -> None:
    error = OSError("gone")
    probe = Probe(failing_source([Item() for _ in range(count)], error))
    if count >= ENOUGH.get(name, 5):
        assert await BUILDS[name](probe.stream).collect()
        return
    with pytest.raises(OSError, match="gone") as caught:
        await asyncio.wait_for(BUILDS[name](probe.stream).collect(), 60)
    assert caught.value is error
    assert (probe.opens, probe.closes) == (1, 1)
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_one_call_at_a_time(name: str) -> None:
    """The probe refuses a read while another is under way, and a close while one is."""
    steps: list[Any] = []
    for _ in range(6):
        steps += [rx.Chunk([Item()]), Pause(), Pause()]
    probe = Probe(scripted_source(steps))
    stream = BUILDS[name](probe.stream)
    assert await asyncio.wait_for(stream.collect(mode="stream"), 60)
    async with stream.open(mode="stream") as items:
        await anext(items)
    probe.check()


@pytest.mark.parametrize("name", BUILDS)
async def test_describing_does_nothing(name: str) -> None:
    probe = Probe([Item()])
    tasks = asyncio.all_tasks()
    stream = BUILDS[name](probe.stream)
    repr(stream), str(stream.explain()), stream.explain().mermaid()
    await asyncio.sleep(0)
    assert (probe.opens, probe.reads) == (0, 0)
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("name", CALLBACKS)
async def test_describing_calls_nothing(name: str) -> None:
    str(CALLBACKS[name](rx.of(1)).explain())


@pytest.mark.parametrize("name", BUILDS)
async def test_a_source_that_can_be_read_once_says_so(name: str) -> None:
    stream = BUILDS[name](rx.from_iterable(iter([Item(), Item()])))
    assert await stream.collect()
    with pytest.raises(rx.SourceConsumedError, match="can be iterated only once"):
        await stream.collect()


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
