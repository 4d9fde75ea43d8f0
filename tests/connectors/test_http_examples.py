"""The examples in the docstrings of the facade, run against a real server."""

import ast
import asyncio
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import reactive as rx
from connectors import files, http, memory

FACADE = Path(http.__file__)


def blocks(text: str) -> Iterator[str]:
    for part in text.split("```python\n")[1:]:
        yield textwrap.dedent(part.split("```")[0])
    for part in re.findall(r"\n\n((?:    .*\n|\n)+)", text):
        if "```" not in part and "import" in part:
            yield textwrap.dedent(part)


def examples() -> Iterator[Any]:
    for node in ast.walk(ast.parse(FACADE.read_text())):
        if isinstance(node, ast.Module | ast.FunctionDef):
            for block in blocks(ast.get_docstring(node) or ""):
                yield pytest.param(block, id=getattr(node, "name", "module"))


EXAMPLES = list(examples())


async def answer(request: Request) -> Response:
    if request.method == "POST":
        return Response(status_code=202)
    match request.url.path:
        case "/ticker":
            if "last-event-id" in request.headers:
                return Response(status_code=204)
            return PlainTextResponse("retry: 1\nid: 1\ndata: x\n\n", media_type="text/event-stream")
        case "/orders":
            return PlainTextResponse("[1, 2]", media_type="application/json")
        case "/changes" | "/rates":
            return PlainTextResponse('{"meta": {}}', media_type="application/json")
        case _:
            return PlainTextResponse('{"a": 1}\n{"a": 2}\n')


@asynccontextmanager
async def example_com() -> AsyncIterator[str]:
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    async with http.serve(app, port=0) as server:
        yield server.url


def test_every_function_has_an_example() -> None:
    functions = {name for name in http.__all__ if name[0].islower()}
    assert functions - {"next_link"} <= {example.id for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES)
async def test_example(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stopped = asyncio.Event()
    stopped.set()
    async with example_com() as url:
        kept: list[Any] = []
        namespace: dict[str, Any] = {
            "rx": rx,
            "http": http,
            "files": files,
            "orders": rx.of({"id": 1}),
            "sink": memory.call(kept.append),
            "stopped": stopped,
            "application": http.ingest(),
        }
        code = example.replace("https://example.com", url).replace("8000", "0")
        lines = textwrap.indent(code, "    ")
        exec(f"async def main():\n{lines}\n    return locals()", namespace)
        endless = "http.listen" in example
        try:
            async with asyncio.timeout(0.3 if endless else 60):
                made = await namespace["main"]()
                for value in made.values():
                    if type(value) is rx.Stream:
                        await value.take(1).collect()
        except TimeoutError:
            assert endless
