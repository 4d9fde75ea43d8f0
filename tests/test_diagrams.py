"""Every marble diagram in a docstring is what comes out when it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.diagram_names import NAMES
from reactive.testing import DiagramError
from reactive.testing.diagrams import check_diagram, draw_line, run_diagram

ROOT = Path(__file__).parent.parent


def diagrams() -> Iterator[Any]:
    for path in sorted((ROOT / "operators").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for number, text in enumerate((ast.get_docstring(node) or "").split("```text\n")):
                    if number:
                        name = f"{path.stem} {node.name}" + f" {number}" * (number > 1)
                        yield pytest.param(text.split("```")[0], id=name)


@pytest.mark.parametrize("text", list(diagrams()))
def test_the_diagrams_of_the_docstrings(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_diagram(text, NAMES)


def test_a_diagram_that_lies_is_told() -> None:
    with pytest.raises(AssertionError, match=r"drawn  --1--\(2\|\)\n    gave   --1--2--\(3\|\)"):
        check_diagram("--1--2--3--4--|\ntake(3)\n--1--(2|)")


@pytest.mark.parametrize(
    "line",
    [
        "--1--(23)--|",
        "(12|)",
        "--[1,23]-1a--#",
        "--{1:a}----",
        "1:23-0.5---(one two |)",
        "True---|",
    ],
)
def test_what_is_drawn_is_what_was_read(line: str) -> None:
    def same(items: Any) -> Any:
        return items

    (drawn,) = run_diagram(f"{line}\npipe(same)\n{line}", {"same": same}).outputs
    assert draw_line(drawn.events, len(line)) == line


def test_a_long_expression_goes_on_behind_a_dot() -> None:
    check_diagram("--1--2--|\nmap(lambda x: x + 1)\n.filter(lambda x: x > 2)\n.take(1)\n-----(3|)")


def test_diagrams_that_cannot_be_read_or_drawn() -> None:
    with pytest.raises(DiagramError, match="no line is a call"):
        check_diagram("--1--|\n--1--|")
    with pytest.raises(DiagramError, match="without its \\)"):
        check_diagram("--(1--|\ntake(1)\n--1|")
    with pytest.raises(DiagramError, match="does not fit"):
        check_diagram("--1-2-|\nmap(lambda x: [x, 'long'])\n--1-2-|")
    with pytest.raises(DiagramError, match="gives 1 streams, and 2 lines"):
        check_diagram("--1-2-|\ntake(1)\n--1-2-|\n--1|")
