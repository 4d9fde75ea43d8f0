"""What a handler remembers of each key, in one run: the handles behind its states.

Handles know the key by their `Scope`, which whoever runs the handler moves from key to key. Each
keeps all keys in one dictionary; what is over by its time to live is not seen from that moment
on, and is forgotten when whoever runs the handler comes to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, MutableMapping
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, overload

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)
R = TypeVar("R")
D = TypeVar("D")
R_co = TypeVar("R_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)

Expires: TypeAlias = Literal["item", "watermark"]

_MICROSECONDS = 1_000_000
_STALE_KEPT = 1_000


class Scope:
    """The key that is being handled, and the time: microseconds of event time, or of the loop's
    clock where there is none."""

    __slots__ = ("key", "now")

    def __init__(self) -> None:
        self.key: Any = None
        self.now = 0


class Combiner(Protocol[V_contra, R_co]):
    """What `ReducingState` needs of an aggregator."""

    def create(self) -> Any: ...
    def add(self, accumulator: Any, item: V_contra) -> Any: ...
    def result(self, accumulator: Any) -> R_co: ...


class Lives:
    """Until when things live, by where they are: an entry in the queue for each, however often
    its life is prolonged. One that was deleted and comes again has another only if its new life is
    over before the old one would have been, as happens where time goes back."""

    __slots__ = ("_at_once", "_deleted", "_order", "_queue", "_scope", "_seconds", "_until")

    def __init__(self, seconds: float, expires: Expires, scope: Scope) -> None:
        self._seconds = round(seconds * _MICROSECONDS)
        self._at_once = expires == "item"
        self._scope = scope
        self._until: dict[Any, int | None] = {}
        self._deleted: dict[Any, int] = {}
        self._queue: list[tuple[int, int, Any]] = []
        self._order = count()

    def prolong(self, place: Any) -> None:
        """It was written: it lives from now on, or longer if something later wrote it before."""
        self.set(place, self._scope.now + self._seconds)

    def set(self, place: Any, until: int) -> None:
        """It lives until then, unless it does for longer."""
        if place not in self._until:
            heappush(self._queue, (until, next(self._order), place))
            self._until[place] = until
            return
        known = self._until[place]
        if known is None:
            self._until[place] = until
            if until < self._deleted.pop(place):
                heappush(self._queue, (until, next(self._order), place))
        elif until > known:
            self._until[place] = until

    def end(self, place: Any) -> None:
        """It was deleted."""
        until = self._until.get(place)
        if until is not None:
            self._until[place] = None
            self._deleted[place] = until

    def over(self, place: Any) -> bool:
        """Whether its time has come for what is handled now."""
        if not self._at_once:
            return False
        until = self._until.get(place)
        return until is not None and until <= self._scope.now

    def until(self, place: Any) -> int:
        """When its time comes."""
        until = self._until[place]
        assert until is not None
        return until

    def drop(self, places: Iterable[Any]) -> None:
        """Others see to these from now on, until they are set again."""
        for place in places:
            del self._until[place]
        queue = self._queue
        if len(queue) > 2 * len(self._until) + _STALE_KEPT:
            queue[:] = [
                (self._deleted[place] if until is None else until, next(self._order), place)
                for place, until in self._until.items()
            ]
            heapify(queue)

    def due(self, now: int) -> bool:
        """Whether anything may be over by now."""
        return bool(self._queue) and self._queue[0][0] <= now

    def ended(self, now: int) -> Iterator[Any]:
        """What is over by now, to be forgotten."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            _, _, place = heappop(queue)
            if place not in self._until:
                continue
            until = self._until[place]
            if until is not None and until > now:
                heappush(queue, (until, next(self._order), place))
                continue
            del self._until[place]
            self._deleted.pop(place, None)
            if until is not None:
                yield place


