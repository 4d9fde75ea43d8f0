"""The README as its reader would use it: its code runs, its commands, files and names exist."""

from __future__ import annotations

import ast
import asyncio
import gzip
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reactive.cli import build_parser

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILE_NAME = re.compile(r"# ([a-z_]+\.py)\n")


class Block(NamedTuple):
    """A fenced block, the line of its first line, and the output shown after it, if any."""

    language: str
    source: str
    line: int
    output: str | None


def blocks(language: str) -> Iterator[Block]:
    fence = re.compile(r"^```([a-z]+)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
    for found in fence.finditer(TEXT):
        if found[1] == language:
            line = TEXT.count("\n", 0, found.start(2)) + 1
            yield Block(found[1], found[2], line, found[3])


async def execute(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block that may await; what fails is shown at its line in the README."""
    tree = ast.increment_lineno(ast.parse(block.source), block.line - 1)
    code = compile(tree, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


async def test_every_python_block_runs_and_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "readme"}
    python = list(blocks("python"))
    assert len(python) >= 10
    async with asyncio.timeout(60):
        for block in python:
            await execute(block, namespace)
            printed = capsys.readouterr().out
            if block.output is not None:
                pattern = re.escape(block.output).replace(re.escape("..."), ".*")
                assert re.fullmatch(pattern, printed), f"at line {block.line}: {printed}"
            else:
                assert printed == "", f"at line {block.line}"


def files_of(folder: Path) -> None:
    """Write the blocks that begin with the name of a file into a folder."""
    for block in blocks("python"):
        if name := FILE_NAME.match(block.source):
            folder.joinpath(name[1]).write_text(block.source)


def test_the_test_that_it_shows_passes(tmp_path: Path) -> None:
    files_of(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "asyncio_mode=auto", "test_orders.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("run pipelines:dutch", '{"country":"NL","amount":30}\n'),
        ("run pipelines:job", ""),
        ("explain pipelines:job", "sink write_csv"),
    ],
)
def test_the_pipelines_that_it_shows_run_from_the_command_line(
    command: str, shown: str, tmp_path: Path
) -> None:
    assert f"\nreactive {command} " in TEXT
    files_of(tmp_path)
    orders = b'{"country":"NL","amount":30}\n{"country":"FR","amount":1}\n'
    tmp_path.joinpath("orders.jsonl.gz").write_bytes(gzip.compress(orders))
    done = subprocess.run(
        [sys.executable, "-m", "reactive", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    if command == "run pipelines:job":
        assert "completed in" in done.stderr
        assert (tmp_path / "dutch.csv").read_text() == "country,amount\nNL,30\n"


def shell_lines() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.source.splitlines() if line]
    assert len(lines) >= 8
    return lines


@pytest.mark.parametrize("line", shell_lines())
def test_every_command_exists(line: str) -> None:
    program, *arguments = shlex.split(line, comments=True)
    if program == "reactive":
        build_parser().parse_args(arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(arguments) <= set(targets)
    else:
        assert [program, *arguments] == ["pip", "install", PROJECT["name"]]


def test_every_extra_is_in_its_table() -> None:
    extras = re.findall(rf"^\| `{PROJECT['name']}\[([a-z]+)\]` \|", TEXT, re.M)
    assert len(extras) == len(set(extras))
    assert set(extras) == set(PROJECT["optional-dependencies"]) - {
        "aiostream",
        "terminal",
    }


def test_every_linked_file_is_there() -> None:
    prose = re.sub(r"^```.*?^```\n", "", TEXT, flags=re.M | re.S)
    links = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert links
    assert [link for link in links if not ROOT.joinpath(link).exists()] == []
    headings = {
        f"#{each.lower().replace(' ', '-')}" for each in re.findall(r"^#+ (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\((#[^)]+)\)", prose)) <= headings


def test_every_connector_that_it_lists_is_there() -> None:
    table = TEXT[TEXT.index("| module | in | out |") :].split("\n\n")[0]
    rows = [
        [cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[2:]
    ]
    assert len(rows) == 9
    for modules, *cells in rows:
        for module in re.findall(r"`(\w+)`", modules):
            names = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
            loaded = importlib.import_module(f"connectors.{module}")
            assert [name for name in names if not hasattr(loaded, name)] == []
