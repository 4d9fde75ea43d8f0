"""The rooms: who may import whom, in any order, quickly, and never another's package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path for room in ("reactive", "operators", "connectors") for path in (ROOT / room).rglob("*.py")
)

STANDS_ON_TOP = {
    "reactive/__init__.py",
    "reactive/stream.py",
    "reactive/subject.py",
    "reactive/hub.py",
    "reactive/latest.py",
    "reactive/cli.py",
    "reactive/targets.py",
}
"""The facade, what assembles `Stream`, what subclasses it, and the command."""

FREE_ROOMS = ("reactive/demo/", "reactive/testing/")
"""The demo is a program that uses the library; the testing kit is imported by nobody inside."""

LAYERS = [
    {"_shadowing", "fast_dataclasses"},
    {"signals", "errors", "backoff", "log", "metrics", "keys", "handles", "timers"},
    {"channel", "tasks", "state", "store"},
    {"operator", "endpoint"},
    {"broadcast"},
    {"graph"},
    {"context", "policy", "ending", "checkpoint", "sqlite_store", "side_entry"},
    {"plan", "recipes"},
    {"fuse", "delivery"},
    {"fused"},
    {"steps"},
    {"chain", "inlets", "explain"},
    {"pullers", "epoch_parts"},
    {"pump", "restoring", "committing"},
    {"coordinator"},
    {"region"},
    {"execution"},
    {"run"},
]
"""What runs knows the plan, the plan knows the graph, the graph knows the contracts, and so on."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports when it is imported, with line numbers."""
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack.extend(node.orelse)
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
        stack.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_between_the_rooms(path: Path) -> None:
    name = name_of(path)
    if name in STANDS_ON_TOP or name.startswith(FREE_ROOMS):
        return
    room = name.split("/")[0]
    forbidden = {
        "reactive": ("operators", "connectors"),
        "operators": ("connectors",),
        "connectors": ("operators",),
    }[room]
    for module, line in imports_of(path):
        assert module.split(".")[0] not in forbidden, (
            f"{name}:{line} imports {module}; {room}/ must not know {module.split('.')[0]}/. Move "
            "what both need into reactive/, or import it in reactive/stream.py"
        )


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_arrows_inside_reactive(number: int) -> None:
    on_top = {Path(name).stem for name in STANDS_ON_TOP} - {"__init__"}
    above = set().union(*LAYERS[number + 1 :]) | on_top
    for module in LAYERS[number]:
        path = ROOT / "reactive" / f"{module}.py"
        for imported, line in imports_of(path):
            top, _, rest = imported.partition(".")
            assert not (top == "reactive" and rest in above), (
                f"reactive/{module}.py:{line} imports {imported}, which stands above it; turn the "
                "dependency round, or import it under TYPE_CHECKING if only types need it"
            )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_dataclasses_are_made_quickly(path: Path) -> None:
    if path.stem == "fast_dataclasses":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            assert "dataclass" not in {alias.name for alias in node.names}, (
                f"{name_of(path)}:{node.lineno} imports dataclass from dataclasses, which takes "
                "0.4 ms for each class; take it from reactive.fast_dataclasses"
            )


FIRST_IMPORTS = [
    "reactive",
    "operators",
    "operators.mapping",
    "operators.folding",
    "operators.creating",
    "connectors",
    "connectors.files",
    "connectors.tcp",
    "connectors.http",
    "connectors.memory",
    "connectors.sqlite",
    "connectors.postgres",
    "reactive.stream",
    "reactive.run",
    "reactive.signals",
    "reactive.testing",
]


@pytest.mark.parametrize("first", FIRST_IMPORTS)
def test_any_import_order_works(first: str, tmp_path: Path) -> None:
    code = f"import {first}; import reactive as rx; assert rx.range(3).map(str)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)


@pytest.mark.parametrize("name", ["operators", "connectors"])
@pytest.mark.parametrize("form", ["package", "module", "folder"])
def test_a_package_in_the_way_is_named(name: str, form: str, tmp_path: Path) -> None:
    if form == "module":
        (tmp_path / f"{name}.py").write_text("")
        offender = tmp_path / f"{name}.py"
    else:
        (tmp_path / name).mkdir()
        offender = tmp_path / name
        (offender / "__init__.py").write_text("")
        offender = offender / "__init__.py"
    done = subprocess.run(
        [sys.executable, "-c", "import reactive"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        timeout=60,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert str(offender) in last
    assert "rename that one or take it off sys.path" in last


def test_importing_is_light(tmp_path: Path) -> None:
    heavy = {
        *("aiohttp", "uvicorn", "rich", "cloudpickle", "zstandard", "uvloop", "pytest"),
        *("aiostream", "hypothesis", "structlog", "anyio", "orjson", "multiprocessing", "pathlib"),
    }
    code = "import reactive, sys; print(*sys.modules)"
    run = [sys.executable, "-I", "-c", code]
    done = subprocess.run(run, check=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert not heavy & set(done.stdout.split())


def test_every_public_name_is_documented() -> None:
    import reactive

    constants = {"IDLE", "Signal", "ErrorPolicy"}
    for name in set(reactive.__all__) - constants:
        assert getattr(reactive, name).__doc__, f"reactive.{name} has no docstring"
