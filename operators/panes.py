"""All kinds of windows, triggers and lateness: what each window holds, when it gives a result,
and when it is forgotten."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any, Literal, TypeAlias

from operators.aggregates import Aggregator, NoResult
from operators.assigners import Count, WindowAssigner, microseconds
from operators.engines import Engine, Refuse, Results
from operators.triggers import Moment, Trigger
from reactive.fast_dataclasses import dataclass
from reactive.levels import Changes, Kept
from reactive.signals import Chunk
from reactive.windows import LATEST, Pane, Timing, Window, Windowed

Accumulation: TypeAlias = Literal["discarding", "accumulating", "retracting"]
Stamp: TypeAlias = Literal["end", "earliest", "latest"]


@dataclass(frozen=True)
class Windowing:
    """How a stream is cut into windows and when they give results."""

    assigner: WindowAssigner | Count
    trigger: Trigger
    accumulation: Accumulation = "discarding"
    allowed_lateness: float = 0.0
    stamp: Stamp = "end"


class Live:
    """What is known of one window of one key. In a merge one of the parts goes on, grown."""

    __slots__ = (
        "accumulator",
        "asked",
        "changed",
        "due",
        "finished",
        "given",
        "gone",
        "key",
        "order",
        "panes",
        "passed",
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
        """Whether items came since the last result."""
        self.finished = False
        """Whether its trigger has finished: it takes no more items."""
        self.panes = 0
        self.passed = False
        """Whether the watermark has passed its end and it was asked for a result then."""
        self.settled = False
        """Whether what it gives is late: the watermark had passed its end before it was opened,
        or when it gave its last result."""
        self.stamp: int | None = None
        self.given: list[Windowed[Any, Any]] = []
        """What has to be taken back with the next result, when retracting."""
        self.asked: float | None = None
        """The time of the clock at which it will be looked at."""
        self.due = LATEST
        """The watermark at which it will be looked at, and its place among those of then."""
        self.order = 0
        self.gone = False
        """Whether it was forgotten or became part of another one."""

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(self.__slots__, state, strict=True):
            setattr(self, name, value)


class Panes(Engine):
    """All live windows of one operator."""

    def __init__(
        self,
        windowing: Windowing,
        key: Callable[[Any], Any] | None,
        aggregator: Aggregator[Any, Any, Any],
        refuse: Refuse,
        clock: Callable[[], float],
    ) -> None:
        assert isinstance(windowing.assigner, WindowAssigner)
        self._assigner = windowing.assigner
        self.uses_time = windowing.assigner.uses_time
        self._merging = windowing.assigner.merging
        self._trigger = windowing.trigger
        self._mode = windowing.accumulation
        self._lateness = microseconds(windowing.allowed_lateness)
        self._stamp = windowing.stamp
        self._key = key
        self._aggregator = aggregator
        self._refuse = refuse
        self._clock = clock
        self._uses_clock = windowing.trigger.uses_clock
        self._now = 0.0
        self._live = self.held()
        self._order = 0
        self._ends: list[tuple[int, int, Live]] = []
        self._alarms: list[tuple[float, int, Live]] = []
        self._stamps: list[tuple[int, int, Live]] = []

    def take(self, chunk: Chunk[Any], out: Results) -> None:
        if self._uses_clock:
            self._now = self._clock()
        times = [0] * len(chunk.items) if chunk.times is None else chunk.times
        key, assign = self._key, self._assigner.assign
        try:
            for item, time in zip(chunk.items, times, strict=True):
                of = None if key is None else key(item)
                why = "outside"
                for window in assign(item, time):
                    live = self._window(of, window)
                    if live is None:
                        why = why and "late"
                    elif live.finished:
                        why = why and "finished"
                    else:
                        why = ""
                        self._add(live, item, time, out)
                if why:
                    self._refuse(item, why)
        finally:
            self._set_deadline()

    def _window(self, key: Any, window: Window) -> Live | None:
        """The live window that an item of a new window goes to; None if that is over."""
        windows: dict[Window, Live] | None = self._live.find(key)
        if windows is None:
            return None if self._expired(window) else self._open(key, window)
        if self._merging:
            return self._among(key, windows, window)
        live = windows.get(window)
        if live is None and not self._expired(window):
            live = self._open(key, window)
        return live

    def _expired(self, window: Window) -> bool:
        return self.watermark == LATEST or window.end + self._lateness <= self.watermark

    def _open(self, key: Any, window: Window) -> Live:
        if window.end <= window.start:
            raise ValueError(f"{self._assigner!r} gave {window!r}, which has no length")
        live = Live(key, window, self._aggregator.create(), self._trigger.begin())
        live.passed = live.settled = window.end <= self.watermark
        windows = self._live.find(key)
        if windows is None:
            windows = self._live[key] = {}
        windows[window] = live
        self._remember(live)
        return live

    def _remember(self, live: Live) -> None:
        """Look at it when the watermark passes its end, and then when it expires."""
        live.due = self._due(live)
        self._order += 1
        live.order = self._order
        heappush(self._ends, (live.due, live.order, live))

    def _due(self, live: Live) -> int:
        end = live.window.end
        return end if end > self.watermark else min(end + self._lateness, LATEST)

    def _among(self, key: Any, windows: dict[Window, Live], window: Window) -> Live | None:
        """The same where windows merge: the live ones become what they do with the new one."""
        found: Live | None = None
        lost = True
        for whole, parts in list(self._assigner.merge(sorted({*windows, window}))):
            held = [part for part in parts if part in windows]
            if window in parts:
                lost = False
                if self._expired(whole):
                    continue
                found = self._merge(windows, whole, held) if held else self._open(key, whole)
            elif list(parts) != [whole]:
                self._merge(windows, whole, held)
        if lost:
            raise ValueError(f"{self._assigner!r} lost {window!r} in merging")
        return found

    def _merge(self, windows: dict[Window, Live], whole: Window, parts: list[Window]) -> Live:
        """Several windows become one, or one grows. That is a new window: its panes are counted
        anew, and what was given of its parts is theirs."""
        if parts == [whole]:
            return windows[whole]
        live, *others = [windows.pop(part) for part in parts]
        held = [live, *others]
        live.state = self._trigger.merge([each.state for each in held])
        live.finished = any(each.finished for each in held)
        for other in others:
            if not live.finished:
                live.accumulator = self._aggregator.merge(live.accumulator, other.accumulator)
            live.changed = live.changed or other.changed
            live.given += other.given
            other.gone = True
            if other.stamp is not None:
                self._note_time(live, other.stamp)
        if live.finished:
            live.accumulator = None
        live.panes = 0
        live.passed = live.settled = whole.end <= self.watermark
        live.window = whole
        windows[whole] = live
        if self._due(live) < live.due:
            # Otherwise it is looked at too early, and then again.
            self._remember(live)
        return live

    def _add(self, live: Live, item: Any, time: int, out: Results) -> None:
        live.accumulator = self._aggregator.add(live.accumulator, item)
        live.changed = True
        if self._stamp != "end" and time >= self.watermark:
            # With an earlier one than the watermark the result would be late.
            self._note_time(live, time)
        moment = self._moment(live)
        live.state = self._trigger.on_item(live.state, moment)
        self._ask(live, moment, out)

    def _moment(self, live: Live) -> Moment:
        return Moment(self.watermark, live.window.end, self._now)

    def _note_time(self, live: Live, time: int) -> None:
        """The time that the result will have, where that is not the end of the window; the
        watermark that is passed on waits for it."""
        better = min if self._stamp == "earliest" else max
        stamp = time if live.stamp is None else better(live.stamp, time)
        if live.stamp is None or stamp < live.stamp:
            self._order += 1
            heappush(self._stamps, (stamp, self._order, live))
        live.stamp = stamp

    def passed(self) -> int:
        # An entry is true or too low: those of windows that have given or grown are put right.
        stamps = self._stamps
        while stamps:
            stamp, order, live = stamps[0]
            if not live.gone and live.stamp is not None and live.stamp <= stamp:
                return min(stamp, self.watermark)
            heappop(stamps)
            if not live.gone and live.stamp is not None:
                heappush(stamps, (live.stamp, order, live))
        return self.watermark

    def _ask(self, live: Live, moment: Moment, out: Results) -> None:
        if self._trigger.ready(live.state, moment):
            self._fire(live, moment, "late", out)
        else:
            self._set_alarm(live)

    def _set_alarm(self, live: Live) -> None:
        if not self._uses_clock:
            return
        time = self._trigger.deadline(live.state)
        if time is not None and (live.asked is None or time < live.asked):
            live.asked = time
            self._order += 1
            heappush(self._alarms, (time, self._order, live))

    def _set_deadline(self) -> None:
        self.deadline = self._alarms[0][0] if self._alarms else None

    def _fire(self, live: Live, moment: Moment, timing: Timing, out: Results) -> None:
        live.state, finished = self._trigger.on_fire(live.state, moment)
        self._give(live, timing, finished or self._expired(live.window), out)
        if finished:
            live.finished = True
            live.accumulator = None
        else:
            self._set_alarm(live)

    def _give(self, live: Live, timing: Timing, last: bool, out: Results) -> None:
        """Give a pane. It is on time if the watermark causes it, and none before it was that."""
        passed = self.watermark >= live.window.end
        if not passed:
            timing = "early"
        elif live.settled:
            timing = "late"
        time = live.window.end - 1 if live.stamp is None else live.stamp
        if self._mode == "retracting":
            for each in live.given:
                pane = Pane(timing, each.pane.index, each.pane.first, False, True)
                out.add(each._replace(pane=pane), time)
            live.given = []
        try:
            value = self._aggregator.result(live.accumulator)
        except NoResult:
            pass
        else:
            pane = Pane(timing, live.panes, live.panes == 0, last)
            result = Windowed(live.key, live.window, value, pane)
            out.add(result, time)
            live.panes += 1
            if self._mode == "retracting":
                live.given = [result]
        live.settled = live.settled or passed
        live.changed = False
        if passed or not self._trigger.at_end:
            # Otherwise a result without new items is to come, which has this time too.
            live.stamp = None
        if self._mode == "discarding":
            live.accumulator = self._aggregator.create()

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        self.watermark = watermark
        if self._uses_clock:
            self._now = self._clock()
        yield from self._complete(watermark, out)
        self._set_deadline()

    def _complete(self, until: int, out: Results) -> Iterator[int]:
        while self._ends and self._ends[0][0] <= until:
            _, order, live = heappop(self._ends)
            if not live.gone and live.order == order:
                self._look(live, out)
            yield 1

    def _look(self, live: Live, out: Results) -> None:
        """The watermark passed its end, or its expiry, or where these were before it grew."""
        self._live.find(live.key)
        if not live.finished and not live.passed and live.window.end <= self.watermark:
            live.passed = True
            moment = self._moment(live)
            if self._trigger.ready(live.state, moment):
                self._fire(live, moment, "on time", out)
        if self._expired(live.window):
            self._forget(live, out)
        else:
            self._remember(live)

    def _forget(self, live: Live, out: Results) -> None:
        """A window is over: what it has not given yet leaves now. Where the clock says when
        results come, the last of them is given again, for only now is it known to be that."""
        again = self._uses_clock and self._mode != "discarding" and not live.settled
        if (live.changed or again) and not live.finished:
            self._give(live, "on time", True, out)
        live.gone = True
        windows = self._live[live.key]
        del windows[live.window]
        if not windows:
            self._live.forget(live.key)

    def on_clock(self, now: float, out: Results) -> None:
        self._now = now
        while self._alarms and self._alarms[0][0] <= now:
            time, _, live = heappop(self._alarms)
            if live.asked == time:
                live.asked = None
            if not live.gone and not live.finished:
                self._live.find(live.key)
                self._ask(live, self._moment(live), out)
        self._set_deadline()

    def on_end(self, out: Results) -> Iterator[int]:
        return self.on_watermark(LATEST, out)

    def live(self) -> int:
        return sum(len(windows) for _, windows in self._live.everything())

    def snapshot(self) -> Any:
        held = dict(self._live.everything())
        return self.watermark, self._order, self._clock(), pickle.dumps(held)

    def changes(self) -> Changes:
        self._live, pieces = self._live.freeze()
        return Changes((self.watermark, self._order, self._clock()), {"windows": pieces})

    def restore(self, state: Any) -> None:
        kept = isinstance(state, Kept)
        if kept:
            self.watermark, self._order, then = state.shared
            held = state.sections["windows"]
        else:
            self.watermark, self._order, then, pickled = state
            held = pickle.loads(pickled)
        self._now = self._clock()
        if self._uses_clock:
            # The clock of another process says nothing to the next one: all is saved anew.
            for live in [live for windows in held.values() for live in windows.values()]:
                live.state = self._trigger.moved(live.state, self._now - then)
                live.asked = None
        self._live = self.held(held, changed=self._uses_clock or not kept)
        self._set_deadline()

    def come(self, held: dict[Window, Live]) -> None:
        for live in held.values():
            heappush(self._ends, (live.due, live.order, live))
            if live.stamp is not None:
                self._order += 1
                heappush(self._stamps, (live.stamp, self._order, live))
            if not live.finished:
                self._set_alarm(live)
