"""keyed: a stream seen key by key, for windows and state."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from operators.assigners import Count, WindowAssigner
from operators.checking import check_plain
from operators.joining import Joining
from operators.panes import Accumulation, Stamp
from operators.stateful import Stateful
from operators.triggers import Trigger
from operators.windowing import WindowedStream, windowed
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import SideOutput

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class KeyedStream(Stateful[K, T], Joining[K, T]):
    """A stream with a key for each of its items, from `key_by`."""

    __slots__ = ("_key", "_stream")

    def __init__(self, stream: Blueprint[T], key: Callable[[T], K]) -> None:
        self._stream = stream
        self._key = key

    def window(
        self,
        assigner: WindowAssigner | Count,
        *,
        trigger: Trigger | None = None,
        accumulation: Accumulation = "discarding",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
        timestamp: Stamp = "end",
    ) -> WindowedStream[K, T]:
        """Cut each key's items into windows; see `Stream.window`.

        ```text
        --1--2--3--11---------12-------|
        event_time(int).key_by(lambda x: x % 2).window(rx.Tumbling(10)).to_list()
        .map(lambda w: w.value)
        -----------([13] [2])----------([11] [12] |)
        ```

        Emits, backpressures, completes and loses nothing by itself.

        ```python
        rx.of("a", "b").key_by(len).window(rx.Count(2)).aggregate(rx.count())
        ```
        """
        return windowed(
            self._stream,
            self._key,
            assigner,
            trigger,
            accumulation,
            allowed_lateness,
            late,
            timestamp,
        )


class Keyed(Blueprint[T_co]):
    """Items by key, and by windows of their event time."""

    __slots__ = ()

    def key_by(self, key: Callable[[T_co], K]) -> KeyedStream[K, T_co]:
        """See the stream key by key: to cut each key's items into windows.

        ```text
        --a--bb--c--|
        key_by(len).window(rx.Global()).aggregate(rx.count()).map(lambda w: [w.key, w.value])
        ------------([12] [21] |)
        ```

        Emits, backpressures, completes and loses nothing by itself: what it gives is not a stream,
        but has the operators that work by key, such as `window`. The key can be anything that can
        be hashed. Raises, when items come, what `key` raises, and `TypeError` for a key that cannot
        be hashed, or, where it is described, for an async function.

        ```python
        rx.of("a", "bb").key_by(len).window(rx.Global()).aggregate(rx.count())
        ```
        """
        check_plain("key_by", key)
        return KeyedStream(self, key)

    def window(
        self,
        assigner: WindowAssigner | Count,
        *,
        trigger: Trigger | None = None,
        accumulation: Accumulation = "discarding",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
        timestamp: Stamp = "end",
    ) -> WindowedStream[None, T_co]:
        """Cut the stream into windows of event time, for results of each of them.

        ```text
        --1--2--6--7-----|
        event_time(lambda x: x, unit="s").window(rx.Tumbling(5)).to_list().map(lambda w: w.value)
        --------[12]-----([67] |)
        ```

        The windows are those of an assigner: `rx.Tumbling(size)`, `rx.Sliding(size, every)`,
        `rx.Session(gap)`, `rx.Calendar(unit, timezone)`, `rx.Global()`, `rx.Count(count)`, or your
        own. After `key_by` each key has windows of its own. What this gives is not a stream:
        `aggregate`, `reduce`, `process` and `to_list` make one of it.

        A window gives its result when the watermark passes its end, or when `trigger` says so, of
        which there may be several: panes. With `accumulation="discarding"` a pane has the items
        since the one before it, with `"accumulating"` all of the window, and with `"retracting"`
        that too, after panes that take back what was given before (`pane.retracted`).

        A window stays for `allowed_lateness` seconds of event time after its end; by default an
        item that comes meanwhile gives a late pane. Items that come after that are dropped,
        counted (`late` in the metrics) and sent to the side output `late`, if given; so are those
        that come when the trigger of their window has `finished`.

        A result's event time is the last microsecond of its window, or with `timestamp` that of
        the earliest or latest of its items; the watermark then waits for windows that have items
        earlier than it.

        Emits, backpressures and completes nothing by itself. Raises, where it is described,
        `TypeError` and `ValueError` for arguments that make no sense.

        ```python
        LATE = rx.SideOutput[int]("late")
        readings = rx.of(3, 4).event_time(lambda reading: 0, lateness=5)
        readings.window(rx.Tumbling(60), allowed_lateness=30, late=LATE).aggregate(rx.sum())
        ```
        """
        return windowed(
            self, None, assigner, trigger, accumulation, allowed_lateness, late, timestamp
        )
