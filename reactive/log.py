"""The library's log events. Importing it configures nothing.

They are structlog events where the program has configured structlog. Where it has not, importing
structlog would hold the event loop for a tenth of a second at the first event, and its defaults
print to standard output, which is the program's own; so they go to the standard library's logging,
which shows warnings on standard error even if nobody has configured anything.
"""

from __future__ import annotations

import logging
import sys
from typing import Any


def log_event(level: str, event: str, **fields: Any) -> None:
    """Log one event under the logger name `reactive`."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        getattr(structlog.get_logger("reactive"), level)(event, **fields)
        return
    logger = logging.getLogger("reactive")
    number = logging.getLevelNamesMapping()[level.upper()]
    if logger.isEnabledFor(number):
        details = "".join(f" {name}={value}" for name, value in fields.items())
        logger.log(number, "%s%s", event, details)
