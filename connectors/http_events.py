"""Server-Sent Events from a server, across as many connections as it takes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from connectors.http_client import Answer, Request
from connectors.http_messages import HttpError, start_of
from connectors.http_reading import HttpReader, HttpSource
from connectors.server_sent_events import Event, EventDecoder
from reactive.errors import FrameTooLongError
from reactive.fast_dataclasses import dataclass
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

_MEDIA_TYPE = "text/event-stream"
_NO_CONTENT = 204


@dataclass(frozen=True, kw_only=True)
class Events(HttpSource[Event]):
    """See `http.events`."""

    last_event_id: str
    silence: float | None
    max_event: int

    def __post_init__(self) -> None:
        EventDecoder(max_event=self.max_event)
        check_event_id(self.last_event_id)
        if self.silence is not None and self.silence <= 0:
            raise ValueError(f"{self.label}: silence must be above 0 seconds")

    @property
    def replayable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "http.events"

    def reader(self, context: Context) -> EventsReader:
        return EventsReader(self, context)


def check_event_id(value: object) -> str:
    """Refuse what cannot be sent as a Last-Event-ID."""
    if not isinstance(value, str) or set(value) & {"\0", "\r", "\n"}:
        raise ValueError(f"a last event id is one line of text, not {value!r}")
    return value


class EventsReader(HttpReader[Event]):
    """One run's listening, with the reconnections that it takes.

    The id that is asked to go on from is that of the last event decoded; every event decoded
    before a connection broke is delivered before the next attempt.
    """

    def __init__(self, source: Events, context: Context) -> None:
        super().__init__(source.options, context)
        self._source = source
        self._meter = context.meter
        self._decoder = EventDecoder(source.last_event_id, max_event=source.max_event)
        self._pending: deque[Event] = deque()
        self._delivered_id = source.last_event_id
        self._answer: Answer | None = None
        self._delays = self._fresh_delays()
        self._connected_before = False
        self._ended = False

    def _fresh_delays(self) -> Iterator[float]:
        retry = self._source.options.retry
        return iter(()) if retry is None else retry.delays()

    async def read(self, limit: int) -> Chunk[Event] | None:
        while not self._pending:
            if self._ended or self.stopping:
                return None
            await self.until_stopped(self._advance())
        pending = self._pending
        events = [pending.popleft() for _ in range(min(limit, len(pending)))]
        # An id that came without an event counts once all events before it were given.
        self._delivered_id = events[-1].last_event_id if pending else self._decoder.last_event_id
        return Chunk(events)

    async def _advance(self) -> None:
        """Connect, or take the next block of the connection there is."""
        try:
            if self._answer is None:
                await self._connect()
                return
            if (error := self._decoder.error) is not None:
                raise FrameTooLongError(f"{self._answer.name}: {error}") from error
            block = await self._answer.read()
        except HttpError as error:
            await self._lost(error)
            return
        if not block:
            await self._over(self._answer.name)
            return
        # A connection that says something is a good one: the next failure starts afresh.
        self._delays = self._fresh_delays()
        self._pending.extend(self._decoder.feed(block))

    async def _connect(self) -> None:
        headers = {"Accept": _MEDIA_TYPE, "Cache-Control": "no-store"}
        decoder = self._decoder
        if decoder.last_event_id:
            # Header values travel as bytes; an id is UTF-8, whatever HTTP says about headers.
            headers["Last-Event-ID"] = decoder.last_event_id
        silence = self._source.silence
        answer = await self.client.begin(
            Request(
                self._source.options.url,
                headers=headers,
                expected=(200, _NO_CONTENT),
                silence=math.inf if silence is None else silence,
            )
        )
        if answer.status == _NO_CONTENT:
            answer.release()
            self._ended = True
            return
        if answer.media_type != _MEDIA_TYPE:
            try:
                raise HttpError(
                    f"{answer.name}: is no stream of events: its Content-Type is "
                    f"{answer.media_type or 'missing'}, not {_MEDIA_TYPE}; it starts with "
                    f"{start_of(await answer.read())}"
                )
            finally:
                answer.release()
        self._answer = answer
        retry_seconds = decoder.retry_seconds
        self._decoder = EventDecoder(decoder.last_event_id, max_event=self._source.max_event)
        self._decoder.retry_seconds = retry_seconds
        if self._connected_before:
            self._meter.count("reconnects")
        self._connected_before = True

    async def _over(self, name: str) -> None:
        """The server ended the body, which is no fault: it may have to restart, or be done."""
        if self._source.options.retry is None:
            self._ended = True
            return
        await self._lost(HttpError(f"{name}: the server ended the events", retriable=True), "info")

    async def _lost(self, error: HttpError, level: str = "warning") -> None:
        """Wait before the next connection, or raise if there is to be none."""
        connected = self._answer is not None
        if self._answer is not None:
            self._answer.release()
            self._answer = None
        delay = next(self._delays, None) if error.retriable else None
        if delay is None:
            raise error
        asked = self._decoder.retry_seconds
        if asked is not None:
            # The server's own word is enough for the first time; what keeps failing waits longer.
            delay = asked if connected else max(asked, delay)
        await self.client.pause(error, delay, level)

    def position(self) -> str:
        return self._delivered_id

    async def seek(self, position: Any) -> None:
        self._delivered_id = check_event_id(position)
        self._decoder = EventDecoder(position, max_event=self._source.max_event)

    async def close(self) -> None:
        if self._answer is not None:
            self._answer.release()
        await super().close()
