"""folding: many items into one result, which can be awaited or streamed on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from operators.mapping import MISSING, bind_plain, check_plain
from reactive.errors import EmptyStreamError
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline

if TYPE_CHECKING:
    from reactive.stream import Single

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T_co = TypeVar("T_co", covariant=True)


class SupportsLess(Protocol):
    """Can be ordered with `<`."""

    def __lt__(self, other: Any, /) -> bool: ...


@dataclass(frozen=True)
class _EmptyFails:
    """Gives the result of a fold at the end, or fails for want of items."""

    operator: str

    def __call__(self, result: Any) -> tuple[Any]:
        if result is MISSING:
            raise EmptyStreamError(
                f"{self.operator} needs at least one item and the stream had none; give it a "
                "default or an initial value"
            )
        return (result,)


@dataclass(frozen=True)
class _Fold(Inline):
    """A fold that keeps its result in one variable; nothing leaves before the end."""

    def drop(self, code: Code) -> None:
        for line in code.skipping():
            code.line(line)


@dataclass(frozen=True)
class Reduce(_Fold):
    """`reduce`."""

    fn: Callable[[Any, Any], Any]
    initial: Any

    def _total(self, code: Code) -> str:
        return code.state("total", code.bind("initial", self.initial))

    def emit(self, code: Code) -> None:
        total, item = self._total(code), code.item
        fn = bind_plain(code, "fn", self.fn)
        if self.initial is MISSING:
            missing = code.bind("missing", MISSING)
            code.block(f"if {total} is {missing}:", f"{total} = {item}")
            code.block("else:", f"{total} = {fn}({total}, {item})")
        else:
            code.line(f"{total} = {fn}({total}, {item})")
        self.drop(code)

    def end(self, code: Code) -> str:
        return f"{code.bind('result', _EmptyFails('reduce'))}({self._total(code)})"


@dataclass(frozen=True)
class Count(_Fold):
    """`count`."""

    def emit(self, code: Code) -> None:
        code.line(f"{code.state('count', '0')} += 1")
        self.drop(code)

    def end(self, code: Code) -> str:
        return f"({code.state('count', '0')},)"


@dataclass(frozen=True)
class Sum(_Fold):
    """`sum`."""

    start: Any

    def _total(self, code: Code) -> str:
        return code.state("total", code.bind("start", self.start))

    def emit(self, code: Code) -> None:
        total = self._total(code)
        code.line(f"{total} = {total} + {code.item}")
        self.drop(code)

    def end(self, code: Code) -> str:
        return f"({self._total(code)},)"


@dataclass(frozen=True)
class Mean(_Fold):
    """`mean`."""

    def emit(self, code: Code) -> None:
        code.line(f"{code.state('count', '0')} += 1")
        total = code.state("total", "0")
        code.line(f"{total} = {total} + {code.item}")
        self.drop(code)

    def end(self, code: Code) -> str:
        result = code.bind("result", _EmptyFails("mean"))
        missing = code.bind("missing", MISSING)
        count, total = code.state("count", "0"), code.state("total", "0")
        return f"{result}({total} / {count} if {count} else {missing})"


@dataclass(frozen=True)
class Extreme(_Fold):
    """`min` and `max`: the first of the items that no other comes before."""

    operator: str
    key: Callable[[Any], Any] | None
    default: Any

    @property
    def label(self) -> str:
        return self.operator

    def emit(self, code: Code) -> None:
        best, best_key = self._states(code)
        missing = code.bind("missing", MISSING)
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        better = f"{key} < {best_key}" if self.operator == "min" else f"{best_key} < {key}"
        code.block(
            f"if {best_key} is {missing} or {better}:", f"{best}, {best_key} = {code.item}, {key}"
        )
        self.drop(code)

    def _states(self, code: Code) -> tuple[str, str]:
        missing = code.bind("missing", MISSING)
        best = code.state("best", code.bind("default", self.default))
        return best, code.state("best_key", missing)

    def end(self, code: Code) -> str:
        return f"{code.bind('result', _EmptyFails(self.operator))}({self._states(code)[0]})"


@dataclass(frozen=True)
class Collect(_Fold):
    """`to_list`, `to_set`."""

    kind: type[Any]
    method: str

    @property
    def label(self) -> str:
        return f"to_{self.kind.__name__}"

    def _held(self, code: Code) -> str:
        return code.state("held", f"{code.bind('kind', self.kind)}()")

    def emit(self, code: Code) -> None:
        code.line(f"{self._held(code)}.{self.method}({code.item})")
        self.drop(code)

    def end(self, code: Code) -> str:
        return f"({self._held(code)},)"


@dataclass(frozen=True)
class ToDict(_Fold):
    """`to_dict`."""

    key: Callable[[Any], Hashable]
    value: Callable[[Any], Any] | None

    def emit(self, code: Code) -> None:
        held = code.state("held", "{}")
        key = f"{bind_plain(code, 'key', self.key)}({code.item})"
        value = code.item
        if self.value is not None:
            value = f"{bind_plain(code, 'value', self.value)}({code.item})"
        code.line(f"{held}[{key}] = {value}")
        self.drop(code)

    def end(self, code: Code) -> str:
        return f"({code.state('held', '{}')},)"


class Folding(Blueprint[T_co]):
    """reduce, count, sum, mean, min, max, to_list, to_set, to_dict.

    Each gives one item when upstream completes: `await` it for the result, or go on with it as
    a stream. A failing upstream gives none. Each holds its result so far and nothing else.
    """

    __slots__ = ()

    @overload
    def reduce(self, fn: Callable[[T_co, T_co], T_co]) -> Single[T_co]: ...

    @overload
    def reduce(self, fn: Callable[[U, T_co], U], initial: U) -> Single[U]: ...

    def reduce(self, fn: Callable[[Any, Any], Any], initial: Any = MISSING) -> Single[Any]:
        """Fold all items into one with `fn(result so far, item)`.

        ```text
        --1--2--3--|
        reduce(lambda total, x: total + x, 0)
        -----------(6|)
        ```

        Emits once, at the end. Without `initial` the first item is the first result, and an
        empty stream raises `EmptyStreamError`. `initial` must not be changed in place.

        ```python
        total = await rx.of(1, 2, 3).reduce(lambda a, b: a + b)
        ```
        """
        check_plain("reduce", fn)
        return self._one(Reduce(fn, initial))

    def count(self) -> Single[int]:
        """Count the items.

        ```text
        --a--b--|
        count()
        --------(2|)
        ```

        Emits once, at the end; 0 for an empty stream.

        ```python
        n = await rx.range(10).count()
        ```
        """
        return self._one(Count())

    @overload
    def sum(self) -> Single[T_co]: ...

    @overload
    def sum(self, start: U) -> Single[T_co | U]: ...

    def sum(self, start: Any = 0) -> Single[Any]:
        """Add up the items, beginning with `start`.

        ```text
        --1--2--3--|
        sum()
        -----------(6|)
        ```

        Emits once, at the end; `start` for an empty stream. Raises what `+` raises.

        ```python
        total = await rx.of(1, 2, 3).sum()
        ```
        """
        return self._one(Sum(start))

    def mean(self) -> Single[float]:
        """The arithmetic mean of the items.

        ```text
        --1--2--3--|
        mean()
        -----------(2|)
        ```

        Emits once, at the end: the sum divided by the count. `EmptyStreamError` without items.

        ```python
        average = await rx.of(1, 2, 3).mean()
        ```
        """
        return self._one(Mean())

    @overload
    def min(self, key: Callable[[T_co], SupportsLess] | None = None) -> Single[T_co]: ...

    @overload
    def min(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: U
    ) -> Single[T_co | U]: ...

    def min(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The smallest item, by value or by `key(item)`; the first of equals.

        ```text
        --3--1--2--|
        min()
        -----------(1|)
        ```

        Emits once, at the end. Without items, `default`, or `EmptyStreamError`.

        ```python
        shortest = await rx.of("bb", "a").min(key=len)
        ```
        """
        if key is not None:
            check_plain("min", key)
        return self._one(Extreme("min", key, default))

    @overload
    def max(self, key: Callable[[T_co], SupportsLess] | None = None) -> Single[T_co]: ...

    @overload
    def max(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: U
    ) -> Single[T_co | U]: ...

    def max(
        self, key: Callable[[T_co], SupportsLess] | None = None, *, default: Any = MISSING
    ) -> Single[Any]:
        """The largest item, by value or by `key(item)`; the first of equals.

        ```text
        --3--1--2--|
        max()
        -----------(3|)
        ```

        Emits once, at the end. Without items, `default`, or `EmptyStreamError`.

        ```python
        longest = await rx.of("bb", "a").max(key=len)
        ```
        """
        if key is not None:
            check_plain("max", key)
        return self._one(Extreme("max", key, default))

    def to_list(self) -> Single[list[T_co]]:
        """All items as one list.

        ```text
        --1--2--|
        to_list()
        --------([12] |)
        ```

        Emits once, at the end. Memory grows with the number of items.

        ```python
        items = await rx.range(3).to_list()
        ```
        """
        return self._one(Collect(list, "append"))

    def to_set(self) -> Single[set[T_co]]:
        """All items as one set.

        ```text
        --1--1--|
        to_set()
        --------({1} |)
        ```

        Emits once, at the end. `TypeError` for an item that cannot be hashed.

        ```python
        values = await rx.of(1, 1).to_set()
        ```
        """
        return self._one(Collect(set, "add"))

    @overload
    def to_dict(self, key: Callable[[T_co], K]) -> Single[dict[K, T_co]]: ...

    @overload
    def to_dict(
        self, key: Callable[[T_co], K], value: Callable[[T_co], V]
    ) -> Single[dict[K, V]]: ...

    def to_dict(
        self, key: Callable[[T_co], Any], value: Callable[[T_co], Any] | None = None
    ) -> Single[Any]:
        """All items as one dictionary, the last of equal keys.

        ```text
        --a--bb--|
        to_dict(len)
        ---------({1:a,2:bb} |)
        ```

        Emits once, at the end. `TypeError` for a key that cannot be hashed.

        ```python
        by_length = await rx.of("a", "bb").to_dict(len)
        ```
        """
        check_plain("to_dict", key)
        if value is not None:
            check_plain("to_dict", value)
        return self._one(ToDict(key, value))
