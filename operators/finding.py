"""finding: one item of a stream, or one answer about its items, as soon as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.mapping import MISSING
from reactive.errors import EmptyStreamError
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline

if TYPE_CHECKING:
    from reactive.stream import Single

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class _Needed:
    """Gives what was found when the input ends, or fails for want of it."""

    operator: str

    def __call__(self, found: Any) -> tuple[Any]:
        if found is MISSING:
            raise EmptyStreamError(
                f"{self.operator} needs at least one item and the stream had none; give it a "
                "default"
            )
        return (found,)


@dataclass(frozen=True)
class OneEnd(Inline):
    """`first` and `last`."""

    operator: str
    default: Any

    @property
    def label(self) -> str:
        return self.operator

    def _found(self, code: Code) -> str:
        return code.state("found", code.bind("default", self.default))

    def emit(self, code: Code) -> None:
        code.line(f"{self._found(code)} = {code.item}")
        if self.operator == "first":
            code.line(code.stop_giving())
        else:
            for line in code.skipping():
                code.line(line)

    def end(self, code: Code) -> str:
        return f"{code.bind('result', _Needed(self.operator))}({self._found(code)})"


class Finding(Blueprint[T_co]):
    """first, last.

    Each gives one item as soon as it is known: `await` it for the result, or go on with it as a
    stream. A failing upstream gives none.
    """

    __slots__ = ()

    @overload
    def first(self) -> Single[T_co]: ...

    @overload
    def first(self, *, default: U) -> Single[T_co | U]: ...

    def first(self, *, default: Any = MISSING) -> Single[Any]:
        """The first item; upstream is closed once it came.

        ```text
        --1--2--3--|
        first()
        --(1|)
        ```

        Emits when the first item comes. Without items, `default`, or `EmptyStreamError`.

        ```python
        head = await rx.range(10).first()
        ```
        """
        return self._one(OneEnd("first", default))

    @overload
    def last(self) -> Single[T_co]: ...

    @overload
    def last(self, *, default: U) -> Single[T_co | U]: ...

    def last(self, *, default: Any = MISSING) -> Single[Any]:
        """The last item.

        ```text
        --1--2--3--|
        last()
        -----------(3|)
        ```

        Emits once, at the end. Without items, `default`, or `EmptyStreamError`.

        ```python
        tail = await rx.range(10).last()
        ```
        """
        return self._one(OneEnd("last", default))
