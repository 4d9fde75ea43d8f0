"""What a person sees of the demo: a live view in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from reactive.demo.pipeline import Key, Total
from reactive.overview import Row

AIRPORTS = ("EWR", "JFK", "LGA")
CARRIERS = {
    "9E": "Endeavor Air",
    "AA": "American Airlines",
    "AS": "Alaska Airlines",
    "B6": "JetBlue Airways",
    "DL": "Delta Air Lines",
    "EV": "ExpressJet Airlines",
    "F9": "Frontier Airlines",
    "FL": "AirTran Airways",
    "HA": "Hawaiian Airlines",
    "MQ": "Envoy Air",
    "OO": "SkyWest Airlines",
    "UA": "United Air Lines",
    "US": "US Airways",
    "VX": "Virgin America",
    "WN": "Southwest Airlines",
    "YV": "Mesa Airlines",
}
PLAIN_SECONDS = 1.0


@dataclass
class Phase:
    """How far one of the two runs is."""

    name: str
    seconds: float = 0.0
    lines: int = 0
    dead: int = 0
    rows: Sequence[Row] = ()
    totals: Mapping[Key, Total] = field(default_factory=dict)
    letters: Sequence[str] = ()
    done: bool = False

    @property
    def rate(self) -> float:
        """Lines a second, over all of it."""
        return self.lines / self.seconds if self.seconds else 0.0

    @property
    def departures(self) -> int:
        return sum(total.departures for total in self.totals.values())

    def sentence(self, *, short: bool = False) -> str:
        """It in one line; without the departures where that is too long."""
        departures = "" if short else f"  {self.departures:7,} departures"
        return (
            f"{self.name:<5}  {self.seconds:6.2f} s  {self.lines:7,} lines  "
            f"{self.rate:7,.0f} lines/s{departures}  {self.dead:3,} dead letters"
        )


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
        self.say(f"  {'departures and mean delay':<26}" + "".join(f"{a:>17}" for a in AIRPORTS))
        for carrier in busiest(phase.totals):
            cells = (phase.totals.get((carrier, airport)) for airport in AIRPORTS)
            row = "".join(
                f"{'':>17}" if cell is None else f"{cell.departures:>7,} {cell.mean:>+5.1f} min"
                for cell in cells
            )
            self.say(f"  {carrier} {CARRIERS.get(carrier, ''):<23}{row}")

    def verdict(self, text: str, good: bool) -> None:
        self.say(text)

    def close(self) -> None:
        """Nothing stands open."""


def busiest(totals: Mapping[Key, Total]) -> list[str]:
    """Carriers, those with the most departures first."""
    count: dict[str, int] = {}
    for (carrier, _), total in totals.items():
        count[carrier] = count.get(carrier, 0) + total.departures
    return sorted(count, key=lambda carrier: (-count[carrier], carrier))


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
