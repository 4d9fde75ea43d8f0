"""Handlers of keyed streams: what users write for `process`, and what it is told."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from operators.checking import check_callable, check_seconds, is_async
from reactive.handles import Scope
from reactive.timers import Timers
from reactive.windows import EARLIEST, MICROSECONDS

K_contra = TypeVar("K_contra", contravariant=True)
K_co = TypeVar("K_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
U_co = TypeVar("U_co", covariant=True)


class ProcessContext(Scope, Generic[K_co]):
    """Which key a handler is called for and when, and its timers. Event times are microseconds
    since 1970, in UTC."""

    __slots__ = (
        "_changed",
        "_clock",
        "_clock_timers",
        "_clocked",
        "_ending",
        "_passed",
        "_stamp",
        "_time",
        "_timers",
        "ended",
        "timer",
        "watermark",
    )

    key: K_co
    """The key of the item or timer."""
    watermark: int
    """Nothing earlier is expected. While timers are fired it is the time of the timer, as though
    the watermark came by moment by moment."""
    timer: str | None
    """The name of the timer that fires, if it has one."""
    ended: bool
    """Whether the input has ended and the timer is later than everything that came: then nothing
    happens any more, and a timer that always sets the next one should not."""

    def __init__(self, clock: Callable[[], float], clocked: bool) -> None:
        super().__init__()
        self.watermark = EARLIEST
        self.timer = None
        self.ended = False
        self._time: int | None = None
        self._stamp: int = EARLIEST
        self._passed: int = EARLIEST
        self._timers = Timers()
        self._clock_timers = Timers()
        self._clocked = clocked
        self._clock = clock
        self._changed: set[Any] = set()
        self._ending = False

    @property
    def time(self) -> int:
        """The event time of the item or timer; for a timer of the clock that of the item, or
        timer, that set it. Raises `TypeError` without event time."""
        if self._time is None:
            raise _no_event_time()
        return self._time

    @property
    def timed(self) -> bool:
        """Whether there is event time."""
        return self._time is not None

    @property
    def late(self) -> bool:
        """Whether the item is earlier than the watermark."""
        return self._time is not None and self._time < self.watermark

    @property
    def result_time(self) -> int:
        """The event time of what is given from now on in this call: `time`, but no earlier than
        a watermark that was passed on. Assign another, for which the same holds."""
        if self._time is None:
            raise _no_event_time()
        return self._stamp

    @result_time.setter
    def result_time(self, time: int) -> None:
        _check_time("result_time", time)
        self._stamp = max(time, self._passed)

    def after(self, seconds: float) -> int:
        """The event time so many seconds after `time`."""
        return self.time + round(seconds * MICROSECONDS)

    def set_timer(self, time: int, name: str | None = None) -> None:
        """Have `on_timer` called for this key when the watermark has come to `time`, or right
        after this call if it has. Without a name there is one timer for each time; with one, the
        timer of that name, which is moved if it was set before. All fire when the input ends."""
        _check_time("set_timer", time)
        if self._time is None:
            raise _no_event_time()
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a timer is a string, not {name!r}")
        self._timers.set(self.key, time if name is None else name, time)
        self._changed.add(self.key)

    def delete_timer(self, timer: int | str) -> None:
        """Delete the timer of this name, or the nameless one at this time, if there is one."""
        if self._timers.delete(self.key, timer):
            self._changed.add(self.key)

    def set_clock_timer(self, seconds: float, name: str = "") -> None:
        """Have `on_clock_timer` called for this key so many seconds of the loop's clock from now.
        There is one for each name, which is moved if it was set before. Those left when the input
        ends fire then; none can be set while they do."""
        if not self._clocked:
            raise TypeError("set_clock_timer needs the handler to have an on_clock_timer method")
        check_seconds("set_clock_timer", "a time", seconds, zero=True)
        if not self._ending:
            due = round((self._clock() + seconds) * MICROSECONDS)
            self._clock_timers.set(self.key, name, due, self._time)
            self._changed.add(self.key)

    def delete_clock_timer(self, name: str = "") -> None:
        """Delete the clock's timer of this name, if there is one."""
        if self._clock_timers.delete(self.key, name):
            self._changed.add(self.key)


class KeyedProcess(ABC, Generic[K_contra, T_contra, U_co]):
    """What is done with the items of each key: subclass it, and give the class to `process`.

    States are declared in the class (`rx.ValueState`, `rx.ListState`, `rx.MapState`,
    `rx.ReducingState`) and used as attributes: each call sees those of its own key. Other
    attributes belong to the handler, of which each run makes one, and are in no checkpoint. The
    methods are plain functions: generators, or functions that return an iterable of results or
    None. Calls never overlap.

    ```python
    class Alerts(rx.KeyedProcess[str, float, str]):
        highest = rx.ValueState(0.0, ttl=86_400)

        def on_item(self, item, context):
            if item > self.highest:
                self.highest = item
                yield f"{context.key} rose to {item}"
    ```
    """

    takes_late: ClassVar[bool] = True
    """Whether `on_item` gets items that are earlier than the watermark (`context.late`), or they
    are counted as `late` and left out."""

    @abstractmethod
    def on_item(self, item: T_contra, context: ProcessContext[K_contra]) -> Iterable[U_co] | None:
        """Handle an item. Results have its event time."""

    def on_timer(self, time: int, context: ProcessContext[K_contra]) -> Iterable[U_co] | None:
        """The watermark has come to a timer. Results have its time."""
        raise NotImplementedError(f"{type(self).__name__} sets timers and has no on_timer method")

    def on_clock_timer(self, context: ProcessContext[K_contra]) -> Iterable[U_co] | None:
        """A timer of the loop's clock is due. Results have the event time of what set it, but no
        earlier than the watermark."""
        return None


def make_handler(title: str, make: Callable[[], Any]) -> KeyedProcess[Any, Any, Any]:
    """A handler for one run."""
    made = make()
    if not isinstance(made, KeyedProcess):
        raise TypeError(f"{title} needs a function that makes a rx.KeyedProcess, not {made!r}")
    return made


def class_of_handler(handler: Any) -> type[KeyedProcess[Any, Any, Any]]:
    """The class of the handlers that it makes; refuses what makes none."""
    if isinstance(handler, KeyedProcess):
        name = type(handler).__name__
        raise TypeError(
            f"process needs what makes a handler for each run: process({name}) or "
            f"process(lambda: {name}(...)), not a handler"
        )
    check_callable("process", handler)
    maker = handler
    while isinstance(maker, partial):
        maker = maker.func
    kind = maker if isinstance(maker, type) else type(handler())
    if not issubclass(kind, KeyedProcess):
        raise TypeError(f"process needs a subclass of rx.KeyedProcess, not {kind.__name__}")
    for name in ("on_item", "on_timer", "on_clock_timer"):
        method = getattr(kind, name)
        if is_async(method) or inspect.isasyncgenfunction(method):
            raise TypeError(
                f"{kind.__name__}.{name} is async, and handlers are plain functions; use "
                "map(...) for the part that has to be awaited"
            )
    return kind


def _no_event_time() -> TypeError:
    return TypeError("there is no event time; put .event_time(...) before .key_by(...)")


def _check_time(what: str, time: object) -> None:
    if not isinstance(time, int) or isinstance(time, bool):
        raise TypeError(
            f"{what} takes microseconds since 1970, such as context.after(5), not {time!r}"
        )
