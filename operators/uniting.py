"""Functions of several streams, where there is no first one: `rx.merge(*streams)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from operators.creating import empty
from reactive.graph import as_stream

if TYPE_CHECKING:
    from operators.folding import SupportsLess
    from reactive.stream import Stream

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
F = TypeVar("F")


def _call(method: str, streams: Sequence[Stream[Any]], **options: Any) -> Stream[Any]:
    """What a method of the first stream makes of all; of no streams an empty one."""
    if not streams:
        return empty()
    first, *others = streams
    if isinstance(first, (list, tuple)):
        raise TypeError(
            f"{method} takes the streams one by one, not in a {type(first).__name__}: write "
            f"rx.{method}(*streams)"
        )
    result: Stream[Any] = getattr(as_stream(first), method)(*others, **options)
    return result


@overload
def merge(
    a: Stream[A], b: Stream[B], /, *, priorities: Sequence[float] | None = None
) -> Stream[A | B]: ...


@overload
def merge(
    a: Stream[A], b: Stream[B], c: Stream[C], /, *, priorities: Sequence[float] | None = None
) -> Stream[A | B | C]: ...


@overload
def merge(
    a: Stream[A],
    b: Stream[B],
    c: Stream[C],
    d: Stream[D],
    /,
    *,
    priorities: Sequence[float] | None = None,
) -> Stream[A | B | C | D]: ...


@overload
def merge(*streams: Stream[A], priorities: Sequence[float] | None = None) -> Stream[A]: ...


def merge(*streams: Stream[Any], priorities: Sequence[float] | None = None) -> Stream[Any]:
    """Give the items of several streams as they come.

    As `Stream.merge` called on the first of them; of no streams, an empty one.

    ```python
    rx.merge(*(rx.interval(seconds) for seconds in (1, 2, 3)))
    ```
    """
    return _call("merge", streams, priorities=priorities)


@overload
def concat(a: Stream[A], b: Stream[B], /) -> Stream[A | B]: ...


@overload
def concat(a: Stream[A], b: Stream[B], c: Stream[C], /) -> Stream[A | B | C]: ...


@overload
def concat(a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /) -> Stream[A | B | C | D]: ...


@overload
def concat(*streams: Stream[A]) -> Stream[A]: ...


def concat(*streams: Stream[Any]) -> Stream[Any]:
    """Give all items of each stream, one stream after the other.

    As `Stream.concat` called on the first of them; of no streams, an empty one.

    ```python
    rx.concat(rx.of(1, 2), rx.of(3))
    ```
    """
    return _call("concat", streams)


@overload
def interleave(a: Stream[A], b: Stream[B], /, *, count: int = 1) -> Stream[A | B]: ...


@overload
def interleave(
    a: Stream[A], b: Stream[B], c: Stream[C], /, *, count: int = 1
) -> Stream[A | B | C]: ...


@overload
def interleave(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /, *, count: int = 1
) -> Stream[A | B | C | D]: ...


@overload
def interleave(*streams: Stream[A], count: int = 1) -> Stream[A]: ...


def interleave(*streams: Stream[Any], count: int = 1) -> Stream[Any]:
    """Give items of several streams in turn, `count` of each.

    As `Stream.interleave` called on the first of them; of no streams, an empty one.

    ```python
    rx.interleave(rx.of(1, 2, 3), rx.of("a", "b"))
    ```
    """
    return _call("interleave", streams, count=count)


@overload
def race(a: Stream[A], b: Stream[B], /) -> Stream[A | B]: ...


@overload
def race(a: Stream[A], b: Stream[B], c: Stream[C], /) -> Stream[A | B | C]: ...


@overload
def race(a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /) -> Stream[A | B | C | D]: ...


@overload
def race(*streams: Stream[A]) -> Stream[A]: ...


def race(*streams: Stream[Any]) -> Stream[Any]:
    """Go on with the stream that is first to give an item, and close the others.

    As `Stream.race` called on the first of them; of no streams, an empty one (in Rx, one that
    never ends).

    ```python
    rx.race(rx.timer(2), rx.timer(1))
    ```
    """
    return _call("race", streams)


@overload
def merge_sorted(
    a: Stream[A], b: Stream[B], /, *, key: Callable[[A | B], SupportsLess] | None = None
) -> Stream[A | B]: ...


@overload
def merge_sorted(
    a: Stream[A],
    b: Stream[B],
    c: Stream[C],
    /,
    *,
    key: Callable[[A | B | C], SupportsLess] | None = None,
) -> Stream[A | B | C]: ...


@overload
def merge_sorted(
    a: Stream[A],
    b: Stream[B],
    c: Stream[C],
    d: Stream[D],
    /,
    *,
    key: Callable[[A | B | C | D], SupportsLess] | None = None,
) -> Stream[A | B | C | D]: ...


@overload
def merge_sorted(
    *streams: Stream[A], key: Callable[[A], SupportsLess] | None = None
) -> Stream[A]: ...


def merge_sorted(
    *streams: Stream[Any], key: Callable[[Any], SupportsLess] | None = None
) -> Stream[Any]:
    """Merge streams that are each sorted, by value or by `key(item)`, into a sorted one.

    As `Stream.merge_sorted` called on the first of them; of no streams, an empty one.

    ```python
    rx.merge_sorted(rx.of(1, 4), rx.of(2, 3))
    ```
    """
    return _call("merge_sorted", streams, key=key)


@overload
def zip(a: Stream[A], b: Stream[B], /, *, strict: bool = False) -> Stream[tuple[A, B]]: ...


@overload
def zip(
    a: Stream[A], b: Stream[B], c: Stream[C], /, *, strict: bool = False
) -> Stream[tuple[A, B, C]]: ...


@overload
def zip(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /, *, strict: bool = False
) -> Stream[tuple[A, B, C, D]]: ...


@overload
def zip(*streams: Stream[Any], strict: bool = False) -> Stream[tuple[Any, ...]]: ...


def zip(*streams: Stream[Any], strict: bool = False) -> Stream[Any]:
    """Combine the items of several streams by position, into tuples.

    As `Stream.zip` called on the first of them; of no streams, an empty one.

    ```python
    rx.zip(rx.of(1, 2), rx.of("a", "b"))
    ```
    """
    return _call("zip", streams, strict=strict)


@overload
def zip_longest(
    a: Stream[A], b: Stream[B], /, *, fill: None = None
) -> Stream[tuple[A | None, B | None]]: ...


@overload
def zip_longest(
    a: Stream[A], b: Stream[B], c: Stream[C], /, *, fill: None = None
) -> Stream[tuple[A | None, B | None, C | None]]: ...


@overload
def zip_longest(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /, *, fill: None = None
) -> Stream[tuple[A | None, B | None, C | None, D | None]]: ...


@overload
def zip_longest(a: Stream[A], b: Stream[B], /, *, fill: F) -> Stream[tuple[A | F, B | F]]: ...


@overload
def zip_longest(
    a: Stream[A], b: Stream[B], c: Stream[C], /, *, fill: F
) -> Stream[tuple[A | F, B | F, C | F]]: ...


@overload
def zip_longest(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /, *, fill: F
) -> Stream[tuple[A | F, B | F, C | F, D | F]]: ...


@overload
def zip_longest(*streams: Stream[Any], fill: Any = None) -> Stream[tuple[Any, ...]]: ...


def zip_longest(*streams: Stream[Any], fill: Any = None) -> Stream[Any]:
    """Combine the items of several streams by position, to the end of the longest.

    As `Stream.zip_longest` called on the first of them; of no streams, an empty one.

    ```python
    rx.zip_longest(rx.of(1, 2), rx.of("a"), fill=0)
    ```
    """
    return _call("zip_longest", streams, fill=fill)


@overload
def combine_latest(a: Stream[A], b: Stream[B], /) -> Stream[tuple[A, B]]: ...


@overload
def combine_latest(a: Stream[A], b: Stream[B], c: Stream[C], /) -> Stream[tuple[A, B, C]]: ...


@overload
def combine_latest(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /
) -> Stream[tuple[A, B, C, D]]: ...


@overload
def combine_latest(*streams: Stream[Any]) -> Stream[tuple[Any, ...]]: ...


def combine_latest(*streams: Stream[Any]) -> Stream[Any]:
    """Give the latest items of several streams, whenever one of them gives one.

    As `Stream.combine_latest` called on the first of them; of no streams, an empty one.

    ```python
    rx.combine_latest(rx.interval(1), rx.interval(2))
    ```
    """
    return _call("combine_latest", streams)


@overload
def fork_join(a: Stream[A], b: Stream[B], /) -> Stream[tuple[A, B]]: ...


@overload
def fork_join(a: Stream[A], b: Stream[B], c: Stream[C], /) -> Stream[tuple[A, B, C]]: ...


@overload
def fork_join(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /
) -> Stream[tuple[A, B, C, D]]: ...


@overload
def fork_join(*streams: Stream[Any]) -> Stream[tuple[Any, ...]]: ...


def fork_join(*streams: Stream[Any]) -> Stream[Any]:
    """Give the last items of several streams, when all have completed.

    As `Stream.fork_join` called on the first of them; of no streams, an empty one.

    ```python
    rx.fork_join(rx.of(1, 2), rx.of("a"))
    ```
    """
    return _call("fork_join", streams)
