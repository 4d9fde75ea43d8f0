"""Every example in a public docstring runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import operators
import reactive as rx
from connectors import files, http, memory, sqlite, tcp, udp, unix
from reactive.testing import run

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path
    for pattern in (
        "reactive/*.py",
        "operators/*.py",
        "connectors/memory.py",
        "connectors/sqlite.py",
    )
    for path in ROOT.glob(pattern)
)


def docstrings(path: Path) -> Iterator[tuple[str, int, str]]:
    """Every docstring of a file, with the name and line of what it belongs to."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "name", path.stem), getattr(node, "lineno", 1), text


def blocks(text: str) -> Iterator[str]:
    """The Python blocks of a docstring."""
    for part in text.split("```python\n")[1:]:
        yield textwrap.dedent(part.split("```")[0])


EXAMPLES = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}:{line} {name}")
    for path in MODULES
    for name, line, text in docstrings(path)
    for block in blocks(text)
]


async def _every_other(items: Any) -> Any:
    async for item in items:
        yield item
        await anext(items, None)


async def _fetch(url: str) -> str:
    return url


async def _feed() -> Any:
    yield 1


class _MySource(rx.Source[int]):
    def __init__(self, address: str) -> None:
        self.address = address

    def reader(self, context: rx.Context) -> rx.Reader[int]:
        raise NotImplementedError


@pytest.mark.parametrize("block", EXAMPLES)
def test_example(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept: list[Any] = []
    namespace: dict[str, Any] = {
        "rx": rx,
        "asyncio": asyncio,
        "operators": operators,
        "files": files,
        "http": http,
        "memory": memory,
        "sqlite": sqlite,
        "tcp": tcp,
        "udp": udp,
        "unix": unix,
        "urls": ["a", "b"],
        "fetch": _fetch,
        "parse": int,
        "stream": rx.of("1", "2"),
        "kept": kept,
        "feed": _feed(),
        "open_feed": lambda: [1, 2],
        "MySource": _MySource,
        "address": "here",
        "sink": memory.append(kept),
        "job": rx.of(1).to(memory.append(kept)),
    }
    code = compile(block, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def main() -> None:
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await asyncio.wait_for(result, 60)

    run(main())


FLUENT = [
    (family.__name__, name, method)
    for family in rx.Stream.__mro__
    if family.__module__.startswith(("operators.", "reactive.stream"))
    for name, method in vars(family).items()
    if not name.startswith("_") and callable(method)
]


@pytest.mark.parametrize(
    ("family", "name", "method"), FLUENT, ids=[f"{family}.{name}" for family, name, _ in FLUENT]
)
def test_every_fluent_method_says_what_it_does(family: str, name: str, method: Any) -> None:
    text = inspect.getdoc(method) or ""
    assert "```python" in text, f"{family}.{name} has no example in its docstring"
    if family != "Stream":
        assert "```text" in text, f"{family}.{name} has no marble diagram in its docstring"


def test_every_creation_function_says_what_it_does() -> None:
    from operators import creating

    for name in ("of", "from_iterable", "from_async_iterable", "range", "interval", "timer"):
        assert "```python" in (inspect.getdoc(getattr(creating, name)) or ""), name
    for name in ("unfold", "empty", "never", "fail", "defer", "using", "from_source"):
        assert "```python" in (inspect.getdoc(getattr(creating, name)) or ""), name
