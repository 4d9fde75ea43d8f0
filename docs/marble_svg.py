"""Draws a marble diagram that was run: what goes in, the operator, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from zlib import crc32

from reactive.testing.diagrams import Drawn, Line, text_of
from reactive.testing.marbles import End, Event, Failure, Item

SECOND = 22
LEFT = 16
ROW = 46
RADIUS = 13
LETTER = 7.6
COLORS = ("#5b8def", "#e0803a", "#3fa66b", "#b565c9", "#d4536a", "#2f9fae", "#a08527", "#7a74d8")


def color_of(text: str) -> str:
    """The same color for the same item, wherever it is drawn."""
    return COLORS[crc32(text.encode()) % len(COLORS)]


def draw(drawn: Drawn, alternative: str) -> str:
    """The picture as inline SVG, in the colors of the page around it."""
    inputs, outputs = drawn.diagram.inputs, drawn.outputs
    seconds = max(
        [line.seconds for line in (*inputs, *outputs)]
        + [int(event.time) + 1 for line in outputs for event in line.events]
    )
    names = max((len(line.name) for line in inputs), default=0)
    expression = drawn.diagram.expression
    length = LEFT + (seconds + 1) * SECOND
    width = max(length + names * LETTER + 12, len(expression) * LETTER + 60)
    parts: list[str] = []
    top = 0.0
    for line in inputs:
        height = _height(line.events)
        parts.append(_timeline(line, top + height / 2, length))
        top += height
    parts.append(
        f'<rect class="operator" x="2" y="{top + 6:g}" width="{width - 4:g}" height="32" rx="6"/>'
        f'<text class="call" x="{width / 2:g}" y="{top + 26:g}">{escape(expression)}</text>'
    )
    top += 44
    for line in outputs:
        height = _height(line.events)
        parts.append(_timeline(line, top + height / 2, length))
        top += height
    return (
        f'<svg class="marbles" viewBox="0 0 {width:g} {top:g}" width="{width:g}" '
        f'height="{top:g}" role="img"><title>{escape(alternative)}</title>{"".join(parts)}</svg>'
    )


def _together(events: Sequence[Event[object]]) -> list[list[Event[object]]]:
    return [list(group) for _, group in groupby(events, key=lambda event: event.time)]


def _height(events: Sequence[Event[object]]) -> float:
    """What the row needs: several items of one moment stand on top of each other."""
    items = (sum(isinstance(event, Item) for event in group) for group in _together(events))
    return ROW + (max(items, default=1) - 1) * RADIUS * 2 if events else ROW


def _timeline(line: Line, y: float, length: float) -> str:
    end = LEFT + line.events[-1].time * SECOND if line.ends else length - SECOND / 2
    parts = [f'<line class="time" x1="{LEFT - 8:g}" y1="{y:g}" x2="{end:g}" y2="{y:g}"/>']
    if not line.ends:
        parts.append(f'<path class="time" d="M{end - 6:g} {y - 5:g} l6 5 l-6 5"/>')
    for group in _together(line.events):
        x = LEFT + group[0].time * SECOND
        items = [event for event in group if isinstance(event, Item)]
        for event in group:
            if isinstance(event, End):
                parts.append(_stroke("end", f"M{x:g} {y - 19:g} v38"))
            elif isinstance(event, Failure):
                parts.append(_stroke("failure", f"M{x - 8:g} {y - 8:g} l16 16 m0 -16 l-16 16"))
        for index, item in enumerate(items):
            below = (index - (len(items) - 1) / 2) * RADIUS * 2
            parts.append(_item(text_of(item.value), x, y + below))
    if line.name:
        parts.append(f'<text class="name" x="{length:g}" y="{y + 4:g}">{escape(line.name)}</text>')
    return "".join(parts)


def _stroke(kind: str, path: str) -> str:
    return f'<path class="{kind}" d="{path}"/>'


def _item(text: str, x: float, y: float) -> str:
    half = max(RADIUS, len(text) * LETTER / 2 + 4)
    left = max(x - RADIUS, 1)
    center = left + half
    return (
        f'<rect class="item" x="{left:g}" y="{y - RADIUS:g}" width="{2 * half:g}" '
        f'height="{2 * RADIUS}" rx="{RADIUS}" fill="{color_of(text)}"/>'
        f'<text class="value" x="{center:g}" y="{y + 4:g}">{escape(text)}</text>'
    )
