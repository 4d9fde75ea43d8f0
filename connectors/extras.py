"""Optional packages, imported when a connector that needs them is opened."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from reactive.errors import ConnectorError


def import_extra(module: str, extra: str, user: str) -> Any:
    """Import an optional package; `ConnectorError` names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise ConnectorError(
            f'{user} needs an optional package: pip install "reactive-pipelines[{extra}]" '
            f"(there is no {module})"
        ) from error


async def load_extra(module: str, extra: str, user: str) -> Any:
    """As `import_extra`; the first import, which may take long, runs in a thread."""
    if module in sys.modules:
        return import_extra(module, extra, user)
    return await asyncio.to_thread(import_extra, module, extra, user)
