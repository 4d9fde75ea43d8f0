"""What a person sees of the demo: a live view in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple, Protocol, TextIO, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reactive.demo.pipeline import Total
from reactive.fast_dataclasses import dataclass
from reactive.overview import Row
from reactive.windows import Timing

AIRPORTS = ("EWR", "JFK", "LGA")
PLAIN_SECONDS = 1.0
PLAIN_HOURS = 24

Key: TypeAlias = tuple[str, int]
"""An airport by its code, and the start of an hour in microseconds since 1970."""


class Cell(NamedTuple):
    """What the board shows of an airport's hour: its last pane, and which that was."""

    total: Total
    timing: Timing


def new_york() -> tzinfo:
    """The time zone of the airports; UTC where the system has no time zones."""
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return UTC


def clock(start: int) -> str:
    """An hour as the airports call it."""
    return f"{datetime.fromtimestamp(start / 1_000_000, new_york()):%d %b %H:%M}"


@dataclass
class Phase:
    """How far one of the two runs is."""

    name: str
    seconds: float = 0.0
    lines: int = 0
    dead: int = 0
    rows: Sequence[Row] = ()
    board: Mapping[Key, Cell] = field(default_factory=dict)
    panes: Mapping[str, int] = field(default_factory=dict)
    late: Sequence[str] = ()
    too_late: int = 0
    letters: Sequence[str] = ()
    done: bool = False

    @property
    def rate(self) -> float:
        """Lines a second, over all of it."""
        return self.lines / self.seconds if self.seconds else 0.0

    @property
    def totals(self) -> Mapping[Key, Total]:
        """What the last pane of each hour said."""
        return {key: cell.total for key, cell in self.board.items()}

    @property
    def departures(self) -> int:
        return sum(cell.total.departures for cell in self.board.values())

    @property
    def hours(self) -> list[int]:
        """The hours on the board, in order."""
        return sorted({start for _, start in self.board})

    def sentence(self, *, short: bool = False) -> str:
        """It in one line; without the panes where that is too long."""
        said = (
            f"{self.name:<5}  {self.seconds:6.2f} s  {self.lines:7,} lines  "
            f"{self.rate:7,.0f} lines/s"
        )
        if short or not self.panes:
            return said
        counts = ", ".join(
            f"{self.panes.get(timing, 0):,} {timing}" for timing in ("early", "on time", "late")
        )
        return f"{said}  panes: {counts}"


class View(Protocol):
    """Where the demo reports."""

    def say(self, text: str) -> None:
        """Tell something once."""

    def show(self, phase: Phase) -> None:
        """Show how far a run is; called often."""

    def verdict(self, text: str, good: bool) -> None:
        """Tell how it came out."""

    def close(self) -> None:
        """Leave the last picture standing."""


class PlainView:
    """Lines for a pipe or a log file: one a second, and the board at the end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._told = 0.0

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def show(self, phase: Phase) -> None:
        if phase.done:
            self._told = 0.0
            self.say(phase.sentence())
            if phase.name == "live":
                self._board(phase)
        elif phase.seconds - self._told >= PLAIN_SECONDS:
            self._told = phase.seconds
            self.say(phase.sentence())

    def _board(self, phase: Phase) -> None:
        for letter in phase.letters:
            self.say(f"  dead letter: {letter}")
        for late in phase.late:
            self.say(f"  late pane: {late}")
        title = "departures and mean delay"
        self.say(f"  {title:<26}" + "".join(f"{airport:>26}" for airport in AIRPORTS))
        for start in phase.hours[-PLAIN_HOURS:]:
            cells = (phase.board.get((airport, start)) for airport in AIRPORTS)
            row = "".join(
                f"{'':>26}"
                if cell is None
                else f"{cell.total.departures:>5,} {cell.total.mean:>+7.1f} min {cell.timing:>8}"
                for cell in cells
            )
            self.say(f"  {clock(start):<26}{row}")

    def verdict(self, text: str, good: bool) -> None:
        self.say(text)

    def close(self) -> None:
        """Nothing stands open."""


def open_view(title: str, out: TextIO = sys.stdout) -> View:
    """The live view where `out` is a terminal and `rich` is installed, plain lines elsewhere."""
    if out.isatty():
        try:
            from rich.console import Console

            from reactive.demo.terminal import TerminalView
        except ImportError:
            print('install the live view with: pip install "reactive-pipelines[terminal]"')
        else:
            console = Console(file=out)
            if not console.is_dumb_terminal:
                return TerminalView(title, console)
    view = PlainView(out)
    view.say(title)
    return view
