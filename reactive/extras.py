"""Optional packages, imported when what needs them runs."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from typing import Any


def import_extra(
    module: str, extra: str, user: str, failure: Callable[[str], Exception] = ImportError
) -> Any:
    """Import an optional package; the failure names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise failure(
            f'{user} needs an optional package: pip install "reactive-pipelines[{extra}]" '
            f"(there is no {module})"
        ) from error


async def load_extra(
    module: str, extra: str, user: str, failure: Callable[[str], Exception] = ImportError
) -> Any:
    """As `import_extra`; the first import, which may take long, runs in a thread."""
    if module in sys.modules:
        return import_extra(module, extra, user, failure)
    return await asyncio.to_thread(import_extra, module, extra, user, failure)
