"""Writes the reference pages of the site from the docstrings, with their diagrams run and drawn.

A diagram that does not come out as it is drawn stops the build.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import typing
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import marble_svg
from diagram_names import NAMES

import reactive as rx
from operators import creating
from reactive.testing.diagrams import draw_line, run_diagram

DOCS = Path(__file__).parent
CONNECTORS = (
    *("files", "http", "tcp", "unix", "udp"),
    *("sqlite", "postgres", "memory", "journal", "framing"),
)
_FENCE = re.compile(r"```text\n(.*?)```", re.DOTALL)


def generate(into: Path) -> list[Path]:
    """Write all pages; returns them."""
    # What retries and recoveries of the diagrams log is no news to whoever builds the site.
    logging.getLogger("reactive").setLevel(logging.CRITICAL)
    pages = {
        "operators/index": _index(),
        "operators/creating": _functions("Creating streams", creating, _creating_functions()),
        **{f"operators/{_file(kind)}": _family(kind) for kind in families()},
        "reference/stream": _class_page("Stream", [rx.Stream, rx.Single, rx.SideOutput, rx.Job]),
        "reference/running": _running(),
        "reference/objects": _class_page("Objects beside streams", list(_objects())),
        "reference/errors": _class_page("Errors", list(_errors())),
    }
    for name in CONNECTORS:
        module = importlib.import_module(f"connectors.{name}")
        functions = [(each, getattr(module, each)) for each in _public(module, inspect.isfunction)]
        pages[f"connectors/{name}"] = _functions(f"connectors.{name}", module, functions)
    written = []
    for name, text in pages.items():
        path = into / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written


def families() -> list[type[Any]]:
    """The operator families, in the order in which `Stream` names them."""
    return [kind for kind in rx.Stream.__mro__ if kind.__module__.startswith("operators.")]


def methods(kind: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods a class has itself, in the order of its source."""
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and (not name.startswith("_") or name == "__getitem__"):
            yield name, value


def _file(kind: type[Any]) -> str:
    return kind.__module__.removeprefix("operators.")


def _public(module: Any, wanted: Callable[[Any], bool]) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and wanted(value)
        and value.__module__ == module.__name__
        and inspect.getdoc(value)
    ]


def _creating_functions() -> list[tuple[str, Any]]:
    found = [(name, getattr(rx, name)) for name in rx.__all__]
    return [
        (name, value)
        for name, value in found
        if inspect.isfunction(value) and value.__module__.startswith("operators.")
    ]


def _objects() -> Iterator[type[Any]]:
    streams = (rx.Stream, rx.Single, rx.SideOutput, rx.Job, rx.Run, rx.Report, rx.Settings)
    errors = {kind.__name__ for kind in _errors()}
    for name in sorted(rx.__all__):
        value = getattr(rx, name)
        if inspect.isclass(value) and value not in streams and value.__name__ not in errors:
            yield value


