"""The live view: a picture drawn anew several times a second, with `rich`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reactive.demo.view import AIRPORTS, Cell, Phase, clock
from reactive.windows import Timing

WIDE = 118
"""From so many columns on, the board and the operators stand side by side."""
LONG = 90
"""From so many columns on, a run's numbers all fit in a line."""
FRAME = 4
"""Lines of a table that are not its rows."""
FEWEST = 6
"""Below so many rows for the board, it gets the room of the other tables."""
CELL, COUNT, NAME = 14, 9, 18
"""Widths of columns. Fixed, since to measure them costs more than to draw them."""
MARKS: dict[Timing, tuple[str, str, str]] = {
    "early": ("…", "dim", "so far"),
    "on time": ("✓", "green", "complete"),
    "late": ("+", "bold magenta", "and a late flight"),
}
"""How a pane is marked, and what that means."""
BARS = "▁▂▃▄▅▆▇█"


class TerminalView:
    """See `reactive.demo.view.View`."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._said: list[str] = []
        self._verdict: Text | None = None
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
        self._verdict = Text(text, style="bold green" if good else "bold red")
        self._draw()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        width = self._console.width
        head = self._head()
        live = self._phases.get("live")
        if live is None:
            return panel(head, self._title)
        room = self._console.height - len(head) - 2 - FRAME - 1
        if width >= WIDE:
            left = (width - 1) // 2
            right = width - 1 - left
            body = Table.grid(padding=(0, 1, 0, 0))
            body.add_column(width=left)
            body.add_column(width=right)
            body.add_row(
                board(live, left, room - 1),
                Group(operators(live, right), late_panes(live, right), dead_letters(live, right)),
            )
            return Group(panel(head, self._title), body)
        rows = room - 1 - len(live.rows) - len(live.letters) - len(live.late) - 3 * FRAME
        if rows < FEWEST:
            return Group(panel(head, self._title), board(live, width, room - 1))
        return Group(
            panel(head, self._title),
            board(live, width, rows),
            operators(live, width),
            late_panes(live, width),
            dead_letters(live, width),
        )

    def _head(self) -> list[Text]:
        lines = [Text(text, style="dim") for text in self._said]
        for phase in self._phases.values():
            style = "bold green" if phase.done else "bold yellow"
            sentence = phase.sentence(short=self._console.width < LONG)
            lines.append(Text.assemble((phase.name, style), sentence[len(phase.name) :]))
        if self._rates:
            lines.append(Text(f"lines/s {sparkline(self._rates)}", style="cyan"))
        if self._verdict is not None:
            lines += self._verdict.wrap(self._console, self._console.width - 4)
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
        return lines


def panel(lines: Sequence[Text], title: str) -> Panel:
    """The lines in a frame."""
    return Panel(Group(*lines), title=f"[b]{title}[/b]", title_align="left")


def board(phase: Phase, width: int, rows: int) -> Table:
    """The latest hours of the schedule, in at most so many rows."""
    table = _table("departures and mean delay in minutes, by hour of the schedule")
    table.caption = Text.assemble(
        *(
            part
            for timing, (mark, style, meaning) in MARKS.items()
            for part in ((f"{mark} {phase.panes.get(timing, 0):,} ", style), f"{meaning}   ")
        )
    )
    table.caption_justify = "left"
    table.add_column("New York", no_wrap=True, width=max(12, width - len(AIRPORTS) * (CELL + 1)))
    for airport in AIRPORTS:
        table.add_column(airport, justify="right", no_wrap=True, width=CELL)
    for start in phase.hours[-max(1, rows) :]:
        cells = (phase.board.get((airport, start)) for airport in AIRPORTS)
        table.add_row(clock(start), *map(_cell, cells))
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-", style="dim")
    total = cell.total
    style = "green" if total.mean < 10 else "yellow" if total.mean < 20 else "red"
    mark, marked, _ = MARKS[cell.timing]
    return Text.assemble(f"{total.departures:,} ", (f"{total.mean:+6.1f} ", style), (mark, marked))


def operators(phase: Phase, width: int) -> Table:
    """What went through each operator, what waits before it, what its task is doing."""
    table = _table("who is waiting for whom")
    table.add_column("operator", no_wrap=True, width=NAME)
    table.add_column("queue", justify="right", no_wrap=True, width=COUNT + 2)
    table.add_column("in", justify="right", no_wrap=True, width=COUNT)
    table.add_column("out", justify="right", no_wrap=True, width=COUNT)
    table.add_column("its task", no_wrap=True, width=max(4, width - NAME - 3 * COUNT - 6))
    for row in phase.rows:
        waiting = row.doing.startswith(("waiting", "blocked"))
        table.add_row(
            Text(row.name),
            "" if row.queued is None else gauge(row.queued, row.limit),
            f"{row.items_in:,}" if row.items_in else "",
            f"{row.items_out:,}" if row.items_out else "",
            Text(row.doing, style="yellow" if waiting else "green"),
        )
    return table


def late_panes(phase: Phase, width: int) -> Table:
    """The last flights that left after their hour was complete, and what they changed."""
    table = _table(f"late panes: {phase.panes.get('late', 0):,}", show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis", width=width)
    for late in phase.late:
        table.add_row(Text(late, style="magenta"))
    return table


def dead_letters(phase: Phase, width: int) -> Table:
    """The last lines that could not be parsed, and why."""
    table = _table(f"dead letters: {phase.dead:,}", show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis", width=width)
    for letter in phase.letters:
        table.add_row(Text(letter, style="red"))
    return table


def _table(title: str, *, show_header: bool = True) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_header=show_header,
    )


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
