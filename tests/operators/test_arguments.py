"""What makes no sense is refused where the pipeline is described, for every option there is."""

from __future__ import annotations

import copy
import inspect
import re
from typing import Any

import pytest
from cases import Build, Case, collected
from catalogue import Call, watched

import reactive as rx

CALLS: dict[tuple[str, str], Call] = {}
with watched(CALLS):
    for case in collected("LAWS").values():
        build: Build = case.build if isinstance(case, Case) else case
        build(rx.of(1, 2, 3))


def annotation(operator: str, option: str) -> str:
    function, _ = CALLS[operator, option]
    return str(inspect.signature(function).parameters[option].annotation)


def of_kind(pattern: str, kind: Any) -> list[tuple[str, str]]:
    """The options with such an annotation that were given such a value."""
    return [
        (operator, option)
        for (operator, option), (_, bound) in CALLS.items()
        if re.search(pattern, annotation(operator, option))
        and isinstance(bound.arguments[option], kind)
        and not isinstance(bound.arguments[option], bool)
    ]


def call(operator: str, option: str, value: Any) -> Any:
    """Call it as a case does, but for one option."""
    function, bound = CALLS[operator, option]
    changed = copy.copy(bound)
    changed.arguments = {**bound.arguments, option: value}
    return function(*changed.args, **changed.kwargs)


FUNCTIONS = of_kind(r"Callable\[", object)
NUMBERS = of_kind(r"\b(int|float)\b", (int, float))
ANY_NUMBER = {
    *(("enumerate", "start"), ("sum", "start")),
    *(("KeyedStream.interval_join", "before"), ("KeyedStream.interval_join", "after")),
}
"""Where a number below 0 makes sense."""
NONE_AT_ALL = {
    *(("take", "count"), ("skip", "count"), ("take_last", "count"), ("skip_last", "count")),
    *(("element_at", "index"), ("delay", "seconds"), ("debounce", "seconds"), ("map", "buffer")),
    *(("delay_each", "seconds"), ("repeat", "times"), ("repeat", "pause"), ("restart", "healthy")),
    *(("restart", "backoff"), ("retry", "backoff"), ("map", "retry"), ("enrich", "retry")),
    *(("event_time", "lateness"), ("event_time", "every"), ("event_time", "future")),
    *(("window", "allowed_lateness"), ("journal", "sync_every")),
    *(("journal", "retain_bytes"), ("journal", "retain_seconds")),
    *((f"KeyedStream.{name}", "allowed_lateness") for name in ("window", "join", "cogroup")),
    ("KeyedStream.lookup", "allowed_lateness"),
}
"""Where 0 makes sense."""


def test_there_are_many() -> None:
    assert len(FUNCTIONS) > 50
    assert len(NUMBERS) > 50


@pytest.mark.parametrize(("operator", "option"), FUNCTIONS)
def test_what_is_no_function_is_refused(operator: str, option: str) -> None:
    with pytest.raises(TypeError) as refused:
        call(operator, option, 42.5j)
    assert operator.rpartition(".")[2].strip("_") in str(refused.value)


@pytest.mark.parametrize(("operator", "option"), NUMBERS)
def test_what_is_no_number_is_refused(operator: str, option: str) -> None:
    for wrong in ("3", [3], 42.5j):
        if (operator, option) not in ANY_NUMBER:
            with pytest.raises(TypeError):
                call(operator, option, wrong)


@pytest.mark.parametrize(("operator", "option"), NUMBERS)
def test_a_number_that_makes_no_sense_is_refused(operator: str, option: str) -> None:
    wrong = [-1, -(10**9)] * ((operator, option) not in ANY_NUMBER)
    if (operator, option) not in ANY_NUMBER | NONE_AT_ALL:
        wrong.append(0)
    for number in wrong:
        with pytest.raises(ValueError):
            call(operator, option, number)
