"""Requests in, items out: an ASGI application that feeds the pipeline that runs behind it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import orjson

from connectors.http_bodies import (
    IngestFormat,
    Refusal,
    Unpacker,
    form_of,
    parse_document,
    parse_lines,
    too_large,
)
from connectors.http_commits import (
    REPEATS,
    CommitOptions,
    idempotency_key,
)
from connectors.http_ingest_reading import IngestReader, ingest_reader
from connectors.http_messages import join_headers
from connectors.sockets import check_bounds, describe_bounds
from reactive.endpoint import Source
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


_LARGE = 1 << 15

_READ = {
    name.encode(): name
    for name in ("content-type", "content-encoding", "content-length", "idempotency-key")
}
"""The headers that matter here, as ASGI spells them."""


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What is taken in, and how much of it; `http.ingest` explains each."""

    path: str
    format: IngestFormat
    limit: int
    limit_bytes: int
    max_body: int
    body_timeout: float
    retry_after: float
    commits: CommitOptions | None

    def check(self, name: str) -> None:
        """Refuse what cannot work, when the pipeline is described."""
        check_bounds(
            name,
            limit=self.limit,
            limit_bytes=self.limit_bytes,
            max_body=self.max_body,
            body_timeout=self.body_timeout,
            retry_after=self.retry_after,
        )
        if self.commits is not None:
            self.commits.check(name)
        if not self.path.startswith("/"):
            raise ValueError(f"{name}: path must begin with '/', unlike {self.path!r}")
        if self.format not in get_args(IngestFormat):
            known = ", ".join(map(repr, get_args(IngestFormat)))
            raise ValueError(f"{name}: format must be one of {known}, not {self.format!r}")
        if self.max_body > self.limit_bytes:
            raise ValueError(
                f"{name}: max_body={self.max_body} could never be taken with "
                f"limit_bytes={self.limit_bytes}; raise limit_bytes or lower max_body"
            )

    @property
    def retry_header(self) -> tuple[tuple[str, str], ...]:
        """What says when to try again."""
        return (("retry-after", str(math.ceil(self.retry_after))),)

    def details(self) -> dict[str, object]:
        """For `explain()`."""
        return {
            "path": self.path,
            "format": self.format,
            "max_body": self.max_body,
            **describe_bounds(self.limit, self.limit_bytes),
            **({} if self.commits is None else self.commits.details()),
        }


