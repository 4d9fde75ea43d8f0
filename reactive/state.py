"""Keyed state: what a handler remembers of each key, declared as attributes of its class.

Handles know the key by their `Scope`, which whoever runs the handler moves from key to key. A
state keeps all keys in one dictionary; what is over by its time to live is not seen from that
moment on, and is forgotten when `States.forget` comes to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar, get_args, overload

from reactive.errors import PlanError
from reactive.keys import split_by_key_group

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)
R = TypeVar("R")
D = TypeVar("D")
R_co = TypeVar("R_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)
H = TypeVar("H", bound="Handle")

TimeToLive: TypeAlias = float | Callable[[Any], float] | None
"""Seconds, or a function from the handler to them; None is for ever."""

Expires: TypeAlias = Literal["item", "watermark"]

_MICROSECONDS = 1_000_000


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
    its life is prolonged."""

    __slots__ = ("_at_once", "_order", "_queue", "_scope", "_seconds", "_until")

    def __init__(self, seconds: float, expires: Expires, scope: Scope) -> None:
        self._seconds = round(seconds * _MICROSECONDS)
        self._at_once = expires == "item"
        self._scope = scope
        self._until: dict[Any, int | None] = {}
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
        if known is None or until > known:
            self._until[place] = until

    def end(self, place: Any) -> None:
        """It was deleted."""
        if place in self._until:
            self._until[place] = None

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

    def ended(self, now: int) -> Iterator[Any]:
        """What is over by now, to be forgotten."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            _, _, place = heappop(queue)
            until = self._until[place]
            if until is not None and until > now:
                heappush(queue, (until, next(self._order), place))
                continue
            del self._until[place]
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


class _Values(Handle):
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


class StateReduction(_Values, Generic[V, R]):
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


class _State(Generic[H]):
    """A state as a handler's class declares it."""

    handle: ClassVar[type[Handle]]

    def __init__(self, ttl: TimeToLive, expires: Expires) -> None:
        if ttl is not None and not callable(ttl):
            _check_ttl(ttl)
        if expires not in get_args(Expires):
            raise ValueError(f'expires is "item" or "watermark", not {expires!r}')
        self._ttl = ttl
        self._expires: Expires = expires
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        if self.name and self.name != name:
            raise TypeError(f"the state {self.name!r} needs an object of its own as {name!r}")
        self.name = name

    def bind(self, handler: Any, scope: Scope, changed: set[Any]) -> Handle:
        """The state for one run."""
        seconds = self._ttl(handler) if callable(self._ttl) else self._ttl
        if seconds is None:
            return self._handle(scope, changed, None)
        _check_ttl(seconds)
        return self._handle(scope, changed, Lives(seconds, self._expires, scope))

    def _handle(self, *parts: Any) -> Handle:
        return self.handle(*parts)

    @property
    def lives(self) -> str:
        """How long what it holds lives, for `explain()`."""
        if self._ttl is None:
            return "for ever"
        return "by handler" if callable(self._ttl) else f"{self._ttl:g} s"

    def _of(self, handler: Any) -> Any:
        try:
            return handler._handles[self.name]
        except (AttributeError, KeyError):
            raise RuntimeError(
                f"the state {self.name!r} of {type(handler).__name__} is there only in a run, "
                "while an item or a timer is handled"
            ) from None

    def __set__(self, handler: Any, value: Any) -> None:
        self._of(handler)._assign(value)

    def __delete__(self, handler: Any) -> None:
        self._of(handler).clear()


