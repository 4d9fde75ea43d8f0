"""Marble diagrams in docstrings: what they say is run, and has to come out as it is drawn.

```text
--1-----2-----3-|
----a-----b|              other
zip(other)
----1a----2b|
```

A column is a second. Above the operator are its inputs, one a line, below it what comes out. An
item stands at the column of its time, as wide as it is; `(12|)` is several things at one time,
with spaces between them where one is wider than a character. `|` is the end, `#` a failure; a
line with neither goes on in silence. Input items are read as Python literals, and as text where
they are none. The first input is what the operator is called on (`source` in the expression);
further lines without a name are what it gives when it is run again. The others have their name
behind them. A diagram without inputs calls a function of `reactive`. A long expression goes on in
lines that start with a dot.

Numbers and text come out as they are, lists as `[12]` or `[1,23]`, tuples as `1a` or `1:23`.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain, dropwhile, groupby, repeat
from typing import TYPE_CHECKING, Any, TypeAlias

import reactive
from operators.creating import defer, empty, from_source
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint
from reactive.testing.marbles import DiagramError, End, Event, Failure, Item, MarbleError
from reactive.testing.recording import MarbleSource, record
from reactive.testing.virtual_time import run

if TYPE_CHECKING:
    from reactive.stream import Stream

Events: TypeAlias = Sequence[Event[Any]]

_EXPRESSION = re.compile(r"\s*([a-z_]\w*\(.*\)|\[[-\d:, ]*\])\s*")
_NAMED = re.compile(r"(.*?)\s{2,}([a-z_]\w*)\s*")
_PATIENCE = 1000.0
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Line:
    """One line of a diagram: its events, how many seconds it covers, and its name if it has one."""

    events: Events
    seconds: int
    name: str = ""

    @property
    def ends(self) -> bool:
        """Whether it says how the stream ends."""
        return bool(self.events) and isinstance(self.events[-1], End | Failure)


@dataclass(frozen=True)
class Diagram:
    """A diagram as it is written."""

    inputs: tuple[Line, ...]
    expression: str
    outputs: tuple[str, ...]


def read_diagram(text: str) -> Diagram:
    """Read the lines of a diagram. Raises `DiagramError` for one that cannot be read."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    lines = [line[margin:] for line in lines]
    at = next((at for at, line in enumerate(lines) if _EXPRESSION.fullmatch(line)), None)
    if at is None:
        raise DiagramError(f"no line is a call such as `take(2)`:\n{text}")
    inputs = []
    for line in lines[:at]:
        named = _NAMED.fullmatch(line)
        drawn, name = named.groups() if named else (line, "")
        inputs.append(_read_line(drawn, name))
    rest = list(dropwhile(lambda line: line.startswith("."), lines[at + 1 :]))
    expression = "".join(line.strip() for line in lines[at : len(lines) - len(rest)])
    return Diagram(tuple(inputs), expression, tuple(rest))


def _read_line(drawn: str, name: str) -> Line:
    events: list[Event[Any]] = []
    position = 0
    while position < len(drawn):
        end = position + 1
        if drawn[position] == "(":
            end = _closing(drawn, position)
            events += [_event(part, position) for part in _parts(drawn[position + 1 : end - 1])]
        elif drawn[position] not in "- ":
            if drawn[position] not in "|#":
                end = _end_of_item(drawn, position)
            events.append(_event(drawn[position:end], position))
        position = end
    return Line(tuple(events), len(drawn), name)


def _closing(drawn: str, opening: int) -> int:
    """The place after the bracket that closes the one at `opening`."""
    depth = 0
    for position in range(opening, len(drawn)):
        depth += (drawn[position] in _CLOSING) - (drawn[position] in _CLOSING.values())
        if depth == 0:
            return position + 1
    raise DiagramError(f"a {drawn[opening]} without its {_CLOSING[drawn[opening]]} in {drawn}")


def _end_of_item(drawn: str, start: int) -> int:
    position = start
    while position < len(drawn) and drawn[position] not in "-|# ":
        position = _closing(drawn, position) if drawn[position] in "[{" else position + 1
    return position


def _parts(inside: str) -> list[str]:
    return inside.split() if " " in inside else list(inside)


