"""Strategies of watermarks: how far event time has come, as told by the items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar, Generic, TypeVar

from operators.checking import check_plain, check_seconds, refuse_awaitable
from operators.timestamps import Timestamp, Unit, check_unit, microseconds, show
from reactive.fast_dataclasses import dataclass

T_contra = TypeVar("T_contra", contravariant=True)


class WatermarkStrategy(ABC, Generic[T_contra]):
    """Tells from each item how far event time has come; the base for rules of your own.

    A run works on a copy (`copy.deepcopy`) for every partition, so what a rule remembers may be
    kept in attributes.

    ```python
    class Trailing(rx.WatermarkStrategy[object]):
        def __init__(self, count: int) -> None:
            self.latest = collections.deque[int](maxlen=count)

        def on_item(self, item: object, time: int) -> int | None:
            self.latest.append(time)
            return min(self.latest)
    ```
    """

    exact: ClassVar[bool] = False
    """Whether every rise is told downstream; if not, only those past a multiple of `every`."""

    @abstractmethod
    def on_item(self, item: T_contra, time: int) -> int | None:
        """The watermark after this item: the time, in microseconds since 1970, that no later item
        is expected to be earlier than. One that is not above those before has no effect, and None
        is no news. `time` is the item's own. What it raises is met as `on_error` says."""

    def snapshot(self) -> Any:
        """A picklable copy of what it remembers; by default, of all attributes."""
        return deepcopy(vars(self))

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        vars(self).update(deepcopy(state))

    @property
    def label(self) -> str:
        """What `explain()` shows."""
        return type(self).__name__


@dataclass(frozen=True)
class BoundedOutOfOrderness(WatermarkStrategy[object]):
    """The watermark trails the latest time by `seconds`: what `event_time(lateness=)` does.

    ```python
    rx.BoundedOutOfOrderness(5)
    ```
    """

    seconds: float = 0

    def __post_init__(self) -> None:
        check_seconds("BoundedOutOfOrderness", "its bound", self.seconds, zero=True)

    @property
    def microseconds(self) -> int:
        """The bound."""
        return round(self.seconds * 1_000_000)

    def snapshot(self) -> None:
        return None

    def restore(self, state: None) -> None:
        pass

    def on_item(self, item: object, time: int) -> int:
        return time - self.microseconds

    @property
    def label(self) -> str:
        return f"latest time less {self.seconds:g} s"


class Monotonic(WatermarkStrategy[object]):
    """Times never go back: the watermark is the latest, and an item that is earlier than one
    before it has a wrong time, of which `event_time(on_error=)` says what becomes of it. Where
    times may go back and such items are merely late, use `lateness=0`.

    ```python
    rx.Monotonic()
    ```
    """

    def __init__(self) -> None:
        self._latest: int | None = None

    def on_item(self, item: object, time: int) -> int:
        if self._latest is not None and time < self._latest:
            raise ValueError(
                f"the time {show(time)} of the item {item!r} goes back from {show(self._latest)}; "
                "where items come out of order, give event_time a `lateness` in place of "
                "rx.Monotonic()"
            )
        self._latest = time
        return time


@dataclass(frozen=True)
class Punctuated(WatermarkStrategy[T_contra]):
    """Some items say the watermark: `fn` gives it for those, as a datetime or a number in `unit`
    (seconds by default), and None for the others. Every rise is told downstream.

    ```python
    rx.Punctuated(lambda order: order.placed_at if order.closes_batch else None)
    ```
    """

    fn: Callable[[T_contra], Timestamp | None]
    unit: Unit | None = None

    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_plain("Punctuated", self.fn)
        check_unit("Punctuated", self.unit)

    def snapshot(self) -> None:
        return None

    def restore(self, state: None) -> None:
        pass

    def on_item(self, item: T_contra, time: int) -> int | None:
        said = self.fn(item)
        if said is None:
            return None
        refuse_awaitable(said)
        return microseconds(said, self.unit)

    @property
    def label(self) -> str:
        return "told by items"
