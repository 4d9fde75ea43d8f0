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

The other way round, `ingest` and `listen` take in what clients post, and `serve` serves any ASGI
application beside a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, overload

import orjson

import reactive as rx
from connectors.http_bodies import IngestFormat
from connectors.http_client import MAX_BODY, ClientParameters, client_options
from connectors.http_commits import CommitOptions, TakeOnce
from connectors.http_events import Events
from connectors.http_getting import GetBytes, GetRecords
from connectors.http_ingest import Application, Ingest, IngestOptions, IngestSource
from connectors.http_messages import HttpError, HttpStatusError, Response
from connectors.http_polling import Cursor, Next, Pages, Poll, next_link
from connectors.http_posting import Post, PostFormat, PostKey
from connectors.http_server import (
    GRACE,
    HEADER_TIMEOUT,
    MAX_CONNECTIONS,
    ListenSource,
    Server,
    ServerOptions,
)
from connectors.line_splitting import check_encoding
from connectors.record_parsing import Json, Lines
from connectors.server_sent_events import MAX_EVENT, Event
from connectors.sockets import TLS, Address
from reactive.backoff import Backoff
from reactive.endpoint import Sink, Source
from reactive.graph import stream_of
from reactive.policy import ErrorPolicy
from reactive.stream import Stream

__all__ = [
    "Application",
    "Event",
    "HttpError",
    "HttpStatusError",
    "Ingest",
    "Response",
    "Server",
    "cursor",
    "events",
    "get_bytes",
    "get_jsonl",
    "get_lines",
    "ingest",
    "listen",
    "next_link",
    "pages",
    "poll",
    "post",
    "serve",
]

T = TypeVar("T")

MAX_LINE_BYTES = 1 << 24

SOON = Backoff(initial=0.5, maximum=10.0, attempts=3)
"""For what somebody waits for: three more attempts, within some four seconds."""
LIMIT = 10_000
LIMIT_BYTES = 16 << 20
MAX_POSTED = 1 << 20
BODY_TIMEOUT = 30.0
RETRY_AFTER = 1.0
COMMIT_WITHIN = 0.02
COMMIT_TIMEOUT = 30.0
REMEMBER_KEYS = 3600.0

PATIENT = Backoff(initial=0.5, maximum=30.0, attempts=8)
"""For what must arrive: eight more attempts, within some one and a half minutes."""
FOR_EVER = Backoff(initial=1.0, maximum=60.0)
"""For what has no end: a server that is away for an hour is found again within a minute."""


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


def poll(
    url: str,
    *,
    every: float,
    next: Next | None = None,
    max_body: int = MAX_BODY,
    retry: Backoff | None = FOR_EVER,
    **parameters: Unpack[ClientParameters],
) -> Stream[Response]:
    """Ask for `url` at once and then every `every` seconds; give the answers, each one `Response`.

    Where the server says what version it sent (`ETag`, `Last-Modified`), it is asked for newer
    ones only, and an answer that nothing changed (304) gives nothing; where it does not, put
    `.distinct_until_changed(lambda response: response.body)` after it. One request at a time: a
    slow pipeline or server delays the next. Never completes.

    With `next`, the poll moves along what grows: `next(response)` gives the address of what
    follows, which is asked for at once, or `None` while there is nothing new, so that the same
    address is asked again after `every` seconds; `next_link` and `cursor` are such functions. The
    position is that address with the version seen last. A body above `max_body` bytes raises
    `HttpError`. The default `retry` never gives up on what may pass.

    ```python
    rates = http.poll("https://example.com/rates", every=60).map(lambda response: response.json())
    ```
    """
    options = client_options("http.poll", url, retry, parameters)
    return rx.from_source(Poll(options=options, every=every, next=next, max_body=max_body))


