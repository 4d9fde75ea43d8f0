"""The pages of the site: what they name exists, and what people come with is found there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import aiostream
import pytest
import reactivex
import reactivex.operators

import reactive as rx

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("coming_from/*.md"))
OPERATORS = {
    name
    for name, value in inspect.getmembers(rx.Stream, inspect.isfunction)
    if not name.startswith("_")
}


def first_column(page: str) -> set[str]:
    """The names in the first column of a page's tables."""
    rows = re.findall(r"^\| ([^|]*) \|", (DOCS / page).read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def test_every_operator_of_aiostream_has_its_counterpart() -> None:
    theirs = {name for name, value in vars(aiostream.stream).items() if hasattr(value, "raw")}
    assert len(theirs) > 40
    assert theirs - first_column("coming_from/aiostream.md") == set()


def test_every_operator_and_function_of_rxpy_has_its_counterpart() -> None:
    operators, functions = (
        set(re.findall(r"`(\w+)", " ".join(re.findall(r"^\| ([^|]*) \|", part, re.MULTILINE))))
        for part in (DOCS / "coming_from/rxpy.md").read_text().split("\n## ")[1:]
    )
    assert set(reactivex.operators.__all__) - operators == set()
    made = {
        name
        for name, value in inspect.getmembers(reactivex, inspect.isfunction)
        if value.__module__.startswith("reactivex")
    }
    assert made - functions == set()


def test_every_operator_is_on_the_page_that_helps_to_choose() -> None:
    text = (DOCS / "which_operator.md").read_text()
    shown = set(re.findall(r"\.md#(\w+)\)", text))
    plumbing = {"to", "open", "collect", "explain", "named", "pipe"}
    assert sorted(OPERATORS - shown - plumbing) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+\.md)", page.read_text()):
        if "generated/" not in target:
            assert (page.parent / target).exists(), target


def test_the_reference_is_written_from_the_docstrings(tmp_path: Path) -> None:
    code = f"import generate, pathlib; generate.generate(pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=DOCS, check=True, timeout=100)
    page = (tmp_path / "operators" / "limiting.md").read_text()
    assert "## take\n" in page
    assert "take(count: int) -> Stream[T_co]" in page
    assert '<svg class="marbles"' in page
    assert (tmp_path / "connectors" / "files.md").exists()


def test_a_diagram_that_lies_stops_the_build() -> None:
    code = (
        "import reactive as rx, generate\n"
        "text = rx.Stream.take.__doc__.replace('--1--(2|)', '--1--2--|')\n"
        "generate._body(text, 'take')"
    )
    broken = subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS, capture_output=True, text=True, timeout=100
    )
    assert broken.returncode
    assert "the diagram of take draws ['--1--2--|'], and ['--1--(2|)'] came out" in broken.stderr
