"""What a person sees of the demo: a live view in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

from reactive.demo.pipeline import Key, Total
from reactive.overview import Row

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

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
WIDE = 118
MARGIN = 4
"""Lines of a table that are not its rows, and a last one for the cursor."""
FEWEST = 6
"""Below so many rows for the board, it gets the room of the other tables."""
PLAIN_SECONDS = 1.0
BARS = "▁▂▃▄▅▆▇█"


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

    def sentence(self) -> str:
        return (
            f"{self.name:<5}  {self.seconds:7.2f} s  {self.lines:9,} lines  "
            f"{self.rate:9,.0f} lines/s  {self.departures:9,} departures  "
            f"{self.dead:4,} dead letters"
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


class TerminalView:
    """A picture that is drawn anew several times a second, with `rich`."""

    def __init__(self, title: str, console: Console) -> None:
        from rich.live import Live

        self._title = title
        self._console = console
        self._said: list[str] = []
        self._verdict: tuple[str, bool] | None = None
        self._phases: dict[str, Phase] = {}
        self._rates: deque[float] = deque(maxlen=30)
        self._last = (0.0, 0)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def say(self, text: str) -> None:
        self._said.append(text)
        self._draw()

    def show(self, phase: Phase) -> None:
        if phase.name == "live":
            seconds, lines = self._last
            if phase.seconds > seconds and phase.lines >= lines:
                self._rates.append((phase.lines - lines) / (phase.seconds - seconds))
            self._last = (phase.seconds, phase.lines)
        self._phases[phase.name] = phase
        self._draw()

    def verdict(self, text: str, good: bool) -> None:
        self._verdict = (text, good)
        self._draw()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        live = self._phases.get("live")
        if live is None:
            return self._head()
        head = self._head()
        room = self._console.height - len(self._console.render_lines(head)) - MARGIN
        parts, letters = self._parts(live), self._letters(live)
        if self._console.width >= WIDE:
            body = Table.grid(padding=(0, 1), expand=True)
            body.add_column(ratio=1)
            body.add_column(ratio=1)
            body.add_row(self._board(live, room), Group(parts, letters))
            return Group(head, body)
        rows = room - parts.row_count - letters.row_count - 2 * MARGIN
        if rows >= FEWEST:
            return Group(head, self._board(live, rows), parts, letters)
        return Group(head, self._board(live, room))

    def _head(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        lines: list[RenderableType] = [Text(text, style="dim") for text in self._said]
        numbers = Table.grid(padding=(0, 1))
        for justify in ("left", "right", "right", "right", "right", "left"):
            numbers.add_column(justify=justify, no_wrap=True)
        for phase in self._phases.values():
            numbers.add_row(
                Text(phase.name, style="bold green" if phase.done else "bold yellow"),
                f"{phase.seconds:,.2f} s",
                f"{phase.lines:,} lines",
                Text(f"{phase.rate:,.0f} lines/s", style="bold"),
                f"{phase.departures:,} departures",
                Text(f"{phase.dead:,} dead letters", style="red" if phase.dead else "dim"),
            )
        lines.append(numbers)
        if self._rates:
            lines.append(Text(f"lines/s {sparkline(self._rates)}", style="cyan"))
        if self._verdict is not None:
            text, good = self._verdict
            lines.append(Text(text, style="bold green" if good else "bold red"))
        return Panel(Group(*lines), title=f"[b]{self._title}[/b]", title_align="left")

    def _board(self, phase: Phase, rows: int) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        board = Table(
            title="departures and mean delay in minutes",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            expand=True,
            pad_edge=False,
        )
        board.add_column("carrier", no_wrap=True, ratio=1, overflow="ellipsis")
        for airport in AIRPORTS:
            board.add_column(airport, justify="right", no_wrap=True, min_width=12)
        carriers = busiest(phase.totals)
        for carrier in carriers[: rows if rows >= len(carriers) else max(1, rows - 1)]:
            cells = []
            for airport in AIRPORTS:
                total = phase.totals.get((carrier, airport))
                if total is None:
                    cells.append(Text("-", style="dim"))
                    continue
                style = "green" if total.mean < 10 else "yellow" if total.mean < 20 else "red"
                cells.append(
                    Text.assemble(f"{total.departures:,} ", (f"{total.mean:+6.1f}", style))
                )
            board.add_row(CARRIERS.get(carrier, carrier), *cells)
        if (hidden := len(carriers) - board.row_count) > 0:
            board.add_row(Text(f"and {hidden} more", style="dim"))
        return board

    def _parts(self, phase: Phase) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title="who is waiting for whom",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            expand=True,
            pad_edge=False,
        )
        table.add_column("operator", no_wrap=True)
        table.add_column("queue", justify="right", no_wrap=True)
        table.add_column("in", justify="right", no_wrap=True)
        table.add_column("out", justify="right", no_wrap=True)
        table.add_column("its task", no_wrap=True, ratio=1)
        for row in phase.rows:
            waiting = row.doing.startswith(("waiting", "blocked"))
            table.add_row(
                row.name,
                "" if row.queued is None else gauge(row.queued, row.limit),
                f"{row.items_in:,}" if row.items_in else "",
                f"{row.items_out:,}" if row.items_out else "",
                Text(row.doing, style="yellow" if waiting else "green"),
            )
        return table

    def _letters(self, phase: Phase) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=f"dead letters: {phase.dead:,}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            expand=True,
            pad_edge=False,
            show_header=False,
        )
        table.add_column(no_wrap=True, overflow="ellipsis")
        for letter in phase.letters:
            table.add_row(Text(letter, style="red"))
        return table


def busiest(totals: Mapping[Key, Total]) -> list[str]:
    """Carriers, those with the most departures first."""
    count: dict[str, int] = {}
    for (carrier, _), total in totals.items():
        count[carrier] = count.get(carrier, 0) + total.departures
    return sorted(count, key=lambda carrier: (-count[carrier], carrier))


def gauge(value: int, limit: int | None) -> str:
    """How full a bounded edge is."""
    if not limit:
        return f"{value:,}"
    filled = min(5, round(5 * value / limit))
    return f"{value:,} {'█' * filled}{'░' * (5 - filled)}"


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """One bar a value, the highest at full height."""
    top = max(values) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(len(BARS) * value / top))] for value in values)


def open_view(title: str, out: TextIO = sys.stdout) -> View:
    """The live view where `out` is a terminal and `rich` is installed, plain lines elsewhere."""
    if out.isatty():
        try:
            from rich.console import Console
        except ImportError:
            print('install the live view with: pip install "reactive-pipelines[terminal]"')
        else:
            console = Console(file=out)
            if not console.is_dumb_terminal:
                return TerminalView(title, console)
    view = PlainView(out)
    view.say(title)
    return view