def pages(
    url: str,
    *,
    next: Next = next_link,
    max_body: int = MAX_BODY,
    retry: Backoff | None = SOON,
    **parameters: Unpack[ClientParameters],
) -> Stream[Response]:
    """A paginated answer, each page one `Response`, asked for when the pipeline wants it.

    `next(response)` gives the address of the next page, or `None` after the last, where the
    stream completes. The default follows the `Link` header's `rel="next"` (RFC 8288); see `cursor`
    for cursors in JSON. The position is the address of the next page. A body above `max_body`
    bytes, and a page that names itself as the next, raise `HttpError`.

    ```python
    orders = http.pages("https://example.com/orders").flat_map(lambda page: page.json())
    ```
    """
    options = client_options("http.pages", url, retry, parameters)
    return rx.from_source(Pages(options=options, next=next, max_body=max_body))


def cursor(field: str, *, parameter: str = "cursor", items: str | None = None) -> Next:
    """For `poll` and `pages`: the next address is this one with a cursor from the JSON body.

    `field` is the path of the cursor in the document, such as `"meta.next"`; `parameter` the query
    parameter that takes it. No cursor, `null`, `false` or an empty one means that nothing follows.
    With `items`, the path of the list of items, an empty list means so too: for servers that give
    a new cursor with every answer.

    ```python
    changes = http.poll("https://example.com/changes", every=5, next=http.cursor("meta.next"))
    ```
    """
    return Cursor(field, parameter, items)


def events(
    url: str,
    *,
    last_event_id: str = "",
    silence: float | None = None,
    max_event: int = MAX_EVENT,
    retry: Backoff | None = FOR_EVER,
    **parameters: Unpack[ClientParameters],
) -> Stream[Event]:
    """The Server-Sent Events of `url`, by the WHATWG rules, across reconnections.

    When the connection ends or breaks, it is made again, with the id of the last event as
    `Last-Event-ID`, so that a server that knows its ids leaves out and repeats nothing. The wait
    before is what the server set (`retry:`), or else `retry`'s, which grows while nothing comes.
    `silence` is how many seconds nothing may come, not even a comment, before the connection is
    given up for dead; by default that is never. The position is the last event id.

    Completes when the server answers 204 and, with `retry=None`, when it ends the events. An
    answer of another Content-Type, or with a status that will not pass, raises `HttpError`; an
    event above `max_event` bytes raises `rx.FrameTooLongError`. When the pipeline is slow, the
    connection pauses.

    ```python
    async for event in http.events("https://example.com/ticker"):
        print(event.type, event.data)
    ```
    """
    options = client_options("http.events", url, retry, parameters)
    return rx.from_source(
        Events(options=options, last_event_id=last_event_id, silence=silence, max_event=max_event)
    )


def post(
    url: str,
    *,
    format: PostFormat = "jsonl",
    batch: int | None = None,
    max_body: int = 1 << 20,
    concurrency: int = 1,
    method: str = "POST",
    compression: Literal["gzip"] | None = None,
    default: Callable[[Any], Any] | None = None,
    option: int = 0,
    key: PostKey = None,
    retry: Backoff | None = PATIENT,
    **parameters: Unpack[ClientParameters],
) -> Sink[Any]:
    """Send every item to a server, in requests of up to `batch` items (500) and `max_body` bytes.

    `format` is `"jsonl"` (JSON Lines), `"json"` (an array; the item itself with `batch=1`), both
    encoded by orjson with `default` and `option`, or `"raw"`: an item is bytes and a body of its
    own. An item larger than `max_body` goes alone. What is available goes at once; to wait for
    more, put `.batch(count, within=seconds)` and `.flat_map(list)` before it.
    `compression="gzip"` packs the bodies.

    Backpressures: takes the next items when all requests of the ones before were answered, up to
    `concurrency` of them under way at once; with 1 they arrive in order. Any 2xx is success. What
    may pass is tried again as `retry` says, and as a `Retry-After` asks, so the server may get a
    request twice whose answer was lost: at least once. A redirect is not followed. A request that
    fails for good raises `HttpError` or `HttpStatusError`, once those under way have ended. The
    position is the number of items taken by the server.

    A server that passes over requests whose `Idempotency-Key` it has seen can have every item once,
    with `key`, in a run with checkpoints too:

    - `None`: no key. After a crash the items since the last checkpoint are sent again.
    - A function of an item, with `batch=1`: its key, which has to be text and the same whenever
      the item comes again: an order's number, say. Items are sent as they come.
    - `"epoch"`: the requests of an epoch wait in the checkpoint, up to 64 MiB of them, and are sent
      when it is committed. A crash meanwhile sends the same ones again, with the same keys;
      before, none was sent. Without checkpoints the key tells only another try of a request.

    The server must remember keys for as long as a pipeline may be down. If it does not look at
    them, `"epoch"` is at least once, too, but repeats only what was being committed.

    ```python
    await rx.run(orders.to(http.post("https://example.com/orders", concurrency=4)))
    ```
    """
    if batch is None:
        batch = 1 if format == "raw" or callable(key) else 500
    return Post(
        options=client_options("http.post", url, retry, parameters),
        method=method,
        format=format,
        batch=batch,
        max_body=max_body,
        concurrency=concurrency,
        compression=compression,
        default=default,
        option=option,
        key=key,
    )


