"""Lines of a large file, counted through a filter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import loops
from benchmarks.model import (
    Contestant,
    Outcome,
    Row,
    Settings,
    beside_column,
    median_column,
    within,
)

OURS, BY_HAND = "reactive", "for line in open(path, 'rb')"
OURS_CHEAP, BY_HAND_CHEAP = "reactive, cheap predicate", "the same loop, cheap predicate"

failed = lambda line: b" 500 " in line  # noqa: E731
failed_text = lambda line: " 500 " in line  # noqa: E731
nearby = lambda line: line.startswith(b"10.0.3.")  # noqa: E731

_BLOCK = b"".join(
    b'10.0.%d.%d - - [07/Nov/2025:13:%02d:%02d +0000] "GET /orders/%d HTTP/1.1" %d %d "-" "curl"\n'
    % (n % 7, n % 251, n % 60, n % 59, n, 500 if n % 11 == 0 else 200, n * 37 % 5000)
    for n in range(100_000, 112_000)
)


@contextmanager
def a_file(settings: Settings) -> Iterator[Settings]:
    """A file of `bytes`, and a small one for the warm-up; both in the page cache from writing."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path, small = Path(folder, "access.log"), Path(folder, "small.log")
        small.write_bytes(_BLOCK)
        with path.open("wb") as file:
            for _ in range(max(1, round(settings["bytes"] / len(_BLOCK)))):
                file.write(_BLOCK)
        yield {**settings, "path": str(path), "warm": {"path": str(small)}}


Predicate = Callable[[bytes], bool]


def ours(predicate: Predicate, settings: Settings) -> Outcome:
    from connectors import files

    async def main() -> int:
        lines = files.read_lines(settings["path"], encoding=None)
        return await lines.filter(predicate).count()

    return outcome(predicate, loops.run(main()))


def by_hand(predicate: Predicate, settings: Settings) -> Outcome:
    count = 0
    with Path(settings["path"]).open("rb") as file:
        for line in file:
            if predicate(line):
                count += 1
    return outcome(predicate, count)


def outcome(predicate: Predicate, count: int) -> Outcome:
    """The two predicates count different lines; told apart, each is compared with its own."""
    return Outcome(count, kind="cheap" if predicate is nearby else "")


def ours_text(settings: Settings) -> Outcome:
    from connectors import files

    async def main() -> int:
        return await files.read_lines(settings["path"]).filter(failed_text).count()

    return Outcome(loops.run(main()))


def text_by_hand(settings: Settings) -> Outcome:
    count = 0
    with Path(settings["path"]).open(encoding="utf-8") as file:
        for line in file:
            if failed_text(line):
                count += 1
    return Outcome(count)


def streamable(settings: Settings) -> Outcome:
    from streamable import stream

    with Path(settings["path"]).open("rb") as file:
        return Outcome(sum(1 for _ in stream(file).filter(failed)))


def bytewax(settings: Settings) -> Outcome:
    from benchmarks.peers.bytewax_peer import count_lines

    return Outcome(count_lines(settings["path"], failed_text))


ROW = Row(
    name="file-lines",
    title="1 GB of lines from a file, counted through filter",
    contestants=(
        Contestant(OURS, partial(ours, failed), "ours", "reactive"),
        Contestant(BY_HAND, partial(by_hand, failed), "by hand"),
        Contestant(OURS_CHEAP, partial(ours, nearby), "ours", "reactive"),
        Contestant(BY_HAND_CHEAP, partial(by_hand, nearby), "by hand"),
        Contestant("reactive, decoded to text", ours_text, "ours", "reactive"),
        Contestant("for line in open(path), text", text_by_hand, "by hand"),
        Contestant("streamable over the open file", streamable, module="streamable"),
        Contestant("bytewax, FileSource (text)", bytewax, module="bytewax"),
    ),
    bars=(
        within("within 1.25x of the sync loop", OURS, BY_HAND, 1.25),
        within("the same where the predicate is cheap", OURS_CHEAP, BY_HAND_CHEAP, 1.25),
    ),
    columns=(median_column(), beside_column(OURS)),
    full={"bytes": 1_000_000_000},
    quick={"bytes": 100_000_000},
    warm={},
    rounds=5,
    generation=2,
    around=a_file,
)
