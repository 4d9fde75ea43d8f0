"""The pipelines in Reactive, and what form each operator has."""

from __future__ import annotations

import asyncio
import atexit
import operator
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import reactive as rx
from reactive.operator import Buffered, Inline, SourceOperator, Stepwise

Stream = rx.Stream[Any]
Build = Callable[[int], Stream]
HOUR = 3600.0
TEN = list(range(10))


async def same_later(item: int) -> int:
    await asyncio.sleep(0)
    return item


def same(item: int) -> int:
    return item


async def doubled(items: Any) -> Any:
    async for item in items:
        yield item


async def once(item: int) -> AsyncIterator[int]:
    yield item


def on(build: Callable[[Stream], Stream]) -> Build:
    return lambda count: build(rx.range(count))


def journaled(stream: Stream) -> Stream:
    folder = tempfile.TemporaryDirectory(prefix="benchmark-")
    atexit.register(folder.cleanup)
    return stream.journal(folder.name)


def two(build: Callable[[Stream, Stream], Stream]) -> Build:
    """Two inputs that give `count` items together."""
    return lambda count: build(rx.range(count // 2), rx.range(count // 2))


PIPELINES: dict[str, Build] = {
    "": on(lambda s: s),
    # mapping
    "map": on(lambda s: s.map(lambda x: x + 1)),
    "map, awaited": on(lambda s: s.map(same_later)),
    "map, two at a time": on(lambda s: s.map(same_later, concurrency=2)),
    "map_chunks": on(lambda s: s.map_chunks(lambda items: [x + 1 for x in items])),
    "starmap": lambda n: rx.from_iterable(repeat((1, 2), n)).starmap(operator.add),
    "flat_map": on(lambda s: s.flat_map(lambda x: (x,))),
    "flatten": on(lambda s: s.batch(10).flatten()),
    "unzip": on(lambda s: s.enumerate().unzip()[0]),
    "of_type": on(lambda s: s.of_type(int)),
    "tap": on(lambda s: s.tap(lambda x: None)),
    "enumerate": on(lambda s: s.enumerate()),
    "pairwise": on(lambda s: s.pairwise()),
    "scan": on(lambda s: s.scan(operator.add)),
    "expand": lambda n: rx.of(0).expand(lambda x: (x + 1,) if x < n - 1 else ()),
    # nesting and grouping
    "concat_map": on(lambda s: s.concat_map(lambda x: rx.of(x))),
    "concat_map, of lists": on(lambda s: s.concat_map(lambda x: rx.from_iterable(TEN))),
    "concat_map, of pipelines": on(lambda s: s.concat_map(lambda x: rx.of(x).map(abs))),
    "concat_map, of generators": on(lambda s: s.concat_map(once)),
    "merge_map": on(lambda s: s.merge_map(lambda x: rx.of(x))),
    "merge_map, of lists": on(lambda s: s.merge_map(lambda x: rx.from_iterable(TEN))),
    "merge_map, of pipelines": on(lambda s: s.merge_map(lambda x: rx.of(x).map(abs))),
    "merge_map, of generators": on(lambda s: s.merge_map(once)),
    "switch_map": on(lambda s: s.switch_map(lambda x: rx.of(x))),
    "concat_all": on(lambda s: s.map(lambda x: rx.of(x)).concat_all()),
    "merge_all": on(lambda s: s.map(lambda x: rx.of(x)).merge_all()),
    "switch": on(lambda s: s.map(lambda x: rx.of(x)).switch()),
    "exhaust_map": on(lambda s: s.exhaust_map(lambda x: rx.of(x))),
    "group_by": on(lambda s: s.group_by(lambda x: x % 10).merge_map(lambda group: group)),
    "group_by, 1000 keys": on(
        lambda s: s.group_by(lambda x: x % 1000).merge_map(lambda group: group)
    ),
    # filtering
    "filter": on(lambda s: s.filter(lambda x: x % 2 == 0)),
    "filter_map": on(lambda s: s.filter_map(lambda x: x)),
    "partition": on(lambda s: s.partition(lambda x: x % 2 == 0)[0]),
    "distinct": on(lambda s: s.distinct(lambda x: x % 100)),
    "distinct, for a time": on(lambda s: s.distinct(lambda x: x % 100, within=HOUR)),
    "distinct_until_changed": on(lambda s: s.distinct_until_changed()),
    "default_if_empty": on(lambda s: s.default_if_empty(0)),
    "ignore_items": on(lambda s: s.ignore_items()),
    # limiting
    "take": lambda n: rx.range(2 * n).take(n),
    "skip": on(lambda s: s.skip(10)),
    "take_while": on(lambda s: s.take_while(lambda x: True)),
    "skip_while": on(lambda s: s.skip_while(lambda x: x < 10)),
    "take_last": on(lambda s: s.take_last(10)),
    "skip_last": on(lambda s: s.skip_last(10)),
    "take_until": on(lambda s: s.take_until(rx.never())),
    "skip_until": on(lambda s: s.skip_until(rx.of(1))),
    "take_for": on(lambda s: s.take_for(HOUR)),
    "slices": on(lambda s: s[10::2]),
    # finding
    "element_at": lambda n: rx.range(2 * n).element_at(n - 1),
    "find": lambda n: rx.range(2 * n).find(lambda x: x == n - 1),
    "last": on(lambda s: s.last()),
    "all": on(lambda s: s.all(lambda x: True)),
    "any": on(lambda s: s.any(lambda x: False)),
    "contains": on(lambda s: s.contains(-1)),
    # folding
    "reduce": on(lambda s: s.reduce(operator.add)),
    "fold": on(lambda s: s.fold(operator.add, int)),
    "count": on(lambda s: s.count()),
    "sum": on(lambda s: s.sum()),
    "mean": on(lambda s: s.mean()),
    "variance": on(lambda s: s.variance()),
    "min": on(lambda s: s.min()),
    "max": on(lambda s: s.max()),
    "top": on(lambda s: s.top(10, lambda x: x * 7919 % 10_007)),
    "top, of rising items": on(lambda s: s.top(10)),
    "to_list": on(lambda s: s.to_list()),
    "to_set": on(lambda s: s.to_set()),
    "to_dict": on(lambda s: s.to_dict(lambda x: x % 100)),
    "collect_into": on(lambda s: s.collect_into(list)),
    "approximate_distinct_count": on(lambda s: s.approximate_distinct_count()),
    "approximate_quantiles": on(lambda s: s.approximate_quantiles([0.5])),
    "heavy_hitters": on(lambda s: s.heavy_hitters(0.01)),
    # batching and flow
    "batch": on(lambda s: s.batch(10)),
    "batch, within a time": on(lambda s: s.batch(10, within=HOUR)),
    "batch, by weight": on(lambda s: s.batch(weight=lambda x: 1, max_weight=10)),
    "batch_while": on(lambda s: s.batch_while(lambda batch, x: x % 10)),
    "batch_by": on(lambda s: s.batch_by(lambda x: x // 10)),
    "buffer_until": on(lambda s: s.buffer_until(rx.never(), limit=10)),
    "sliding": on(lambda s: s.sliding(10)),
    "buffer": on(lambda s: s.buffer(1000)),
    "prefetch": on(lambda s: s.prefetch(1000)),
    "journal": on(journaled),
    "rebatch": on(lambda s: s.rebatch(1000)),
    "limit_in_flight": on(lambda s: s.limit_in_flight(100, lambda part: part.map(same))),
    "conflate": on(lambda s: s.conflate(max)),
    "aggregate_while_busy": on(lambda s: s.aggregate_while_busy()),
    # combining
    "merge": two(lambda a, b: a.merge(b)),
    "concat": two(lambda a, b: a.concat(b)),
    "interleave": two(lambda a, b: a.interleave(b)),
    "zip": on(lambda s: s.zip(rx.range(10**9))),
    "zip_longest": two(lambda a, b: a.zip_longest(b)),
    "combine_latest": two(lambda a, b: a.combine_latest(b)),
    "with_latest_from": on(lambda s: s.with_latest_from(rx.of(1))),
    "merge_sorted": two(lambda a, b: a.merge_sorted(b)),
    "race": two(lambda a, b: a.race(b)),
    "start_with": on(lambda s: s.start_with(-1)),
    "end_with": on(lambda s: s.end_with(-1)),
    "fork_join": two(lambda a, b: a.fork_join(b)),
    "sequence_equal": on(lambda s: s.sequence_equal(rx.range(10**9))),
    # timing, where no time has to pass
    "debounce": on(lambda s: s.debounce(HOUR)),
    "throttle": on(lambda s: s.throttle(HOUR)),
    "sample": on(lambda s: s.sample(HOUR)),
    "timeout": on(lambda s: s.timeout(HOUR)),
    "with_timestamp": on(lambda s: s.with_timestamp()),
    "with_interval": on(lambda s: s.with_interval()),
    "heartbeat": on(lambda s: s.heartbeat(HOUR, None)),
    # whole inputs, event time and keys
    "sort": on(lambda s: s.sort(key=lambda x: x * 7919 % 10_007)),
    "group": on(lambda s: s.group(lambda x: x % 100)),
    "event_time": on(lambda s: s.event_time(lambda x: x, every=60)),
    "enrich": on(lambda s: s.enrich(same_later, key=lambda x: x % 10, cache=rx.Cache())),
    # rescuing and sharing
    "retry": on(lambda s: s.retry(3)),
    "recover": on(lambda s: s.recover(rx.empty())),
    "restart": lambda n: rx.range(n).restart().take(n),
    "repeat": lambda n: rx.range(n // 10).repeat(9),
    "recover_with": on(lambda s: s.recover_with(lambda error: rx.empty())),
    "circuit_breaker": on(lambda s: s.circuit_breaker(rx.CircuitBreaker())),
    "on_complete": on(lambda s: s.on_complete(lambda: None)),
    "on_error": on(lambda s: s.on_error(lambda error: None)),
    "finally_": on(lambda s: s.finally_(lambda: None)),
    "share": on(lambda s: s.share()),
    "replay": on(lambda s: s.replay(10)),
    "through": on(lambda s: s.through(doubled)),
}

NOT_MEASURED = {
    **dict.fromkeys(["cast", "pipe", "assume_bounded", "key_by"], "adds nothing to a run"),
    **dict.fromkeys(["first", "single", "is_empty"], "ends at the first item or the second"),
    **dict.fromkeys(["delay", "delay_each", "rate_limit"], "waits for time to pass"),
    "window": "has benchmarks of its own: windows and sessions of `python -m benchmarks`",
    "then": "as concat, with a look at each item of one part only",
}
"""Operators without a pipeline here, and why; a test looks whether any is missing."""


@dataclass(frozen=True)
class Nowhere(rx.Sink[Any]):
    """Takes items and keeps none."""

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _NowhereWriter()


class _NowhereWriter(rx.Writer[Any]):
    async def write(self, chunk: rx.Chunk[Any]) -> None:
        """Nothing to do: the run itself counts what comes."""


def run(name: str, count: int) -> int:
    """How many items came out."""
    stream = PIPELINES[name](count)

    async def main() -> int:
        report = await rx.run(stream.to(Nowhere()).named("nowhere"))
        return report["nowhere"].items_in or 0

    return asyncio.run(main())


_FAMILIES = {
    name: kind.__module__.removeprefix("operators.")
    for kind in rx.Stream.__mro__
    if kind.__module__.startswith("operators.")
    for name in vars(kind)
}


def describe(name: str) -> tuple[str, str]:
    """The family and the form of an operator: inline, step or stage."""
    method = name.split(",")[0]
    family = _FAMILIES.get({"slices": "__getitem__"}.get(method, method), "")
    kind = PIPELINES[name](10).node.operator
    for form, base in (("inline", Inline), ("step", Stepwise), ("edge", Buffered)):
        if isinstance(kind, base):
            return family, form
    return family, "source" if isinstance(kind, SourceOperator) else "stage"
