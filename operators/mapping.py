"""mapping: one item in, something else out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    TypeVarTuple,
    overload,
)

from operators.asynchronous import Ordering, check_concurrency, concurrent_map
from operators.calling import ErrorTypes, check_calling
from operators.checking import MISSING, bind_plain, check_callable, check_plain, is_async
from reactive.backoff import Backoff
from reactive.fast_dataclasses import dataclass
from reactive.fuse import Code
from reactive.graph import Blueprint, Node
from reactive.operator import Inline
from reactive.policy import ErrorPolicy, bind_policy, check_policy, describe_policy, policy_sides

if TYPE_CHECKING:
    from reactive.stream import Stream

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
Ts = TypeVarTuple("Ts")
T_co = TypeVar("T_co", covariant=True)
U_co = TypeVar("U_co", covariant=True)


@dataclass(frozen=True)
class _PerItem(Inline):
    fn: Callable[..., Any]
    on_error: Any = "raise"

    def details(self) -> dict[str, object]:
        return describe_policy(self.on_error)

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def call(self, code: Code, expression: str) -> None:
        """Make `expression`, with `fn` in place of `{fn}`, the item, under the error policy."""
        fn = bind_plain(code, "fn", self.fn)
        handler = bind_policy(self.on_error, code.context)
        name = None if handler is None else code.bind("handle", handler.handle)
        call = expression.format(fn=fn, item=code.item)
        code.guarded(call, name, handler is not None and handler.replaces)


@dataclass(frozen=True)
class Map(_PerItem):
    """`map` of a plain function."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        self.call(code, "{fn}({item})")


@dataclass(frozen=True)
class Starmap(_PerItem):
    """`starmap`."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        self.call(code, "{fn}(*{item})")


@dataclass(frozen=True)
class FlatMap(_PerItem):
    """`flat_map`."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    loops: ClassVar[int] = 1

    def emit(self, code: Code) -> None:
        self.call(code, "{fn}({item})")
        code.loop(code.item)


@dataclass(frozen=True)
class Tap(_PerItem):
    """`tap`."""

    binds: ClassVar[tuple[str, ...] | None] = ("fn",)

    def emit(self, code: Code) -> None:
        item = code.item
        self.call(code, "{fn}({item})")
        code.item = item


