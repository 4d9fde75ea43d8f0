"""Where the library's log events go: structlog's where it is configured, else standard logging."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import structlog

from reactive.log import log_event


def program(source: str) -> tuple[list[str], list[str]]:
    """The lines that a program of its own writes to standard output and to standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_without_any_configuration_warnings_go_to_standard_error_and_the_rest_nowhere() -> None:
    out, err = program(
        """
        from reactive.log import log_event
        log_event("info", "listening", address="127.0.0.1:1")
        log_event("warning", "retrying", operator="map", seconds=0.5)
        """
    )
    assert out == []
    assert err == ["retrying operator=map seconds=0.5"]


def test_an_event_does_not_import_structlog() -> None:
    out, err = program(
        """
        import sys
        import reactive
        from reactive.log import log_event
        log_event("error", "run_failed", error="no")
        print("structlog" in sys.modules)
        """
    )
    assert (out, err) == (["False"], ["run_failed error=no"])


def test_standard_logging_that_is_configured_gets_every_event(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structlog, "is_configured", lambda: False)
    with caplog.at_level("INFO"):
        log_event("info", "listening", address="100%s")
    assert caplog.record_tuples == [("reactive", 20, "listening address=100%s")]


def test_structlog_that_is_configured_gets_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as events:
        log_event("warning", "retrying", operator="map")
    assert events == [{"event": "retrying", "operator": "map", "log_level": "warning"}]
    assert caplog.records == []