def _errors() -> Iterator[type[Any]]:
    for name in sorted(rx.__all__):
        value = getattr(rx, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            yield value


def _index() -> str:
    lines = [
        "# Operators",
        "",
        "Every operator, by family. The diagrams on these pages are drawn from what the operator",
        "did when the page was built.",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        "creating",
        *map(_file, families()),
        "```",
    ]
    creating_rows = [(name, "creating", value) for name, value in _creating_functions()]
    lines += ["", "## creating", "", *_table("rx.", creating_rows)]
    for kind in families():
        rows = [(name, _file(kind), value) for name, value in methods(kind)]
        lines += ["", f"## {_file(kind)}", "", *_table("", rows)]
    return "\n".join(lines) + "\n"


def _table(prefix: str, rows: list[tuple[str, str, Any]]) -> Iterator[str]:
    yield "| | |"
    yield "| --- | --- |"
    for name, page, value in rows:
        yield f"| [`{prefix}{_shown(name)}`]({page}.md#{_anchor(name)}) | {_first_line(value)} |"


def _shown(name: str) -> str:
    return "[start:stop:step]" if name == "__getitem__" else name


def _anchor(name: str) -> str:
    return "slices" if name == "__getitem__" else name


def _first_line(value: Any) -> str:
    text = inspect.getdoc(value) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def _family(kind: type[Any]) -> str:
    parts = [f"# {_file(kind)}", _summary(kind)]
    for name, method in methods(kind):
        parts.append(_described(name, method, f"{kind.__module__} {name}"))
    return "\n\n".join(parts) + "\n"


def _summary(kind: type[Any]) -> str:
    module = inspect.getdoc(importlib.import_module(kind.__module__)) or ""
    first = module.split("\n\n")[0].partition(":")[2].strip() or module.split("\n\n")[0]
    rest = (inspect.getdoc(kind) or "").split("\n\n", 1)
    sentence = first[:1].upper() + " ".join(first.split())[1:]
    return sentence + ("\n\n" + rest[1] if len(rest) > 1 else "")


def _functions(title: str, module: Any, functions: list[tuple[str, Any]]) -> str:
    parts = [f"# {title}", inspect.getdoc(module) or ""]
    parts += [_described(name, value, f"{module.__name__} {name}") for name, value in functions]
    return "\n\n".join(parts) + "\n"


def _running() -> str:
    parts = ["# Running", "The ways to run a stream are methods of [`Stream`](stream.md); jobs are"]
    parts[-1] += " run by the functions here."
    parts += [_described(name, getattr(rx, name), name) for name in ("run", "start")]
    parts += [_class(kind) for kind in (rx.Run, rx.Report, rx.Settings)]
    return "\n\n".join(parts) + "\n"


def _class_page(title: str, kinds: list[type[Any]]) -> str:
    return "\n\n".join([f"# {title}", *map(_class, kinds)]) + "\n"


def _class(kind: type[Any]) -> str:
    parts = [f"## {kind.__name__}", inspect.getdoc(kind) or ""]
    own = {"__init__", "__iter__", "__await__"}
    for name, value in vars(kind).items():
        text = inspect.getdoc(value) if inspect.isfunction(value) else None
        if isinstance(value, property) and not name.startswith("_"):
            parts.append(f"**`{name}`**: {' '.join((inspect.getdoc(value) or '').split())}")
        elif text and not name.startswith("_") and name not in own:
            parts.append(_described(name, value, f"{kind.__name__}.{name}", level=3))
    return "\n\n".join(parts)


def _described(name: str, value: Any, what: str, level: int = 2) -> str:
    heading = "slices" if name == "__getitem__" else name
    signatures = "\n".join(_signatures(name, value))
    text = inspect.getdoc(value) or ""
    body = _body(text, what) if value.__module__.startswith("operators.") else text
    return f"{'#' * level} {heading}\n\n```python\n{signatures}\n```\n\n{body}"


def _signatures(name: str, value: Any) -> Iterator[str]:
    for each in typing.get_overloads(value) or [value]:
        signature = inspect.signature(each)
        parameters = [
            parameter for parameter in signature.parameters.values() if parameter.name != "self"
        ]
        signature = signature.replace(parameters=parameters)
        text = f"{name}{signature}".replace("'", "")
        if len(text) > 96:
            separator = ",\n    "
            inside = separator.join(_with_markers(signature))
            result = (
                ""
                if signature.return_annotation is inspect.Signature.empty
                else (f" -> {signature.return_annotation}")
            )
            text = f"{name}(\n    {inside},\n){result}".replace("'", "")
        yield ("async " if inspect.iscoroutinefunction(value) else "") + text


def _with_markers(signature: inspect.Signature) -> Iterator[str]:
    """The parameters as they are written, with the markers between their kinds."""
    starred = False
    before: inspect.Parameter | None = None
    for parameter in signature.parameters.values():
        if before is not None and before.kind is before.POSITIONAL_ONLY != parameter.kind:
            yield "/"
        if parameter.kind is parameter.VAR_POSITIONAL:
            starred = True
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield str(parameter)
        before = parameter
    if before is not None and before.kind is before.POSITIONAL_ONLY:
        yield "/"


def _body(text: str, what: str) -> str:
    """A docstring as Markdown, its diagrams drawn."""

    def drawn(match: re.Match[str]) -> str:
        return _picture(match[1], what)

    return _FENCE.sub(drawn, text)


def _picture(text: str, what: str) -> str:
    try:
        # What a diagram prints, such as on_error(print), is no news to whoever builds the site, and
        # some write files where they are.
        with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(StringIO()):
            drawn = run_diagram(text, NAMES)
        given = [draw_line(line.events, line.seconds) for line in drawn.outputs]
    except Exception as error:
        raise ValueError(f"the diagram of {what} cannot be run: {error!r}\n{text}") from error
    if given != list(drawn.diagram.outputs):
        raise ValueError(
            f"the diagram of {what} draws {list(drawn.diagram.outputs)}, and {given} came out"
        )
    return f'<div class="diagram">\n{marble_svg.draw(drawn, text.strip())}\n</div>'
