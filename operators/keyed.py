"""keyed: a stream seen key by key, for windows and state."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from operators.assigners import WindowAssigner
from operators.checking import check_plain
from operators.panes import Accumulation, Stamp
from operators.triggers import Trigger
from operators.windowing import WindowedStream, windowed
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import SideOutput

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class KeyedStream(Generic[K, T]):
    """A stream with a key for each of its items, from `key_by`."""

    __slots__ = ("_key", "_stream")

    def __init__(self, stream: Blueprint[T], key: Callable[[T], K]) -> None:
        self._stream = stream
        self._key = key

    def window(
        self,
        assigner: WindowAssigner,
        *,
        trigger: Trigger | None = None,
        accumulation: Accumulation = "discarding",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
        timestamp: Stamp = "end",
    ) -> WindowedStream[K, T]:
        """Cut each key's items into windows; see `Stream.window`."""
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

        Emits nothing by itself: what it gives is not a stream, but has the operators that work
        by key. The key can be anything that can be hashed. Raises, when items come, what `key`
        raises. `TypeError` for an async function.

        ```python
        rx.of("a", "bb").key_by(len).window(rx.Global()).aggregate(rx.count())
        ```
        """
        check_plain("key_by", key)
        return KeyedStream(self, key)

    def window(
        self,
        assigner: WindowAssigner,
        *,
        trigger: Trigger | None = None,
        accumulation: Accumulation = "discarding",
        allowed_lateness: float = 0.0,
        late: SideOutput[Any] | None = None,
        timestamp: Stamp = "end",
    ) -> WindowedStream[None, T_co]:
        """Cut the stream into windows of event time.

        ```text
        --1--2--3--|
        window(rx.Global()).aggregate(rx.sum()).map(lambda w: w.value)
        -----------(6|)
        ```

        Emits nothing by itself: `aggregate` of what it gives makes a stream of results.

        ```python
        rx.of(1, 2).window(rx.Global()).aggregate(rx.sum())
        ```
        """
        return windowed(
            self, None, assigner, trigger, accumulation, allowed_lateness, late, timestamp
        )