def ingest(
    path: str = "/",
    *,
    format: IngestFormat = "json",
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
    max_body: int = MAX_POSTED,
    body_timeout: float = BODY_TIMEOUT,
    retry_after: float = RETRY_AFTER,
    ack: Literal["commit"] | None = None,
    commit_within: float = COMMIT_WITHIN,
    commit_timeout: float = COMMIT_TIMEOUT,
    remember_keys: float = REMEMBER_KEYS,
) -> Ingest:
    """An ASGI application whose POST requests become the items of a stream, `ingest.stream`.

    Mount it into Starlette or FastAPI (`app.mount("/ingest", ingest)`), or run it alone with
    `http.serve(ingest)`; `http.listen` does both in one. Describing it does nothing; requests are
    taken while one pipeline reads the stream, in whatever run.

    `format` says what bodies are. `"json"`: JSON, each element of an array an item and any other
    value one, or JSON Lines where the Content-Type says so (`application/x-ndjson`). `"jsonl"`:
    always JSON Lines. `"raw"`: bytes of any type, each body an item. Any may come with
    `Content-Encoding: gzip`. At most `limit` items and `limit_bytes` bytes of bodies wait for the
    pipeline, the bytes of bodies that are still being received included; `max_body` is the most
    bytes of one, unpacked, and `body_timeout` the most seconds that it may take to arrive. JSON
    Lines are parsed in slices, a JSON document in one: some milliseconds for each MiB, in which
    the event loop does nothing else.

    All items of a request are taken, or none. The answers, with a JSON document that says more:

    - 202: the pipeline has taken the items. A drain (`run.stop()`) delivers them; what happens to
      them later, when the pipeline fails say, the client does not hear of.
    - 200, only with `ack="commit"`: the items are committed at every sink; see below.
    - 400: the body is not what it should be, with the number of the broken line; also gzip that is
      damaged or cut off.
    - 404, 405: another path, another method. 408: the body took too long.
    - 413: more than `max_body` bytes, or more than `limit` items. 415: a Content-Type or
      Content-Encoding that is not understood.
    - 422, only with `ack="commit"`: the `Idempotency-Key` was used for another body.
    - 429: no room now; 503: no pipeline is running, or it is draining. Both with a `Retry-After`
      of `retry_after` seconds, in whole seconds.

    **An answer that is a commit.** With `ack="commit"` the answer is 200, and only once the
    checkpoint that covers all items of the request is durable at every sink; so the run needs
    `checkpoint=`. Requests that wait share a checkpoint, which begins `commit_within` seconds
    after the first of them, or as soon as the one before has ended. Their items count against
    `limit` and `limit_bytes` until they are answered. If there is no commit within
    `commit_timeout` seconds, or the pipeline ends before it, the answer is 503 with
    `"committed": "unknown"`; if the process dies, there is none. Then the client sends the request
    again. Where it had an `Idempotency-Key` header, of up to 255 characters and new for every
    request, the items are there once: keys are part of the checkpoint, for `remember_keys`
    seconds. Without a key they may be there twice. How often items are in the output is thus known
    if the sinks are transactional or idempotent: see `explain()`.

    The stream never completes by itself. It loses nothing that was answered with 202, as long as
    the run is drained and not cancelled, and nothing at all that was answered with 200. A second
    run while one is going raises `rx.ConnectorError`; `ack="commit"` in a run without checkpoints
    `rx.PlanError`.

    ```python
    orders = http.ingest("/orders")
    async with rx.start(orders.stream.to(sink)), http.serve(orders, "127.0.0.1", 8000):
        await stopped.wait()
    ```
    """
    options = IngestOptions(
        path=path,
        format=format,
        limit=limit,
        limit_bytes=limit_bytes,
        max_body=max_body,
        body_timeout=body_timeout,
        retry_after=retry_after,
        commits=_commits("http.ingest", ack, commit_within, commit_timeout, remember_keys),
    )
    options.check("http.ingest")
    described = Ingest(options)
    described.stream = _each_once("http.ingest", IngestSource(described), options)
    return described


