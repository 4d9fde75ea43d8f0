"""The folds of `operators/folding.py` as inline code: state in, one result out at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable
from copy import copy, deepcopy
from heapq import heappush, heapreplace
from operator import itemgetter
from typing import Any, ClassVar

from operators.checking import MISSING, bind_plain
from reactive.errors import EmptyStreamError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.operator import Inline, kind_of_state, snake_case


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

    binds: ClassVar[tuple[str, ...] | None] = ()

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


class _Owned:
    """What a fold may change in place; its snapshots share nothing with it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __copy__(self) -> _Owned:
        return _Owned(deepcopy(self.value))


@dataclass(frozen=True)
class Fold(_Fold):
    """`fold`. The start is made when it is first needed, so that its failure is the stream's."""

    fn: Callable[[Any, Any], Any]
    factory: Callable[[], Any]

    def emit(self, code: Code) -> None:
        owned, factory = code.bind("owned", _Owned), bind_plain(code, "factory", self.factory)
        held, fn = code.state("held", "None"), bind_plain(code, "fn", self.fn)
        code.block(f"if {held} is None:", f"{held} = {owned}({factory}())")
        code.line(f"{held}.value = {fn}({held}.value, {code.item})")
        self.drop(code)

    def end(self, code: Code) -> str:
        factory, held = bind_plain(code, "factory", self.factory), code.state("held", "None")
        return f"({factory}() if {held} is None else {held}.value,)"


@dataclass(frozen=True)
class Variance(_Fold):
    """`variance`: sums of the distances from a mean and of their squares, anew about the mean of
    all items whenever there are twice as many, and in the end every 1,024 (T. F. Chan, G. H. Golub
    and R. J. LeVeque, "Algorithms for computing the sample variance: analysis and recommendations",
    The American Statistician 37, 1983, with its equation for shifted data). What is subtracted is
    never more than half of what it is subtracted from."""

    population: bool

    @property
    def state_kind(self) -> str:
        return kind_of_state(self.label, "shifted sums")

    def _states(self, code: Code) -> tuple[str, str, str, str, str]:
        # Items are counted down: `count` is how many they will be when none are `left`.
        names = "count", "mean", "squares", "drift", "left"
        count, mean, squares, drift, left = (code.state(name, "0") for name in names)
        return count, mean, squares, drift, left

    def emit(self, code: Code) -> None:
        count, mean, squares, drift, left = self._states(code)
        settled = f"{code.bind('settled', _settled)}({count}, {mean}, {squares}, {drift})"
        code.block(f"if {left}:", f"{left} -= 1")
        code.block(
            "else:",
            f"if not {count}: {mean} = {code.item}",
            f"{count}, {mean}, {squares}, {drift}, {left} = {settled}",
        )
        delta = code.keep(f"{code.item} - {mean}")
        code.line(f"{drift} = {drift} + {delta}")
        code.line(f"{squares} = {squares} + {delta} * {delta}")
        self.drop(code)

    def end(self, code: Code) -> str:
        count, _, squares, drift, left = self._states(code)
        result = code.bind("result", _VarianceOf(self.population))
        return f"{result}({count} - {left}, {squares}, {drift})"


_MOST_BETWEEN_MEANS = 1024


def _settled(count: int, mean: Any, squares: Any, drift: Any) -> tuple[int, Any, Any, Any, int]:
    """The sums about the mean of all items, and how many more to add before they are next."""
    if count:
        mean, squares = mean + drift / count, squares - drift * drift / count
    more = min(count or 1, _MOST_BETWEEN_MEANS)
    return count + more, mean, squares, 0, more - 1


@dataclass(frozen=True)
class _VarianceOf:
    population: bool

    def __call__(self, count: int, squares: Any, drift: Any) -> tuple[Any]:
        least = 1 if self.population else 2
        if count < least:
            had = "none" if count == 0 else "one; population=True gives the variance of one item"
            needs = "at least one item" if self.population else "a sample of at least two items"
            raise EmptyStreamError(f"variance needs {needs} and the stream had {had}")
        squares = squares - drift * drift / count
        return (squares / (count if self.population else count - 1),)


_MOST_SORTED_AT_ONCE = 1000
_FEWEST_UNSORTED = 64


