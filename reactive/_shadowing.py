"""Notice when another top-level package stands in the way of one of ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def check_packages() -> None:
    """Fail with one line that names the offending path."""
    home = Path(__file__).resolve().parent.parent
    for name in ("operators", "connectors"):
        found = importlib.util.find_spec(name)
        origin = None if found is None else found.origin
        if origin is None or Path(origin).resolve() != home / name / "__init__.py":
            where = origin or (found and next(iter(found.submodule_search_locations or ()), None))
            raise ImportError(
                f"reactive needs its own package {name!r} from {home / name}, but "
                f"{where or 'nothing'} is found first; rename that one or take it off sys.path"
            )
