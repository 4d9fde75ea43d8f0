"""arranging: what needs the whole input, and the word that it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline

if TYPE_CHECKING:
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class AssumeBounded(Inline):
    """`assume_bounded`."""

    vouches: ClassVar[bool] = True

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return True

    def emit(self, code: Code) -> None:
        """Items pass as they are."""


class Arranging(Blueprint[T_co]):
    """assume_bounded."""

    __slots__ = ()

    def assume_bounded(self) -> Stream[T_co]:
        """Say that the stream ends by itself, where nothing else tells.

        ```text
        --1--2--|
        assume_bounded()
        --1--2--|
        ```

        Of an iterator, of an async generator, of streams that a function makes nobody knows
        whether they end; they are taken for endless, run as a stream and not in batch, and
        refused by what needs all of its input. This says that they do end: `mode="auto"` then
        is batch if all other sources end too. It does not make them end. Emits each item at once,
        backpressures and completes with upstream. Loses nothing.

        ```python
        rows = (number * number for number in range(10))
        rx.from_iterable(rows).assume_bounded().explain()
        ```
        """
        return self._then(AssumeBounded())
