"""The operators there are, with their options, and a watch on which of them something uses."""

from __future__ import annotations

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import reactive as rx
from operators.joining import Joining
from operators.stateful import Stateful

Uses: TypeAlias = dict[str, set[str]]
"""For each operator, which of its options were given."""

Call: TypeAlias = tuple[Callable[..., Any], inspect.BoundArguments]
"""A function that was called, with what it was given."""

BESIDE_STREAMS = (rx.KeyedStream, Stateful, Joining, rx.WindowedStream, rx.Table)
"""What has operators and is no stream; `KeyedStream` has those of two files besides its own."""


def families() -> Iterator[tuple[type[Any], str]]:
    """The classes that have operators, and what comes before the names of these."""
    for kind in rx.Stream.__mro__:
        if kind.__module__.startswith("operators."):
            yield kind, ""
    for kind in BESIDE_STREAMS:
        owner = "KeyedStream" if kind in (Stateful, Joining) else kind.__name__
        yield kind, f"{owner}."


def methods() -> Iterator[tuple[str, type[Any], str, Callable[..., Any]]]:
    """Every operator: its name here, and the class, attribute and function that it is."""
    for kind, prefix in families():
        for attribute, value in vars(kind).items():
            if inspect.isfunction(value) and (
                not attribute.startswith("_") or attribute == "__getitem__"
            ):
                yield prefix + attribute, kind, attribute, value


def options() -> Uses:
    """Every operator with all of its options."""
    return {
        name: set(list(inspect.signature(function).parameters)[1:])
        for name, _, _, function in methods()
    }


@contextmanager
def watched(calls: dict[tuple[str, str], Call] | None = None) -> Iterator[Uses]:
    """Notes what is called meanwhile, but not what operators call themselves; in `calls` a call
    for each operator and option."""
    uses: Uses = defaultdict(set)
    within = False

    def watch(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal within
            if within:
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            given = list(bound.arguments)[1:]
            uses[name].update(given)
            if calls is not None:
                calls.update({(name, option): (function, bound) for option in given})
            within = True
            try:
                return function(*args, **kwargs)
            finally:
                within = False

        return call

    found = list(methods())
    for name, kind, attribute, function in found:
        setattr(kind, attribute, watch(name, function))
    try:
        yield uses
    finally:
        for _, kind, attribute, function in found:
            setattr(kind, attribute, function)


Test = TypeVar("Test", bound=Callable[..., Any])


def model_of(*operators: str) -> Callable[[Test], Test]:
    """Says that a test compares these operators with a model in plain Python, on random inputs.

    `test_catalogue.py` reads it, and wants it for every operator with every option.
    """
    unknown = set(operators) - set(options())
    if unknown:
        raise ValueError(f"there is no operator {unknown.pop()}; see `catalogue.options()`")
    return lambda test: test
