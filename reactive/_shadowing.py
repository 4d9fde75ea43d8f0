"""Notice when another top-level package stands in the way of one of ours."""

from __future__ import annotations

import os
import sys


def check_packages() -> None:
    """Fail with one line that names the offending path."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for name in ("operators", "connectors"):
        expected = os.path.join(home, name, "__init__.py")
        found = _origin(name)
        if found is None or os.path.realpath(found) != expected:
            raise ImportError(
                f"reactive needs its own package {name!r} from {os.path.join(home, name)}, but "
                f"{found or 'nothing'} is found first; rename that one or take it off sys.path"
            )


def _origin(name: str) -> str | None:
    """Where the import system would find a package. `importlib.util` would cost 10 ms."""
    if name in sys.modules:
        return sys.modules[name].__file__
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return None
