"""reshaping: items taken apart, taken as another type, made in bulk, or expanded into more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from operators.checking import (
    MISSING,
    check_count,
    check_plain,
    refuse_awaitable,
)
from reactive.errors import OverflowFailure
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code, annotate
from reactive.graph import Blueprint, Node
from reactive.operator import Inline, Step, Stepwise
from reactive.policy import (
    ErrorPolicy,
    Handler,
    bind_policy,
    check_policy,
    describe_policy,
    policy_sides,
)
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")

_CALLS_BETWEEN_PAUSES = 4


@dataclass(frozen=True)
class Flatten(Inline):
    """`flatten`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    loops: ClassVar[int] = 1

    def emit(self, code: Code) -> None:
        code.loop(code.item)


@dataclass(frozen=True)
class Unzip(Inline):
    """One half of `unzip`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    second: bool

    def emit(self, code: Code) -> None:
        code.let(code.item)
        targets = f"_, {code.item}" if self.second else f"{code.item}, _"
        code.line(f"{targets} = {code.item}")


@dataclass(frozen=True)
class OfType(Inline):
    """`of_type`."""

    kinds: tuple[Any, ...]

    def details(self) -> dict[str, object]:
        return {"types": " | ".join(getattr(kind, "__name__", str(kind)) for kind in self.kinds)}

    def emit(self, code: Code) -> None:
        kinds = code.bind("kinds", self.kinds[0] if len(self.kinds) == 1 else self.kinds)
        code.skip_unless(f"isinstance({code.item}, {kinds})")


@dataclass(frozen=True)
class Expand(Inline):
    """`expand`."""

    loops: ClassVar[int] = 1

    fn: Callable[[Any], Iterable[Any]]
    limit: int
    on_error: Any

    def details(self) -> dict[str, object]:
        return {"limit": f"{self.limit:,} items", **describe_policy(self.on_error)}

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def emit(self, code: Code) -> None:
        handler = bind_policy(self.on_error, code.context)
        fn = self.fn if handler is None else _Handled(self.fn, handler)
        walk = code.bind("walk", BreadthFirst(fn, self.limit, code.context.where()).walk)
        code.loop(f"{walk}({code.item})")
        code.skip_unless(f"{code.item} is not {code.bind('missing', MISSING)}")


@dataclass(frozen=True)
class _Handled:
    """A function that makes children, under an error policy."""

    fn: Callable[[Any], Iterable[Any]]
    handler: Handler

    def __call__(self, item: Any) -> Iterable[Any]:
        try:
            return self.fn(item)
        except Exception as error:
            children: Iterable[Any] = self.handler.handle(item, error)
            return children if self.handler.replaces else ()


class BreadthFirst:
    """Gives an item, what `fn` makes of it, what `fn` makes of that, and so on, lazily. Now and
    then where that is nothing it gives `MISSING`, so that the loop may pause there too.

    Items follow one another, each with all its descendants: what is due is that of one item.
    """

    def __init__(self, fn: Callable[[Any], Iterable[Any]], limit: int, where: str) -> None:
        self._fn = fn
        self._limit = limit
        self._where = where
        self._checked = False
        self._due: deque[Any] = deque()

    def walk(self, item: Any) -> Iterator[Any]:
        """An item with all its descendants."""
        yield item
        fn, limit, due = self._fn, self._limit, self._due
        put, take = due.append, due.popleft
        nothing = 0
        children = fn(item)
        if not self._checked:
            refuse_awaitable(children)
            self._checked = True
        room = limit - len(due)
        while True:
            child: Any = MISSING
            for child in children:
                room -= 1
                if room < 0:
                    raise OverflowFailure(
                        f"{self._where}: {limit} items wait to be expanded; raise limit=, or have "
                        "the function give fewer"
                    )
                put(child)
                yield child
            if not due:
                return
            if child is MISSING:
                nothing += 1
                if nothing == _CALLS_BETWEEN_PAUSES:
                    nothing = 0
                    yield MISSING
            room += 1
            children = fn(take())


@dataclass(frozen=True)
class MapChunks(Stepwise):
    """`map_chunks`."""

    fn: Callable[[list[Any]], Collection[Any]]
    on_error: Any

    def details(self) -> dict[str, object]:
        return describe_policy(self.on_error)

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def step(self, context: Context) -> Step[Any, Any]:
        return _MapChunksStep(self, context)


class _MapChunksStep(Step[Any, Any]):
    """A chunk that fails is halved until the items that do are found: what they were together
    with must not matter."""

    whole: ClassVar[bool] = True

    def __init__(self, operator: MapChunks, context: Context) -> None:
        self._fn = operator.fn
        self._context = context
        self._handler = bind_policy(operator.on_error, context)
        self._chunk: Chunk[Any] = Chunk([])
        self._parts: list[tuple[int, int]] = []

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._context.meter.items_in += len(chunk.items)
        self._chunk = chunk
        self._parts = [(0, len(chunk.items))]
        self.resume(out)

    def resume(self, out: list[Signal[Any]]) -> None:
        start, end = self._parts.pop()
        items, times = self._chunk.items[start:end], self._chunk.times
        try:
            results = self._fn(items)
        except Exception as error:
            if end - start > 1:
                self._context.meter.count("divided")
                middle = (start + end) // 2
                self._parts += [(middle, end), (start, middle)]
                results = []
            else:
                results = self._rescued(items[0], error)
        else:
            results = self._checked(results, end - start)
        if results:
            self._context.meter.items_out += len(results)
            out.append(Chunk(results, None if times is None else times[start:end]))
        self.busy = bool(self._parts)
        if not self.busy:
            self._chunk = Chunk([])

    def _rescued(self, item: Any, error: Exception) -> list[Any]:
        if self._handler is None:
            annotate(error, self._context)
            raise error
        try:
            replacement = self._handler.handle(item, error)
        except Exception as failure:
            annotate(failure, self._context)
            raise
        return [replacement] if self._handler.replaces else []

    def _checked(self, results: Any, count: int) -> list[Any]:
        """The results as a list; that there is one for every item no policy can make good."""
        try:
            # A copy in any case: the function may use its list again.
            listed = results.copy() if type(results) is list else _listed(results)
            if len(listed) != count:
                raise ValueError(
                    "map_chunks needs one result for every item, and the function gave "
                    f"{len(listed)} for {count}"
                )
        except Exception as error:
            annotate(error, self._context)
            raise
        return listed


def _listed(results: Any) -> list[Any]:
    if isinstance(results, (set, frozenset, Mapping)) or not hasattr(results, "__len__"):
        if iscoroutine(results):
            results.close()
        raise TypeError(
            f"map_chunks needs a list or another sequence, not {type(results).__name__}"
        )
    return list(results)


class Reshaping(Blueprint[T_co]):
    """flatten, unzip, cast, of_type, expand, map_chunks."""

    __slots__ = ()

    def flatten(self: Reshaping[Iterable[U]]) -> Stream[U]:
        """Give every item of each item, which is an iterable, in order.

        ```text
        --[1,2]--[3]--|
        flatten()
        --(12)---3----|
        ```

        Emits each inner item; inner iterables are consumed as far as downstream takes items, so
        that one may be endless. Backpressures when downstream does. Completes with upstream.
        Loses nothing. Raises what an iterable raises, `TypeError` for an item that is none.

        ```python
        rx.range(10).batch(3).map(sorted).flatten()
        ```
        """
        return self._then(Flatten())

    def unzip(self: Reshaping[tuple[U, V]]) -> tuple[Stream[U], Stream[V]]:
        """Take pairs apart: a stream of the first halves, and one of the second.

        ```text
        --[1,5]--[2,6]--|
        unzip()
        --1------2------|
        --5------6------|
        ```

        Both are branches of one run when they are used together; used alone, each runs by itself.
        Emits a half of each pair. Backpressures to the slower branch. Completes with upstream.
        Loses nothing. Raises `ValueError` or `TypeError` for an item that is not a pair.

        ```python
        names, sizes = rx.of(("a", 1), ("b", 2)).unzip()
        total = await names.zip(sizes.scan(max)).collect()
        ```
        """
        return self._then(Unzip(False)), self._then(Unzip(True))

    @overload
    def cast(self, kind: type[U]) -> Stream[U]: ...

    @overload
    def cast(self, kind: object) -> Stream[Any]: ...

    def cast(self, kind: object) -> Stream[Any]:
        """Tell the type checker what the items are; nothing is checked or done.

        ```text
        --1--2--|
        cast(int)
        --1--2--|
        ```

        Emits, backpressures, completes and loses as what is before it. Adds no operator and costs
        nothing: `named` after it names the one before. Where the type is no class, annotate the
        result as well: `rows: rx.Stream[int | None] = stream.cast(int | None)`. `of_type` looks at
        every item.

        ```python
        numbers = rx.from_iterable([1, 2]).cast(int)
        ```
        """
        return Blueprint.stream_class(self._node)

    @overload
    def of_type(self, kind: type[U], /) -> Stream[U]: ...

    @overload
    def of_type(self, a: type[U], b: type[V], /) -> Stream[U | V]: ...

    @overload
    def of_type(self, a: type[U], b: type[V], c: type[W], /) -> Stream[U | V | W]: ...

    @overload
    def of_type(self, *kinds: type[U]) -> Stream[U]: ...

    def of_type(self, *kinds: Any) -> Stream[Any]:
        """Keep the items that are instances of a class, or of one of several.

        ```text
        --1--a--2--|
        of_type(int)
        --1-----2--|
        ```

        Emits an item if `isinstance` says so; the stream's item type is narrowed. Backpressures
        and completes with its neighbours. Drops the other items, by design. `TypeError` for what
        `isinstance` does not take.

        ```python
        rx.of(1, "a", 2).of_type(int)
        ```
        """
        if not kinds:
            raise TypeError("of_type needs a class, or several")
        for kind in kinds:
            try:
                isinstance(None, kind)
            except TypeError as error:
                raise TypeError(f"of_type needs classes, and {kind!r} is none: {error}") from None
        return self._then(OfType(kinds))

    def expand(
        self,
        fn: Callable[[T_co], Iterable[T_co]],
        *,
        limit: int = 10_000,
        on_error: ErrorPolicy[Iterable[Any]] = "raise",
    ) -> Stream[T_co]:
        """Give every item, what `fn` makes of it, what `fn` makes of that, and so on.

        ```text
        --1--------|
        expand(lambda x: [2 * x, 2 * x + 1] if x < 4 else [])
        --(1234567)|
        ```

        Emits breadth first: an item, its children, their children; one item of upstream after
        another, each with all its descendants, where Rx interleaves them. `fn` is called, and its
        iterable consumed, as far as downstream takes items, so that it may go on without end.
        Holds what is still to be expanded, up to `limit` items. Backpressures when downstream
        does. Completes with upstream, when nothing is left to expand. Loses nothing.

        Raises what `fn` or an iterable raises; `on_error` covers `fn`: an item that it fails on
        was given already, and has no children, or those that replace them. `OverflowFailure`
        for a child when `limit` items wait. `ValueError` for a limit below 1.

        ```python
        from pathlib import Path

        files = rx.of(Path("src")).expand(lambda path: path.iterdir() if path.is_dir() else [])
        ```
        """
        check_plain("expand", fn)
        check_count("expand (limit)", limit, 1)
        check_policy(on_error)
        return self._then(Expand(fn, limit, on_error))

    def map_chunks(
        self,
        fn: Callable[[list[T_co]], Collection[U]],
        *,
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[U | V]:
        """Apply a function to many items at once: it takes a list and gives as many results.

        ```text
        --(12)-----3--|
        map_chunks(lambda xs: [x * 10 for x in xs])
        --(10 20)--30-|
        ```

        For functions that are quick in bulk, such as those of NumPy. The list is what travels
        together, one item or a thousand, and its size has no meaning: put `rebatch(n)` before it
        to have larger ones (which wait), and use `batch` where the grouping counts. The result
        for an item must not depend on the others; results are a list or another sequence with a
        length, such as an array, and take the event times of their items. One call holds the
        event loop; for slow ones, `batch(n).map(fn, on="thread").flatten()`.

        Emits the results as one chunk. Backpressures and completes with its neighbours. Loses
        nothing, except failed items under an `on_error` policy, counted. When `fn` raises, it is
        called again with the halves of its list, and theirs, until the failing items are found:
        the others before them are delivered, and `on_error` gets single items. Such calls are
        counted (`divided` in the metrics). `TypeError` or `ValueError`, whatever the policy, for
        a result that is no sequence or has another length.

        ```python
        rx.range(1000).rebatch(100).map_chunks(lambda xs: [x * x for x in xs])
        ```
        """
        check_plain("map_chunks", fn)
        check_policy(on_error)
        return self._then(MapChunks(fn, on_error))
