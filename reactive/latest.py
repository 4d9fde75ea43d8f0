"""`Latest`: one current value that everybody can look at, set and follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from operators.checking import MISSING, check_plain, refuse_awaitable
from reactive.broadcast import Audience, Broadcast, Listener, Seat, call_from_thread
from reactive.channel import Channel
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.errors import EmptyStreamError, StreamClosedError
from reactive.graph import Node, caller_location
from reactive.operator import SourceOperator
from reactive.signals import Chunk
from reactive.stream import Stream

if TYPE_CHECKING:
    from reactive.context import Context, Settings

T = TypeVar("T")


class Latest(Stream[T], Sink[T]):
    """One current value, and a stream of its changes.

    ```text
    Latest(1)    set(2)   set(3)   close()
    1------------2--------3--------|       follows from the beginning
                     2----3--------|       comes later
    ```

    `latest.value` is the current value. As a stream it gives each subscriber that value first,
    then what it is set to. Who is slow gets only the newest: values in between are lost
    (conflated), so it never backpressures, and holds one value. Setting it to an equal value
    counts as a change; `latest.distinct_until_changed()` leaves those out. It is a sink too:
    `stream.to(latest)` sets it to every item, and the end of that stream does not end it.
    `close()` completes all subscribers once they have the last value, `fail(error)` fails them;
    the value stays, and who subscribes then gets it before the end. Made without an initial
    value it has none until it is set. It serves one event loop at a time and does not pickle.

    ```python
    level = rx.Latest(20)
    level.set(21)
    level.update(lambda celsius: celsius + 1)
    assert level.value == await level.first() == 22
    ```
    """

    @overload
    def __init__(self, *, name: str = "latest") -> None: ...

    @overload
    def __init__(self, initial: T, *, name: str = "latest") -> None: ...

    def __init__(self, initial: Any = MISSING, *, name: str = "latest") -> None:
        self._current: _Current[T] = _Current(initial, name)
        super().__init__(
            Node(SourceOperator(_LatestSource(self._current)), (), None, caller_location())
        )

    @property
    def value(self) -> T:
        """The current value; `EmptyStreamError` (a `LookupError`) while there is none."""
        value = self._current.value
        if value is MISSING:
            raise EmptyStreamError(
                f"{self.label} has no value yet; set one, or make it with rx.Latest(initial)"
            )
        return value

    @property
    def subscribers(self) -> int:
        """How many follow it now."""
        return len(self._current.subscribers)

    def set(self, value: T) -> None:
        """Make this the current value. Raises `StreamClosedError` once it was closed."""
        self._current.set(value)

    def update(self, fn: Callable[[T], T]) -> T:
        """Set it to `fn(current value)`, and give that. Raises what `fn` raises, unchanged then."""
        check_plain("update", fn)
        value = fn(self.value)
        refuse_awaitable(value)
        self._current.set(value)
        return value

    def set_from_thread(self, value: T, timeout: float | None = None) -> None:
        """`set` from another thread, blocking it until that is done, at most `timeout` seconds of
        the loop's clock; then `TimeoutError`."""

        async def set_here() -> None:
            self.set(value)

        call_from_thread(
            self._current.subscribers.loop,
            set_here,
            timeout,
            owner="Latest",
            method="set_from_thread",
            instead="latest.set(value)",
        )

    async def wait_for(self, predicate: Callable[[T], object]) -> T:
        """Wait until the value is one for which `predicate` holds, and give it.

        Looks at the current value first, then at what it is set to; values that are replaced at
        once are not looked at. Raises `StreamClosedError` if it is closed before, and what it
        fails with.

        ```python
        ready = rx.Latest(True)
        await ready.wait_for(lambda ready: ready)
        ```
        """
        check_plain("wait_for", predicate)
        channel = self._current.enter()
        try:
            while (signal := await channel.receive(1)) is not None:
                assert isinstance(signal, Chunk)
                (value,) = signal.items
                holds = predicate(value)
                refuse_awaitable(holds)
                if holds:
                    return value
        finally:
            self._current.subscribers.remove(channel)
        raise StreamClosedError(f"{self.label} was closed before its value was as awaited")

    def close(self) -> None:
        """Complete all subscribers once they have the last value."""
        self._current.subscribers.end()

    def fail(self, error: Exception) -> None:
        """Fail all subscribers once they have the last value."""
        self._current.subscribers.end(error)

    @property
    def label(self) -> str:
        return self._current.subscribers.name

    def writer(self, context: Context) -> Writer[T]:
        return _LatestWriter(self._current)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


def _refuse_pickling() -> NoReturn:
    raise TypeError("a Latest belongs to one program and does not pickle; send its value instead")


class _Current(Audience[T]):
    """The value and who follows it."""

    def __init__(self, value: T, name: str) -> None:
        self.value = value
        self.subscribers: Broadcast[T] = Broadcast(
            name, "make one for each, or use latest.set_from_thread(value)"
        )

    def set(self, value: T) -> None:
        """Change the value and tell everybody."""
        self.subscribers.send_nowait([value])
        self.value = value

    def enter(self) -> Channel[T]:
        """A channel that always has the newest value."""
        channel: Channel[T] = Channel(1, overflow="latest", name=self.subscribers.name)
        if self.value is not MISSING:
            channel.put([self.value])
        self.subscribers.add(channel)
        return channel

    async def join(self, settings: Settings) -> Seat[T]:
        """One more subscriber."""
        return Seat(self, self.enter())

    def retire(self, channel: Channel[T]) -> None:
        self.subscribers.retire(channel)

    async def leave(self, channel: Channel[T]) -> None:
        self.subscribers.remove(channel)

    def __reduce__(self) -> NoReturn:
        _refuse_pickling()


class _LatestSource(Source[Any]):
    def __init__(self, current: _Current[Any]) -> None:
        self._current = current

    @property
    def label(self) -> str:
        return self._current.subscribers.name

    def reader(self, context: Context) -> Reader[Any]:
        return Listener(self._current.join, context, lost="conflated")


class _LatestWriter(Writer[Any]):
    def __init__(self, current: _Current[Any]) -> None:
        self._current = current

    async def write(self, chunk: Chunk[Any]) -> None:
        self._current.set(chunk.items[-1])
