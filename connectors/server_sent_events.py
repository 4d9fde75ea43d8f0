"""Server-Sent Events, decoded to the WHATWG rules; free of any I/O."""

from __future__ import annotations

from reactive.errors import FrameTooLongError
from reactive.fast_dataclasses import dataclass

MAX_EVENT = 1 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_RETRY_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    `type` is `"message"` where the server names none. `last_event_id` is what a reconnecting
    client would report after this event; it stays the same until the server sends another `id`.
    """

    type: str
    data: str
    last_event_id: str = ""


class EventDecoder:
    """One connection's decoding. Any cutting of the bytes into blocks gives the same events.

    `last_event_id` and `retry_seconds` are what the server said last, None if it never set a
    reconnection time. An event that is not complete when the bytes end is discarded, as the rules
    want. Text is UTF-8; what is not becomes U+FFFD. After an event above `max_event` bytes,
    `error` is set: the events before it are returned as usual, the next call raises it.

    ```python
    decoder = EventDecoder()
    decoder.feed(b"id: 7\\ndata: one\\n\\n")  # [Event("message", "one", "7")]
    ```
    """

    def __init__(self, last_event_id: str = "", *, max_event: int = MAX_EVENT) -> None:
        if max_event < 1:
            raise ValueError(f"max_event must be at least 1 byte, not {max_event}")
        self.last_event_id = last_event_id
        self.retry_seconds: float | None = None
        self.error: FrameTooLongError | None = None
        self._max_event = max_event
        self._partial = bytearray()
        self._at_start = True
        self._after_return = False
        self._type = ""
        self._data: list[str] = []
        self._next_id = last_event_id
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take a block of bytes; give the events it completes, in order."""
        if self.error is not None:
            raise self.error
        events: list[Event] = []
        if self._after_return and data:
            # A carriage return has already ended its line: its line feed may come as late as this.
            self._after_return = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\r"):
            self._after_return = True
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = data.split(b"\n")
        self._partial += first
        for following in lines:
            line = bytes(self._partial)
            self._partial.clear()
            self._partial += following
            if not self._take(line, events):
                return events
        if self._size + len(self._partial) > self._max_event:
            self._too_long()
        return events

    def _take(self, line: bytes, events: list[Event]) -> bool:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            self._dispatch(events)
            return True
        # Comments keep a connection alive and are no part of an event, but bounded like one.
        kept = 0 if line.startswith(b":") else len(line)
        if self._size + len(line) > self._max_event:
            self._too_long()
            return False
        self._size += kept
        if kept:
            self._field(line)
        return True

    def _field(self, line: bytes) -> None:
        raw_name, _, raw_value = line.partition(b":")
        value = raw_value.removeprefix(b" ").decode("utf-8", "replace")
        match raw_name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._type = value
            case b"id":
                if "\0" not in value:
                    self._next_id = value
            case b"retry":
                if value.isascii() and value.isdigit():
                    # Digits beyond any real wait would pass what a float or a timer can hold.
                    milliseconds = int(value.lstrip("0")[:_LONGEST_RETRY_DIGITS] or "0")
                    self.retry_seconds = milliseconds / 1000
            case _:
                pass

    def _dispatch(self, events: list[Event]) -> None:
        self.last_event_id = self._next_id
        if self._data:
            data = "\n".join(self._data)
            events.append(Event(self._type or "message", data, self.last_event_id))
            self._data.clear()
        self._type = ""
        self._size = 0

    def _too_long(self) -> None:
        self.error = FrameTooLongError(
            f"an event has more than max_event={self._max_event} bytes; raise max_event"
        )
