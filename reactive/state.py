"""Keyed state: what a handler remembers of each key, declared as attributes of its class."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args, overload

from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.handles import (
    Combiner,
    Expires,
    Handle,
    Lives,
    Scope,
    StateList,
    StateMap,
    StateReduction,
    StateValue,
)

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)
R = TypeVar("R")
H = TypeVar("H", bound=Handle)

TimeToLive: TypeAlias = float | Callable[[Any], float] | None
"""Seconds, or a function from the handler to them; None is for ever."""


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


class ValueState(_State[StateValue], Generic[V]):
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

    handle = StateValue

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

    def has(self, key: Any) -> bool:
        """Whether a key has any state."""
        return any(key in handle._held for handle in self.handles.values())

    def due(self, key: Any) -> int | None:
        """When the first of what a key has is over; None for never."""
        dues = [handle._due(key) for handle in self.handles.values()]
        return min((due for due in dues if due is not None), default=None)

    def drop(self, key: Any) -> None:
        """Let go of what a key has, for it is held elsewhere until it is loaded again."""
        for handle in self.handles.values():
            handle._drop(key)

    @property
    def age(self) -> bool:
        """Whether any of them has a time to live."""
        return any(handle._lives is not None for handle in self.handles.values())

    def forgets(self, now: int) -> bool:
        """Whether anything may be over by `now`."""
        handles = self.handles.values()
        return any(each._lives is not None and each._lives.due(now) for each in handles)

    def forget(self, now: int) -> Iterator[None]:
        """Give back the memory of what is over by `now`, one after another."""
        for handle in self.handles.values():
            if handle._lives is not None:
                for place in handle._lives.ended(now):
                    self.changed.add(handle._forget(place))
                    yield


@dataclass(frozen=True)
class KeyedSnapshot(Generic[M]):
    """All that an operator holds by key, with what is `shared` by all keys, and the items that
    are `held` until all have come."""

    shared: Mapping[str, Any]
    states: Mapping[M, bytes]
    held: Sequence[Any] = ()
