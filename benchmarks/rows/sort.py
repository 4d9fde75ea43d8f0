"""Lines of a file sorted into another, with less memory than they need."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import loops
from benchmarks.model import (
    Bar,
    Column,
    Contestant,
    Outcome,
    Row,
    Samples,
    Settings,
    beside_column,
    median_column,
    within,
)

OURS, GNU = "reactive, files and sort", "GNU sort, C locale, one thread"
OURS_TEXT = "reactive, decoded to text"
MEBIBYTE = 1024 * 1024
ALLOWED = 100_000_000
"""Bytes beside the budget: the interpreter, the library, what is being read and written."""

_WORDS = b" the quick brown fox jumps over the lazy dog and runs through the grass of the hills"


@contextmanager
def a_file(settings: Settings) -> Iterator[Settings]:
    """A file of about `bytes` in lines of 60 to 106 bytes, in no order, and a small one for the
    warm-up; both in the page cache from writing. The folder has room for what is spilled."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path, small = Path(folder, "lines"), Path(folder, "small")
        for file, size in ((small, 1_000_000), (path, settings["bytes"])):
            with file.open("wb") as out:
                while out.tell() < size:
                    out.writelines(_lines(chance, 10_000))
        yield {**settings, "path": str(path), "folder": folder, "warm": {"path": str(small)}}


def _lines(chance: random.Random, count: int) -> Iterator[bytes]:
    keys = chance.randbytes(8 * count).hex().encode()
    for start in range(0, len(keys), 16):
        key = keys[start : start + 16]
        yield key + _WORDS[: 43 + int(key[:2], 16) % 47] + b"\n"


def ours(settings: Settings, *, encoding: str | None = None) -> Outcome:
    import reactive as rx
    from connectors import files

    def sorted_into(target: str) -> rx.Job:
        lines: rx.Stream[Any] = files.read_lines(settings["path"], encoding=encoding)
        return lines.sort(memory=settings["memory"]).to(files.write_lines(target))

    async def main(target: str) -> None:
        await rx.run(sorted_into(target), settings=rx.Settings(spill_directory=settings["folder"]))

    return measured(settings, lambda target: loops.run(main(target)), resource.RUSAGE_SELF)


def ours_text(settings: Settings) -> Outcome:
    return ours(settings, encoding="utf-8")


def gnu(settings: Settings) -> Outcome:
    def sort(target: str) -> None:
        memory = f"--buffer-size={settings['memory'] // 1024}K"
        command = ["sort", "--parallel=1", memory, "-T", settings["folder"], "-o", target]
        environment = {**os.environ, "LC_ALL": "C"}
        subprocess.run([*command, settings["path"]], check=True, env=environment)

    return measured(settings, sort, resource.RUSAGE_CHILDREN)


def measured(settings: Settings, sort: Any, who: int) -> Outcome:
    """What sorting took, and what came out of it."""
    with tempfile.TemporaryDirectory(dir=settings["folder"]) as folder:
        target = Path(folder, "sorted")
        began = time.perf_counter()
        sort(str(target))
        seconds = time.perf_counter() - began
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()
    peak = resource.getrusage(who).ru_maxrss * 1024
    figures = {"seconds": seconds, "peak": peak / 1e6}
    figures["allowed"] = (settings["memory"] + ALLOWED) / 1e6
    return Outcome(digest, figures)


def peak(samples: Samples, name: str, settings: Settings) -> str:
    value = samples.median(name, "peak")
    return "" if value is None else f"{value:,.4g} MB"


ROW = Row(
    name="sort",
    title="1 GB of lines sorted with 128 MiB of memory, from file to file",
    contestants=(
        Contestant(OURS, ours, "ours", "reactive"),
        Contestant(GNU, gnu, "peer"),
        Contestant(OURS_TEXT, ours_text, "ours", "reactive"),
    ),
    bars=(
        within("within 3x of GNU sort with the same memory", OURS, GNU, 3),
        Bar(
            "at most 100 MB more than its memory at any time",
            lambda samples: samples.median(OURS, "peak"),
            lambda samples: samples.median(OURS, "allowed"),
            unit=" MB",
        ),
    ),
    columns=(median_column(), Column("peak memory", peak), beside_column(OURS)),
    full={"bytes": 1_000_000_000, "memory": 128 * MEBIBYTE},
    quick={"bytes": 100_000_000, "memory": 16 * MEBIBYTE},
    warm={},
    rounds=3,
    quick_rounds=2,
    generation=3,
    seconds_for_a_contestant=300.0,
    computes=False,
    notes=(
        "GNU sort is given the same budget by --buffer-size; all three sort by bytes, which for "
        "UTF-8 is the order of code points.",
    ),
    around=a_file,
)
