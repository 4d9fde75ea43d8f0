"""Marble diagrams: what a stream gives and when, drawn in one line of text.

```text
-a-b-|         a after 1 frame, b after 3, the end after 5
--(ab)-#       a and b in the same frame, then a failure
a 5s b|        b comes 5 seconds after the frame of a, and the end one frame later
-a-^-b-        the consumer comes at ^; what was before has negative times
```

A `-` is one frame of time, and so is every letter, digit, `|`, `#` and every group, however many
items it has (a group in RxJS takes a frame for each of its characters; here it takes one). A
number with `ms`, `s` or `m` that stands between spaces passes that much time; other spaces mean
nothing and serve to line diagrams up. A letter or digit stands for itself unless `values` says
what it stands for. `|` is the end, `#` a failure; a diagram with neither goes on in silence.

All here is pure: no event loop, no clock. Times are in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

from reactive.fast_dataclasses import dataclass

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FRAME_SECONDS: Final = 1.0

_NANOSECONDS = 1_000_000_000
_UNITS = {"ms": 1_000_000, "s": _NANOSECONDS, "m": 60 * _NANOSECONDS}
_PROGRESSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?(ms|s|m)(?= |$)")
_LONGEST_DASHES = 10
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + _DIGITS


class MarbleError(Exception):
    """The failure that `#` stands for when no other was given."""


class DiagramError(ValueError):
    """A diagram cannot be read, or something cannot be drawn as one."""


@final
@dataclass(frozen=True, slots=True)
class Item(Generic[T_co]):
    """An item came."""

    time: float
    value: T_co


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """The stream failed; nothing comes after it."""

    time: float
    error: BaseException


@final
@dataclass(frozen=True, slots=True)
class End:
    """The stream ended; nothing comes after it."""

    time: float


Event: TypeAlias = Item[T] | Failure | End


def parse(
    diagram: str,
    values: Mapping[str, T] | None = None,
    error: BaseException | None = None,
    *,
    frame: float = FRAME_SECONDS,
) -> list[Event[Any]]:
    """The events a diagram draws, in order, with their times in seconds.

    `values` gives what letters and digits stand for; the others stand for themselves. `error` is
    what `#` stands for, a `MarbleError` if it is not given. `frame` is in seconds. With a `^`, time
    counts from there. Raises `DiagramError`, pointing at the character.

    ```python
    assert parse("-a-|", {"a": 1}) == [Item(1.0, 1), End(3.0)]
    ```
    """
    return _Parser(diagram, values or {}, error, _frame_length(frame)).parse()


def length(diagram: str, *, frame: float = FRAME_SECONDS) -> float:
    """How many seconds a diagram covers, from its beginning or its `^` to the end of its last
    frame.

    ```python
    assert length("-a--") == 4.0
    ```
    """
    parser = _Parser(diagram, {}, None, _frame_length(frame))
    parser.parse()
    return parser.covered / _NANOSECONDS


class _Parser:
    """One reading of one diagram. Times are whole nanoseconds until they are given out, so that
    ten frames of 0.1 s make 1 s."""

    def __init__(
        self, diagram: str, values: Mapping[str, Any], error: BaseException | None, frame: int
    ) -> None:
        self._diagram = diagram
        self._values = values
        self._error = MarbleError("# in the diagram") if error is None else error
        self._frame = frame
        self._found: list[tuple[int, str]] = []
        self._subscribed: int | None = None
        self.covered = 0

    def parse(self) -> list[Event[Any]]:
        """Read the whole diagram."""
        time = 0
        position = 0
        while position < len(self._diagram):
            symbol = self._diagram[position]
            progression = self._progression(position)
            if progression is not None:
                time += _duration(progression)
                position = progression.end()
                continue
            if symbol == "(":
                position = self._group(position, time)
            elif symbol not in "- ":
                self._add(position, time)
            position += 1
            if symbol != " ":
                time += self._frame
        start = self._subscribed or 0
        self.covered = time - start
        return [self._event((time - start) / _NANOSECONDS, symbol) for time, symbol in self._found]

    def _progression(self, position: int) -> re.Match[str] | None:
        if position > 0 and self._diagram[position - 1] != " ":
            return None
        return _PROGRESSION.match(self._diagram, position)

    def _group(self, opening: int, time: int) -> int:
        closing = self._diagram.find(")", opening)
        if closing < 0:
            raise self._complain(opening, "a ( without its )")
        if not self._diagram[opening + 1 : closing].strip():
            raise self._complain(opening, "an empty group")
        for position in range(opening + 1, closing):
            if self._diagram[position] in "-(":
                raise self._complain(position, "time inside a group, which has none")
            if self._diagram[position] != " ":
                self._add(position, time)
        return closing

    def _add(self, position: int, time: int) -> None:
        symbol = self._diagram[position]
        if symbol == "^":
            if self._subscribed is not None:
                raise self._complain(position, "a second ^")
            self._subscribed = time
            return
        if not (symbol.isalnum() or symbol in "|#"):
            raise self._complain(position, "none of letters, digits and -()|#^")
        if self._found and self._found[-1][1] in "|#":
            raise self._complain(position, "something after the end")
        self._found.append((time, symbol))

    def _event(self, time: float, symbol: str) -> Event[Any]:
        if symbol == "|":
            return End(time)
        if symbol == "#":
            return Failure(time, self._error)
        return Item(time, self._values.get(symbol, symbol))

    def _complain(self, position: int, complaint: str) -> DiagramError:
        return DiagramError(
            f"{complaint}, at {position}:\n    {self._diagram}\n    {' ' * position}^ here"
        )


def _frame_length(frame: float) -> int:
    nanoseconds = round(frame * _NANOSECONDS)
    if nanoseconds < 1:
        raise ValueError(f"frame must be a time above 0 seconds, not {frame}")
    return nanoseconds


def _duration(progression: re.Match[str]) -> int:
    whole, fraction, unit = progression.groups(default="")
    scale: int = 10 ** len(fraction)
    return (int(whole + fraction) * _UNITS[unit] + scale // 2) // scale


def render(
    events: Iterable[Event[Any]],
    values: Mapping[str, Any] | None = None,
    *,
    frame: float = FRAME_SECONDS,
) -> str:
    """The diagram of these events: `parse(render(events, values), values) == events`.

    `values` says which letters stand for which items, compared by equality; items it does not
    have are drawn as they are if they are one letter or digit. Up to ten frames of silence are
    drawn as `-`, longer or broken ones as a time. Negative times come before a `^`, which stands
    at time 0. Raises `DiagramError` if an item has no letter (`name_items` gives letters) or two
    moments are less than a frame apart (give a shorter `frame`).

    ```python
    assert render([Item(1.0, "a"), End(3.0)]) == "-a-|"
    ```
    """
    length = _frame_length(frame)
    drawn = ""
    position: int | None = None
    for time, symbols in _moments(events, values or {}):
        if position is None:
            position = min(time, 0)
        if time < position:
            raise DiagramError(
                f"{symbols} at {time / _NANOSECONDS} s comes less than a frame of {frame} s after "
                "what is before it; give a shorter frame="
            )
        drawn += _silence(time - position, length, drawn)
        alone = len(symbols) == 1 and not (symbols in _DIGITS and drawn[-1:] in ("", " "))
        drawn += symbols if alone else f"({symbols})"
        position = time + length
    return drawn.strip()


def _moments(events: Iterable[Event[Any]], values: Mapping[str, Any]) -> list[tuple[int, str]]:
    """What happens at each moment, in whole nanoseconds, as letters."""
    moments: list[tuple[int, str]] = []
    for event in events:
        time = round(event.time * _NANOSECONDS)
        if moments and moments[-1][1][-1] in "|#":
            raise DiagramError(f"{event} comes after the end")
        if moments and time < moments[-1][0]:
            raise DiagramError(f"{event} comes after what is later than it")
        symbol = _symbol(event, values)
        if moments and moments[-1][0] == time:
            moments[-1] = (time, moments[-1][1] + symbol)
        else:
            moments.append((time, symbol))
    if moments and moments[0][0] < 0:
        position = next((i for i, (time, _) in enumerate(moments) if time >= 0), len(moments))
        if position < len(moments) and moments[position][0] == 0:
            moments[position] = (0, "^" + moments[position][1])
        else:
            moments.insert(position, (0, "^"))
    return moments


def _symbol(event: Event[Any], values: Mapping[str, Any]) -> str:
    if isinstance(event, End):
        return "|"
    if isinstance(event, Failure):
        return "#"
    letter = _letter(event.value, values)
    if letter is None:
        raise DiagramError(f"no letter stands for {event.value!r}; give values= or use name_items")
    return letter


def _letter(item: Any, values: Mapping[str, Any]) -> str | None:
    for letter, value in values.items():
        if type(value) is type(item) and value == item:
            return letter
    drawable = isinstance(item, str) and len(item) == 1 and item.isalnum()
    return item if drawable and item not in values else None


def _silence(duration: int, frame: int, drawn: str) -> str:
    """Dashes for whole frames, otherwise a time, kept apart from its neighbours by spaces."""
    frames, rest = divmod(duration, frame)
    if rest == 0 and frames <= _LONGEST_DASHES:
        return "-" * frames
    return f"{'' if drawn.endswith(' ') else ' '}{_time(duration)} "


def _time(duration: int) -> str:
    for unit in ("m", "s"):
        if duration % _UNITS[unit] == 0:
            return f"{duration // _UNITS[unit]}{unit}"
    whole, fraction = divmod(duration, _UNITS["ms"])
    return f"{whole}.{fraction:06}".rstrip("0").rstrip(".") + "ms"


def name_items(items: Iterable[Any], values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A mapping from letters to items in which each of these items has a letter.

    It begins with `values`. Items that are one letter or digit stand for themselves where that is
    free, the others get the first free letter. Raises `DiagramError` when there are more different
    items than letters.

    ```python
    assert name_items([1, "a", 1]) == {"a": "a", "b": 1}
    ```
    """
    named = dict(values or {})
    items = list(items)
    for item in items:
        if (letter := _letter(item, named)) is not None:
            named[letter] = item
    for item in items:
        if _letter(item, named) is None:
            free = next(_free(named), None)
            if free is None:
                raise DiagramError(f"more than {len(_LETTERS)} different items cannot be drawn")
            named[free] = item
    return named


def _free(named: Mapping[str, Any]) -> Iterator[str]:
    return (letter for letter in _LETTERS if letter not in named)


def draw(events: Sequence[Event[Any]], values: Mapping[str, Any] | None = None) -> str:
    """A picture of any events for people to read, with a legend where letters need one.

    Finds a frame that fits by itself and says which; where no frame of a millisecond or more fits,
    or the letters do not reach, it lists the events line by line.
    """
    if not events:
        return "(nothing)"
    try:
        named = name_items([event.value for event in events if isinstance(event, Item)], values)
        for frame in (1.0, 0.1, 0.01, 0.001):
            try:
                drawn = render(events, named, frame=frame)
            except DiagramError:
                continue
            legend = [
                f"{letter} = {item!r}"
                for letter, item in named.items()
                if item != letter and letter in drawn
            ]
            if frame != FRAME_SECONDS:
                legend.append(f"a frame is {frame:g} s")
            return drawn + (f"   ({', '.join(legend)})" if legend else "")
    except DiagramError:
        pass
    return "\n".join(map(str, events))