@dataclass(frozen=True)
class Enumerate(Inline):
    """`enumerate`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    start: int

    def emit(self, code: Code) -> None:
        index = code.state("index", str(self.start - 1))
        code.line(f"{index} += 1")
        code.let(f"({index}, {code.item})")


@dataclass(frozen=True)
class Pairwise(Inline):
    """`pairwise`."""

    binds: ClassVar[tuple[str, ...] | None] = ()

    def emit(self, code: Code) -> None:
        missing = code.bind("missing", MISSING)
        previous = code.state("previous", missing)
        before = code.keep(previous)
        code.line(f"{previous} = {code.item}")
        code.skip_unless(f"{before} is not {missing}")
        code.let(f"({before}, {code.item})")


@dataclass(frozen=True)
class Scan(Inline):
    """`scan`."""

    fn: Callable[[Any, Any], Any]
    initial: Any
    factory: Factory[Any] | None

    def emit(self, code: Code) -> None:
        fn = bind_plain(code, "fn", self.fn)
        missing = code.bind("missing", MISSING)
        total = code.state("total", code.bind("initial", self.initial))
        step = f"{total} = {fn}({total}, {code.item})"
        if self.factory is not None:
            factory = bind_plain(code, "factory", self.factory)
            code.block(f"if {total} is {missing}:", f"{total} = {factory}()")
            code.line(step)
        elif self.initial is MISSING:
            code.block(f"if {total} is {missing}:", f"{total} = {code.item}")
            code.block("else:", step)
        else:
            code.line(step)
        code.let(total)


class Factory(Protocol[U_co]):
    """Makes a start anew for every run; beside a `Callable`, mypy would not infer lambdas."""

    def __call__(self) -> U_co: ...


class Mapping(Blueprint[T_co]):
    """map, starmap, flat_map, tap, enumerate, pairwise, scan."""

    __slots__ = ()

    @overload
    def map(
        self,
        fn: Callable[[T_co], Awaitable[U]],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        by: Callable[[T_co], Hashable] | None = None,
        buffer: int | None = None,
        timeout: float | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[U | V]: ...

    @overload
    def map(
        self,
        fn: Callable[[T_co], U],
        *,
        on: Literal["thread", "process"],
        concurrency: int | None = None,
        ordered: bool = True,
        by: Callable[[T_co], Hashable] | None = None,
        buffer: int | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[U | V]: ...

    @overload
    def map(
        self,
        fn: Callable[[T_co], U],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        on: Literal["loop", "thread", "process"] = "loop",
        on_error: ErrorPolicy[V] = "raise",
    ) -> Stream[U | V]: ...

    def map(
        self,
        fn: Callable[[T_co], Any],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        by: Callable[[T_co], Hashable] | None = None,
        buffer: int | None = None,
        on: Literal["loop", "thread", "process"] = "loop",
        timeout: float | None = None,
        retry: Backoff | int | None = None,
        retry_on: ErrorTypes = Exception,
        on_error: ErrorPolicy[Any] = "raise",
    ) -> Stream[Any]:
        """Apply a function to every item.

        ```text
        --1--2--3--|
        map(lambda x: x * 10)
        --10-20-30-|
        ```

        A plain function is fused with its neighbours into one loop. An `async def` function is
        awaited, one item at a time, or up to `concurrency` at a time. `on="thread"` and
        `on="process"` run a plain function beside the event loop, `concurrency` (by default the
        number of processors) at a time; for `process`, function, items and results must pickle
        (cloudpickle is used: lambdas do).

        Results of calls that overlap leave in the order of their items, as they complete with
        `ordered=False`, or with `by=key` in order within each key: calls for items of one key
        never overlap, those of different keys do not wait for each other.

        ```text
        --1-2-4-------|
        map(busy(4), concurrency=2, by=lambda x: x % 2)
        ------1-2---4-|
        ```

        `timeout` limits each awaited call to so many seconds of the loop's clock; then it is
        cancelled, its cleanup waited for, and it fails with `TimeoutError`. `retry` makes a
        failed call again, after the pauses of a `Backoff` (a number is its `attempts`), if the
        error is an instance of `retry_on`; the call keeps its place meanwhile. `on_error` sees
        the last failure. Retries are counted (`retries` in the metrics).

        Emits the result of each item. Backpressures when downstream does, and when `concurrency`
        calls are under way. So that a slow call does not stop the others, up to `buffer` further
        items (by default as many as `concurrency`) are taken: finished results that wait for a
        slower one before them, or with `by`, items that wait for their key. Completes when
        upstream does and no call is under way. Watermarks and barriers leave when the results of
        all items before them have; unless results are in order, no later call starts until then.
        Loses nothing, except failed items under an `on_error` policy, counted.

        Raises: what `fn` or `by` raises, with a note naming the operator and the line that
        defined it, after the items before it were delivered; see `on_error` for `"skip"`,
        `rx.replace(...)` and side outputs. `TypeError` when a plain function gives an awaitable
        and `concurrency` was not given, and for `by`, `buffer`, `timeout` or `retry` with a plain
        function on the loop. `ValueError` for a concurrency below 1, a `timeout` on threads or
        processes, which cannot be interrupted, and options that contradict `ordered=False`.

        ```python
        pages = rx.from_iterable(urls).map(fetch, concurrency=10, timeout=5, retry=3)
        ```
        """
        check_callable("map", fn)
        if on_error != "raise":
            check_policy(on_error)
        if concurrency is not None:
            check_concurrency(concurrency)
        if on not in ("loop", "thread", "process"):
            raise ValueError(f'on must be "loop", "thread" or "process", not {on!r}')
        if on == "loop" and concurrency is None and not is_async(fn):
            plain = by is None and buffer is None and timeout is None and retry is None
            if not plain or retry_on is not Exception:
                only = None if retry_on is Exception else retry_on
                _refuse_for_plain(
                    fn, by=by, buffer=buffer, timeout=timeout, retry=retry, retry_on=only
                )
            return self._then(Map(fn, on_error))
        ordering = Ordering(ordered, by, buffer)
        ordering.check()
        calling = check_calling(timeout, retry, retry_on, on)
        return self._then(concurrent_map(fn, concurrency, on, ordering, calling, on_error))

    @overload
    def starmap(
        self: Mapping[tuple[*Ts]], fn: Callable[[*Ts], U], *, on_error: ErrorPolicy[V] = "raise"
    ) -> Stream[U | V]: ...

    @overload
    def starmap(
        self: Mapping[list[Any]], fn: Callable[..., U], *, on_error: ErrorPolicy[V] = "raise"
    ) -> Stream[U | V]: ...

    def starmap(self, fn: Callable[..., Any], *, on_error: ErrorPolicy[Any] = "raise") -> Any:
        """Apply a function to every item, which is a tuple of its arguments.

        ```text
        --[1,2]--[3,4]--|
        starmap(operator.add)
        --3------7------|
        ```

        Emits, backpressures and completes as `map` of a plain function. Loses nothing.

        ```python
        rx.of((1, 2), (3, 4)).starmap(lambda a, b: a + b)
        ```
        """
        check_plain("starmap", fn)
        check_policy(on_error)
        return self._then(Starmap(fn, on_error))

    def flat_map(
        self, fn: Callable[[T_co], Iterable[U]], *, on_error: ErrorPolicy[Iterable[V]] = "raise"
    ) -> Stream[U | V]:
        """Give every item of the iterable that `fn` makes of each item, in order.

        ```text
        --2-----3--------|
        flat_map(range)
        --(01)--(012)----|
        ```

        Emits each inner item; inner iterables are consumed as far as downstream takes items, so
        that one may be endless. Backpressures when downstream does. Completes with upstream.
        Loses nothing. Raises what `fn` or the iterable raises; `on_error` covers `fn`.

        ```python
        rx.of("a b", "c").flat_map(str.split)
        ```
        """
        check_plain("flat_map", fn)
        check_policy(on_error)
        return self._then(FlatMap(fn, on_error))

    def tap(
        self, fn: Callable[[T_co], object], *, on_error: ErrorPolicy[Any] = "raise"
    ) -> Stream[T_co]:
        """Call a function with every item and pass the item on: to look, count or log.

        ```text
        --1--2--|
        tap(print)
        --1--2--|
        ```

        Emits what it gets, when `fn` has returned. Backpressures and completes with its
        neighbours. Loses nothing. Raises what `fn` raises.

        ```python
        rx.of(1, 2).tap(print)
        ```
        """
        check_plain("tap", fn)
        check_policy(on_error)
        return self._then(Tap(fn, on_error))

    def enumerate(self, start: int = 0) -> Stream[tuple[int, T_co]]:
        """Pair every item with its number.

        ```text
        --a-----b-----|
        enumerate()
        --0a----1b----|
        ```

        Emits `(number, item)`, counting from `start`. Backpressures and completes with its
        neighbours, loses nothing.

        ```python
        rx.of("a", "b").enumerate(1)
        ```
        """
        if not isinstance(start, int):
            raise TypeError(f"enumerate counts from a whole number, not from {start!r}")
        return self._then(Enumerate(start))

    def pairwise(self) -> Stream[tuple[T_co, T_co]]:
        """Pair every item with the one before it.

        ```text
        --1--2-----3-----|
        pairwise()
        -----12----23----|
        ```

        Emits from the second item on; nothing for a stream of one. Backpressures and completes with
        its neighbours. Loses nothing, except the item of a stream of one.

        ```python
        rx.of(1, 4, 9).pairwise().starmap(lambda a, b: b - a)
        ```
        """
        return self._then(Pairwise())

    @overload
    def scan(self, fn: Callable[[T_co, T_co], T_co]) -> Stream[T_co]: ...

    @overload
    def scan(self, fn: Callable[[U, T_co], U], initial: U) -> Stream[U]: ...

    @overload
    def scan(self, fn: Callable[[U, T_co], U], *, factory: Factory[U]) -> Stream[U]: ...

    def scan(
        self,
        fn: Callable[[Any, Any], Any],
        initial: Any = MISSING,
        *,
        factory: Factory[Any] | None = None,
    ) -> Stream[Any]:
        """Give the running result of folding the items so far.

        ```text
        --1--2--3--|
        scan(lambda total, x: total + x, 0)
        --1--3--6--|
        ```

        Emits `fn(result so far, item)` for every item; without a start, the first item is the first
        result. The start itself is not emitted: `initial`, which every run shares and `fn` must not
        change in place, or what `factory` makes anew for each run that has an item. Where `fn`
        changes and gives the same object, downstream gets that object every time. Backpressures and
        completes with its neighbours. Loses nothing. Raises what `fn` and `factory` raise.
        `TypeError` for both starts at once.

        ```python
        rx.of("a", "b").scan(lambda seen, word: seen | {word}, factory=set[str])
        ```
        """
        check_plain("scan", fn)
        if factory is not None:
            check_plain("scan (factory)", factory)
            if initial is not MISSING:
                raise TypeError("scan starts from `initial` or from what `factory` makes, not both")
        return self._then(Scan(fn, initial, factory))


def _refuse_for_plain(fn: object, **options: object) -> None:
    """Refuse what a plain function on the loop, fused with its neighbours, cannot have."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(
                f"map({name}=...) is for functions that are awaited or run beside the loop, and "
                f"{fn!r} is a plain one; write it as `async def`, pass concurrency=1 to have each "
                'result awaited, or run it with on="thread"'
            )
