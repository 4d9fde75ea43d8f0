"""Asking a server: the session of one reader or writer, one attempt, and the attempts after it."""

from __future__ import annotations

import asyncio
import io
import math
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from connectors.compression import Decompressor, zstd_module
from connectors.extras import import_extra, load_extra
from connectors.http_messages import (
    HttpError,
    HttpStatusError,
    Response,
    check_url,
    content_type,
    http_date,
    join_headers,
    origin,
    retry_after_seconds,
    shown_url,
    start_of,
    with_query,
)
from connectors.sockets import TLS, let_transports_close, reason, tls_context
from reactive.backoff import Backoff
from reactive.context import Context
from reactive.errors import ConnectorError, DecodeError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

BLOCK = 1 << 16
TIMEOUT = 30.0
MAX_BODY = 16 << 20

SUCCESS = range(200, 300)
NOT_MODIFIED = 304

_START = 2048
_WRITE_AT_ONCE = 1 << 20
_PRIVATE_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


class ClientParameters(TypedDict, total=False):
    """The parameters that all client functions of `connectors.http` share; explained there."""

    headers: Mapping[str, str]
    params: Mapping[str, object]
    timeout: float
    tls: TLS | None
    session: aiohttp.ClientSession | None


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """How to ask, whatever is asked for."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = TIMEOUT
    tls: TLS | None = None
    session: aiohttp.ClientSession | None = None
    retry: Backoff | None = None


def client_options(
    name: str, url: str, retry: Backoff | None, parameters: ClientParameters
) -> ClientOptions:
    """The options that a facade function was given; refuses what cannot work."""
    known = ClientParameters.__optional_keys__
    if unknown := set(parameters) - known:
        raise TypeError(
            f"{name}() got an unexpected keyword argument {unknown.pop()!r}; beside its own it "
            f"takes {', '.join(sorted(known))}"
        )
    timeout = parameters.get("timeout", TIMEOUT)
    if timeout <= 0:
        raise ValueError(f"{name}: timeout must be above 0 seconds, not {timeout:g}")
    return ClientOptions(
        url=with_query(check_url(name, url), parameters.get("params", {})),
        headers=dict(parameters.get("headers", {})),
        timeout=timeout,
        tls=parameters.get("tls"),
        session=parameters.get("session"),
        retry=retry,
    )


@dataclass(frozen=True)
class Request:
    """What to send, and which statuses are no error.

    `silence` bounds the waits within the body of the answer in place of the client's timeout.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    expected: Collection[int] = SUCCESS
    silence: float | None = None


