"""HTTP: bodies, pages, polls and server-sent events as streams; a sink that posts; an ingest.

    import reactive as rx
    from connectors import http

    lines = http.get_jsonl("https://example.com/events.jsonl")
    async for event in lines:
        print(event)

Needs the extra `http` (`pip install "reactive-pipelines[http]"`) when it runs, not when it is
imported or described.

Parameters that all clients here share:

`headers`: sent with every request. Credentials among them (`Authorization`, `Cookie`) go to the
site of `url` only, also when a link leads elsewhere.
`params`: query parameters, put in place of those of the same names in `url`.
`timeout`: seconds to wait for a connection and the head of an answer, and for each next part of a
body. The whole body may take as long as it takes.
`tls`: an `ssl.SSLContext`, or a function that makes one (which lets the pipeline be pickled);
by default the system's certificates.
`session`: an `aiohttp.ClientSession` of your own, used and never closed; by default every reader
and writer makes one for itself and closes it.
`retry`: the waits before the next attempt when there is no answer, the connection breaks before
one, or the status says that it may pass (408, 425, 429, 500, 502, 503, 504). A `Retry-After` of
the server is honoured, as seconds or as a date, where it asks for more. `None` fails at once.
Every retry is logged, and counted as `retries`.

What fails for good raises `HttpError`, or `HttpStatusError` with the status and the start of what
the server said; both name the address and are a `rx.ConnectorError`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, Unpack, overload

import orjson

import reactive as rx
from connectors.http_client import ClientParameters, client_options
from connectors.http_getting import GetBytes, GetRecords
from connectors.http_messages import HttpError, HttpStatusError, Response
from connectors.line_splitting import check_encoding
from connectors.record_parsing import Json, Lines
from connectors.server_sent_events import Event
from reactive.backoff import Backoff
from reactive.policy import ErrorPolicy
from reactive.stream import Stream

__all__ = [
    "Event",
    "HttpError",
    "HttpStatusError",
    "Response",
    "get_bytes",
    "get_jsonl",
    "get_lines",
]

T = TypeVar("T")

MAX_LINE_BYTES = 1 << 24

SOON = Backoff(initial=0.5, maximum=10.0, attempts=3)
"""For what somebody waits for: three more attempts, within some four seconds."""


def get_bytes(
    url: str, *, retry: Backoff | None = SOON, **parameters: Unpack[ClientParameters]
) -> Stream[bytes]:
    """The body of a GET as blocks of bytes, as they come, with any Content-Encoding undone.

    Where the blocks begin and end means nothing. Completes with the body. When the pipeline is
    slow the connection pauses, and with it the server; at most a few hundred KiB wait here.
    `retry` covers the time up to the first byte: a body that breaks off raises `HttpError` after
    what came of it; one whose compression was cut off raises `rx.TruncatedError`.

    ```python
    size = await http.get_bytes("https://example.com/archive.bin").map(len).sum()
    ```
    """
    options = client_options("http.get_bytes", url, retry, parameters)
    return rx.from_source(GetBytes(options=options))


@overload
def get_lines(
    url: str,
    *,
    encoding: None,
    errors: str = ...,
    on_error: ErrorPolicy[bytes] = ...,
    max_line_bytes: int = ...,
    retry: Backoff | None = ...,
    **parameters: Unpack[ClientParameters],
) -> Stream[bytes]: ...
@overload
def get_lines(
    url: str,
    *,
    encoding: str = ...,
    errors: str = ...,
    on_error: ErrorPolicy[str] = ...,
    max_line_bytes: int = ...,
    retry: Backoff | None = ...,
    **parameters: Unpack[ClientParameters],
) -> Stream[str]: ...
def get_lines(
    url: str,
    *,
    encoding: str | None = "auto",
    errors: str = "strict",
    on_error: ErrorPolicy[Any] = "raise",
    max_line_bytes: int = MAX_LINE_BYTES,
    retry: Backoff | None = SOON,
    **parameters: Unpack[ClientParameters],
) -> Stream[Any]:
    """The body of a GET line by line, without the line ends (LF or CRLF), as it comes.

    `encoding` is `"auto"` for the charset that the server names or else UTF-8, the name of
    another, or `None` for lines as bytes; a byte order mark is dropped. A gzip or zstd file is
    recognised by its first bytes and read as what is in it. The rest is as with `get_bytes`. A
    line that is no text in that encoding, or has more than `max_line_bytes`, raises
    `rx.DecodeError` with the address and the line's number, after the lines before it, or does as
    `on_error` says.

    ```python
    async for line in http.get_lines("https://example.com/access.log"):
        print(line)
    ```
    """
    codec = check_encoding("utf-8" if encoding == "auto" else encoding, errors)
    return rx.from_source(
        GetRecords(
            options=client_options("http.get_lines", url, retry, parameters),
            form=Lines(codec, errors, keep_ends=False),
            form_of_codec=(
                partial(Lines, errors=errors, keep_ends=False) if encoding == "auto" else None
            ),
            name="http.get_lines",
            on_error=on_error,
            max_line_bytes=max_line_bytes,
        )
    )


@overload
def get_jsonl(
    url: str,
    *,
    on_error: ErrorPolicy[Any] = ...,
    max_line_bytes: int = ...,
    retry: Backoff | None = ...,
    **parameters: Unpack[ClientParameters],
) -> Stream[Any]: ...
@overload
def get_jsonl(
    url: str,
    *,
    parse: Callable[[bytes], T],
    on_error: ErrorPolicy[T] = ...,
    max_line_bytes: int = ...,
    retry: Backoff | None = ...,
    **parameters: Unpack[ClientParameters],
) -> Stream[T]: ...
def get_jsonl(
    url: str,
    *,
    parse: Callable[[bytes], Any] = orjson.loads,
    on_error: ErrorPolicy[Any] = "raise",
    max_line_bytes: int = MAX_LINE_BYTES,
    retry: Backoff | None = SOON,
    **parameters: Unpack[ClientParameters],
) -> Stream[Any]:
    """The body of a GET as JSON values, one a line, as it comes; blank lines are passed over.

    `parse` turns a line's bytes into an item, for example a `msgspec` decoder's `decode`. The rest
    is as with `get_lines`; a line that is not JSON raises `rx.DecodeError` with the address, the
    line's number and why, or does as `on_error` says.

    ```python
    BAD = rx.SideOutput[rx.DeadLetter[bytes]]("bad")
    events = http.get_jsonl("https://example.com/events.jsonl", on_error=BAD)
    ```
    """
    return rx.from_source(
        GetRecords(
            options=client_options("http.get_jsonl", url, retry, parameters),
            form=Json(parse),
            form_of_codec=None,
            name="http.get_jsonl",
            on_error=on_error,
            max_line_bytes=max_line_bytes,
        )
    )
