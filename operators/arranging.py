"""arranging: the whole input in another order, and the word that it ends."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from operators.checking import check_plain
from operators.folding import SupportsLess
from operators.group_all import Group
from operators.sort_all import Sort
from operators.whole import check_memory
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint
from reactive.operator import Inline

if TYPE_CHECKING:
    from reactive.stream import Stream

K = TypeVar("K", bound=Hashable)
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
    """sort, group, assume_bounded."""

    __slots__ = ()

    def sort(
        self,
        key: Callable[[T_co], SupportsLess] | None = None,
        *,
        reverse: bool = False,
        memory: int | None = None,
    ) -> Stream[T_co]:
        """Give all items in order, the smallest first, or with `reverse` the largest.

        ```text
        --3--1--2--|
        sort()
        -----------(123|)
        ```

        Compares items with `<`, or what `key` gives for each, called once. Equals keep their order,
        also with `reverse`. Emits when upstream has completed, which it never backpressures. Holds
        all items: in memory as long as they take no more than `memory` bytes (128 MiB, or as
        `rx.Settings` says), and beyond that in sorted runs on disk, which are merged at the end. On
        disk items, and keys, have to pickle; the file has no name and is gone with the run, or the
        process, whatever happens. What items take is measured for text and bytes, and judged by
        samples for others. An item keeps its event time; watermarks, which would make items late,
        wait for the end, and then the last of them follows the last item. A checkpoint has
        what came since the one before. Completes after the last item. Loses nothing; a failing
        upstream discards what is held.

        A stream that does not end, as far as is known, is a `PlanError` that says what to do
        instead. Raises what `key` and `<` raise, and `OSError` for a disk that is full.
        `TypeError` or `ValueError` for `memory` that is no number of bytes.

        ```python
        ordered = await rx.of("ccc", "a", "bb").sort(key=len, reverse=True).collect()
        ```
        """
        if key is not None:
            check_plain("sort", key)
        check_memory("sort", memory)
        return self._then(Sort(key, bool(reverse), memory))

    def group(
        self, key: Callable[[T_co], K], *, memory: int | None = None
    ) -> Stream[tuple[K, list[T_co]]]:
        """Give the items of each key together: pairs of a key and the list of its items.

        ```text
        --1--2--3--|
        group(lambda x: x % 2).map(lambda pair: [pair[0], *pair[1]])
        -----------([113] [02] |)
        ```

        Emits when upstream has completed, which it never backpressures; groups in the order of
        their first items, and items in the order in which they came. Holds all items: in memory as
        long as they take no more than `memory` bytes (128 MiB, or as `rx.Settings` says), and
        beyond that on disk, divided by their keys; see `sort`. A single group has to fit into
        memory, as it is given as a list. On disk items and keys have to pickle, and keys to equal
        their copies (`TypeError`). A group has the event time of its latest item; watermarks wait
        for the end. Completes after the last group. Loses nothing; a failing upstream discards what
        is held.

        For groups as streams while items come, see `group_by`; for results that need no list,
        `key_by`. A stream that does not end, as far as is known, is a `PlanError` that says what
        to do instead. Raises what `key` raises, `TypeError` for a key that cannot be hashed, and
        `OSError` for a disk that is full.

        ```python
        by_length = await rx.of("a", "bb", "c").group(len).collect()
        ```
        """
        check_plain("group", key)
        check_memory("group", memory)
        return self._then(Group(key, memory))

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
