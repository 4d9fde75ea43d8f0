"""Beyond what is built in: operators of one's own in two forms, and a source of one's own.

A source is a blueprint, a frozen dataclass of parameters; each run asks it for a reader, which
holds what is open. This one runs a program and gives the lines it prints.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import reactive as rx


@dataclass(frozen=True)
class Output(rx.Source[bytes]):
    program: tuple[str, ...]

    def reader(self, context: rx.Context) -> rx.Reader[bytes]:
        return OutputReader(self.program)


class OutputReader(rx.Reader[bytes]):
    process: Process | None = None

    def __init__(self, program: tuple[str, ...]) -> None:
        self.program = program

    async def open(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self.program, stdout=PIPE)

    async def read(self, limit: int) -> rx.Chunk[bytes] | None:
        assert self.process is not None and self.process.stdout is not None
        line = await self.process.stdout.readline()
        return rx.Chunk([line.rstrip()]) if line else None

    async def close(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.communicate()


async def moving_average(items: AsyncIterator[float], count: int) -> AsyncIterator[float]:
    """For `through`: an async generator, which may keep what it likes between items."""
    window: deque[float] = deque(maxlen=count)
    async for item in items:
        window.append(item)
        yield sum(window) / len(window)


def rounded(numbers: rx.Stream[float], digits: int) -> rx.Stream[float]:
    """For `pipe`: made of other operators."""
    return numbers.map(lambda number: round(number, digits)).distinct_until_changed()


async def main() -> None:
    squares = "import itertools\nfor n in itertools.count(): print(n * n, flush=True)"
    lines = rx.from_source(Output((sys.executable, "-c", squares)))
    averages = lines.map(float).through(moving_average, 4).pipe(rounded, digits=1)
    print(await averages.take(8).collect())  # the program was endless, and is gone


if __name__ == "__main__":
    asyncio.run(main())
