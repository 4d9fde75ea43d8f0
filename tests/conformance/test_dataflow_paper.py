"""The worked example of the Dataflow model, read from beside the repository."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from window_runs import SECOND, Result, Step, Validity, caused_by

import reactive as rx
from reactive.testing import Pause
from reactive.windows import GLOBAL, LATEST

ORACLE = Path(__file__).parents[2] / "../shared/oracles/dataflow_paper/streaming_systems.json"

pytestmark = pytest.mark.skipif(
    not ORACLE.exists(), reason="the shared conformance cases are not here"
)

CASES: dict[str, Any] = json.loads(ORACLE.read_text()) if ORACLE.exists() else {}
CONFIGURATIONS = CASES.get("configs", [])
START = 12 * 3600

EARLY_AND_LATE = rx.AfterWatermark(
    early=rx.Repeatedly(rx.AfterProcessingTime(60)), late=rx.AfterCount(1)
)
TRIGGERS: dict[str, rx.Trigger | None] = {
    "default": None,
    "after watermark": rx.AfterWatermark(),
    "repeatedly(count>=1)": rx.Repeatedly(rx.AfterCount(1)),
    "repeatedly(processing time first element in pane + 120s)": rx.Repeatedly(
        rx.AfterProcessingTime(120)
    ),
    "repeatedly(processing time past first element in pane, aligned to 120s period offset "
    "12:05:00)": rx.Repeatedly(rx.AfterProcessingTime(120)),
    "after watermark; early: processing time first element in pane + 60s; late: every element": (
        EARLY_AND_LATE
    ),
    "as 2_7left": EARLY_AND_LATE,
}
WINDOWS: dict[str, rx.WindowAssigner] = {
    "global": rx.Global(),
    "fixed 120s": rx.Tumbling(120),
    "sessions gap 60s": rx.Session(60),
    "validity": Validity(),
}


def seconds(clock: str) -> int:
    """A time of the day."""
    hours, minutes, rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + rest


def microseconds(clock: str) -> int:
    return LATEST if clock in ("+inf", "END_OF_GLOBAL_WINDOW") else seconds(clock) * SECOND


def steps_of(script: list[dict[str, Any]]) -> list[Step]:
    steps: list[Step] = []
    now = START
    for step in script:
        # In batch the elements stand alone.
        pairs: list[tuple[str, Any]] = list(step.items()) if len(step) == 1 else [("element", step)]
        ((action, what),) = pairs
        if action == "element":
            steps.append(rx.Chunk([what["value"]], [microseconds(what["event_time"])]))
        elif action == "advance_watermark_to":
            steps.append(rx.Watermark(microseconds(what)))
        else:
            steps.append(Pause(seconds(what) - now))
            now = seconds(what)
    return steps


def results_of(configuration: dict[str, Any], **changes: Any) -> list[Result]:
    accumulation = configuration["accumulation"]
    options = {
        "trigger": TRIGGERS[configuration["trigger"]],
        "accumulation": "accumulating" if accumulation == "accumulating" else "discarding",
        "allowed_lateness": configuration["allowed_lateness_s"],
        **changes,
    }
    caused = caused_by(
        steps_of(CASES["inputs"][configuration["input"]]),
        lambda stream: (
            stream.key_by(lambda _: "TeamX")
            .window(WINDOWS[configuration["window"]], **options)
            .aggregate(rx.sum())
        ),
    )
    return [result for step in caused for result in step]


def window_of(pane: dict[str, Any]) -> rx.Window:
    if pane["window"] is None:
        return GLOBAL
    start, end = pane["window"]
    return rx.Window(microseconds(start), microseconds(end))


def timing_of(pane: dict[str, Any]) -> str:
    return str(pane["timing"]).replace("_", " ").lower()


def configuration_of(name: str) -> dict[str, Any]:
    return next(each for each in CONFIGURATIONS if each["id"] == name)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each["id"])
def test_configurations(configuration: dict[str, Any]) -> None:
    results = results_of(configuration)
    expected = configuration["expected_panes"]
    if "caveat" in configuration:
        # Its author distrusts the panes, for which we have no trigger, but not the final values.
        final = {result.window: result.value for result, _ in results}
        assert final == {window_of(pane): pane["value"] for pane in expected}
        return
    assert Counter(
        (result.key, result.window, result.value, result.pane.timing, result.pane.index)
        for result, _ in results
    ) == Counter(
        (pane["key"], window_of(pane), pane["value"], timing_of(pane), pane["index"])
        for pane in expected
    )
    firsts = {(window_of(pane), pane["index"], pane["is_first"]) for pane in expected}
    assert {(one.window, one.pane.index, one.pane.first) for one, _ in results} == firsts
    assert all(time == result.window.end - 1 for result, time in results)


@pytest.mark.parametrize(
    "configuration",
    [each for each in CONFIGURATIONS if "derived_firing_order" in each],
    ids=lambda each: each["id"],
)
def test_the_order_in_which_results_come(configuration: dict[str, Any]) -> None:
    order = configuration["derived_firing_order"]
    # What comes at one moment may come in any order; here the moments are those of the script.
    given = [
        (result.window, result.value, result.pane.timing, result.pane.index)
        for result, _ in results_of(configuration)
    ]
    said = [(window_of(pane), pane["value"], timing_of(pane), pane["index"]) for pane in order]
    for window in {each[0] for each in said}:
        assert [each for each in given if each[0] == window] == [
            each for each in said if each[0] == window
        ]


def test_what_is_taken_back() -> None:
    results = results_of(configuration_of("Example2_7right"), accumulation="retracting")
    said: dict[rx.Window, list[tuple[Any, ...]]] = {}
    for pane in CASES["retracting_derived_for_book_data"]["panes"]:
        panes = said.setdefault(window_of(pane), [])
        if pane["retract"] is not None:
            panes.append((pane["retract"], True))
        panes.append((pane["emit"], False))
    given: dict[rx.Window, list[tuple[Any, ...]]] = {}
    for result, _ in results:
        given.setdefault(result.window, []).append((result.value, result.pane.retracted))
    assert given == said


def test_what_sessions_take_back() -> None:
    """As in the figure: each result, with those that it takes back."""
    said = CASES["streaming_102_blog"]["sessions_gap_60s_retracting"]["panes"]
    points = [(0, 5), (120, 7), (200, 3), (240, 4), (280, 3), (160, 8), (60, 9)]
    items = [rx.Chunk([value], [time * SECOND]) for time, value in points]
    after: list[Step] = [rx.Watermark(341 * SECOND)]
    caused = caused_by(
        [*items[:5], *after, *items[5:]],
        lambda stream: stream.window(
            rx.Session(60 + 1e-6),
            trigger=rx.AfterWatermark(late=rx.AfterCount(1)),
            accumulation="retracting",
            allowed_lateness=10_000,
        ).aggregate(rx.sum()),
    )
    given: list[dict[str, Any]] = []
    taken: list[int] = []
    for result, _ in (each for step in caused for each in step):
        if result.pane.retracted:
            taken.append(result.value)
            continue
        given.append({"emit": result.value} | ({"retract": taken} if taken else {}))
        taken = []
    assert given == said


@pytest.mark.parametrize("accumulation", ["discarding", "accumulating", "retracting"])
def test_the_table_of_accumulation(accumulation: str) -> None:
    table = CASES["accumulation_table_book_2_1"]
    steps: list[Step] = []
    for pane in table["panes"]:
        steps += [rx.Chunk(pane["inputs"], [0] * len(pane["inputs"])), Pause(2)]
    caused = caused_by(
        steps,
        lambda stream: stream.window(
            rx.Tumbling(120),
            trigger=rx.Repeatedly(rx.AfterProcessingTime(1)),
            accumulation=accumulation,  # type: ignore[arg-type]
        ).aggregate(rx.sum()),
    )
    values = [
        (-result.value if result.pane.retracted else result.value)
        for step in caused[: len(steps)]
        for result, _ in step
    ]
    names = {"retracting": "accumulating_and_retracting"}
    said = table[names.get(accumulation, accumulation)]
    assert sum(values) == said["sum_of_panes"]
    assert sorted(values) == sorted(
        value for pane in said["panes"] for value in (pane if isinstance(pane, list) else [pane])
    )


def test_all_the_configurations_were_found() -> None:
    assert len(CONFIGURATIONS) == 13
    assert sum(len(each["expected_panes"]) for each in CONFIGURATIONS) == 92
