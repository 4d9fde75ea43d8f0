"""The pipelines in aiostream."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from aiostream import pipe, stream

Build = Callable[[int], AsyncIterable[Any]]
TEN = list(range(10))


async def same_later(item: int) -> int:
    await asyncio.sleep(0)
    return item


async def once(item: int) -> AsyncIterator[int]:
    yield item


def chain(*operators: Any) -> Build:
    def build(count: int) -> AsyncIterable[Any]:
        built: Any = stream.range(count)
        for each in operators:
            built = built | each
        return built  # type: ignore[no-any-return]

    return build


PIPELINES: dict[str, Build] = {
    "": chain(),
    "map": chain(pipe.map(lambda x: x + 1)),
    "map, awaited": chain(pipe.map(same_later, task_limit=1)),
    "map, two at a time": chain(pipe.map(same_later, task_limit=2)),
    "starmap": lambda n: stream.zip(stream.range(n), stream.range(n)) | pipe.starmap(operator.add),
    "flat_map": chain(pipe.concatmap(lambda x: stream.iterate((x,)))),
    "concat_map": chain(pipe.concatmap(lambda x: stream.just(x))),
    "concat_map, of lists": chain(pipe.concatmap(lambda x: stream.iterate(TEN))),
    "concat_map, of pipelines": chain(pipe.concatmap(lambda x: stream.just(x) | pipe.map(abs))),
    "concat_map, of generators": chain(pipe.concatmap(once)),
    "merge_map": chain(pipe.flatmap(lambda x: stream.just(x), task_limit=16)),
    "merge_map, of lists": chain(pipe.flatmap(lambda x: stream.iterate(TEN), task_limit=16)),
    "merge_map, of pipelines": chain(
        pipe.flatmap(lambda x: stream.just(x) | pipe.map(abs), task_limit=16)
    ),
    "merge_map, of generators": chain(pipe.flatmap(once, task_limit=16)),
    "switch_map": chain(pipe.switchmap(lambda x: stream.just(x))),
    "tap": chain(pipe.action(lambda x: None)),
    "enumerate": chain(pipe.enumerate()),
    "scan": chain(pipe.accumulate(operator.add)),
    "filter": chain(pipe.filter(lambda x: x % 2 == 0)),
    "take": lambda n: stream.range(2 * n) | pipe.take(n),
    "skip": chain(pipe.skip(10)),
    "take_while": chain(pipe.takewhile(lambda x: True)),
    "skip_while": chain(pipe.dropwhile(lambda x: x < 10)),
    "take_last": chain(pipe.takelast(10)),
    "skip_last": chain(pipe.skiplast(10)),
    "slices": chain(pipe.getitem(slice(10, None, 2))),
    "element_at": lambda n: stream.range(2 * n) | pipe.getitem(n - 1),
    "reduce": chain(pipe.reduce(operator.add)),
    "to_list": lambda n: stream.range(n) | pipe.list() | pipe.takelast(1),
    "batch": chain(pipe.chunks(10)),
    "merge": lambda n: stream.merge(stream.range(n // 2), stream.range(n // 2)),
    "concat": lambda n: stream.chain(stream.range(n // 2), stream.range(n // 2)),
    "zip": lambda n: stream.zip(stream.range(n), stream.range(n)),
    "combine_latest": lambda n: stream.ziplatest(stream.range(n // 2), stream.range(n // 2)),
    "timeout": chain(pipe.timeout(60)),
    "repeat": lambda n: stream.range(n // 10) | pipe.cycle() | pipe.take(n),
}


def run(name: str, count: int) -> int:
    """How many items came out."""

    async def main() -> int:
        given = 0
        async with PIPELINES[name](count).stream() as items:  # type: ignore[attr-defined]
            async for _ in items:
                given += 1
        return given

    return asyncio.run(main())