class Ingest:
    """An ASGI application whose POST requests are the items of `stream`; see `http.ingest`."""

    stream: Stream[Any]

    def __init__(self, options: IngestOptions) -> None:
        self.options = options
        self._reader: IngestReader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def __repr__(self) -> str:
        state = "running" if self._reader is not None else "no pipeline"
        return f"<Ingest {self.options.path} ({self.options.format}): {state}>"

    def attach(self, reader: IngestReader) -> None:
        """A pipeline begins to read. Raises `ConnectorError` if one does already."""
        if self._reader is not None:
            raise ConnectorError(
                f"the ingest at {self.options.path} already has a running pipeline; use its "
                "stream twice within one run to fan out, or make a second ingest"
            )
        self._reader = reader

    def detach(self, reader: IngestReader) -> None:
        """That pipeline reads no more."""
        if self._reader is reader:
            self._reader = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as ASGI servers and frameworks ask it to."""
        kind = scope["type"]
        if kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif kind == "http":
            await self._serve(scope, receive, send)
        else:
            raise ValueError(f"an ingest does not understand the ASGI scope {kind!r}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = self._reader
        try:
            status, document = await self._take(scope, receive)
        except Refusal as refusal:
            status = refusal.status
            document = {"error": str(refusal), **refusal.details}
            headers = refusal.headers
        except Disconnected:
            if reader is not None:
                reader.meter.count("disconnects")
            return
        else:
            headers = ()
        if reader is not None:
            reader.meter.count(f"status_{status}")
        if status == 408 and scope.get("http_version", "1.1").startswith("1"):
            headers = (*headers, ("connection", "close"))
        await _answer(send, status, document, headers)

    async def _take(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        """Hand the items of a request to the pipeline; gives the answer. Raises `Refusal`."""
        options = self.options
        path = _route_path(scope)
        if path != options.path:
            raise Refusal(404, f"there is nothing at {path}; post to {options.path}")
        if scope["method"] != "POST":
            raise Refusal(405, "only POST is understood", headers=(("allow", "POST"),))
        reader = self._reader
        if reader is None or reader.draining:
            raise _unavailable(options)
        headers = join_headers(
            (_READ[name], value.decode("latin-1"))
            for name, value in scope["headers"]
            if name in _READ
        )
        form = form_of(headers.get("content-type", ""), options.format)
        unpacker = Unpacker(headers.get("content-encoding", ""), options.max_body)
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:18]) > options.max_body:
            raise too_large(options.max_body)
        if not reader.room or reader.held_bytes >= options.limit_bytes:
            raise _no_room(options)
        commits = options.commits
        key = None if commits is None else idempotency_key(headers.get("idempotency-key"))
        with Upload(reader) as upload:
            body = await upload.body(receive, unpacker)
            items = await read_items(body, form)
            done = upload.admit(items, key, body)
        if commits is None:
            return 202, {"accepted": len(items)}
        if done is not None:
            await done
        return 200, {"committed": len(items)}


class Disconnected(Exception):
    """The client has gone before its request was whole."""


class Upload:
    """One request on its way in. What it takes of the pipeline's room is given back at the end,
    unless the items were admitted."""

    def __init__(self, reader: IngestReader) -> None:
        self._reader = reader
        self._options = reader.options
        self._bytes = 0

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.held_bytes -= self._bytes

    async def body(self, receive: Receive, unpacker: Unpacker) -> bytes:
        """Receive the body. Raises `Refusal`, or `Disconnected`."""
        reader, options = self._reader, self._options
        timeout = reader.receive()
        try:
            async with timeout:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Disconnected
                    more = message.get("more_body", False)
                    for count in unpacker.feed(message.get("body", b"")):
                        if reader.held_bytes + count > options.limit_bytes:
                            raise _no_room(options)
                        reader.held_bytes += count
                        self._bytes += count
                        if count > _LARGE:
                            await asyncio.sleep(0)
        except TimeoutError:
            if reader.draining:
                raise _unavailable(options) from None
            raise Refusal(
                408, f"the body did not come within {options.body_timeout:g} seconds"
            ) from None
        finally:
            reader.received(timeout)
        return unpacker.whole()

    def admit(self, items: list[Any], key: str | None, body: bytes) -> asyncio.Future[None] | None:
        """Put all items in line, or none; gives what to wait for before the answer, if anything.
        Raises `Refusal`."""
        reader, options = self._reader, self._options
        if reader.draining:
            raise _unavailable(options)
        if len(items) > options.limit:
            raise Refusal(
                413,
                f"the body has {len(items)} items, more than the {options.limit} that are taken "
                "at once; send fewer at a time",
                limit=options.limit,
            )
        if len(items) > reader.room:
            raise _no_room(options)
        if not items:
            return None
        done = reader.admit(items, self._bytes, key, body)
        self._bytes = 0
        return done


async def read_items(body: bytes, form: IngestFormat) -> list[Any]:
    """The items of a body, slice by slice. Raises `Refusal`."""
    if form == "raw":
        return [body]
    if form == "json":
        return parse_document(body)
    items: list[Any] = []
    for part in parse_lines(body):
        if items:
            await asyncio.sleep(0)
        items += part
    return items


@dataclass(frozen=True)
class IngestSource(Source[Any]):
    """The blueprint of an ingest's stream."""

    ingest: Ingest

    @property
    def acknowledges(self) -> bool:
        return self.ingest.options.commits is not None

    @property
    def repeats(self) -> str:
        return REPEATS

    @property
    def replay_fix(self) -> str:
        return f'ack="commit" to it, or {super().replay_fix}'

    @property
    def label(self) -> str:
        return "http.ingest"

    def details(self) -> dict[str, object]:
        return self.ingest.options.details()

    def reader(self, context: Context) -> IngestReader:
        return ingest_reader(self.ingest, context)


def _route_path(scope: Scope) -> str:
    """The path below where this application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return path or "/"


def _unavailable(options: IngestOptions) -> Refusal:
    return Refusal(
        503, "no pipeline is taking items now; try again later", headers=options.retry_header
    )


def _no_room(options: IngestOptions) -> Refusal:
    return Refusal(
        429, "the pipeline has no room now; try again later", headers=options.retry_header
    )


async def _answer(
    send: Send, status: int, document: dict[str, Any], headers: tuple[tuple[str, str], ...]
) -> None:
    body = orjson.dumps(document)
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    fields += ((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    """There is nothing to start or to shut down: pipelines come and go by themselves."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