class ValueState(_State[_Values], Generic[V]):
    """One value for each key: read and assigned as an attribute of the handler.

    A key has `default` until a value is assigned, and again after `del self.name` or once the
    value is older than `ttl` seconds; each assignment makes it young again. What is changed in
    place has to be assigned again, or a checkpoint may not see it: for lists and dictionaries
    there are `ListState` and `MapState`.

    Times to live are in event time, or of the loop's clock where items have none. A value that
    was written at one time is not seen by what is handled for a time `ttl` seconds later or more;
    with `expires="watermark"` it is seen until the watermark has passed that, which is for items
    that come in disorder. Its memory is given back when the watermark, or without event time the
    next item, has passed it; in batch, where there are no watermarks, at the end.

    ```python
    class Count(rx.KeyedProcess[str, str, int]):
        seen = rx.ValueState(0, ttl=3600)

        def on_item(self, item, context):
            self.seen += 1
            yield self.seen
    ```
    """

    handle = _Values

    def __init__(self, default: V, *, ttl: TimeToLive = None, expires: Expires = "item") -> None:
        if type(default).__hash__ is None:
            raise TypeError(
                f"the default {default!r} would be one object for all keys; use rx.ListState or "
                "rx.MapState, or None as default"
            )
        super().__init__(ttl, expires)
        self.default = default

    @overload
    def __get__(self, handler: None, owner: type) -> ValueState[V]: ...

    @overload
    def __get__(self, handler: object, owner: type) -> V: ...

    def __get__(self, handler: Any, owner: Any) -> Any:
        if handler is None:
            return self
        try:
            handle = handler._handles[self.name]
        except (AttributeError, KeyError):
            handle = self._of(handler)
        if handle._lives is None:
            return handle._held.get(handle._scope.key, self.default)
        return handle.read(self.default)

    def __set__(self, handler: Any, value: V) -> None:
        try:
            handle = handler._handles[self.name]
        except (AttributeError, KeyError):
            handle = self._of(handler)
        if handle._lives is None:
            key = handle._scope.key
            handle._held[key] = value
            handle._changed.add(key)
        else:
            handle._assign(value)


class ListState(_State[StateList[Any]], Generic[V]):
    """A list for each key, that grows at its end: `append`, `extend`, `clear`, and what reads a
    list. Assigning replaces all of it. With `ttl`, each item lives so many seconds; see
    `ValueState`.

    ```python
    class Last(rx.KeyedProcess[str, int, list[int]]):
        recent = rx.ListState[int](ttl=60)

        def on_item(self, item, context):
            self.recent.append(item)
            yield list(self.recent)
    ```
    """

    handle = StateList

    def __init__(self, *, ttl: TimeToLive = None, expires: Expires = "item") -> None:
        super().__init__(ttl, expires)

    @overload
    def __get__(self, handler: None, owner: type) -> ListState[V]: ...

    @overload
    def __get__(self, handler: object, owner: type) -> StateList[V]: ...

    def __get__(self, handler: Any, owner: Any) -> Any:
        return self if handler is None else self._of(handler)

    def __set__(self, handler: Any, value: Iterable[V]) -> None:
        self._of(handler)._assign(value)


class MapState(_State[StateMap[Any, Any]], Generic[M, V]):
    """A dictionary for each key. Assigning replaces all of it. With `ttl`, each entry lives so
    many seconds from when it was assigned; see `ValueState`.

    ```python
    class Prices(rx.KeyedProcess[str, tuple[str, float], float]):
        prices = rx.MapState[str, float]()

        def on_item(self, item, context):
            self.prices[item[0]] = item[1]
            yield sum(self.prices.values())
    ```
    """

    handle = StateMap

    def __init__(self, *, ttl: TimeToLive = None, expires: Expires = "item") -> None:
        super().__init__(ttl, expires)

    @overload
    def __get__(self, handler: None, owner: type) -> MapState[M, V]: ...

    @overload
    def __get__(self, handler: object, owner: type) -> StateMap[M, V]: ...

    def __get__(self, handler: Any, owner: Any) -> Any:
        return self if handler is None else self._of(handler)

    def __set__(self, handler: Any, value: Mapping[M, V]) -> None:
        self._of(handler)._assign(value)


