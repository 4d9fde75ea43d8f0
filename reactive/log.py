"""The library's log events. Importing it configures nothing; structlog is imported when used."""

from __future__ import annotations

from typing import Any


def log_event(level: str, event: str, **fields: Any) -> None:
    """Emit one structlog event under the logger name `reactive`."""
    import structlog

    getattr(structlog.get_logger("reactive"), level)(event, **fields)
