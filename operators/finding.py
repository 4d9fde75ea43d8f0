"""finding: one item of a stream, or one answer about its items, as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard, TypeVar, overload

from operators.checking import MISSING, bind_plain, check_count, check_plain
from reactive.errors import EmptyStreamError, TooManyItemsError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from reactive.stream import Single

U = TypeVar("U")
V = TypeVar("V")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class _Result:
    """Gives what was found when the input ends, else the default, or fails for want of both."""

    need: str
    default: Any

    def __call__(self, found: Any) -> tuple[Any]:
        if found is MISSING:
            found = self.default
        if found is MISSING:
            raise EmptyStreamError(f"{self.need}; give it a default")
        return (found,)


@dataclass(frozen=True)
class _Finding(Inline):
    """Keeps one item; nothing leaves before the end, which it may bring about."""

    default: Any

    def found(self, code: Code) -> str:
        return code.state("found", code.bind("missing", MISSING))

    def drop(self, code: Code) -> None:
        for line in code.skipping():
            code.line(line)

    def need(self) -> str:
        return f"{self.label} needs at least one item and the stream had none"

    def end(self, code: Code) -> str:
        return f"{code.bind('result', _Result(self.need(), self.default))}({self.found(code)})"


@dataclass(frozen=True)
class _Matching(_Finding):
    predicate: Callable[[Any], object] | None

    def need(self) -> str:
        if self.predicate is None:
            return super().need()
        return f"{self.label} needs an item for which its predicate holds, and there was none"


@dataclass(frozen=True)
class First(_Matching):
    """`first`."""

    def emit(self, code: Code) -> None:
        if self.predicate is not None:
            code.skip_unless(f"{bind_plain(code, 'fn', self.predicate)}({code.item})")
        code.line(f"{self.found(code)} = {code.item}")
        code.line(code.stop_giving())


@dataclass(frozen=True)
class Find(First):
    """`find`."""


@dataclass(frozen=True)
class Last(_Matching):
    """`last`."""

    def emit(self, code: Code) -> None:
        if self.predicate is not None:
            # What is given has the time of what arrived last: let that be the last match.
            arrived, time = code.state("arrived", "None"), code.state("time", "None")
            fn = bind_plain(code, "fn", self.predicate)
            code.block(
                f"if not {fn}({code.item}):",
                f"if {time} is not None: {arrived} = {time}",
                *code.skipping(),
            )
            code.line(f"{time} = {arrived}")
        code.line(f"{self.found(code)} = {code.item}")
        self.drop(code)


@dataclass(frozen=True)
class OnlyOne(_Finding):
    """`single`."""

    @property
    def label(self) -> str:
        return "single"

    def emit(self, code: Code) -> None:
        found, missing = self.found(code), code.bind("missing", MISSING)
        code.block(f"if {found} is not {missing}:", f"{code.bind('refuse', _refuse_second)}()")
        code.line(f"{found} = {code.item}")
        self.drop(code)


def _refuse_second() -> None:
    raise TooManyItemsError(
        "single needs exactly one item and the stream gave a second; where more may come, use "
        "first() or last()"
    )


@dataclass(frozen=True)
class ElementAt(_Finding):
    """`element_at`."""

    index: int

    def need(self) -> str:
        return f"element_at({self.index}) needs {self.index + 1} items and the stream had fewer"

    def emit(self, code: Code) -> None:
        left = code.state("left", str(self.index))
        code.block(f"if {left}:", f"{left} -= 1", *code.skipping())
        code.line(f"{self.found(code)} = {code.item}")
        code.line(code.stop_giving())


@dataclass(frozen=True)
class _Question(Inline):
    """Some item may settle the answer; if none does, the end of the input settles it."""

    at_end: ClassVar[bool]

    def settled(self, code: Code) -> str:
        """The condition under which the current item settles it."""
        return "True"

    def emit(self, code: Code) -> None:
        code.skip_unless(self.settled(code))
        code.line(f"{self._answer(code)} = {not self.at_end}")
        code.line(code.stop_giving())

    def _answer(self, code: Code) -> str:
        return code.state("answer", str(self.at_end))

    def end(self, code: Code) -> str:
        return f"({self._answer(code)},)"


@dataclass(frozen=True)
class IsEmpty(_Question):
    """`is_empty`."""

    at_end: ClassVar[bool] = True


@dataclass(frozen=True)
class All(_Question):
    """`all`."""

    at_end: ClassVar[bool] = True

    predicate: Callable[[Any], object]

    def settled(self, code: Code) -> str:
        return f"not {bind_plain(code, 'fn', self.predicate)}({code.item})"


@dataclass(frozen=True)
class AnyOf(_Question):
    """`any`."""

    at_end: ClassVar[bool] = False

    predicate: Callable[[Any], object]

    @property
    def label(self) -> str:
        return "any"

    def settled(self, code: Code) -> str:
        return f"{bind_plain(code, 'fn', self.predicate)}({code.item})"


@dataclass(frozen=True)
class Contains(_Question):
    """`contains`."""

    at_end: ClassVar[bool] = False

    value: object

    def settled(self, code: Code) -> str:
        value = code.bind("value", self.value)
        return f"{code.item} is {value} or {code.item} == {value}"


class Finding(Blueprint[T_co]):
    """first, last, single, element_at, find, is_empty, all, any, contains.

    Each gives one item: `await` it for the result, or go on with it as a stream. All but `last`
    and `single` close upstream as soon as the result is known. A failing upstream gives none.
    """

    __slots__ = ()

    @overload
    def first(self) -> Single[T_co]: ...

    @overload
    def first(self, *, default: V) -> Single[T_co | V]: ...

    @overload
    def first(self, predicate: Callable[[T_co], TypeGuard[U]]) -> Single[U]: ...

    @overload
    def first(self, predicate: Callable[[T_co], TypeIs[U]]) -> Single[U]: ...

    @overload
    def first(self, predicate: Callable[[T_co], TypeGuard[U]], *, default: V) -> Single[U | V]: ...

    @overload
    def first(self, predicate: Callable[[T_co], TypeIs[U]], *, default: V) -> Single[U | V]: ...

    @overload
    def first(self, predicate: Callable[[T_co], object]) -> Single[T_co]: ...

    @overload
    def first(self, predicate: Callable[[T_co], object], *, default: V) -> Single[T_co | V]: ...

    def first(
        self, predicate: Callable[[T_co], object] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The first item, or the first for which `predicate` holds.

        ```text
        --1--2--3--|
        first(lambda x: x > 1)
        -----(2|)
        ```

        Emits and completes when that item comes, and closes upstream; drops the others. Never
        backpressures. Without it, emits `default` when upstream completes, or raises
        `EmptyStreamError`. Raises what `predicate` raises. With a `TypeGuard` or `TypeIs`, the
        item's type is narrowed.

        ```python
        head = await rx.range(10).first()
        ```
        """
        if predicate is not None:
            check_plain("first", predicate)
        return self._one(First(default, predicate))

    @overload
    def last(self) -> Single[T_co]: ...

    @overload
    def last(self, *, default: V) -> Single[T_co | V]: ...

    @overload
    def last(self, predicate: Callable[[T_co], TypeGuard[U]]) -> Single[U]: ...

    @overload
    def last(self, predicate: Callable[[T_co], TypeIs[U]]) -> Single[U]: ...

    @overload
    def last(self, predicate: Callable[[T_co], TypeGuard[U]], *, default: V) -> Single[U | V]: ...

    @overload
    def last(self, predicate: Callable[[T_co], TypeIs[U]], *, default: V) -> Single[U | V]: ...

    @overload
    def last(self, predicate: Callable[[T_co], object]) -> Single[T_co]: ...

    @overload
    def last(self, predicate: Callable[[T_co], object], *, default: V) -> Single[T_co | V]: ...

    def last(
        self, predicate: Callable[[T_co], object] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The last item, or the last for which `predicate` holds.

        ```text
        --1--2--3--|
        last(lambda x: x < 3)
        -----------(2|)
        ```

        Emits and completes when upstream does: that item, with its event time, or without one
        `default`, else `EmptyStreamError`. Drops the others. Never backpressures. Holds one item.
        Raises what `predicate` raises.

        ```python
        tail = await rx.range(10).last()
        ```
        """
        if predicate is not None:
            check_plain("last", predicate)
        return self._one(Last(default, predicate))

    @overload
    def single(self) -> Single[T_co]: ...

    @overload
    def single(self, *, default: V) -> Single[T_co | V]: ...

    def single(self, *, default: Any = MISSING) -> Single[Any]:
        """The only item of a stream that must have no other.

        ```text
        --1-----|
        single()
        --------(1|)
        ```

        Emits and completes when upstream does, since a second item may come until then. Never
        backpressures, loses nothing. Raises `TooManyItemsError` as soon as one does. Of a stream
        without items gives `default`, or raises `EmptyStreamError`.

        ```python
        answer = await rx.of(42).single()
        ```
        """
        return self._one(OnlyOne(default))

    @overload
    def element_at(self, index: int) -> Single[T_co]: ...

    @overload
    def element_at(self, index: int, *, default: V) -> Single[T_co | V]: ...

    def element_at(self, index: int, *, default: Any = MISSING) -> Single[Any]:
        """The item at a position, counted from 0.

        ```text
        --a--b--c--|
        element_at(1)
        -----(b|)
        ```

        Emits and completes when that item comes, and closes upstream; drops the others. Never
        backpressures. If upstream completes before, emits `default`, or raises `EmptyStreamError`.
        `ValueError` for a negative index: see `last` and `stream[-3:]`.

        ```python
        third = await rx.of("a", "b", "c").element_at(2)
        ```
        """
        check_count("element_at", index)
        return self._one(ElementAt(default, index))

    @overload
    def find(self, predicate: Callable[[T_co], TypeGuard[U]]) -> Single[U | None]: ...

    @overload
    def find(self, predicate: Callable[[T_co], TypeIs[U]]) -> Single[U | None]: ...

    @overload
    def find(self, predicate: Callable[[T_co], TypeGuard[U]], default: V) -> Single[U | V]: ...

    @overload
    def find(self, predicate: Callable[[T_co], TypeIs[U]], default: V) -> Single[U | V]: ...

    @overload
    def find(self, predicate: Callable[[T_co], object]) -> Single[T_co | None]: ...

    @overload
    def find(self, predicate: Callable[[T_co], object], default: V) -> Single[T_co | V]: ...

    def find(self, predicate: Callable[[T_co], object], default: Any = None) -> Single[Any]:
        """The first item for which `predicate` holds, or `None`.

        ```text
        --1--2--3--|
        find(lambda x: x > 1)
        -----(2|)
        ```

        Emits and completes when that item comes, and closes upstream; drops the others. Never
        backpressures. If there is none, emits `default` when upstream completes. Raises what
        `predicate` raises.

        ```python
        even = await rx.range(1, 10).find(lambda x: x % 2 == 0)
        ```
        """
        check_plain("find", predicate)
        return self._one(Find(default, predicate))

    def is_empty(self) -> Single[bool]:
        """Whether the stream has no items.

        ```text
        -----1--2--|
        is_empty()
        -----(False |)
        ```

        Emits `False` and completes with the first item, and closes upstream; `True` when upstream
        completes without one. Never backpressures, and loses the item by design.

        ```python
        nothing = await rx.empty().is_empty()
        ```
        """
        return self._one(IsEmpty())

    def all(self, predicate: Callable[[T_co], object] = bool) -> Single[bool]:
        """Whether `predicate` holds for every item; by default, whether all are true.

        ```text
        --1--2--3--|
        all(lambda x: x < 2)
        -----(False |)
        ```

        Emits `False` and completes with the first item for which it does not hold, and closes
        upstream; `True` when upstream completes, also without items. Never backpressures, and drops
        the items by design. Raises what `predicate` raises.

        ```python
        positive = await rx.of(1, 2).all(lambda x: x > 0)
        ```
        """
        check_plain("all", predicate)
        return self._one(All(predicate))

    def any(self, predicate: Callable[[T_co], object] = bool) -> Single[bool]:
        """Whether `predicate` holds for some item; by default, whether one is true.

        ```text
        --1--2--3--|
        any(lambda x: x > 1)
        -----(True |)
        ```

        Emits `True` and completes with the first item for which it holds, and closes upstream;
        `False` when upstream completes. Never backpressures, and drops the items by design. Raises
        what `predicate` raises.

        ```python
        negative = await rx.of(1, -2).any(lambda x: x < 0)
        ```
        """
        check_plain("any", predicate)
        return self._one(AnyOf(predicate))

    def contains(self, value: object) -> Single[bool]:
        """Whether some item is `value` or equals it, as `in` does for a list.

        ```text
        --1--2--3--|
        contains(2)
        -----(True |)
        ```

        Emits `True` and completes with the first such item, and closes upstream; `False` when
        upstream completes. Never backpressures, and drops the items by design. Raises what `==`
        raises.

        ```python
        found = await rx.of("a", "b").contains("b")
        ```
        """
        return self._one(Contains(value))
