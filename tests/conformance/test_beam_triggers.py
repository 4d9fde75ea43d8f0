"""The trigger transcripts and unit cases of Apache Beam, read from beside the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from window_runs import SECOND, Result, Step, ToList, caused_by

import reactive as rx
from operators.triggers import Default
from reactive.testing import Pause
from reactive.windows import GLOBAL, LATEST

ORACLE = Path(__file__).parents[2] / "../shared/oracles/beam_triggers"

pytestmark = pytest.mark.skipif(
    not ORACLE.exists(), reason="the shared conformance cases are not here"
)

NAMES: dict[str, Any] = {
    "AfterAll": rx.AfterAll,
    "AfterAny": rx.AfterAny,
    "AfterCount": rx.AfterCount,
    "AfterEach": rx.AfterEach,
    "AfterProcessingTime": rx.AfterProcessingTime,
    "AfterWatermark": rx.AfterWatermark,
    "Always": lambda: rx.Repeatedly(rx.AfterCount(1)),
    "Default": Default,
    "DefaultTrigger": Default,
    "Repeatedly": rx.Repeatedly,
    "_Never": rx.Never,
    "FixedWindows": rx.Tumbling,
    "GlobalWindows": rx.Global,
    "Sessions": rx.Session,
}
STAMPS = {
    "OUTPUT_AT_EOW": "end",
    "OUTPUT_AT_EARLIEST": "earliest",
    "OUTPUT_AT_LATEST": "latest",
}


def read(text: str) -> Any:
    """A window function or trigger, in Beam's notation."""
    text = text if text.endswith(")") else f"{text}()"
    return eval(text, {"__builtins__": {}}, NAMES)


def transcripts() -> list[dict[str, Any]]:
    if not ORACLE.exists():
        return []
    documents: Any = yaml.safe_load_all((ORACLE / "trigger_transcripts.yaml").read_text())
    return [each for each in documents if "Custom" not in each.get("window_fn", "")]


def unit_cases() -> dict[str, Any]:
    if not ORACLE.exists():
        return {"cases": [], "pipeline_cases": [], "may_lose_data": {"cases": []}}
    cases: dict[str, Any] = json.loads((ORACLE / "trigger_unit_cases.json").read_text())
    return cases


TRANSCRIPTS = transcripts()
UNITS = unit_cases()


class Mismatch(Exception):
    """The output is not what the transcript says."""


def signal_of(action: str, what: Any) -> Step | None:
    if action == "input":
        return rx.Chunk(list(what), [time * SECOND for time in what])
    return rx.Watermark(what * SECOND) if action == "watermark" else None


def play(transcript: dict[str, Any], *, apart: bool = False) -> None:
    """Run a transcript as Beam's tests do. With `apart`, items come one by one."""
    actions = [pair for step in transcript["transcript"] for pair in step.items()]
    if apart:
        actions = [
            (action, [item] if action == "input" else what)
            for action, what in actions
            for item in (what if action == "input" else [None])
        ]
    steps = [signal for pair in actions if (signal := signal_of(*pair)) is not None]
    caused = iter(
        caused_by(
            steps,
            lambda stream: (
                stream.key_by(lambda _: "key")
                .window(
                    read(transcript.get("window_fn", "GlobalWindows")),
                    trigger=read(transcript.get("trigger_fn", "Default")),
                    accumulation=transcript.get("accumulation_mode", "accumulating").lower(),
                    allowed_lateness=transcript.get("allowed_lateness", 0),
                    timestamp=STAMPS[transcript.get("timestamp_combiner", "OUTPUT_AT_EOW")],  # type: ignore[arg-type]
                )
                .aggregate(ToList())
            ),
        )
    )
    outputs: list[dict[str, Any]] = []
    before = ""
    for action, what in actions:
        if action == "expect":
            check(outputs, what)
            outputs = []
        elif action in ("input", "watermark"):
            if outputs and not (apart and action == before == "input"):
                raise Mismatch(f"Unexpected output: {outputs}")
            outputs += attributes(next(caused))
        before = action
    if outputs:
        raise Mismatch(f"Unexpected output: {outputs}")


