"""The pipelines in RxPY, pushed synchronously, which is the fastest it can be."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import reactivex as rx
from reactivex import operators as ops

Build = Callable[[int], Any]


def of(count: int) -> Any:
    """Emitted in a plain loop; `reactivex.range` would schedule every item."""
    return rx.from_iterable(range(count))


def chain(*operators: Any) -> Build:
    return lambda count: of(count).pipe(*operators)


PIPELINES: dict[str, Build] = {
    "": chain(),
    "map": chain(ops.map(lambda x: x + 1)),
    "starmap": lambda n: of(n).pipe(ops.map(lambda x: (x, x)), ops.starmap(operator.add)),
    "flat_map": chain(ops.flat_map(lambda x: (x,))),
    "concat_map": chain(ops.concat_map(lambda x: rx.of(x))),
    "merge_map": chain(ops.flat_map(lambda x: rx.of(x))),
    "switch_map": chain(ops.switch_map(lambda x: rx.of(x))),
    "tap": chain(ops.do_action(lambda x: None)),
    "enumerate": chain(ops.map_indexed(lambda x, i: (i, x))),
    "pairwise": chain(ops.pairwise()),
    "scan": chain(ops.scan(operator.add)),
    "filter": chain(ops.filter(lambda x: x % 2 == 0)),
    "partition": lambda n: of(n).pipe(ops.partition(lambda x: x % 2 == 0))[0],
    "distinct": chain(ops.distinct(lambda x: x % 100)),
    "distinct_until_changed": chain(ops.distinct_until_changed()),
    "default_if_empty": chain(ops.default_if_empty(0)),
    "ignore_items": chain(ops.ignore_elements()),
    "take": lambda n: of(2 * n).pipe(ops.take(n)),
    "skip": chain(ops.skip(10)),
    "take_while": chain(ops.take_while(lambda x: True)),
    "skip_while": chain(ops.skip_while(lambda x: x < 10)),
    "take_last": chain(ops.take_last(10)),
    "skip_last": chain(ops.skip_last(10)),
    "slices": chain(ops.slice(10, None, 2)),
    "element_at": lambda n: of(2 * n).pipe(ops.element_at(n - 1)),
    "find": lambda n: of(2 * n).pipe(ops.find(lambda x, i, s: x == n - 1)),
    "all": chain(ops.all(lambda x: True)),
    "contains": chain(ops.contains(-1)),
    "reduce": chain(ops.reduce(operator.add)),
    "count": chain(ops.count()),
    "sum": chain(ops.sum()),
    "mean": chain(ops.average()),
    "min": chain(ops.min()),
    "max": chain(ops.max()),
    "last": chain(ops.last()),
    "to_list": chain(ops.to_list()),
    "to_set": chain(ops.to_set()),
    "to_dict": chain(ops.to_dict(lambda x: x % 100)),
    "batch": chain(ops.buffer_with_count(10)),
    "sliding": chain(ops.buffer_with_count(10, 1)),
    "merge": lambda n: rx.merge(of(n // 2), of(n // 2)),
    "concat": lambda n: rx.concat(of(n // 2), of(n // 2)),
    "zip": lambda n: rx.zip(of(n), of(n)),
    "combine_latest": lambda n: rx.combine_latest(of(n // 2), of(n // 2)),
    "with_latest_from": lambda n: of(n).pipe(ops.with_latest_from(rx.of(1))),
    "start_with": chain(ops.start_with(-1)),
    "fork_join": lambda n: rx.fork_join(of(n // 2), of(n // 2)),
    "sequence_equal": lambda n: of(n).pipe(ops.sequence_equal(of(n))),
    "group_by": lambda n: of(n).pipe(
        ops.group_by(lambda x: x % 10), ops.flat_map(lambda group: group)
    ),
    "with_timestamp": chain(ops.timestamp()),
    "with_interval": chain(ops.time_interval()),
    "repeat": lambda n: of(n // 10).pipe(ops.repeat(10)),
    "share": chain(ops.share()),
    "finally_": chain(ops.finally_action(lambda: None)),
    "recover": chain(ops.catch(rx.empty())),
    "retry": chain(ops.retry(3)),
}


def run(name: str, count: int) -> int:
    """How many items came out."""
    given = 0

    def note(_: Any) -> None:
        nonlocal given
        given += 1

    def fail(error: Exception) -> None:
        raise error

    PIPELINES[name](count).subscribe(note, fail)
    return given
