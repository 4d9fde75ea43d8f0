"""The loops of the common kinds of windows, generated around the key and the aggregator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from operators.aggregate_code import AggregateCode, code_of
from operators.aggregates import Aggregator
from reactive.windows import ONLY_PANE, Window, Windowed

Cells = dict[Any, Any]
"""The accumulators of one window by key."""


@dataclass(frozen=True, slots=True)
class TileLoops:
    """Loops over the items of a chunk, and over what a window holds."""

    add_all: Callable[[Iterable[Any], Cells], None]
    """Add items that are all in one window."""
    add_each: Callable[[Iterable[Any], Iterable[int], Any, Any], None]
    """Add items to the windows that `find(time)` says; give those that have none to `late`."""
    results: Callable[[Iterable[tuple[Any, Any]], Window], list[Windowed[Any, Any]]]
    """The results of pairs of keys and accumulators."""


@dataclass(frozen=True, slots=True)
class SessionLoops:
    """The same for sessions."""

    add: Callable[[Iterable[Any], Iterable[int], Cells, Any, Any], None]
    results: Callable[[Iterable[Any]], list[Windowed[Any, Any]]]


def tile_loops(
    key: Callable[[Any], Any] | None, aggregator: Aggregator[Any, Any, Any], title: str
) -> TileLoops:
    """The loops of windows that are the same for all keys."""
    code = AggregateCode()
    missing = code.bind("missing", object())
    create = code_of(aggregator, "create")(code)
    code_of(aggregator, "add")(code)
    in_place = aggregator.in_place
    adding = [
        f"key = {_key(key, code)}",
        f"held = get(key, {missing})",
        f"if held is {missing}:",
        f"    held = {'cells[key] = ' if in_place else ''}{create}",
        *code.take_lines(),
        *(() if in_place else ("cells[key] = held",)),
    ]
    lines = [
        "def add_all(items, cells):",
        "    get = cells.get",
        "    for item in items:",
        *_indented(2, adding),
        "def add_each(items, times, find, late):",
        "    start = end = 0",
        "    for item, time in zip(items, times):",
        "        if not start <= time < end:",
        "            start, end, cells = find(time)",
        "            get = None if cells is None else cells.get",
        "        if cells is None:",
        "            late(item)",
        "            continue",
        *_indented(2, adding),
        "def results(pairs, window):",
        f"    return [{_result(aggregator, code, 'window')} for key, held in pairs]",
    ]
    return TileLoops(*code.functions(lines, ("add_all", "add_each", "results"), title))


def session_loops(
    key: Callable[[Any], Any] | None,
    aggregator: Aggregator[Any, Any, Any],
    gap: int,
    title: str,
) -> SessionLoops:
    """The loops of sessions; see `operators/sessions.py`. `live` has the latest of each key, and
    `place(key, time)` gives the one for an item that is not within that, or None."""
    code = AggregateCode()
    code.held = "session[3]"
    code_of(aggregator, "add")(code)
    adding = code.take_lines()
    window = f"{code.bind('make', tuple.__new__)}({code.bind('window', Window)}, (start, end))"
    code.held = "held"
    lines = [
        "def add(items, times, live, place, late):",
        "    get = live.get",
        "    for item, time in zip(items, times):",
        f"        key = {_key(key, code)}",
        "        session = get(key)",
        "        if session is not None and session[0] <= time < session[1]:",
        f"            if time + {gap} > session[1]:",
        f"                session[1] = time + {gap}",
        "        else:",
        "            session = place(key, time)",
        "            if session is None:",
        "                late(item)",
        "                continue",
        *_indented(2, adding),
        "def results(sessions):",
        f"    return [{_result(aggregator, code, window)} for start, end, key, held, _ in sessions]",
    ]
    return SessionLoops(*code.functions(lines, ("add", "results"), title))


def _key(key: Callable[[Any], Any] | None, code: AggregateCode) -> str:
    return "None" if key is None else f"{code.bind('key', key)}(item)"


def _result(aggregator: Aggregator[Any, Any, Any], code: AggregateCode, window: str) -> str:
    """An expression for the result of `held`: a new tuple, past the checks of its class."""
    value = code_of(aggregator, "result")(code)
    make, kind = code.bind("make", tuple.__new__), code.bind("windowed", Windowed)
    return f"{make}({kind}, (key, {window}, {value}, {code.bind('pane', ONLY_PANE)}))"


def _indented(depth: int, lines: Iterable[str]) -> list[str]:
    return ["    " * depth + line for line in lines]
