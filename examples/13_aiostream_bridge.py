"""aiostream and Reactive in one pipeline, in both directions.

Operators of aiostream go into the middle of a pipeline with `through`, as a call with arguments or
in their pipe form; its streams are sources; a Reactive stream goes wherever aiostream takes an
async iterable. Whoever leaves first, everything is closed on both sides.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

from aiostream import pipe, stream

import reactive as rx


class Sensor:
    """Anything that can be iterated with `async for`; it says when it is closed."""

    def __init__(self, name: str, every: float) -> None:
        self.name = name
        self.every = every

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                await asyncio.sleep(self.every)
                yield number
        finally:
            print(f"{self.name} closed")


async def main() -> None:
    # Its operators in the middle of a pipeline, in each of the forms.
    numbers = rx.range(10)
    # The annotation is for mypy, to which the types of aiostream are too much.
    chunks: rx.Stream[list[int]] = numbers.through(stream.chunks, 4)  # type: ignore[arg-type]
    print(await chunks.map(sum).collect())
    print(await numbers.through(pipe.chunks(4)).filter(lambda chunk: len(chunk) == 4).collect())
    last = numbers.through(lambda items: stream.iterate(items) | pipe.skip(7) | pipe.enumerate())
    print(await last.collect())

    # One that combines: a pipeline and another source, left after some items.
    indoors = rx.from_async_iterable(Sensor("indoors", 0.01)).map(lambda n: f"in {n}")
    outdoors = rx.from_async_iterable(Sensor("outdoors", 0.015)).map(lambda n: f"out {n}")
    both = await indoors.through(stream.merge, outdoors).take(5).collect()
    print(sorted(set(both) & {"in 0", "out 0"}), len(both))

    # Its streams as sources, as often as one likes.
    counted = rx.from_async_iterable(stream.count(10, 5) | pipe.take(3))
    print(await counted.collect() == await counted.collect(), await counted.sum())

    # And a pipeline of ours in one of its own, which leaves early.
    async with stream.zip(indoors, stream.count()).stream() as streamer:
        async for reading, number in streamer:
            if number == 2:
                print(reading, number)
                break


if __name__ == "__main__":
    asyncio.run(main())
