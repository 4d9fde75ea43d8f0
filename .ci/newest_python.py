"""Print the path of the newest CPython release on this machine that can run the suite, if it is
newer than the one running this; look on PATH and in pyenv. Print nothing if there is none."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROBE = """
import ensurepip, sys, sysconfig, venv
usable = (
    sys.implementation.name == "cpython"
    and sys.version_info.releaselevel == "final"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
print(*sys.version_info[:3] if usable else (0, 0, 0))
"""


def interpreters() -> Iterator[Path]:
    for folder in os.get_exec_path():
        for path in Path(folder).glob("python3.[0-9]*"):
            if path.name.removeprefix("python3.").isdigit():
                yield path
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from root.glob("versions/3.*/bin/python")


def version(path: Path) -> tuple[int, ...]:
    try:
        probe = subprocess.run(
            [path, "-I", "-c", PROBE], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return (0, 0, 0)
    return tuple(int(part) for part in probe.stdout.split())


def main() -> None:
    found = sorted((version(path), str(path)) for path in set(interpreters()))
    if found and found[-1][0][:2] > sys.version_info[:2]:
        print(found[-1][1])


if __name__ == "__main__":
    main()
