"""The cases of Web Platform Tests and of eventsource-parser, read from beside the repository."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.server_sent_events import EventDecoder

CASES_FILE = Path(__file__).parents[2] / "../shared/oracles/formats/sse_cases.json"


def load_cases() -> list[dict[str, Any]]:
    if not CASES_FILE.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(CASES_FILE.read_text())["cases"]
    return cases


CASES = load_cases()

pytestmark = pytest.mark.skipif(not CASES, reason="the shared conformance cases are not here")


def blocks_as_given(case: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(block) for block in case["chunks_hex"]]


def bytewise(case: dict[str, Any]) -> list[bytes]:
    return [bytes((byte,)) for byte in b"".join(blocks_as_given(case))]


def whole(case: dict[str, Any]) -> list[bytes]:
    return [b"".join(blocks_as_given(case))]


@pytest.mark.parametrize("cut", [blocks_as_given, bytewise, whole], ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_events_are_those_of_the_rules(case: dict[str, Any], cut: Any) -> None:
    decoder = EventDecoder()
    events = [event for block in cut(case) for event in decoder.feed(block)]
    assert [
        {"type": event.type, "data": event.data, "last_event_id": event.last_event_id}
        for event in events
    ] == case["events"]
    if "reconnection_time_ms" in case:
        assert decoder.retry_seconds == case["reconnection_time_ms"] / 1000
    if case["id"] == "wpt-data-before-final-empty-line":
        assert decoder.last_event_id == ""


def test_all_the_cases_were_found() -> None:
    assert len(CASES) == 23
