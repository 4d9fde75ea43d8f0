"""Every operator keeps the laws: chunks, signals, cancellation, backpressure, reuse, state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cases import ITEMS, Build, Case, collected

import reactive as rx
from reactive.testing import check_laws, scripted_source

OPERATORS: dict[str, Build | Case] = collected("LAWS")


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


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
def test_a_buffer_that_drops_keeps_the_others(overflow: Any) -> None:
    check_laws(
        lambda s: s.buffer(2, overflow=overflow),
        ITEMS[:2],
        skip=["chunking", "backpressure", "signals", "reuse", "pickling"],
    )


def test_take_until_an_event() -> None:
    check_laws(lambda s: s.take_until(asyncio.Event()), ITEMS, skip=["pickling"])


def test_two_sources_that_take_turns() -> None:
    check_laws(
        lambda s: s.merge(scripted_source([rx.Chunk([1, 2])])).batch(2).flat_map(list),
        ITEMS,
        ordered=False,
    )
