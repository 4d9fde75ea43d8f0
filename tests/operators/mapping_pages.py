"""The pages for who comes from another library: what is in their tables, and whether it is so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

PAGES = Path(__file__).parent.parent.parent / "docs" / "coming_from"


class Row(NamedTuple):
    """A row of a table: the other library's names, and the operators of ours that are linked."""

    names: frozenset[str]
    ours: frozenset[str]


def rows(page: str, heading: str = "") -> Iterator[Row]:
    """The rows of the tables of a page, or of one part of it."""
    text = (PAGES / page).read_text()
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for first, last in re.findall(r"^\| ([^|]*) \|(.*)\|$", text, re.MULTILINE):
        yield Row(
            frozenset(re.findall(r"`(?:reactivex\.)?(\w+)", first)),
            frozenset(re.findall(r"\.md#(\w+)\)", last)),
        )


def names_in(function: Callable[..., Any]) -> set[str]:
    """The names that a function, and those written in it, mention."""
    found: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        found |= set(code.co_names)
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found


def problems_of(
    table: Iterable[Row], compared: Mapping[str, Callable[..., Any]], elsewhere: Iterable[str]
) -> list[str]:
    """What a table says that was not compared, or says otherwise than what was compared.

    `compared` has our pipelines by the other library's names, which may go on after a comma.
    """
    uses: dict[str, set[str]] = {}
    for name, ours in compared.items():
        uses.setdefault(name.partition(",")[0], set()).update(names_in(ours))
    problems: list[str] = []
    for names, ours in table:
        known = [uses[name] for name in names if name in uses]
        problems += [f"{name} is in no comparison" for name in names - uses.keys() - set(elsewhere)]
        problems += [
            f"{name} is compared to something else than {', '.join(sorted(ours))}"
            for name in names & uses.keys()
            if not ours & uses[name] and "slices" not in ours
        ]
        if known:
            unused = ours - set().union(*known) - {"slices"}
            problems += [f"{each} stands beside {', '.join(names)} unproven" for each in unused]
    return problems
