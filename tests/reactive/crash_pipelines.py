"""Jobs that are killed again and again: each reads real files and writes real files or tables."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reactive as rx
from connectors import files, sqlite

COUNT = 600


def numbered(count: int = COUNT, start: int = 0) -> str:
    return "".join(
        json.dumps({"n": n, "key": f"k{n % 7}", "at": n - 15 * (n % 50 == 49)}) + "\n"
        for n in range(start, start + count)
    )


def write_rows(folder: Path) -> None:
    (folder / "in.jsonl").write_text(numbered())


def write_two(folder: Path) -> None:
    write_rows(folder)
    (folder / "other.jsonl").write_text(numbered(COUNT // 2, 100))


def write_rotated(folder: Path) -> None:
    """A log that was rotated twice: the oldest rows are in the file with the highest number."""
    for place, name in enumerate(("app.log.2", "app.log.1", "app.log")):
        path = folder / name
        path.write_text(numbered(COUNT // 3, place * COUNT // 3))
        os.utime(path, (1_000_000 + place, 1_000_000 + place))


async def paced(row: dict[str, Any]) -> dict[str, Any]:
    """As a call of a service does, it takes its time, and lets epochs come between."""
    await asyncio.sleep(0.001 * (row["n"] % 3))
    return row


def rows(folder: Path, name: str = "in.jsonl") -> rx.Stream[dict[str, Any]]:
    return files.read_jsonl(folder / name).map(paced, concurrency=8)


def timed(stream: rx.Stream[dict[str, Any]]) -> rx.Stream[dict[str, Any]]:
    return stream.event_time(lambda row: row["at"], lateness=20)


def told(windowed: rx.Windowed[Any, Any]) -> list[Any]:
    pane = windowed.pane
    return [windowed.key, windowed.window.start, windowed.value, pane.timing, pane.index]


def out(folder: Path, name: str = "out.jsonl") -> rx.Sink[Any]:
    return files.write_jsonl(folder / name)


def tumbling(folder: Path) -> rx.Job:
    late = rx.AfterWatermark(early=rx.AfterCount(3), late=rx.AfterCount(1))
    keyed = rows(folder).event_time(lambda row: row["at"], lateness=2).key_by(lambda r: r["key"])
    panes = keyed.window(rx.Tumbling(20), trigger=late, allowed_lateness=60)
    return panes.aggregate(rx.sum(lambda row: row["n"])).map(told).to(out(folder))


def sessions(folder: Path) -> rx.Job:
    some = timed(rows(folder)).filter(lambda row: row["n"] % 40 < 25)
    sums = some.key_by(lambda row: row["key"]).window(rx.Session(9)).aggregate(rx.count())
    return sums.map(told).to(out(folder))


def windows_on_disk(folder: Path) -> list[rx.Job]:
    """Several kinds of windows of one input, with room in memory for one key of each."""
    keyed = timed(rows(folder)).filter(lambda row: row["n"] % 40 < 25).key_by(lambda r: r["key"])
    total = rx.sum(lambda row: row["n"])
    late = rx.AfterWatermark(early=rx.AfterCount(3), late=rx.AfterCount(1))
    panes = keyed.window(rx.Tumbling(30), trigger=late, allowed_lateness=60)
    return [
        keyed.window(rx.Sliding(30, every=10)).reduce(larger).map(told).to(out(folder)),
        keyed.window(rx.Session(9)).aggregate(total).map(told).to(out(folder, "sessions.jsonl")),
        panes.aggregate(total).map(told).to(out(folder, "panes.jsonl")),
        keyed.join(keyed, window=rx.Session(9)).map(numbers).to(out(folder, "pairs.jsonl")),
    ]


def numbers(pair: rx.Windowed[Any, Any]) -> list[Any]:
    left, right = pair.value
    return [pair.key, pair.window.start, left["n"], right["n"]]


def larger(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return max(one, other, key=lambda row: (row["at"], row["n"]))


def joined(folder: Path) -> list[rx.Job]:
    both = [timed(rows(folder, name)) for name in ("in.jsonl", "other.jsonl")]
    left, right = (stream.key_by(lambda row: row["key"]) for stream in both)
    one, other = (stream.key_by(lambda row: row["n"] % 97).table() for stream in both)
    results = {
        "out.jsonl": left.join(right, window=rx.Tumbling(20)),
        "near.jsonl": left.interval_join(right, before=3, after=8, how="full"),
        "found.jsonl": left.lookup(
            right.table(deleted=lambda row: row["n"] % 5 == 0), how="left", as_of="event time"
        ),
    }
    # How often a row changes depends on which input is quicker, but not what it is in the end.
    changes = one.join(other, how="full")
    last = changes.to_dict(lambda change: change.key, lambda change: change.new)
    return [
        *(
            pairs.map(lambda pair: [str(part) for part in pair_of(pair)]).to(out(folder, name))
            for name, pairs in results.items()
        ),
        last.map(lambda held: [str(row) for row in sorted(held.items())]).to(
            out(folder, "tables.jsonl")
        ),
    ]


def pair_of(pair: Any) -> tuple[Any, ...]:
    value = pair.value if isinstance(pair, rx.Windowed) else pair
    return tuple(value) if isinstance(value, tuple) else (value,)


def calls(folder: Path) -> list[rx.Job]:
    stream = rows(folder)
    return [
        stream.map(lambda row: row["n"]).to(out(folder)),
        stream.map(paced, concurrency=3).batch(7).map(len).to(out(folder, "batches.jsonl")),
    ]


BAD = rx.SideOutput[rx.DeadLetter[dict[str, Any]]]("bad")


def refuse(row: dict[str, Any]) -> dict[str, Any]:
    if row["n"] % 11 == 0:
        raise ValueError(row["n"])
    return row


def dead_letters(folder: Path) -> list[rx.Job]:
    good = rows(folder).map(refuse, on_error=BAD)
    return [
        good.map(lambda row: row["n"]).to(out(folder)),
        BAD.map(lambda bad: bad.item["n"]).to(out(folder, "bad.jsonl")),
        good.scan(lambda total, row: total + row["n"], 0).to(out(folder, "sums.jsonl")),
    ]


def write_broken(folder: Path) -> None:
    """Every fifth line, and some that follow one another, are no JSON."""
    lines = numbered().splitlines()
    broken = [
        "{" if n % 5 == 0 or n % 60 < 8 else line for n, line in enumerate(lines[: COUNT - 30])
    ]
    (folder / "in.jsonl").write_text("\n".join([*broken, *["["] * 30]) + "\n")


UNREAD = rx.SideOutput[rx.DeadLetter[bytes]]("unread")


def broken_lines(folder: Path) -> list[rx.Job]:
    numbers = files.read_jsonl(folder / "in.jsonl", on_error=UNREAD).map(paced, concurrency=8)
    where = UNREAD.map(lambda letter: str(letter.error).removeprefix(str(folder)))
    return [
        numbers.map(lambda row: row["n"]).to(out(folder)),
        where.to(out(folder, "broken.jsonl")),
    ]


def deduplicated(folder: Path) -> rx.Job:
    keys = rows(folder).map(lambda row: row["n"] * row["n"] % 257)
    return keys.distinct().to(out(folder))


class Silences(rx.KeyedProcess[str, dict[str, Any], list[Any]]):
    """The sum of each key, and a word when it was silent for a while."""

    total = rx.ValueState(0)
    last = rx.ValueState(0)

    def on_item(self, item: dict[str, Any], context: Any) -> Iterator[list[Any]]:
        self.total += item["n"]
        self.last = context.time
        context.set_timer(context.time + 30_000_000)
        yield [context.key, self.total.value if hasattr(self.total, "value") else self.total]

    def on_timer(self, time: int, context: Any) -> Iterator[list[Any]]:
        yield [context.key, "silent", time]


def state(folder: Path) -> rx.Job:
    some = timed(rows(folder)).filter(lambda row: row["n"] % 90 < 40)
    return some.key_by(lambda row: row["key"]).process(Silences).to(out(folder))


def history_then_live(folder: Path) -> rx.Job:
    """The files that were rotated, and then the one that grows, until the last line has come."""
    lines = files.read_lines(folder / "app.log").then(files.follow(folder / "app.log"))
    numbers = lines.map(json.loads).map(paced, concurrency=8).map(lambda row: row["n"])
    return numbers.take_while(lambda n: n < COUNT - 1).to(out(folder))


def parts(folder: Path) -> rx.Job:
    sink = files.write_jsonl(folder / "part.jsonl", rotate=files.Rotation(max_bytes=2_000))
    return rows(folder).map(lambda row: row["n"]).to(sink)


def appended(folder: Path) -> rx.Job:
    sink = files.write_jsonl(folder / "all.jsonl", append=True)
    return rows(folder).map(lambda row: [row["n"], row["key"]]).to(sink)


def table(folder: Path) -> rx.Job:
    totals = rows(folder).scan(lambda total, row: total + row["n"], 0)
    return totals.map(lambda total: {"total": total}).to(
        sqlite.write(folder / "rows.db", "totals", create=True)
    )


def rows_of_table(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        return list(database.execute("SELECT total FROM totals ORDER BY rowid"))


def written_parts(folder: Path) -> list[str]:
    assert not list(folder.glob(".*.staged"))
    paths = sorted(folder.glob("part-*.jsonl"), key=lambda path: path.name.rpartition("-")[2])
    return [line for path in paths for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Crashing:
    """What `check_crashes` is given."""

    make: Callable[[Path], rx.Job | list[rx.Job]]
    setup: Callable[[Path], None] = write_rows
    output: Callable[[Path], Any] | None = None
    ordered: bool = True
    state_memory: int | None = None


CRASHING = {
    "windows": Crashing(tumbling, ordered=False),
    "sessions": Crashing(sessions, ordered=False),
    "windows on disk": Crashing(windows_on_disk, ordered=False, state_memory=1),
    "joins": Crashing(joined, write_two, ordered=False),
    "calls and fan-out": Crashing(calls),
    "dead letters": Crashing(dead_letters),
    "broken lines": Crashing(broken_lines, write_broken),
    "distinct": Crashing(deduplicated),
    "state and timers": Crashing(state, ordered=False),
    "history, then live": Crashing(history_then_live, write_rotated),
    "rotated parts": Crashing(parts, output=written_parts),
    "appended": Crashing(appended),
    "sqlite": Crashing(table, output=rows_of_table),
}
