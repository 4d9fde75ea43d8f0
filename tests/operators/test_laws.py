"""Every operator keeps the laws: chunks, signals, cancellation, backpressure, reuse, state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cases import ITEMS, Build, Case, collected, fail_on_nine

import reactive as rx
from reactive.testing import check_laws, scripted_source

OPERATORS: dict[str, Build | Case] = collected("LAWS")


def fail_at_first() -> Callable[[int], int]:
    failed = False

    def check(number: int) -> int:
        nonlocal failed
        if not failed:
            failed = True
            raise LookupError("at first")
        return number

    return check


@pytest.mark.parametrize("name", OPERATORS)
def test_the_laws(name: str) -> None:
    case = OPERATORS[name]
    if not isinstance(case, Case):
        case = Case(case)
    check_laws(
        case.build,
        ITEMS,
        ordered=case.ordered,
        readahead=case.readahead,
        skip=case.skip,
        examples=case.examples,
    )


@pytest.mark.parametrize("name", ["map", "scan", "take", "sum", "batch", "zip", "concat", "buffer"])
def test_the_laws_of_nothing(name: str) -> None:
    build = OPERATORS[name]
    check_laws(build.build if isinstance(build, Case) else build, [], examples=6)


def test_the_laws_in_threads() -> None:
    check_laws(
        lambda s: s.map(fail_on_nine, on="thread", concurrency=2), ITEMS, readahead=8, examples=5
    )


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
def test_a_buffer_that_drops_keeps_the_others(overflow: Any) -> None:
    check_laws(
        lambda s: s.buffer(2, overflow=overflow),
        ITEMS[:2],
        skip=["chunking", "backpressure", "signals", "reuse", "pickling"],
    )


def test_retry() -> None:
    # Each attempt is a run from the beginning, which gives its control signals again.
    skip = ["signals", "snapshot"]
    check_laws(lambda s: s.map(fail_at_first()).retry(2), ITEMS, skip=skip)  # type: ignore[arg-type]


def test_take_until_an_event() -> None:
    check_laws(lambda s: s.take_until(asyncio.Event()), ITEMS, skip=["pickling"])


def test_two_sources_that_take_turns() -> None:
    check_laws(
        lambda s: s.merge(scripted_source([rx.Chunk([1, 2])])).batch(2).flat_map(list),
        ITEMS,
        ordered=False,
    )