class Handle(ABC):
    """One state of one run: what it holds by key."""

    __slots__ = ("_changed", "_held", "_lives", "_scope")

    def __init__(self, scope: Scope, changed: set[Any], lives: Lives | None) -> None:
        self._scope = scope
        self._changed = changed
        self._lives = lives
        self._held: dict[Any, Any] = {}

    def clear(self) -> None:
        """Forget what the key has here."""
        self._clear(self._scope.key)

    @abstractmethod
    def _clear(self, key: Any) -> None: ...

    @abstractmethod
    def _forget(self, place: Any) -> Any:
        """Forget what is over, and give the key it was of."""

    @abstractmethod
    def _assign(self, value: Any) -> None: ...

    @abstractmethod
    def _saved(self, key: Any) -> Any:
        """What the key has here, with the times at which it is over."""

    @abstractmethod
    def _load(self, key: Any, saved: Any, later: int) -> None:
        """Take what was saved; times are to be so much later."""

    @abstractmethod
    def _places(self, key: Any) -> Iterable[Any]:
        """Where what the key has here has its times."""

    def _due(self, key: Any) -> int | None:
        """When the first of what the key has here is over; None for never."""
        if self._lives is None or key not in self._held:
            return None
        return min(map(self._lives.until, self._places(key)), default=None)

    def _drop(self, key: Any) -> None:
        """Let go of what was saved and is held elsewhere from now on."""
        if key in self._held:
            if self._lives is not None:
                self._lives.drop(self._places(key))
            del self._held[key]


class StateValue(Handle):
    """One value a key; reads and writes stand in `ValueState` too, for speed."""

    __slots__ = ()

    def read(self, default: Any) -> Any:
        key = self._scope.key
        if self._lives is not None and self._lives.over(key):
            return default
        return self._held.get(key, default)

    def _assign(self, value: Any) -> None:
        key = self._scope.key
        self._held[key] = value
        self._changed.add(key)
        if self._lives is not None:
            self._lives.prolong(key)

    def _clear(self, key: Any) -> None:
        if key in self._held:
            del self._held[key]
            self._changed.add(key)
            if self._lives is not None:
                self._lives.end(key)

    def _forget(self, place: Any) -> Any:
        self._held.pop(place, None)
        return place

    def _saved(self, key: Any) -> Any:
        value = self._held[key]
        return value if self._lives is None else (value, self._lives.until(key))

    def _load(self, key: Any, saved: Any, later: int) -> None:
        if self._lives is None:
            self._held[key] = saved
        else:
            self._held[key], until = saved
            self._lives.set(key, until + later)

    def _places(self, key: Any) -> Iterable[Any]:
        return (key,)


class StateMap(Handle, MutableMapping[M, V]):
    """A dictionary for each key, in the order in which its entries came."""

    __slots__ = ()

    def _mine(self) -> dict[M, V]:
        """The entries of the key that are not over."""
        key = self._scope.key
        held: dict[M, V] = self._held.get(key, {})
        if self._lives is None or not held:
            return held
        over = self._lives.over
        return {name: value for name, value in held.items() if not over((key, name))}

    def __getitem__(self, name: M) -> V:
        key = self._scope.key
        held: dict[M, V] | None = self._held.get(key)
        if held is None or (self._lives is not None and self._lives.over((key, name))):
            raise KeyError(name)
        return held[name]

    def __setitem__(self, name: M, value: V) -> None:
        key = self._scope.key
        held = self._held.get(key)
        if held is None:
            self._held[key] = {name: value}
        else:
            held[name] = value
        self._changed.add(key)
        if self._lives is not None:
            self._lives.prolong((key, name))

    def __delitem__(self, name: M) -> None:
        self[name]
        self._forget((self._scope.key, name))
        self._changed.add(self._scope.key)
        if self._lives is not None:
            self._lives.end((self._scope.key, name))

    @overload
    def get(self, name: M, default: None = None, /) -> V | None: ...

    @overload
    def get(self, name: M, default: V, /) -> V: ...

    @overload
    def get(self, name: M, default: D, /) -> V | D: ...

    def get(self, name: M, default: Any = None, /) -> Any:
        """The entry of this name, or `default`."""
        key = self._scope.key
        held = self._held.get(key)
        if held is None or (self._lives is not None and self._lives.over((key, name))):
            return default
        return held.get(name, default)

    def __contains__(self, name: object) -> bool:
        key = self._scope.key
        held = self._held.get(key)
        if held is None or name not in held:
            return False
        return self._lives is None or not self._lives.over((key, name))

    def __iter__(self) -> Iterator[M]:
        return iter(self._mine())

    def __len__(self) -> int:
        return len(self._mine())

    def __repr__(self) -> str:
        return repr(self._mine())

    def _clear(self, key: Any) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._changed.add(key)
            if self._lives is not None:
                for name in held:
                    self._lives.end((key, name))

    def _forget(self, place: Any) -> Any:
        key, name = place
        held = self._held.get(key)
        if held is not None:
            held.pop(name, None)
            if not held:
                del self._held[key]
        return key

    def _assign(self, value: Any) -> None:
        if value is not self:
            entries = dict(value)
            self.clear()
            self.update(entries)

    def _saved(self, key: Any) -> Any:
        held = self._held[key]
        if self._lives is None:
            return held
        return {name: (value, self._lives.until((key, name))) for name, value in held.items()}

    def _load(self, key: Any, saved: Any, later: int) -> None:
        if self._lives is None:
            self._held[key] = saved
            return
        self._held[key] = {name: value for name, (value, _) in saved.items()}
        for name, (_, until) in saved.items():
            self._lives.set((key, name), until + later)

    def _places(self, key: Any) -> Iterable[Any]:
        return [(key, name) for name in self._held[key]]


