"""In what order the calls of a concurrent `map` start, and their results leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable
from inspect import isawaitable
from typing import Any, final

from reactive.signals import Control


@final
class Call:
    """An item on its way through the function."""

    __slots__ = ("done", "error", "item", "key", "line", "result", "time")

    def __init__(self, item: Any, time: int | None) -> None:
        self.item = item
        self.time = time
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.key: Hashable = None
        self.line: deque[Call]


class Order(ABC):
    """Who may start and who may leave. A control signal leaves after all that came before it."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether to take no more input for now."""

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether everything has left."""

    @abstractmethod
    def admit(self, call: Call) -> bool:
        """Take in a call; False when it may not start yet."""

    @abstractmethod
    def control(self, signal: Control) -> None:
        """Take in a control signal."""

    def due(self) -> Call | None:
        """A call that was not to start when it came, and now is."""
        return None

    def finished(self, call: Call) -> None:
        """A call that was started has its result."""
        call.done = True

    @abstractmethod
    def peek(self) -> Call | Control | None:
        """What leaves next, if it can."""

    @abstractmethod
    def pop(self) -> None:
        """It has left."""


class InOrder(Order):
    """Results leave as their items came, with up to `most` under way and waiting together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: deque[Call | Control] = deque()

    @property
    def full(self) -> bool:
        return len(self._line) >= self._most

    @property
    def empty(self) -> bool:
        return not self._line

    def admit(self, call: Call) -> bool:
        self._line.append(call)
        return True

    def control(self, signal: Control) -> None:
        self._line.append(signal)

    def peek(self) -> Call | Control | None:
        if not self._line:
            return None
        head = self._line[0]
        return None if type(head) is Call and not head.done else head

    def pop(self) -> None:
        self._line.popleft()


class AsCompleted(Order):
    """Results leave as they are there."""

    def __init__(self) -> None:
        self._inside = 0
        self._finished: deque[Call] = deque()
        self._fence: Control | None = None

    @property
    def full(self) -> bool:
        return self._fence is not None

    @property
    def empty(self) -> bool:
        return not self._inside and self._fence is None

    def admit(self, call: Call) -> bool:
        self._inside += 1
        return True

    def control(self, signal: Control) -> None:
        self._fence = signal

    def finished(self, call: Call) -> None:
        self._finished.append(call)

    def peek(self) -> Call | Control | None:
        if self._finished:
            return self._finished[0]
        return None if self._inside else self._fence

    def pop(self) -> None:
        if self._finished:
            self._finished.popleft()
            self._inside -= 1
        else:
            self._fence = None


class PerKey(AsCompleted):
    """Calls for one key follow one another, so that their results do; other keys do not wait.

    Up to `buffer` items that wait for their key may be overtaken.
    """

    def __init__(self, key: Callable[[Any], Hashable], buffer: int) -> None:
        super().__init__()
        self._key = key
        self._checked = False
        self._buffer = buffer
        self._lines: dict[Hashable, deque[Call]] = {}
        self._due: deque[Call] = deque()
        self._held = 0

    @property
    def full(self) -> bool:
        return self._held > self._buffer or self._fence is not None

    def admit(self, call: Call) -> bool:
        self._inside += 1
        try:
            line = self._line_of(call)
        except Exception as error:
            call.error = error
            self._finished.append(call)
            return False
        if line is None:
            return True
        line.append(call)
        self._held += 1
        return False

    def _line_of(self, call: Call) -> deque[Call] | None:
        """The line to wait in, or None when the call is the only one of its key."""
        call.key = key = self._key(call.item)
        if not self._checked:
            if isawaitable(key):
                raise TypeError(f"map: by takes a plain function, and it gave {key!r}")
            self._checked = True
        line = self._lines.get(key)
        if line is None:
            call.line = self._lines[key] = deque()
        else:
            call.line = line
        return line

    def due(self) -> Call | None:
        if not self._due:
            return None
        self._held -= 1
        return self._due.popleft()

    def finished(self, call: Call) -> None:
        super().finished(call)
        if call.line:
            self._due.append(call.line.popleft())
        else:
            self._lines.pop(call.key, None)