@dataclass(frozen=True)
class Top(_Fold):
    """`top`."""

    count: int
    key: Callable[[Any], Any] | None

    def details(self) -> dict[str, object]:
        return {"count": self.count}

    @property
    def label(self) -> str:
        return "top"

    @classmethod
    def of(cls, count: int, key: Callable[[Any], Any] | None) -> Top:
        """The kind that suits the count."""
        return (TopSorted if count <= _MOST_SORTED_AT_ONCE else TopHeap)(count, key)

    @property
    def state_kind(self) -> str:
        return snake_case(type(self).__name__)

    def emit(self, code: Code) -> None:
        full, least = code.state("full", "False"), code.state("least", "None")
        key = code.item
        if self.key is not None:
            key = code.keep(f"{bind_plain(code, 'key', self.key)}({code.item})")
        # Most items of a long stream are none of the largest, and that is found out at once.
        code.block(f"if {full} and not {least} < {key}:", *code.skipping())
        self._put(code, key)
        self.drop(code)

    @abstractmethod
    def _put(self, code: Code, key: str) -> None:
        """Write what puts the item among the largest so far."""


class TopSorted(Top):
    """Few: the largest in order, and behind them those that came since. To sort them all now and
    then is quicker than to find the place of each."""

    def _put(self, code: Code, key: str) -> None:
        held = code.state("held", "[]")
        code.line(f"{held}.append({key if self.key is None else f'({key}, {code.item})'})")
        code.block(
            f"if len({held}) == {self.count + max(self.count, _FEWEST_UNSORTED)}:",
            f"{held} = {self._sorted(code)}",
            f"{code.state('least', 'None')} = {held}[-1]{'' if self.key is None else '[0]'}",
            f"{code.state('full', 'False')} = True",
        )

    def _sorted(self, code: Code) -> str:
        by = "" if self.key is None else f"key={code.bind('first', itemgetter(0))}, "
        return f"sorted({code.state('held', '[]')}, {by}reverse=True)[:{self.count}]"

    def end(self, code: Code) -> str:
        result = self._sorted(code)
        return f"({result if self.key is None else f'[item for _, item in {result}]'},)"


class TopHeap(Top):
    """Many, which are too many to be sorted while others wait: a heap with the smallest of them
    first and, of equals, the latest. Entries are numbered downwards: items are never compared."""

    def _put(self, code: Code, key: str) -> None:
        heap, number = code.state("heap", "[]"), code.state("number", "0")
        full, least = code.state("full", "False"), code.state("least", "None")
        entry = f"({key}, {number}, {code.item})"
        push, replace = code.bind("push", heappush), code.bind("replace", heapreplace)
        code.line(f"{number} -= 1")
        code.block(f"if {full}:", f"{replace}({heap}, {entry})")
        filled = f"{full} = len({heap}) == {self.count}"
        code.block("else:", f"{push}({heap}, {entry})", filled)
        code.line(f"{least} = {heap}[0][0]")

    def end(self, code: Code) -> str:
        return f"([entry[2] for entry in sorted({code.state('heap', '[]')}, reverse=True)],)"


class _Filling:
    """A container and its method for one more item."""

    __slots__ = ("container", "put")

    def __init__(self, container: Any) -> None:
        self.container = container
        self.put = putter(container)

    def __copy__(self) -> _Filling:
        return _Filling(copy(self.container))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Filling, (self.container,)


def putter(container: Any) -> Callable[[Any], object]:
    """How one more item gets into a container; `TypeError` if there is no way."""
    if isinstance(container, bytearray):
        return container.extend
    for name in ("append", "add"):
        if (method := getattr(container, name, None)) is not None:
            one: Callable[[Any], object] = method
            return one
    for name in ("update", "extend"):
        if (method := getattr(container, name, None)) is not None:
            several: Callable[[tuple[Any]], object] = method
            return lambda item: several((item,))
    raise TypeError(
        f"collect_into needs a container with append, add, update or extend, not {container!r}"
    )


@dataclass(frozen=True)
class CollectInto(_Fold):
    """`collect_into`: `make` gives a new container, or the one the user has."""

    make: Callable[[], Any]

    def emit(self, code: Code) -> None:
        make, filling = bind_plain(code, "make", self.make), code.bind("filling", _Filling)
        held = code.state("held", "None")
        code.block(f"if {held} is None:", f"{held} = {filling}({make}())")
        code.line(f"{held}.put({code.item})")
        self.drop(code)

    def end(self, code: Code) -> str:
        make, filling = bind_plain(code, "make", self.make), code.bind("filling", _Filling)
        held = code.state("held", "None")
        return f"(({filling}({make}()) if {held} is None else {held}).container,)"


@dataclass(frozen=True)
class Given:
    """Gives the very container that the user has."""

    container: Any

    def __call__(self) -> Any:
        return self.container