def _commits(
    name: str, ack: str | None, within: float, timeout: float, remember: float
) -> CommitOptions | None:
    if ack is None:
        return None
    if ack != "commit":
        raise ValueError(f'{name}: ack is "commit" or None, not {ack!r}')
    return CommitOptions(within=within, timeout=timeout, remember=remember)


def _each_once(name: str, source: Source[Any], options: IngestOptions) -> Stream[Any]:
    stream = rx.from_source(source)
    if options.commits is None:
        return stream
    return stream_of(TakeOnce(f"{name}-keys", options.commits.remember), stream)


def serve(
    application: Application,
    host: str | None = "127.0.0.1",
    port: int = 8000,
    *,
    tls: TLS | None = None,
    max_connections: int = MAX_CONNECTIONS,
    header_timeout: float = HEADER_TIMEOUT,
    grace: float = GRACE,
) -> Server:
    """Serve any ASGI application on the running event loop, with uvicorn, in an `async with` block.

    `host` is a name or an address, `None` for all of this machine; port 0 is any free one; the
    server's `address` and `url` tell. Raises `rx.ConnectorError` where it cannot listen or the
    application's lifespan fails. Connections above `max_connections` are answered with 503. A
    client that does not complete the head of a request within `header_timeout` seconds is hung up
    on. At the end of the block the server stops listening, lets the requests under way end within
    `grace` seconds, and closes everything. No signal handler and no logger is touched.

    ```python
    async with http.serve(application, port=0) as server:
        print(server.url)
    ```
    """
    options = ServerOptions(
        host=host,
        port=port,
        tls=tls,
        max_connections=max_connections,
        header_timeout=header_timeout,
        grace=grace,
    )
    options.check("http.serve")
    return Server(application, options, "http.serve")


def listen(
    host: str | None = "127.0.0.1",
    port: int = 8000,
    *,
    path: str = "/",
    format: IngestFormat = "json",
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
    max_body: int = MAX_POSTED,
    body_timeout: float = BODY_TIMEOUT,
    retry_after: float = RETRY_AFTER,
    ack: Literal["commit"] | None = None,
    commit_within: float = COMMIT_WITHIN,
    commit_timeout: float = COMMIT_TIMEOUT,
    remember_keys: float = REMEMBER_KEYS,
    tls: TLS | None = None,
    max_connections: int = MAX_CONNECTIONS,
    header_timeout: float = HEADER_TIMEOUT,
    grace: float = GRACE,
    on_listening: Callable[[Address], object] | None = None,
) -> Stream[Any]:
    """What clients post to a server of its own: `ingest` and `serve` in one stream.

    Listens as long as the pipeline runs, also while it drains, when requests are answered with
    503. `on_listening` is called with the address once it listens. The rest is as with `ingest`
    and `serve`.

    ```python
    orders = http.listen("127.0.0.1", 8000, path="/orders")
    await rx.run(orders.to(files.write_jsonl("orders.jsonl")))
    ```
    """
    options = IngestOptions(
        path=path,
        format=format,
        limit=limit,
        limit_bytes=limit_bytes,
        max_body=max_body,
        body_timeout=body_timeout,
        retry_after=retry_after,
        commits=_commits("http.listen", ack, commit_within, commit_timeout, remember_keys),
    )
    server = ServerOptions(
        host=host,
        port=port,
        tls=tls,
        max_connections=max_connections,
        header_timeout=header_timeout,
        grace=grace,
    )
    source = ListenSource(ingest=options, server=server, on_listening=on_listening)
    return _each_once("http.listen", source, options)
