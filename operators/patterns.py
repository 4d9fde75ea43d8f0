"""Patterns of items that follow one another, for `match` of keyed streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from operators.checking import check_plain, check_seconds
from reactive.fast_dataclasses import dataclass

K_co = TypeVar("K_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

How: TypeAlias = Literal["first", "then", "followed by", "not followed by"]


@dataclass(frozen=True, slots=True)
class Match(Generic[K_co, T_co]):
    """Items of one key that a pattern matched, by the names of its parts: `match["a"]`.

    `begins` and `ends` are the event times of the first and the last of them, in microseconds.
    """

    key: K_co
    items: Mapping[str, T_co]
    begins: int
    ends: int

    def __getitem__(self, name: str) -> T_co:
        return self.items[name]


@dataclass(frozen=True)
class Part:
    """One part of a pattern: which items it is about, and how it follows the part before."""

    how: How
    name: str
    predicate: Callable[[Any], object]
    where: Callable[[Any, Mapping[str, Any]], object] | None = None


@dataclass(frozen=True)
class Phase:
    """What is waited for: an item, with none of the forbidden ones before it."""

    part: Part
    strict: bool
    forbidden: tuple[Part, ...]


class Pattern(Generic[T_contra]):
    """Items that follow one another, to be looked for among the items of each key by `match`.

    `Pattern(name, predicate)` is about one item for which `predicate(item)` holds; each method
    gives a longer pattern:

    - `then`: the very next item of the key has to fit.
    - `followed_by`: the first later item that fits, whatever comes in between.
    - `not_followed_by`: no such item may come before the next part, which is a `followed_by`; at
      the end of a pattern, none before its time is over. An item that is forbidden is so even if
      it would fit the next part.
    - `within`: the last item is less than so many seconds of event time after the first.

    With `where`, `where(item, earlier)` has to hold too; `earlier` has the items of the parts
    before, by their names. Functions may be called several times for an item. Name the type of
    the items, `rx.Pattern[Login](...)`, for lambdas to be type-checked.

    ```python
    guessed = (
        rx.Pattern[str]("first", lambda e: e == "failed")
        .then("second", lambda e: e == "failed")
        .followed_by("hit", lambda e: e == "ok")
        .within(60)
    )
    ```
    """

    __slots__ = ("parts", "seconds")

    parts: tuple[Part, ...]
    seconds: float | None

    def __init__(self, name: str, predicate: Callable[[T_contra], object]) -> None:
        self.seconds = None
        self.parts = (_part("first", name, predicate, None),)

    def _with(self, part: Part) -> Pattern[T_contra]:
        if any(each.name == part.name for each in self.parts):
            raise ValueError(f"a pattern has two parts named {part.name!r}; each needs its own")
        if part.how == "then" and self.parts[-1].how == "not followed by":
            raise ValueError(
                f"not_followed_by({self.parts[-1].name!r}) says nothing before "
                f"then({part.name!r}), which the very next item has to fit; use followed_by"
            )
        return pattern_of((*self.parts, part), self.seconds)

    def then(
        self,
        name: str,
        predicate: Callable[[T_contra], object],
        where: Callable[[T_contra, Mapping[str, Any]], object] | None = None,
    ) -> Pattern[T_contra]:
        """And the very next item of the key fits.

        ```python
        rx.Pattern[int]("low", lambda x: x < 3).then("high", lambda x: x > 5)
        ```
        """
        return self._with(_part("then", name, predicate, where))

    def followed_by(
        self,
        name: str,
        predicate: Callable[[T_contra], object],
        where: Callable[[T_contra, Mapping[str, Any]], object] | None = None,
    ) -> Pattern[T_contra]:
        """And a later item fits: the first that does.

        ```python
        rx.Pattern[int]("low", bool).followed_by("twice", bool, lambda x, got: x > 2 * got["low"])
        ```
        """
        return self._with(_part("followed by", name, predicate, where))

    def not_followed_by(
        self,
        name: str,
        predicate: Callable[[T_contra], object],
        where: Callable[[T_contra, Mapping[str, Any]], object] | None = None,
    ) -> Pattern[T_contra]:
        """And no item that fits comes before the next part, or before the time is over.

        ```python
        rx.Pattern[str]("order", str.isupper).not_followed_by("paid", str.islower).within(60)
        ```
        """
        return self._with(_part("not followed by", name, predicate, where))

    def within(self, seconds: float) -> Pattern[T_contra]:
        """And the last item is less than so many seconds of event time after the first.

        ```python
        rx.Pattern[int]("low", lambda x: x < 3).then("high", lambda x: x > 5).within(60)
        ```
        """
        check_seconds("within", "a time", seconds)
        return pattern_of(self.parts, seconds)

    def phases(self) -> tuple[tuple[Phase, ...], tuple[Part, ...]]:
        """What is waited for in turn, and what is forbidden after that."""
        phases: list[Phase] = []
        forbidden: list[Part] = []
        for part in self.parts:
            if part.how == "not followed by":
                forbidden.append(part)
            else:
                phases.append(Phase(part, part.how == "then", tuple(forbidden)))
                forbidden.clear()
        return tuple(phases), tuple(forbidden)

    def __reduce__(self) -> tuple[Any, ...]:
        return pattern_of, (self.parts, self.seconds)

    def __str__(self) -> str:
        first, *others = self.parts
        text = ", ".join([first.name, *(f"{part.how} {part.name}" for part in others)])
        return text if self.seconds is None else f"{text}, within {self.seconds:g} s"

    def __repr__(self) -> str:
        return f"<Pattern {self}>"


def pattern_of(parts: tuple[Part, ...], seconds: float | None) -> Pattern[Any]:
    """A pattern of these parts."""
    pattern: Pattern[Any] = Pattern.__new__(Pattern)
    pattern.parts, pattern.seconds = parts, seconds
    return pattern


def _part(how: How, name: str, predicate: Any, where: Any) -> Part:
    method = "Pattern" if how == "first" else how.replace(" ", "_")
    if not isinstance(name, str):
        raise TypeError(f"{method} needs a name for its part, not {name!r}")
    if not name:
        raise ValueError(f"{method} needs a name for its part that is not empty")
    check_plain(method, predicate)
    if where is not None:
        check_plain(method, where)
    return Part(how, name, predicate, where)