def attributes(results: list[Result]) -> list[dict[str, Any]]:
    """What the transcripts say of panes. Their windows include their last second."""
    return [
        {
            "window": [result.window.start // SECOND, result.window.end // SECOND - 1],
            "values": sorted(result.value),
            "timestamp": time // SECOND,
            "early": result.pane.timing == "early",
            "late": result.pane.timing == "late",
            "final": result.pane.last,
            "index": result.pane.index,
        }
        for result, time in results
    ]


def check(outputs: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    left = list(outputs)
    for pane in expected:
        # Beam's index of the panes that are not early has no counterpart here.
        said = {name: value for name, value in pane.items() if name != "nonspeculative_index"}
        found = next((each for each in left if said.items() <= each.items()), None)
        if found is None:
            raise Mismatch(f"Unmatched output: {pane} is none of {left}")
        left.remove(found)
    if left:
        raise Mismatch(f"Unexpected output: {left}")


@pytest.mark.parametrize("apart", [False, True], ids=["in bundles", "one by one"])
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=[each["name"] for each in TRANSCRIPTS])
def test_transcripts(transcript: dict[str, Any], apart: bool) -> None:
    if "error" not in transcript:
        play(transcript, apart=apart)
        return
    with pytest.raises(Mismatch, match=transcript["error"]):
        play(transcript, apart=apart)


def window_name(window: rx.Window) -> str:
    if window == GLOBAL:
        return "global"
    return f"[{window.start // SECOND},{window.end // SECOND})"


def timed(pairs: list[list[Any]]) -> list[Step]:
    return [rx.Chunk([value], [time * SECOND]) for time, value in pairs]


ORDERS = [
    pytest.param(case, size, id=f"{case['id']}{' reversed' * (size < 0)}")
    for case in UNITS["cases"]
    for size in (1, -1)
    if size in case["bundle_sizes"]
]


@pytest.mark.parametrize(("case", "size"), ORDERS)
def test_triggers(case: dict[str, Any], size: int) -> None:
    data = case["data"] if size == 1 else case["data"][::-1]
    # Beam's watermark of the end; the lateness is without bound for all that is played.
    steps = [*timed(data), rx.Watermark(10**15), *timed(case["late_data"])]
    caused = caused_by(
        steps,
        lambda stream: stream.window(
            read(case["window_fn"]),
            trigger=read(case["trigger"]),
            accumulation=case["accumulation"],
            allowed_lateness=10**10,
        ).aggregate(ToList()),
    )
    panes: dict[str, list[list[str]]] = {}
    for result, _ in (each for results in caused[:-1] for each in results):
        panes.setdefault(window_name(result.window), []).append(sorted(result.value))
    assert panes == {
        name: [sorted(pane) for pane in expected]
        for name, expected in case["expected_panes_per_window"].items()
    }


def pipeline_step(step: dict[str, Any]) -> Step:
    ((action, what),) = step.items()
    if action == "advance_processing_time_by":
        return Pause(what)
    if action == "watermark":
        return rx.Watermark(LATEST if what == "+inf" else what * SECOND)
    if action == "element":
        return rx.Chunk([("key", what)], [0])
    return rx.Chunk([tuple(pair) for pair in what], [time * SECOND for _, time in what])


@pytest.mark.parametrize("case", UNITS["pipeline_cases"], ids=lambda case: case["id"])
def test_pipelines(case: dict[str, Any]) -> None:
    caused = caused_by(
        [pipeline_step(step) for step in case["steps"]],
        lambda stream: (
            stream.key_by(lambda pair: pair[0])
            .window(
                read(case["window_fn"]),
                trigger=read(case["trigger"]),
                accumulation=case["accumulation"],
            )
            .aggregate(ToList())
        ),
    )
    panes: dict[str, list[list[Any]]] = {}
    for result, _ in (each for results in caused for each in results):
        panes.setdefault(result.key, []).append([value for _, value in result.value])
    if "expected_per_key" in case:
        assert panes == case["expected_per_key"]
    elif "expected_panes" in case:
        assert panes["key"] == case["expected_panes"]
    else:
        given = [value for pane in panes["key"] for value in pane]
        assert sorted(given) == sorted(case["expected_concatenated"])


@pytest.mark.parametrize(
    "case",
    UNITS["may_lose_data"]["cases"],
    ids=lambda case: f"{case['trigger']}, {case['allowed_lateness']} s",
)
def test_triggers_that_may_lose_data(case: dict[str, Any]) -> None:
    loses = read(case["trigger"]).may_lose_data(case["allowed_lateness"])
    assert loses == (case["verdict"] == "MAY_FINISH")


def test_all_the_cases_were_found() -> None:
    assert len(TRANSCRIPTS) == 15
    assert sum("error" in each for each in TRANSCRIPTS) == 5
    assert len(ORDERS) == 17
    assert len(UNITS["pipeline_cases"]) == 4
    assert not [each for each in TRANSCRIPTS if re.search(r"TRANSFORMED", str(each))]
