"""Optional packages, imported when a connector that needs them is opened."""

from __future__ import annotations

from typing import Any

from reactive import extras
from reactive.errors import ConnectorError


def import_extra(module: str, extra: str, user: str) -> Any:
    """Import an optional package; `ConnectorError` names the extra that brings it."""
    return extras.import_extra(module, extra, user, ConnectorError)


async def load_extra(module: str, extra: str, user: str) -> Any:
    """As `import_extra`; the first import, which may take long, runs in a thread."""
    return await extras.load_extra(module, extra, user, ConnectorError)
