"""What HTTP says beside its bodies: addresses, headers, responses, errors; free of any I/O."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import orjson

from reactive.errors import ConnectorError, DecodeError
from reactive.fast_dataclasses import dataclass

RETRIABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

_LONGEST_WAIT = 86_400.0
_SHOWN_BYTES = 300


class HttpError(ConnectorError):
    """A request failed. `retriable` is whether the same request may succeed later."""

    def __init__(self, message: str, *, url: str = "", retriable: bool = False) -> None:
        super().__init__(message)
        self.url = url
        self.retriable = retriable
        self.retry_after: float | None = None


class HttpStatusError(HttpError):
    """The server answered, with a status that is no success.

    `body` holds the start of what it said, `retry_after` the seconds it asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int = 0,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, url=url, retriable=status in RETRIABLE_STATUSES)
        self.status = status
        self.body = body
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `url` is where it came from, after redirects; header names are in lower
    case, and what came in several headers of one name is joined with commas."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; `DecodeError` if it is not."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise DecodeError(
                f"{shown_url(self.url)}: the body is not JSON ({error}); it starts with "
                f"{start_of(self.body)}"
            ) from error

    def text(self) -> str:
        """The body as text, in the charset that the server names or UTF-8."""
        charset = content_type(self.headers.get("content-type", ""))[1] or "utf-8"
        try:
            return self.body.decode(charset)
        except (UnicodeDecodeError, LookupError) as error:
            raise DecodeError(
                f"{shown_url(self.url)}: the body is not {charset} text ({error})"
            ) from error

    def link(self, relation: str) -> str | None:
        """The address that the `Link` header gives for a relation (RFC 8288), made absolute."""
        target = link_target(self.headers.get("link", ""), relation)
        return None if target is None else urljoin(self.url, target)


def check_url(name: str, url: str) -> str:
    """Refuse what cannot be asked, where the pipeline is described."""
    if not isinstance(url, str):
        raise TypeError(f"{name}: the url must be a string, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{name}: {url!r} is not an address such as 'https://example.com/path'")
    return url


def with_query(url: str, parameters: Mapping[str, object]) -> str:
    """The address with these query parameters, in place of those of the same names."""
    if not parameters:
        return url
    parts = urlsplit(url)
    kept = [
        part
        for part in parts.query.split("&")
        if part and part.partition("=")[0] not in map(str, parameters)
    ]
    query = "&".join([*kept, urlencode({key: str(value) for key, value in parameters.items()})])
    return urlunsplit(parts._replace(query=query))


def origin(url: str) -> tuple[str, str | None, int | None]:
    """What has to be the same for two addresses to be of one site."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def shown_url(url: str) -> str:
    """An address for messages, without a password in it."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def start_of(body: bytes) -> str:
    """The start of a body for messages, on one line."""
    text = body[:_SHOWN_BYTES].decode("utf-8", "replace")
    shown = " ".join(text.split())
    return repr(shown + ("..." if len(body) > _SHOWN_BYTES else "")) if shown else "nothing"


def join_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers as a dictionary: names in lower case, several values of one name joined."""
    headers: dict[str, str] = {}
    for raw_name, value in pairs:
        name = raw_name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def content_type(header: str) -> tuple[str, str | None]:
    """The media type, in lower case, and the charset of a Content-Type."""
    kind, _, parameters = header.partition(";")
    if not parameters:
        return kind.strip().lower(), None
    found = re.search(r"""(?:^|;)\s*charset\s*=\s*"?([^\s;"]+)""", parameters, re.IGNORECASE)
    return kind.strip().lower(), found[1].lower() if found else None


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The wait that a Retry-After asks for, given as seconds or as a date; None if it is neither.

    `now` is seconds since the Unix epoch, best by the server's own `Date`. More than a day is
    taken for a day.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT)
    date = http_date(text)
    return None if date is None else min(max(0.0, date - now), _LONGEST_WAIT)


def http_date(value: str | None) -> float | None:
    """A date of a header as seconds since the Unix epoch; None if it is none."""
    if value is None:
        return None
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


_LINK_PARAMETER = re.compile(r"""\s*;\s*([^\s=;,"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?""")
_LINK_START = re.compile(r"[\s,]*<([^>]*)>")


def link_target(header: str, relation: str) -> str | None:
    """The first target with this relation in a Link header (RFC 8288), as it stands there.

    Links about another context (`anchor`) are passed over.
    """
    at = 0
    while (start := _LINK_START.match(header, at)) is not None:
        at = start.end()
        parameters: dict[str, str] = {}
        while (found := _LINK_PARAMETER.match(header, at)) is not None:
            at = found.end()
            value = found[2] or ""
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            parameters.setdefault(found[1].lower(), value)
        relations = parameters.get("rel", "").lower().split()
        if relation.lower() in relations and "anchor" not in parameters:
            return start[1].strip()
        comma = header.find(",", at)
        if comma < 0:
            return None
        at = comma
    return None