def _event(text: str, time: float) -> Event[Any]:
    if text == "|":
        return End(time)
    if text == "#":
        return Failure(time, MarbleError("# in the diagram"))
    try:
        return Item(time, ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return Item(time, text)


def draw_line(events: Events, seconds: int = 0) -> str:
    """The line of what came out, `seconds` long if it does not end before.

    Raises `DiagramError` where things come between the columns or too close to each other.
    """
    line = ""
    for time, together in groupby(events, key=lambda event: round(event.time, 6)):
        texts = [_text(event) for event in together]
        between = "" if all(len(text) == 1 for text in texts) else " "
        drawn = texts[0] if len(texts) == 1 else f"({between.join(texts)})"
        if time != int(time) or time < len(line):
            raise DiagramError(f"{drawn} at {time:g} s does not fit behind {line!r}")
        line += "-" * (int(time) - len(line)) + drawn
    return line + "-" * (seconds - len(line)) * (not Line(events, 0).ends)


def _text(event: Event[Any]) -> str:
    if isinstance(event, Item):
        return text_of(event.value)
    return "|" if isinstance(event, End) else "#"


def text_of(value: Any) -> str:
    """How an item is drawn."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return _joined(value, ":")
    if isinstance(value, list):
        return f"[{_joined(value, ',')}]"
    if isinstance(value, set | frozenset):
        return f"{{{_joined(sorted(value), ',')}}}"
    if isinstance(value, dict):
        return f"{{{','.join(f'{text_of(key)}:{text_of(held)}' for key, held in value.items())}}}"
    if isinstance(value, Blueprint):
        return getattr(value, "marble", "o")
    return str(value)


def _joined(values: Sequence[Any], between: str) -> str:
    texts = [text_of(value) for value in values]
    return ("" if all(len(text) == 1 for text in texts) else between).join(texts)


def busy(seconds: float) -> Callable[[Any], Awaitable[Any]]:
    """For diagrams: an async function that gives its item back after so many seconds."""

    async def work(item: Any) -> Any:
        await asyncio.sleep(seconds)
        return item

    return work


def _stream(lines: Sequence[Line]) -> Stream[Any]:
    """What follows these lines, one a run; the last one serves all later runs."""
    sources = [from_source(MarbleSource(line.name, tuple(line.events))) for line in lines]
    if len(sources) < 2:
        return sources[0] if sources else empty()
    attempts = chain(sources, repeat(sources[-1]))
    return defer(lambda: next(attempts))


@dataclass(frozen=True)
class Drawn:
    """A diagram that was run: what goes in as it is written, what comes out as it came."""

    diagram: Diagram
    outputs: tuple[Line, ...]


def run_diagram(text: str, names: Mapping[str, Any] | None = None) -> Drawn:
    """Run what a diagram says, on virtual time; call it where no event loop is running.

    `names` are what its expression may use besides `rx`, `asyncio`, its named inputs and
    `busy(seconds)`, an async function that takes so long. A result that is several streams has a
    line of output for each. Raises what the expression raises.
    """
    diagram = read_diagram(text)
    space: dict[str, Any] = {"rx": reactive, "asyncio": asyncio, "busy": busy, **(names or {})}
    space |= {line.name: _stream([line]) for line in diagram.inputs if line.name}
    space["source"] = _stream([line for line in diagram.inputs if not line.name])
    dot = "" if diagram.expression.startswith("[") else "."
    called = f"{'source' if diagram.inputs else 'rx'}{dot}{diagram.expression}"

    async def main() -> tuple[Line, ...]:
        result = eval(called, space)
        streams = result if isinstance(result, tuple | list) else (result,)
        if len(streams) != len(diagram.outputs):
            raise DiagramError(
                f"{diagram.expression} gives {len(streams)} streams, and {len(diagram.outputs)} "
                "lines are drawn below it"
            )
        lines = []
        for stream, drawn in zip(streams, diagram.outputs, strict=True):
            given = await record(
                stream, until=_PATIENCE if re.search(r"[|#]", drawn) else len(drawn)
            )
            lines.append(Line(given.events, len(drawn)))
        return tuple(lines)

    return Drawn(diagram, run(main()))


def check_diagram(text: str, names: Mapping[str, Any] | None = None) -> None:
    """Run a docstring's diagram and raise `AssertionError` if it is not what comes out.

    For the diagrams of your own operators; see `run_diagram`.

    ```python
    check_diagram('''
        --1--2--3--|
        take(2)
        --1--(2|)
    ''')
    ```
    """
    drawn = run_diagram(text, names)
    given = [draw_line(line.events, line.seconds) for line in drawn.outputs]
    if given != list(drawn.diagram.outputs):
        raise AssertionError(
            f"{drawn.diagram.expression} does not give what is drawn\n"
            + "".join(f"    drawn  {line}\n" for line in drawn.diagram.outputs)
            + "".join(f"    gave   {line}\n" for line in given)
        )