class StateList(Handle, Generic[V]):
    """A list for each key."""

    __slots__ = ()

    def _mine(self) -> list[V]:
        """The items of the key that are not over; it may be what is held, so not to be changed."""
        key = self._scope.key
        held = self._held.get(key, ())
        if self._lives is None or not held:
            return held if isinstance(held, list) else []
        over = self._lives.over
        return [value for number, value in held.items() if not over((key, number))]

    def append(self, value: V) -> None:
        """Add an item at the end."""
        key = self._scope.key
        self._changed.add(key)
        held = self._held.get(key)
        if self._lives is None:
            if held is None:
                self._held[key] = [value]
            else:
                held.append(value)
            return
        if held is None:
            held = self._held[key] = {}
        # Numbered, so that one that is over can be taken out wherever it stands.
        number = next(reversed(held)) + 1 if held else 0
        held[number] = value
        self._lives.prolong((key, number))

    def extend(self, values: Iterable[V]) -> None:
        """Add several items at the end."""
        for value in values:
            self.append(value)

    def __iadd__(self, values: Iterable[V]) -> StateList[V]:
        self.extend(values)
        return self

    @overload
    def __getitem__(self, index: int) -> V: ...

    @overload
    def __getitem__(self, index: slice) -> list[V]: ...

    def __getitem__(self, index: int | slice) -> V | list[V]:
        return self._mine()[index]

    def __iter__(self) -> Iterator[V]:
        return iter(self._mine())

    def __len__(self) -> int:
        return len(self._mine())

    def __contains__(self, value: object) -> bool:
        return value in self._mine()

    def __repr__(self) -> str:
        return repr(self._mine())

    def _clear(self, key: Any) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._changed.add(key)
            if self._lives is not None:
                for number in held:
                    self._lives.end((key, number))

    def _forget(self, place: Any) -> Any:
        key, number = place
        held = self._held.get(key)
        if held is not None:
            held.pop(number, None)
            if not held:
                del self._held[key]
        return key

    def _assign(self, value: Any) -> None:
        if value is not self:
            values = list(value)
            self.clear()
            self.extend(values)

    def _saved(self, key: Any) -> Any:
        held = self._held[key]
        if self._lives is None:
            return held
        return [(number, value, self._lives.until((key, number))) for number, value in held.items()]

    def _load(self, key: Any, saved: Any, later: int) -> None:
        if self._lives is None:
            self._held[key] = saved
            return
        self._held[key] = {number: value for number, value, _ in saved}
        for number, _, until in saved:
            self._lives.set((key, number), until + later)

    def _places(self, key: Any) -> Iterable[Any]:
        return [(key, number) for number in self._held[key]]


class StateReduction(StateValue, Generic[V, R]):
    """What an aggregator makes of the items of each key."""

    __slots__ = ("_combiner",)

    def __init__(self, combiner: Combiner[V, R], *parts: Any) -> None:
        super().__init__(*parts)
        self._combiner = combiner

    def add(self, item: V) -> None:
        """Add an item to what the key has."""
        held = self.read(self)
        if held is self:
            held = self._combiner.create()
        self._assign(self._combiner.add(held, item))

    def result(self) -> R:
        """What the items of the key amount to, or what none do."""
        held = self.read(self)
        return self._combiner.result(self._combiner.create() if held is self else held)
