"""Windows that are the same for all keys and give one result: the fast path.

The state is `{window: {key: accumulator}}`. Where the times of a chunk fall in one window it is
found once, and the loop that adds the items is generated.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from typing import Any

from operators.aggregates import Aggregator
from operators.assigners import Sliding, Tiling
from operators.engines import Engine, Refuse, Results
from operators.window_loops import Cells, TileLoops
from reactive.levels import Changes, Kept, Levels, Pieces
from reactive.signals import Chunk
from reactive.windows import EARLIEST, LATEST, Window

_AT_ONCE = 512
_NONE = Window(0, 0)


class Tiles(Engine):
    """Windows of which each time is in exactly one."""

    def __init__(self, tiling: Tiling, loops: TileLoops, refuse: Refuse) -> None:
        self.uses_time = tiling.uses_time
        self._tiling = tiling
        self._loops = loops
        self._refuse = refuse
        self._windows: dict[Window, Cells] = {}
        self._last = _NONE
        self._next = LATEST

    def take(self, chunk: Chunk[Any], out: Results) -> None:
        times = chunk.times
        if times is None:
            times = [0] * len(chunk.items)
        first, last = chunk.span or (min(times), max(times))
        window = self._last
        if not window.start <= first < window.end:
            window = self._last = self._tiling.window(first)
        if last >= window.end:
            self._loops.add_each(chunk.items, times, self._find, self._refuse)
        elif (cells := self._cells(window)) is not None:
            self._loops.add_all(chunk.items, cells)
        else:
            for item in chunk.items:
                self._refuse(item)

    def _find(self, time: int) -> tuple[int, int, Cells | None]:
        """The span of the window of a time, and what it holds; None if it is over."""
        window = self._tiling.window(time)
        return window.start, window.end, self._cells(window)

    def _cells(self, window: Window) -> Cells | None:
        cells = self._windows.get(window)
        if cells is None and not self._over(window):
            if window.end <= window.start:
                raise ValueError(f"{self._tiling!r} gave {window!r}, which has no length")
            cells = self._windows[window] = self.held()
            self._next = min(self._next, window.end)
        return cells

    def _over(self, window: Window) -> bool:
        return window.end <= self.watermark

    def due(self, watermark: int) -> int:
        return self._tiling.due(watermark)

    def advance(self, watermark: int) -> bool:
        if watermark >= self._next:
            return True
        self.watermark = watermark
        return False

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        self.watermark = watermark
        for window in sorted(window for window in self._windows if window.end <= watermark):
            cells = self._windows.pop(window)
            yield from self._give(window, cells, out)
        self._next = min((window.end for window in self._windows), default=LATEST)

    def _give(self, window: Window, cells: Cells, out: Results) -> Iterator[int]:
        yield from cells.settle()
        pairs = cells.everything()
        while some := self._loops.results(islice(pairs, _AT_ONCE), window):
            out.add_all(some, [window.end - 1] * len(some))
            yield _AT_ONCE
        yield from cells.free()

    def on_end(self, out: Results) -> Iterator[int]:
        return self.on_watermark(LATEST, out)

    def live(self) -> int:
        return sum(cells.count() for cells in self._windows.values())

    def snapshot(self) -> Any:
        windows = {window: dict(cells.everything()) for window, cells in self._windows.items()}
        return self.watermark, pickle.dumps(windows)

    def changes(self) -> Changes:
        sections: dict[str, Pieces] = {}
        for window, cells in self._windows.items():
            self._windows[window], sections[f"{window.start}:{window.end}"] = cells.freeze()
        return Changes(self.watermark, sections)

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            self.watermark = state.shared
            kept = state.sections.items()
            self._windows = {_window(title): self.held(held) for title, held in kept}
        else:
            self.watermark, held = state
            windows = pickle.loads(held).items()
            self._windows = {window: self.held(cells, changed=True) for window, cells in windows}
        self._next = min((window.end for window in self._windows), default=LATEST)


class Slices(Tiles):
    """Overlapping windows: what they hold is kept in the pieces that they consist of, and merged
    when one is complete."""

    def __init__(
        self,
        sliding: Sliding,
        aggregator: Aggregator[Any, Any, Any],
        loops: TileLoops,
        refuse: Refuse,
    ) -> None:
        super().__init__(sliding.pieces(), loops, refuse)
        self._aggregator = aggregator
        self._size, self._every, self._offset = sliding.steps

    def _over(self, window: Window) -> bool:
        start = window.start
        return start - (start - self._offset) % self._every + self._size <= self.watermark

    def on_watermark(self, watermark: int, out: Results) -> Iterator[int]:
        given, self.watermark = self.watermark, watermark
        self._next = LATEST
        start = EARLIEST
        while self._windows:
            piece = min(self._windows)
            # The first window that has the piece and has not been given.
            low = max(piece.end - self._size, given - self._size + 1, start)
            start = low + (self._offset - low) % self._every
            window = Window(start, start + self._size)
            if window.end > watermark:
                self._next = window.end
                return
            yield from self._merged(window, out)
            start += self._every
            for done in [piece for piece in self._windows if piece.start < start]:
                yield from self._windows.pop(done).free()

    def _merged(self, window: Window, out: Results) -> Iterator[int]:
        merge, create = self._aggregator.merge, self._aggregator.create
        whole: Cells = Levels()
        pieces = sorted(
            piece for piece in self._windows if window.start <= piece.start < window.end
        )
        for piece in pieces:
            yield from self._windows[piece].settle()
            pairs = self._windows[piece].everything()
            while some := list(islice(pairs, _AT_ONCE)):
                for key, held in some:
                    # Not `held` itself: `merge` may change its first argument.
                    whole[key] = merge(whole[key] if key in whole else create(), held)
                yield _AT_ONCE
        yield from self._give(window, whole, out)


def _window(title: str) -> Window:
    start, _, end = title.partition(":")
    return Window(int(start), int(end))
