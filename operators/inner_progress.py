"""When control signals may pass inner streams that run: watermarks, and being idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from reactive.signals import IDLE, Control, Idle, Watermark

_HELD_WATERMARKS = 64


class Progress:
    """Which watermarks of an outer stream and of the inner ones made of it may pass, and when
    they are all idle.

    An inner stream holds back what the outer one says while it runs, since it gives items as
    early as the one it was made of; once it gives watermarks of its own, only as far as those
    are behind. The watermarks of the outer stream pass one by one, as they came. An outer stream
    that never gave one holds back nothing. With `sequential`, the outer stream is not read while
    an inner one runs, so that an idle inner stream is all there is.
    """

    def __init__(self, give: Callable[[Control], None], sequential: bool = False) -> None:
        self._give = give
        self.sequential = sequential
        self._used = False
        self._outer: int | None = None
        self._outer_timed = False
        self._outer_quiet: Idle | None = None
        self._outer_ended = False
        self._held: deque[Watermark] = deque()
        self._lows: dict[object, int | None] = {}
        self._idle: dict[object, int | None] = {}
        self._unknown = 0
        self._heap: list[tuple[int, int, object]] = []
        self._said: int | None = None
        self._said_idle = False

    def snapshot(self) -> int | None:
        """The last watermark of the outer stream, when no inner one runs."""
        return self._outer

    def restore(self, state: int | None) -> None:
        """Continue from a snapshot."""
        self._outer = self._said = state
        self._used = state is not None

    def outer_gave(self, control: Control) -> None:
        """The outer stream gave a watermark, or is idle."""
        self._used = True
        self._outer_quiet = control if type(control) is Idle else None
        if self._outer_quiet is not None:
            # Said again, it is told again: whoever put it there waits for it to come through.
            self._said_idle = False
        if type(control) is Watermark:
            self._outer = control.time
            self._held.append(control)
            if len(self._held) > _HELD_WATERMARKS:
                self._held.popleft()
        self._advance()

    def outer_gave_items(self, timed: bool) -> None:
        """The outer stream is not idle."""
        self._outer_quiet, self._said_idle = None, False
        self._outer_timed = self._outer_timed or timed

    def outer_ended(self) -> None:
        """The outer stream holds back nothing any more."""
        self._outer_ended = True
        self._advance()

    def began(self, inner: object) -> None:
        """An inner stream of an outer item begins."""
        self._set(inner, self._outer)

    def inner_gave(self, inner: object, control: Control) -> None:
        """An inner stream gave a watermark of its own, or is idle."""
        self._used = True
        if type(control) is Watermark:
            self._idle.pop(inner, None)
            self._unset(inner)
            self._set(inner, control.time)
        elif inner not in self._idle:
            self._idle[inner] = self._unset(inner)
        self._advance()

    def inner_gave_items(self, inner: object) -> None:
        """An inner stream is not idle."""
        self._said_idle = False
        if self._idle and inner in self._idle:
            self._set(inner, self._idle.pop(inner))

    def ended(self, inner: object) -> None:
        """An inner stream ended."""
        if self._idle:
            self._idle.pop(inner, None)
        self._unset(inner)
        if self._used:
            self._advance()

    def _set(self, inner: object, low: int | None) -> None:
        self._lows[inner] = low
        if low is None:
            self._unknown += 1
            return
        if len(self._heap) > 2 * len(self._lows) + _HELD_WATERMARKS:
            known = self._lows.items()
            self._heap = [(time, id(key), key) for key, time in known if time is not None]
            heapify(self._heap)
        else:
            heappush(self._heap, (low, id(inner), inner))

    def _unset(self, inner: object) -> int | None:
        if inner not in self._lows:
            return None
        low = self._lows.pop(inner)
        self._unknown -= low is None
        return low

    def _lowest(self) -> int | None:
        """The least of what the inner streams that are not idle hold back to."""
        heap = self._heap
        while heap and self._lows.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def _advance(self) -> None:
        """Give what may pass now."""
        if not self._used:
            return
        quiet = self._outer_quiet is not None or self._outer_ended
        awaited = self._outer_timed and self._outer is None and not quiet
        if not self._unknown and not awaited:
            low = self._lowest()
            if self._outer is not None and (low is None or (not quiet and self._outer < low)):
                low = self._outer
            if low is not None:
                while self._held and self._held[0].time <= low:
                    self._say(self._held.popleft())
                self._say(Watermark(low))
        if self._lows or self._said_idle:
            return
        if self._outer_quiet or (self._idle and (self._outer_ended or self.sequential)):
            self._said_idle = True
            self._give(self._outer_quiet or IDLE)

    def _say(self, watermark: Watermark) -> None:
        if self._said is None or watermark.time > self._said:
            self._said = watermark.time
            self._said_idle = False
            self._give(watermark)