class ReducingState(_State[StateReduction[Any, Any]], Generic[V, R]):
    """What an aggregator, such as `rx.sum()`, makes of the items of each key: `add(item)` and
    `result()`. With `ttl`, it begins anew that many seconds after the last item; see `ValueState`.

    ```python
    class Total(rx.KeyedProcess[str, int, int]):
        total = rx.ReducingState(rx.sum())

        def on_item(self, item, context):
            self.total.add(item)
            yield self.total.result()
    ```
    """

    handle = StateReduction

    def __init__(
        self,
        aggregator: Combiner[V, R],
        *,
        ttl: TimeToLive = None,
        expires: Expires = "item",
    ) -> None:
        if not callable(getattr(aggregator, "create", None)):
            raise TypeError(f"ReducingState needs an aggregator such as rx.sum(), not {aggregator}")
        super().__init__(ttl, expires)
        self._aggregator = aggregator

    def _handle(self, *parts: Any) -> Handle:
        return StateReduction(self._aggregator, *parts)

    @overload
    def __get__(self, handler: None, owner: type) -> ReducingState[V, R]: ...

    @overload
    def __get__(self, handler: object, owner: type) -> StateReduction[V, R]: ...

    def __get__(self, handler: Any, owner: Any) -> Any:
        return self if handler is None else self._of(handler)

    def __set__(self, handler: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} takes items by add(item), and is emptied by clear()")


def _check_ttl(seconds: float) -> None:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"a ttl is seconds, not {seconds!r}")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a ttl is above 0 seconds, not {seconds}")


def declared_states(kind: type) -> dict[str, _State[Any]]:
    """The states that a handler's class has, by their names."""
    found: dict[str, _State[Any]] = {}
    for each in reversed(kind.__mro__):
        for name, value in vars(each).items():
            if isinstance(value, _State):
                found[name] = value
            else:
                found.pop(name, None)
    return found


class States:
    """All states of one handler in one run."""

    def __init__(self, handler: Any, scope: Scope) -> None:
        self.changed: set[Any] = set()
        """The keys whose state may have changed since the last `snapshot` or `changes`."""
        self.handles = {
            name: state.bind(handler, scope, self.changed)
            for name, state in declared_states(type(handler)).items()
        }
        handler._handles = self.handles
        self._title = type(handler).__name__

    def keys(self) -> set[Any]:
        """The keys that have any state."""
        return set().union(*(handle._held for handle in self.handles.values()))

    def saved(self, key: Any) -> dict[str, Any]:
        """What a key has, by the names of the states."""
        handles = self.handles.items()
        return {name: handle._saved(key) for name, handle in handles if key in handle._held}

    def load(self, key: Any, saved: Mapping[str, Any], later: int = 0) -> None:
        """Give a key what it had; what lives for a time lives until `later` microseconds later."""
        for name, state in saved.items():
            handle = self.handles.get(name)
            if handle is None:
                known = ", ".join(map(repr, self.handles)) or "none"
                raise PlanError(
                    f"the snapshot has a state {name!r}, and {self._title} declares {known}; give "
                    "it back its name, or start without the snapshot"
                )
            handle._load(key, state, later)

    def forget(self, now: int) -> Iterator[None]:
        """Give back the memory of what is over by `now`, one after another."""
        for handle in self.handles.values():
            if handle._lives is not None:
                for place in handle._lives.ended(now):
                    self.changed.add(handle._forget(place))
                    yield


@dataclass(frozen=True)
class KeyedSnapshot(Generic[M]):
    """What an operator holds by key, so that it can be written, moved and restored by groups of
    keys. Keys that are not in it are unknown; in one of changes, those with None hold nothing any
    more. `shared` is what all groups need to know."""

    shared: Mapping[str, Any]
    states: Mapping[M, bytes | None]

    def groups(self) -> dict[int, KeyedSnapshot[M]]:
        """The same for each group of keys; see `reactive.keys.key_group`."""
        groups = split_by_key_group(self.states)
        return {group: KeyedSnapshot(self.shared, states) for group, states in groups.items()}
