"""A pipeline that is slow on purpose, to be killed and started again until it has ended.

Its parameter is a folder. For every item that it has handled, it writes a dot.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import reactive as rx
from connectors import files

COUNT = 100


def slowly(n: int) -> int:
    time.sleep(0.01)
    os.write(sys.stdout.fileno(), b".")
    return n


async def main(folder: Path) -> None:
    numbers = rx.from_iterable(range(COUNT)).map(slowly)
    checkpoint = rx.Checkpoint(folder / "state.db", every=0.2)
    await rx.run(numbers.to(files.write_jsonl(folder / "out.jsonl")), checkpoint=checkpoint)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
