"""The loops of the common kinds of windows, generated around the key and the aggregator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from operators.aggregate_code import AggregateCode, code_of
from operators.aggregates import Aggregator
from operators.rows import Rows
from reactive.fast_dataclasses import dataclass
from reactive.levels import Levels
from reactive.windows import ONLY_PANE, Window, Windowed

START_OF_HELD = 4
"""Where in a session its accumulators begin."""

Cells: TypeAlias = Levels[Any]
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
    """The same for sessions; see `operators/sessions.py`. `live` has the latest of each key."""

    add: Callable[[Iterable[Any], Iterable[int], Cells, Any, Any], None]
    """Add items to the latest session of their key, if they are within it, and otherwise to the
    one that `place(key, time)` gives; give those for which there is none to `late`."""
    create: Callable[[int, Any, Any], list[Any]]
    """A session of one time, of a key, with its older sessions."""
    merge: Callable[[list[Any], list[Any]], None]
    """Put what the second session holds into the first."""
    results: Callable[[Iterable[Any]], list[Windowed[Any, Any]]]


def tile_loops(
    key: Callable[[Any], Any] | None, aggregator: Aggregator[Any, Any, Any], title: str
) -> TileLoops:
    """The loops of windows that are the same for all keys."""
    code = AggregateCode()
    # What is changed in place is never None, which is the quickest to tell.
    missing = "None" if aggregator.in_place else code.bind("missing", object())
    default = "" if aggregator.in_place else f", {missing}"
    create = code_of(aggregator, "create")(code)
    code_of(aggregator, "add")(code)
    in_place = aggregator.in_place
    adding = [
        f"key = {_key(key, code)}",
        f"held = get(key{default})",
        f"if held is {missing} and (held := cells.recall(key, {missing})) is {missing}:",
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
    """The loops of sessions. The accumulators of a row stand in the session itself: a list of
    their own for each would make it half as large again."""
    code = AggregateCode()
    parts = aggregator.aggregators if isinstance(aggregator, Rows) else (aggregator,)
    created, merging, given = [], [], []
    for index, part in enumerate(parts, START_OF_HELD):
        code.held = f"session[{index}]"
        created.append(code_of(part, "create")(code))
        code_of(part, "add")(code)
        given.append(code_of(part, "result")(code))
        merging.append(
            f"    one[{index}] = {code.bind('merge', part.merge)}(one[{index}], other[{index}])"
        )
    adding = code.take_lines()
    make = code.bind("make", tuple.__new__)
    window = f"{make}({code.bind('window', Window)}, (session[0], session[1] + {gap}))"
    value = aggregator.row_code(code, given) if isinstance(aggregator, Rows) else given[0]
    result = f"(session[2], {window}, {value}, {code.bind('pane', ONLY_PANE)})"
    lines = [
        "def add(items, times, live, place, late):",
        "    get = live.get",
        "    for item, time in zip(items, times):",
        f"        key = {_key(key, code)}",
        "        session = get(key)",
        f"        if session is not None and (last := session[1]) <= time < last + {gap}:",
        "            session[1] = time",
        "        elif session is None or not session[0] <= time < last:",
        "            session = place(key, time)",
        "            if session is None:",
        "                late(item)",
        "                continue",
        *_indented(2, adding),
        "def create(time, key, older):",
        f"    return [time, time, key, older, {', '.join(created)}]",
        "def merge(one, other):",
        *merging,
        "def results(sessions):",
        f"    return [{make}({code.bind('windowed', Windowed)}, {result}) for session in sessions]",
    ]
    return SessionLoops(*code.functions(lines, ("add", "create", "merge", "results"), title))


def _key(key: Callable[[Any], Any] | None, code: AggregateCode) -> str:
    return "None" if key is None else f"{code.bind('key', key)}(item)"


def _result(aggregator: Aggregator[Any, Any, Any], code: AggregateCode, window: str) -> str:
    """An expression for the result of `held`: a new tuple, past the checks of its class."""
    value = code_of(aggregator, "result")(code)
    make, kind = code.bind("make", tuple.__new__), code.bind("windowed", Windowed)
    return f"{make}({kind}, (key, {window}, {value}, {code.bind('pane', ONLY_PANE)}))"


def _indented(depth: int, lines: Iterable[str]) -> list[str]:
    return ["    " * depth + line for line in lines]
