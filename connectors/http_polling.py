"""Asking again and again: an address at intervals, and pages until there is no next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urljoin

from connectors.http_client import NOT_MODIFIED
from connectors.http_messages import HttpError, Response, check_url, shown_url, with_query
from connectors.http_reading import HttpReader, HttpSource
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

Next: TypeAlias = Callable[[Response], str | None]
"""Finds the address of what comes after a response, which may be relative to it."""


def next_link(response: Response) -> str | None:
    """The `next` page that the `Link` header names (RFC 8288); None on the last page."""
    return response.link("next")


@dataclass(frozen=True)
class Cursor:
    """See `http.cursor`."""

    field: str
    parameter: str
    items: str | None

    def __call__(self, response: Response) -> str | None:
        document = response.json()
        if self.items is not None and not _dig(document, self.items):
            return None
        value = _dig(document, self.field)
        if value is None or value is False or value == "":
            return None
        return with_query(response.url, {self.parameter: value})


def _dig(document: Any, path: str) -> Any:
    """What lies at a path such as `meta.next` of a JSON document; None if nothing does."""
    for name in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


@dataclass(frozen=True, slots=True)
class PollPosition:
    """What to ask for next, and what the server said of the version that was seen last."""

    url: str | None
    etag: str | None = None
    last_modified: str | None = None


def _checked(position: Any) -> PollPosition:
    if not isinstance(position, PollPosition):
        raise ValueError(f"{position!r} is no position of a poll")
    return position


@dataclass(frozen=True, kw_only=True)
class Poll(HttpSource[Response]):
    """See `http.poll`."""

    every: float
    next: Next | None
    max_body: int

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise ValueError(f"{self.label}: every must be above 0 seconds, not {self.every:g}")
        if self.max_body < 1:
            raise ValueError(f"{self.label}: max_body must be at least 1 byte")

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "http.poll"

    def details(self) -> dict[str, object]:
        return {**super().details(), "every": f"{self.every:g} s"}

    def reader(self, context: Context) -> PollReader:
        return PollReader(self, context)


class PollReader(HttpReader[Response]):
    """Asks at intervals; what has not changed is not given again."""

    def __init__(self, source: Poll, context: Context) -> None:
        super().__init__(source.options, context)
        self._source = source
        self._position = PollPosition(source.options.url)
        self._due = 0.0

    async def read(self, limit: int) -> Chunk[Response] | None:
        while not self.stopping:
            response = await self.until_stopped(self._ask())
            if response is not None:
                return Chunk([response])
        return None

    async def _ask(self) -> Response | None:
        """Wait until it is time, ask, and move on; None when nothing is new."""
        loop = asyncio.get_running_loop()
        if (wait := self._due - loop.time()) > 0:
            await asyncio.sleep(wait)
        position = self._position
        assert position.url is not None
        conditions: dict[str, str] = {}
        if position.etag is not None:
            conditions["If-None-Match"] = position.etag
        if position.last_modified is not None:
            conditions["If-Modified-Since"] = position.last_modified
        begun = loop.time()
        source = self._source
        response = await self.client.fetch(
            position.url, headers=conditions, max_body=source.max_body
        )
        if response.status == NOT_MODIFIED:
            self._due = begun + source.every
            return None
        following = None if source.next is None else _following(source.next, response)
        if following is not None and not self.client.same(following, position.url):
            self._position = PollPosition(following)
            self._due = begun
        else:
            headers = response.headers
            self._position = PollPosition(
                position.url, headers.get("etag"), headers.get("last-modified")
            )
            self._due = begun + source.every
        return response

    def position(self) -> PollPosition:
        return self._position

    async def seek(self, position: Any) -> None:
        self._position = _checked(position)


@dataclass(frozen=True, kw_only=True)
class Pages(HttpSource[Response]):
    """See `http.pages`."""

    next: Next
    max_body: int

    def __post_init__(self) -> None:
        if self.max_body < 1:
            raise ValueError(f"{self.label}: max_body must be at least 1 byte")

    @property
    def bounded(self) -> bool:
        return True

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "http.pages"

    def reader(self, context: Context) -> PagesReader:
        return PagesReader(self, context)


class PagesReader(HttpReader[Response]):
    """Follows a chain of pages to its end."""

    def __init__(self, source: Pages, context: Context) -> None:
        super().__init__(source.options, context)
        self._source = source
        self._position = PollPosition(source.options.url)

    async def read(self, limit: int) -> Chunk[Response] | None:
        url = self._position.url
        if url is None or self.stopping:
            return None
        page = await self.until_stopped(self.client.fetch(url, max_body=self._source.max_body))
        if page is None:
            return None
        following = _following(self._source.next, page)
        if following is not None and self.client.same(following, url):
            raise HttpError(
                f"{shown_url(url)}: names itself as its own next page, which would never end; "
                "give a next= that finds the right one",
                url=url,
            )
        self._position = PollPosition(following)
        return Chunk([page])

    def position(self) -> PollPosition:
        return self._position

    async def seek(self, position: Any) -> None:
        self._position = _checked(position)


def _following(find: Next, response: Response) -> str | None:
    """The address of what comes after a response, made absolute."""
    target = find(response)
    if target is None:
        return None
    if not isinstance(target, str):
        raise TypeError(f"next= has to give an address or None, not {target!r}")
    url = urljoin(response.url, target)
    try:
        return check_url("next", url)
    except ValueError as error:
        raise HttpError(
            f"{shown_url(response.url)}: names {target!r} as what comes next, which is no address",
            url=response.url,
        ) from error
