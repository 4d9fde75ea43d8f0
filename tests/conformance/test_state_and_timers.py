"""State and timers: the conversion attribution of Streaming Systems, chapter 7, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import reactive as rx
from reactive.testing import scripted_source
from reactive.testing.observing import Given, observe

SCENARIO = Path(__file__).parents[3] / "shared" / "oracles" / "dataflow_paper" / "state_timers.json"


@dataclass(frozen=True)
class Visit:
    url: str
    referer: str
    goal: bool


@dataclass(frozen=True)
class Impression:
    number: int
    source: str
    target: str


@dataclass(frozen=True)
class Attributed:
    impression: int
    trail: tuple[str, ...]


class Attribution(rx.KeyedProcess[str, Visit | Impression, Attributed]):
    """Which impression led to a goal: from the goal back, referer by referer."""

    visits = rx.MapState[str, Visit]()
    impressions = rx.MapState[tuple[str, str], Impression]()
    goals = rx.MapState[int, Visit]()

    def on_item(self, item: Visit | Impression, context: rx.ProcessContext[str]) -> None:
        if isinstance(item, Impression):
            self.impressions.setdefault((item.source, item.target), item)
        elif item.goal:
            self.goals[context.time] = item
            context.set_timer(min(self.goals), "goal")
        else:
            self.visits[item.url] = item

    def on_timer(self, time: int, context: rx.ProcessContext[str]) -> Iterator[Attributed]:
        visit: Visit | None = self.goals.pop(time)
        trail: list[str] = []
        while visit is not None:
            trail = [visit.url, *trail]
            shown = self.impressions.get((visit.referer, visit.url))
            if shown is not None:
                yield Attributed(shown.number, (visit.referer, *trail))
                break
            visit = self.visits.get(visit.referer)
        if self.goals:
            context.set_timer(min(self.goals), "goal")


def moment(text: str) -> int:
    return int(datetime.fromisoformat(f"2015-01-01T{text}").replace(tzinfo=UTC).timestamp()) * 10**6


def signal_of(step: dict[str, Any]) -> rx.Signal[Any] | None:
    """None for the watermark at the end of all time, which is the end of the input."""
    ((kind, told),) = step.items()
    if kind == "watermark":
        return None if told == "+inf" else rx.Watermark(moment(told))
    if kind == "visit":
        item: Any = Visit(told["url"], told["referer"], told["goal"])
    else:
        item = Impression(told["id"], told["source"], told["target"])
    return rx.Chunk([item], [moment(told["ts"])])


@pytest.mark.skipif(not SCENARIO.exists(), reason="the oracles are not here")
async def test_conversions_are_attributed_when_the_watermark_reaches_the_goal() -> None:
    scenario = json.loads(SCENARIO.read_text())
    signals = [signal_of(step) for step in scenario["steps"]]
    source = scripted_source([signal for signal in signals if signal is not None])
    stream = source.key_by(lambda item: "UserX").process(Attribution)
    entries = (await observe(stream)).entries
    wanted = [
        Given(Attributed(one["impression"], tuple(one["trail"])), moment(one["at"]))
        for one in scenario["expected"]
    ]
    assert [entry for entry in entries if isinstance(entry, Given)] == wanted
    for given in wanted:
        assert given.time is not None
        assert entries[entries.index(given) + 1] == rx.Watermark(given.time)
