"""The windows of a run: what each holds, when it gives a result, and when it is forgotten."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Literal, TypeAlias

from operators.aggregates import Aggregator
from operators.assigners import WindowAssigner, microseconds
from operators.triggers import Moment, Trigger
from reactive.windows import EARLIEST, GLOBAL, LATEST, Pane, Window, Windowed

Accumulation: TypeAlias = Literal["discarding", "accumulating", "retracting"]
Stamp: TypeAlias = Literal["end", "earliest", "latest"]
Result: TypeAlias = tuple[Windowed[Any, Any], int]
"""A result with its event time."""


@dataclass(frozen=True)
class Windowing:
    """How a stream is cut into windows and when they give results."""

    assigner: WindowAssigner
    trigger: Trigger
    accumulation: Accumulation = "discarding"
    allowed_lateness: float = 0.0
    stamp: Stamp = "end"


class Live:
    """What is known of one window of one key."""

    __slots__ = (
        "accumulator",
        "changed",
        "finished",
        "given",
        "key",
        "panes",
        "settled",
        "stamp",
        "state",
        "window",
    )

    def __init__(self, key: Any, window: Window, accumulator: Any, state: Any) -> None:
        self.key = key
        self.window = window
        self.accumulator = accumulator
        self.state = state
        self.changed = False
        self.finished = False
        self.panes = 0
        self.settled = False
        self.stamp: int | None = None
        self.given: list[Windowed[Any, Any]] = []

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(self.__slots__, state, strict=True):
            setattr(self, name, value)


class Panes:
    """All live windows of one operator. Times are microseconds, the clock is in seconds."""

    def __init__(
        self, windowing: Windowing, aggregator: Aggregator[Any, Any, Any], now: Callable[[], float]
    ) -> None:
        self._assigner = windowing.assigner
        self._trigger = windowing.trigger
        self._mode = windowing.accumulation
        self._lateness = microseconds(windowing.allowed_lateness)
        self._stamp = windowing.stamp
        self._aggregator = aggregator
        self._now = now
        self.watermark = EARLIEST
        self._ended = False
        self.live: dict[Any, dict[Window, Live]] = {}
        self._ends: list[tuple[int, int, Any, Window]] = []
        self._clock: list[tuple[float, int, Any, Window]] = []
        self._order = 0

    @property
    def deadline(self) -> float | None:
        """When to call `on_clock`."""
        return self._clock[0][0] if self._clock else None

    def add(self, key: Any, item: Any, time: int, out: list[Result]) -> bool:
        """Take an item; False when it came too late for all of its windows."""
        taken = False
        for window in self._assigner.assign(item, time):
            taken |= self._add(key, item, time, window, out)
        return taken

    def _add(self, key: Any, item: Any, time: int, window: Window, out: list[Result]) -> bool:
        windows = self.live.get(key)
        if self._assigner.merging and windows:
            merged = self._merged(windows, window)
            if self._expired(merged[0]):
                return False
            live = self._merge(key, windows, *merged)
        else:
            known = None if windows is None else windows.get(window)
            if known is None and self._expired(window):
                return False
            live = self._open(key, window) if known is None else known
        if live.finished:
            return False
        live.accumulator = self._aggregator.add(live.accumulator, item)
        live.changed = True
        self._note_time(live, time)
        moment = self._moment(live)
        live.state = self._trigger.on_item(live.state, moment)
        self._ask(live, moment, out)
        return True

    def _expired(self, window: Window) -> bool:
        if window.end == LATEST:
            return self._ended
        return window.end + self._lateness <= self.watermark

    def _moment(self, live: Live) -> Moment:
        return Moment(self.watermark, live.window.end, self._now())

    def _open(self, key: Any, window: Window) -> Live:
        live = Live(key, window, self._aggregator.create(), self._trigger.begin())
        self.live.setdefault(key, {})[window] = live
        self._remember(live)
        return live

    def _remember(self, live: Live) -> None:
        """Look at it again when the watermark passes its end, and when it expires."""
        window = live.window
        if window.end == LATEST:
            return
        for time in {window.end, window.end + self._lateness}:
            self._order += 1
            heappush(self._ends, (time, self._order, live.key, window))

    def _merged(self, windows: dict[Window, Live], window: Window) -> tuple[Window, list[Window]]:
        """The window that a new one becomes part of, and the live ones that it replaces."""
        for group in self._assigner.merge(sorted({*windows, window})):
            if window in group:
                start = min(each.start for each in group)
                whole = Window(start, max(each.end for each in group))
                return whole, [each for each in group if each in windows]
        raise ValueError(f"{self._assigner!r} lost {window} in merging")

    def _merge(
        self, key: Any, windows: dict[Window, Live], whole: Window, parts: list[Window]
    ) -> Live:
        if parts == [whole]:
            return windows[whole]
        live = self._open(key, whole)
        if parts:
            held = [windows.pop(part) for part in parts]
            windows[whole] = live
            first, *others = held
            live.accumulator = first.accumulator
            for other in others:
                live.accumulator = self._aggregator.merge(live.accumulator, other.accumulator)
            live.state = self._trigger.merge([each.state for each in held])
            live.changed = any(each.changed for each in held)
            live.finished = any(each.finished for each in held)
            live.given = [given for each in held for given in each.given]
            for each in held:
                if each.stamp is not None:
                    self._note_time(live, each.stamp)
        return live

    def _note_time(self, live: Live, time: int) -> None:
        """The time a result will have, where it is not the end of the window."""
        if self._stamp == "end" or time < self.watermark:
            # An earlier one than the watermark would make the result late.
            return
        better = min if self._stamp == "earliest" else max
        live.stamp = time if live.stamp is None else better(live.stamp, time)

    def _ask(self, live: Live, moment: Moment, out: list[Result]) -> None:
        if self._trigger.ready(live.state, moment):
            self._fire(live, moment, out)
        else:
            self._ask_again(live)

    def _ask_again(self, live: Live) -> None:
        deadline = self._trigger.deadline(live.state)
        if deadline is not None and not live.finished:
            entry = (deadline, self._order, live.key, live.window)
            if not any(each[0] == deadline and each[2:] == entry[2:] for each in self._clock[:1]):
                self._order += 1
                heappush(self._clock, entry)

    def _fire(self, live: Live, moment: Moment, out: list[Result]) -> None:
        live.state, finished = self._trigger.on_fire(live.state, moment)
        last = finished or self._expired(live.window)
        self._give(live, last, out)
        if finished:
            live.finished = True
            live.accumulator = None
        else:
            self._ask_again(live)

    def _give(self, live: Live, last: bool, out: list[Result]) -> None:
        """Give a pane."""
        passed = self.watermark >= live.window.end
        timing: Any = "early" if not passed else "late" if live.settled else "on time"
        live.settled = live.settled or passed
        time = live.stamp
        if time is None:
            time = live.window.end - 1
        if self._mode == "retracting":
            out += [
                (
                    Windowed(
                        each.key,
                        each.window,
                        each.value,
                        Pane(timing, each.pane.index, each.pane.first, False, True),
                    ),
                    time,
                )
                for each in live.given
            ]
        value = self._aggregator.result(live.accumulator)
        result = Windowed(
            live.key, live.window, value, Pane(timing, live.panes, live.panes == 0, last)
        )
        out.append((result, time))
        live.panes += 1
        live.changed = False
        live.stamp = None
        if self._mode == "retracting":
            live.given = [result]
        elif self._mode == "discarding":
            live.accumulator = self._aggregator.create()

    def on_watermark(self, watermark: int) -> Iterator[list[Result]]:
        """The watermark moved: give what that completes, some results at a time."""
        self.watermark = watermark
        while self._ends and self._ends[0][0] <= watermark:
            _, _, key, window = heappop(self._ends)
            live = self.live.get(key, {}).get(window)
            if live is None:
                continue
            out: list[Result] = []
            self._look(live, out)
            if out:
                yield out

    def _look(self, live: Live, out: list[Result]) -> None:
        if not live.finished:
            moment = self._moment(live)
            if self._trigger.ready(live.state, moment):
                self._fire(live, moment, out)
        if self._expired(live.window):
            self._forget(live, out)

    def _forget(self, live: Live, out: list[Result]) -> None:
        """A window is over: what it has not given yet leaves now."""
        if live.changed and not live.finished:
            self._give(live, True, out)
        windows = self.live[live.key]
        del windows[live.window]
        if not windows:
            del self.live[live.key]

    def on_clock(self, now: float, out: list[Result]) -> None:
        """The clock reached the deadline."""
        while self._clock and self._clock[0][0] <= now:
            _, _, key, window = heappop(self._clock)
            live = self.live.get(key, {}).get(window)
            if live is not None and not live.finished:
                self._ask(live, self._moment(live), out)

    def on_end(self) -> Iterator[list[Result]]:
        """No more items: all windows are complete and over."""
        self._ended = True
        yield from self.on_watermark(LATEST)
        for windows in list(self.live.values()):
            for live in list(windows.values()):
                out: list[Result] = []
                if not live.finished and self._trigger.ready(live.state, self._moment(live)):
                    self._fire(live, self._moment(live), out)
                self._forget(live, out)
                if out:
                    yield out

    def snapshot(self) -> Any:
        """A picklable copy of everything held."""
        held = [live for each in self.live.values() for live in each.values()]
        return self.watermark, pickle.dumps(held)

    def restore(self, state: Any) -> None:
        """Go on from a snapshot; deadlines of the clock begin anew."""
        self.watermark, held = state
        for live in pickle.loads(held):
            self.live.setdefault(live.key, {})[live.window] = live
            self._remember(live)
        heapify(self._ends)


def is_global(window: Window) -> bool:
    """Whether a window never ends."""
    return window == GLOBAL
