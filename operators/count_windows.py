"""Windows of so many items of a key each, in the order in which they come."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from operators.aggregates import Aggregator
from operators.assigners import Count
from operators.engines import Engine, Results
from reactive.levels import Changes, Kept
from reactive.signals import Chunk
from reactive.windows import EARLIEST, GLOBAL, LATEST, ONLY_PANE, Window, Windowed

_Open: TypeAlias = list[Any]
"""A window that is not full: how many items it has, their earliest and latest time, and the
accumulator."""


class Counts(Engine):
    """The windows of all keys that are not full: for each key, the oldest first, and how many
    items are still to come before the next one begins."""

    uses_time = False

    def __init__(
        self,
        windows: Count,
        key: Callable[[Any], Any] | None,
        aggregator: Aggregator[Any, Any, Any],
    ) -> None:
        self._count = windows.count
        self._every = windows.every or windows.count
        self._key = key
        self._aggregator = aggregator
        self._live = self.held()

    def take(self, chunk: Chunk[Any], out: Results) -> None:
        key, add, live = self._key, self._aggregator.add, self._live
        times = [None] * len(chunk.items) if chunk.times is None else chunk.times
        for item, time in zip(chunk.items, times, strict=True):
            of = None if key is None else key(item)
            wait, windows = live.get(of) or live.recall(of, (0, []))
            if wait == 0:
                windows.append([0, LATEST, EARLIEST, self._aggregator.create()])
                wait = self._every
            live[of] = wait - 1, windows
            for window in windows:
                window[0] += 1
                window[3] = add(window[3], item)
                if time is not None:
                    window[1] = min(window[1], time)
                    window[2] = max(window[2], time)
            if windows[0][0] == self._count:
                self._give(of, windows.pop(0), out)
                if not windows:
                    live.forget(of)

    def _give(self, key: Any, window: _Open, out: Results) -> None:
        _, first, last, held = window
        span = GLOBAL if first == LATEST else Window(first, last + 1)
        result = Windowed(key, span, self._aggregator.result(held), ONLY_PANE)
        out.add(result, max(last, self.watermark))

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        self.watermark = watermark
        return iter(())

    def on_end(self, out: Results) -> Iterator[int]:
        yield from self._live.settle()
        for key, (_, windows) in self._live.everything():
            for window in windows:
                self._give(key, window, out)
            yield 1
        yield from self._live.free()

    def live(self) -> int:
        return sum(len(windows) for _, (_, windows) in self._live.everything())

    def snapshot(self) -> Any:
        return self.watermark, pickle.dumps(dict(self._live.everything()))

    def changes(self) -> Changes:
        self._live, pieces = self._live.freeze()
        return Changes(self.watermark, {"windows": pieces})

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            self.watermark = state.shared
            self._live = self.held(state.sections["windows"])
        else:
            self.watermark, held = state
            self._live = self.held(pickle.loads(held), changed=True)
