"""Appending records to a journal on disk, synced many at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

from benchmarks import loops
from benchmarks.model import (
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    median_column,
    per_item_column,
    within,
)

OURS, BY_HAND = "reactive", "write, and fsync every 10 ms"
IN_BLOCKS = "the same in blocks of 1,024 records"
SYNC_EVERY = 0.01


@contextmanager
def a_folder(settings: Settings) -> Iterator[Settings]:
    """Where the system has temporary files, or in `folder`: on a disk, for in memory nothing is
    synced."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings["folder"]) as folder:
        yield {**settings, "folder": folder}


@lru_cache(maxsize=2)
def records(count: int, size: int) -> list[bytes]:
    """What is appended: no two alike."""
    return [b"%0*d" % (size, number) for number in range(count)]


def ours(settings: Settings) -> Outcome:
    import reactive as rx

    appended = records(settings["count"], settings["size"])
    with tempfile.TemporaryDirectory(dir=settings["folder"]) as folder:
        stream = rx.from_iterable(appended).journal(folder, sync_every=SYNC_EVERY)

        async def main() -> int:
            return await stream.count()

        return Outcome(loops.run(main()))


def by_hand(records_at_once: int, settings: Settings) -> Outcome:
    appended = records(settings["count"], settings["size"])
    blocks: Iterable[tuple[bytes, ...]] = batches(appended, 128)
    if records_at_once > 1:
        blocks = ((b"".join(block),) for block in batches(appended, records_at_once))
    with (
        tempfile.TemporaryDirectory(dir=settings["folder"]) as folder,
        Path(folder, "log").open("wb") as file,
    ):
        due = loops.now() + SYNC_EVERY
        for block in blocks:
            for record in block:
                file.write(record)
            if loops.now() >= due:
                file.flush()
                os.fsync(file.fileno())
                due = loops.now() + SYNC_EVERY
        file.flush()
        os.fsync(file.fileno())
    return Outcome(len(appended))


def batches(items: list[bytes], count: int) -> Iterator[tuple[bytes, ...]]:
    iterator = iter(items)
    while block := tuple(islice(iterator, count)):
        yield block


ROW = Row(
    name="journal",
    title="200-byte records appended to a journal, synced many at a time",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(BY_HAND, partial(by_hand, 1), "by hand"),
        Contestant(IN_BLOCKS, partial(by_hand, 1024), "by hand"),
    ),
    bars=(within("within 1.5x of writing the same bytes, synced every 10 ms", OURS, BY_HAND, 1.5),),
    columns=(median_column(), per_item_column("a record"), beside_column(OURS)),
    full={"count": 500_000, "size": 200, "folder": None},
    quick={"count": 200_000, "size": 200, "folder": None},
    warm={"count": 20_000},
    rounds=9,
    generation=3,
    computes=False,
    around=a_folder,
    notes=(
        "What the journal does besides: a checksum for every frame, in a thread beside the loop, "
        "and the items go on through the pipeline once they are on disk.",
    ),
)