class Client:
    """The session of one reader or writer, or the user's own, which it never closes."""

    def __init__(self, options: ClientOptions, context: Context) -> None:
        self.context = context
        self._options = options
        self._origin = origin(options.url)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._aiohttp: Any = None
        self._encodings = "gzip"

    async def open(self) -> None:
        """Get the session; raises `ConnectorError` without the extra `http`."""
        options = self._options
        self._aiohttp = aiohttp = await load_extra("aiohttp", "http", self.context.name)
        self._tls = tls_context(options.tls)
        try:
            zstd_module()
        except ConnectorError:
            pass
        else:
            self._encodings = "gzip, zstd"
        if options.session is not None:
            self._session = options.session
        else:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector)

    async def close(self) -> None:
        """Close the session, if it is our own, with its connections."""
        session, self._session = self._session, None
        if session is not None and session is not self._options.session:
            await session.close()
            await let_transports_close()

    @asynccontextmanager
    async def ask(self, request: Request) -> AsyncIterator[Answer]:
        """As `begin`; the answer is released at the end of the block."""
        answer = await self.begin(request)
        try:
            yield answer
        finally:
            answer.release()

    async def begin(self, request: Request) -> Answer:
        """One attempt: send a request and give the answer, whose body was not read yet.

        The caller releases it. Raises `HttpStatusError` for a status that was not expected, and
        `HttpError` when there is no answer. A body goes only where it was meant to go: requests
        with `data` follow no redirects.
        """
        session = self._session
        assert session is not None
        url, data = request.url, request.data
        timeout = self._options.timeout
        silence = timeout if request.silence is None else request.silence
        limits = self._aiohttp.ClientTimeout(
            total=None, sock_read=None if math.isinf(silence) else silence
        )
        try:
            async with asyncio.timeout(timeout):
                received = await session.request(
                    request.method,
                    url,
                    headers=self._headers(url, request.headers),
                    data=data if data is None or len(data) <= _WRITE_AT_ONCE else io.BytesIO(data),
                    allow_redirects=data is None,
                    timeout=limits,
                    auto_decompress=False,
                    ssl=True if self._tls is None else self._tls,
                )
        except (self._aiohttp.ClientError, OSError) as error:
            raise self._no_answer(url, error) from error
        answer = Answer(received, url, silence, self._aiohttp)
        if received.status in request.expected:
            return answer
        try:
            raise await answer.refusal()
        finally:
            answer.release()

    async def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_body: int = MAX_BODY,
    ) -> Response:
        """A whole answer, which may be 304; tried again as `retry` says."""

        request = Request(url, headers=headers or {}, expected=(*SUCCESS, 304))

        async def attempt() -> Response:
            async with self.ask(request) as answer:
                body = await answer.whole(max_body)
                return Response(answer.url, answer.status, answer.headers, body)

        return await self.retrying(attempt)

    def same(self, one: str, other: str) -> bool:
        """Whether two addresses, however they are quoted, lead to the same request."""
        url = import_extra("yarl", "http", self.context.name).URL
        return bool(url(one).with_fragment(None) == url(other).with_fragment(None))

    async def retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it succeeds, fails for good, or the backoff has no more waits."""
        retry = self._options.retry
        delays = iter(()) if retry is None else retry.delays()
        tries = 1
        while True:
            try:
                return await attempt()
            except HttpError as error:
                delay = next(delays, None) if error.retriable else None
                if delay is None:
                    if tries > 1:
                        error.add_note(f"gave up after {tries} attempts")
                    raise
                tries += 1
                await self.pause(error, delay)

    async def pause(self, error: HttpError, delay: float, level: str = "warning") -> None:
        """Wait before the next attempt, at least as long as the server asked for."""
        delay = max(delay, error.retry_after or 0.0)
        self.context.meter.count("retries")
        log_event(
            level,
            "http_request_failed",
            operator=self.context.name,
            error=str(error),
            next_attempt_in_seconds=round(delay, 3),
        )
        await asyncio.sleep(delay)

    def _headers(self, url: str, extra: Mapping[str, str]) -> dict[str, str]:
        headers = {"Accept-Encoding": self._encodings, **self._options.headers}
        if origin(url) != self._origin:
            # Where a server's link leads is its choice, who may see our credentials is not.
            headers = {k: v for k, v in headers.items() if k.lower() not in _PRIVATE_HEADERS}
        return {**headers, **extra}

    def _no_answer(self, url: str, error: Any) -> HttpError:
        aiohttp = self._aiohttp
        retriable = True
        if isinstance(error, TimeoutError):
            why = f"no answer within {self._options.timeout:g} s"
        elif isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
            inner = getattr(error, "certificate_error", None) or error.__cause__ or error
            why, retriable = f"the TLS handshake failed: {reason(inner)}", False
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            why = f"cannot resolve the host: {reason(error.os_error)}"
        elif isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno
            why = f"cannot connect: {os.strerror(number) if number else reason(error.os_error)}"
        elif isinstance(error, aiohttp.ServerDisconnectedError):
            why = "the server closed the connection without an answer"
        elif isinstance(error, OSError):
            why = f"the connection broke before an answer: {reason(error)}"
        elif isinstance(error, aiohttp.TooManyRedirects):
            why, retriable = "redirected in a circle", False
        elif isinstance(error, aiohttp.InvalidURL):
            why, retriable = f"redirected to what is no address: {error}", False
        elif isinstance(error, aiohttp.ClientConnectionError):
            why = f"the connection broke before an answer: {error}"
        else:
            message = getattr(error, "message", "") or str(error) or type(error).__name__
            why, retriable = f"the answer is not HTTP as it should be: {message}", False
        return HttpError(f"{shown_url(url)}: {why}", url=url, retriable=retriable)


class Answer:
    """A status and headers, with a body that is read block by block as it comes.

    Reading pauses the connection when nobody reads: the server feels the backpressure.
    """

    def __init__(self, received: aiohttp.ClientResponse, url: str, silence: float, module: Any):
        self._received = received
        self._silence = silence
        self._aiohttp = module
        self._asked = url
        self._given = 0
        self._failure: Exception | None = None
        self._decompressor: Decompressor | None = None
        self.status = received.status
        self.url = str(received.url)
        self.headers = join_headers(received.headers.items())
        self.media_type, self.charset = content_type(self.headers.get("content-type", ""))

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return shown_url(self._asked)

    async def read(self) -> bytes:
        """The next block of the body, its Content-Encoding undone; empty at the end.

        Raises `HttpError` where the connection breaks, `DecodeError` for a damaged or cut off
        encoding; what came before was given before. Cancelling loses nothing.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if self._decompressor is None and encoding not in ("", "identity"):
            self._decompressor = self._decompressor_of(encoding)
        decompressor = self._decompressor
        if decompressor is None:
            return await self._receive()
        try:
            while not (block := decompressor.read(BLOCK)):
                raw = await self._receive()
                if not raw:
                    decompressor.end()
                    return b""
                decompressor.feed(raw)
        except DecodeError as error:
            raise type(error)(f"{self.name}: {error}") from error
        return block

    async def whole(self, max_body: int) -> bytes:
        """All of the body; `HttpError` if it has more than `max_body` bytes."""
        body = bytearray()
        while block := await self.read():
            body += block
            if len(body) > max_body:
                raise HttpError(
                    f"{self.name}: the body has more than max_body={max_body} bytes; raise "
                    "max_body, or read it as a stream with get_lines, get_jsonl or get_bytes",
                    url=self._asked,
                )
        return bytes(body)

    async def refusal(self) -> HttpStatusError:
        """The error that this answer's status is, with the start of what the server said."""
        body = bytearray()
        try:
            while len(body) < _START and (block := await self.read()):
                body += block
        except (HttpError, DecodeError):
            # The status says what matters; its explanation may be cut short.
            pass
        start = bytes(body[:_START])
        now = http_date(self.headers.get("date"))
        wait = retry_after_seconds(
            self.headers.get("retry-after"), time.time() if now is None else now
        )
        target = self.headers.get("location")
        moved = f", it has moved to {shown_url(target)}: use that" if target is not None else ""
        received = self._received
        return HttpStatusError(
            f"{self.name}: {received.method} was answered with {self.status} {received.reason}"
            f"{moved}; the body says {start_of(start)}",
            url=self._asked,
            status=self.status,
            body=start,
            retry_after=wait,
        )

    def release(self) -> None:
        """Let go of the connection: back to the session if the body was read, closed if not."""
        self._received.release()

    def _decompressor_of(self, encoding: str) -> Decompressor:
        if encoding in ("gzip", "x-gzip"):
            return Decompressor("gzip")
        if encoding == "zstd":
            return Decompressor("zstd")
        raise HttpError(
            f"{self.name}: the body is encoded as {encoding!r}, which nobody asked for; gzip and "
            "zstd are understood",
            url=self._asked,
        )

    async def _receive(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        content = self._received.content
        try:
            data = await content.readany()
        except (self._aiohttp.ClientError, OSError) as error:
            # aiohttp raises at once and keeps to itself what it had received before.
            content._exception = None
            data = content.read_nowait()
            self._given += len(data)
            self._failure = self._broken(error)
            self._failure.__cause__ = error
            if not data:
                raise self._failure from error
        else:
            self._given += len(data)
        return data

    def _broken(self, error: Exception) -> HttpError:
        if isinstance(error, TimeoutError):
            why = f"nothing came for {self._silence:g} s"
        elif isinstance(error.__cause__ or error, OSError):
            why = f"the connection broke: {reason(error.__cause__ or error)}"
        else:
            why = "the connection ended early"
        return HttpError(
            f"{self.name}: the body broke off after {self._given} bytes: {why}",
            url=self._asked,
            retriable=True,
        )
