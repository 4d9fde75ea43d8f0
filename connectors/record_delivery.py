"""Parsed records on their way out: good ones as chunks, broken ones as the error policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from connectors.record_parsing import Parsed, Parser, Place
from reactive.policy import bind_policy
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")


class Delivery(Generic[T]):
    """Hands out the records of one piece after another, and knows how far it came.

    A broken record is handled in its place in the order: what came before it has been handed out
    when its error is raised.
    """

    def __init__(self, context: Context, on_error: object) -> None:
        self._context = context
        self._handler = bind_policy(on_error, context)
        self._parser: Parser[T] | None = None
        self._parsed: Parsed[T] = Parsed([], 0)
        self._data = b""
        self._place = Place("")
        self._index = 0
        self._failure = 0
        self._lines_done = 0
        self._lines_ready = 0
        self._ready: list[T] = []
        self._error: Exception | None = None

    def add(self, parser: Parser[T] | None, parsed: Parsed[T], data: bytes, place: Place) -> None:
        """Take the next piece, once everything of the one before was handed out."""
        self._parser, self._parsed, self._data, self._place = parser, parsed, data, place
        self._index = self._failure = self._lines_done = self._lines_ready = 0

    async def take(self, limit: int) -> Chunk[T] | None:
        """Up to `limit` records that are ready, None when there are none."""
        if len(self._ready) < limit and self._error is None and self._collect(limit):
            await self._context.flush()
        out, self._ready = self._ready, []
        if not out and self._error is not None:
            error, self._error = self._error, None
            raise error
        self._lines_done = self._lines_ready
        return Chunk(out) if out else None

    def _collect(self, limit: int) -> bool:
        """Move records to `_ready`; True if some went to a side output."""
        parsed, failures = self._parsed, self._parsed.failures
        handled = False
        while (room := limit - len(self._ready)) > 0:
            whole = len(parsed.items)
            more = self._failure < len(failures)
            stop = failures[self._failure].before if more else whole
            if self._index < stop:
                end = min(stop, self._index + room)
                all_at_once = not self._ready and end - self._index == whole
                taken = parsed.items if all_at_once else parsed.items[self._index : end]
                self._ready = taken if not self._ready else self._ready + taken
                self._index = end
                self._lines_ready = end if parsed.ends is None else parsed.ends[end - 1]
            elif more:
                failure = failures[self._failure]
                if self._handler is None:
                    self._error = failure.error
                    return handled
                self._failure += 1
                self._lines_ready = failure.lines
                handled = True
                try:
                    replacement: Any = self._handler.handle(failure.item, failure.error)
                except Exception as error:
                    self._error = error
                    return handled
                if self._handler.replaces:
                    self._ready = [*self._ready, replacement]
            else:
                self._lines_ready = parsed.lines
                return handled
        return handled

    @property
    def offset(self) -> int:
        """The byte of the file from which reading would have to go on."""
        if self._parser is None or not self._lines_done:
            return self._place.offset
        return self._place.offset + self._parser.lines_offset(self._data, self._lines_done)

    @property
    def line(self) -> int:
        """How many lines of the file come before that byte."""
        return self._place.lines + self._lines_done
