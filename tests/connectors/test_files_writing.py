from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import os
import stat
import subprocess
import sys
from collections import namedtuple
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudpickle
import orjson
import pytest
from file_parts import COMPRESSORS, collect_into, context, until

import reactive as rx
from connectors import files
from connectors.file_writing import segment_path
from reactive.errors import ConnectorError

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Order:
    id: int
    note: str | None


def left_over(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_lines(tmp_path: Path, any_loop: None) -> None:
    path = tmp_path / "a.txt"
    await rx.run(rx.of("one", b"two", "größer").to(files.write_lines(path)))
    assert path.read_bytes() == "one\ntwo\ngrößer\n".encode()
    assert left_over(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
async def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    lines = [f"{number} {'ä' * (number % 50)}" for number in range(30_000)]
    path = tmp_path / f"a.txt{suffix}"
    await rx.run(rx.from_iterable(lines).to(files.write_lines(path)))
    assert (
        await files.read_lines(path, compression=None if not suffix else "auto").collect() == lines
    )
    if suffix:
        assert path.stat().st_size < 300_000
        assert path.read_bytes()[:2] != b"0 "


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1", "utf-32"])
async def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    sink = files.write_lines(path, encoding=encoding, append=True)
    await rx.run(rx.of("ä", "b").to(sink))
    await rx.run(rx.of("c").to(sink))
    assert path.read_text(encoding=encoding) == "ä\nb\nc\n"


async def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    items = [{"a": [1, None]}, "text", Order(1, None), datetime(2025, 1, 31, tzinfo=UTC)]
    await rx.run(rx.from_iterable(items).to(files.write_jsonl(path)))
    expected = [{"a": [1, None]}, "text", {"id": 1, "note": None}, "2025-01-31T00:00:00+00:00"]
    assert await files.read_jsonl(path).collect() == expected
    default = files.write_jsonl(path, default=list, option=orjson.OPT_NON_STR_KEYS)
    await rx.run(rx.of({1: {2}}).to(default))
    assert await files.read_jsonl(path).collect() == [{"1": [2]}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"x": 1, "y": "a,b"}, {"y": None, "x": 2}],
        [Point(1, "a,b"), Point(2, None)],
        [{"x": 1, "y": "a,b"}, Point(2, None)],
    ],
)
async def test_csv(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "a.csv"
    await rx.run(rx.from_iterable(rows).to(files.write_csv(path)))
    assert path.read_text() == 'x,y\n1,"a,b"\n2,\n'


async def test_csv_of_dataclasses_and_sequences(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    await rx.run(rx.of(Order(1, "n")).to(files.write_csv(path, line_end="\r\n", delimiter=";")))
    assert path.read_bytes() == b"id;note\r\n1;n\r\n"
    await rx.run(rx.of([1, 2], (3, 4)).to(files.write_csv(path)))
    assert path.read_text() == "1,2\n3,4\n"
    await rx.run(rx.of([1, 2]).to(files.write_csv(path, columns=["a", "b"])))
    assert path.read_text() == "a,b\n1,2\n"
    await rx.run(
        rx.of({"b": 2, "a": 1}).to(files.write_csv(path, columns=["a", "b"], header=False))
    )
    assert path.read_text() == "1,2\n"
    await rx.run(rx.empty().to(files.write_csv(path, columns=["a", "b"])))
    assert path.read_text() == "a,b\n"


@pytest.mark.parametrize(
    ("sink", "items", "error", "reason", "note", "written"),
    [
        (files.write_lines, ["a", 1], TypeError, "takes str or bytes, not int", "item 2", "a\n"),
        (files.write_jsonl, [1, {2}], TypeError, "not JSON serializable", "item 2; map", "1\n"),
        (
            files.write_csv,
            [{"a": 1}, {"b": 2}],
            ValueError,
            "does not fit the columns a: it lacks a and has also b",
            "item 2",
            "a\n1\n",
        ),
        (files.write_csv, [["a"], "b"], TypeError, "dataclass objects, tuples or", "item 2", "a\n"),
    ],
)
async def test_an_item_that_cannot_be_written(
    tmp_path: Path, sink: Any, items: Any, error: Any, reason: str, note: str, written: str
) -> None:
    path = tmp_path / "a"
    with pytest.raises(error, match=reason) as caught:
        await rx.run(rx.from_iterable(items).to(sink(path, append=True)))
    assert any(note in text for text in caught.value.__notes__)
    assert path.read_text() == written
    path.unlink()
    with pytest.raises(error):
        await rx.run(rx.from_iterable(items).to(sink(path)))
    assert left_over(tmp_path) == []


async def test_characters_the_encoding_lacks(tmp_path: Path) -> None:
    sink = files.write_lines(tmp_path / "a", encoding="latin-1")
    with pytest.raises(UnicodeEncodeError) as caught:
        await rx.run(rx.of("ä", "€").to(sink))
    assert any("item 2; latin-1 has no such char" in note for note in caught.value.__notes__)


async def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    seen: list[str] = []

    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)
            seen.append(path.read_text())

    stream = rx.defer(lambda: rx.from_async_iterable(lines()))
    await rx.run(stream.to(files.write_lines(path)))
    assert set(seen) == {"old\n"}
    assert path.read_text() == "0\n1\n2\n"


async def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"old")
    failing = rx.of("1", "2").concat(rx.fail(OSError("source broke")))
    with pytest.raises(OSError, match="source broke"):
        await rx.run(failing.to(files.write_lines(path)))
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == ["a.txt.gz"]


async def test_a_cancelled_run_leaves_the_old_file(tmp_path: Path, any_loop: None) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    subject: rx.Subject[str] = rx.Subject()
    task = asyncio.ensure_future(rx.run(subject.to(files.write_lines(path))))
    await subject.send("new")
    await until(lambda: len(left_over(tmp_path)) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == ["a.txt"]


async def test_stopping_with_drain_finishes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    subject: rx.Subject[str] = rx.Subject()
    async with rx.start(subject.to(files.write_lines(path))) as run:
        await subject.send("one")
        await until(lambda: run.metrics()["write_lines"].items_in == 1)
        await run.stop(drain=True)
    assert path.read_text() == "one\n"


async def test_mode_and_links_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old\n")
    target.chmod(0o640)
    link.symlink_to("target.txt")
    await rx.run(rx.of("new").to(files.write_lines(link, fsync=True)))
    assert link.is_symlink()
    assert target.read_text() == "new\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    umask = os.umask(0o027)
    try:
        await rx.run(rx.of("new").to(files.write_lines(tmp_path / "fresh.txt")))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "fresh.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
async def test_appending(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    sink = files.write_csv(path, append=True)
    await rx.run(rx.of({"a": 1}).to(sink))
    await rx.run(rx.of({"a": 2}, {"a": 3}).to(sink))
    assert await files.read_csv(path).collect() == [{"a": "1"}, {"a": "2"}, {"a": "3"}]


async def test_appending_ends_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("whole\ntorn")
    await rx.run(rx.of("new").to(files.write_lines(path, append=True)))
    assert path.read_text() == "whole\ntorn\nnew\n"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
async def test_appended_items_can_be_read_at_once_and_stay(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    subject: rx.Subject[str] = rx.Subject()
    task = asyncio.ensure_future(rx.run(subject.to(files.write_lines(path, append=True))))
    await subject.send("one")
    await subject.send("two")
    while True:
        seen: list[str] = []
        await until(path.exists)
        with contextlib.suppress(rx.TruncatedError):
            await collect_into(seen, files.read_lines(path))
        if seen == ["one", "two"]:
            break
    task.cancel()
    await asyncio.wait([task])
    assert await files.read_lines(path).collect() == ["one", "two"]


async def test_what_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"there is no directory .*/gone; create it first"):
        await rx.run(rx.of("a").to(files.write_lines(tmp_path / "gone" / "a.txt")))
    for append in (True, False):
        with pytest.raises(ConnectorError, match="is a directory, not a file; give the path of a"):
            await rx.run(rx.of("a").to(files.write_lines(tmp_path, append=append)))
    assert left_over(tmp_path) == []
    assert left_over(tmp_path.parent).count(tmp_path.name) == 1


async def test_a_full_device() -> None:
    with pytest.raises(ConnectorError, match="/dev/full: no space was left to write it"):
        await rx.run(rx.of("a").to(files.write_lines("/dev/full")))
    assert Path("/dev/full").is_char_device()  # noqa: ASYNC240


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    script = (
        "import asyncio, resource, signal, sys\n"
        "import reactive as rx\n"
        "from connectors import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "append = sys.argv[2] == 'append'\n"
        "lines = rx.range(50_000).map(str)\n"
        "asyncio.run(rx.run(lines.to(files.write_lines(sys.argv[1], append=append))))\n"
    )
    for append in ("replace", "append"):
        done = subprocess.run(
            [sys.executable, "-c", script, path, append],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"ConnectorError: {path}: cannot write it: File too large" in done.stderr
        assert left_over(tmp_path) == ["a.txt"]
        if append == "replace":
            assert path.read_text() == "old\n"
    lines = path.read_text().splitlines()
    assert lines == ["old", *map(str, range(len(lines) - 1))]
    assert path.read_text().endswith("\n")


async def test_a_named_pipe_is_written_as_it_is_read(tmp_path: Path, any_loop: None) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = [f"{number:099}" for number in range(5_000)]
    task = asyncio.ensure_future(rx.run(rx.from_iterable(lines).to(files.write_lines(path))))
    assert await files.read_lines(path).collect() == lines
    await task
    assert stat.S_ISFIFO(path.stat().st_mode)


async def test_a_pipe_whose_reader_goes(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    task = asyncio.ensure_future(rx.run(rx.range(1_000_000).map(str).to(files.write_lines(path))))
    assert await files.read_lines(path).take(2).collect() == ["0", "1"]
    with pytest.raises(ConnectorError, match="pipe: whoever read it has closed it"):
        await task


async def test_a_pipe_that_nobody_reads_can_be_left(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    task = asyncio.ensure_future(rx.run(rx.range(1_000_000).map(str).to(files.write_lines(path))))
    await asyncio.sleep(0)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with rx.range(3).open() as numbers:
        assert [number async for number in numbers] == [0, 1, 2]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    os.close(reader)


STDOUT = (
    "import asyncio, sys\n"
    "import reactive as rx\n"
    "from connectors import files\n"
    "print('before', end=' ')\n"
    "count = int(sys.argv[1])\n"
    "asyncio.run(rx.run(rx.range(count).map(str).to(files.write_lines('-'))))\n"
    "print('after')\n"
)


@pytest.mark.parametrize("piped", [True, False])
def test_standard_output(tmp_path: Path, piped: bool) -> None:
    command = [sys.executable, "-c", STDOUT, "20000"]
    if piped:
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    else:
        path = tmp_path / "out"
        with path.open("w") as file:
            subprocess.run(command, stdout=file, check=True)
        text = path.read_text()
    assert text == "before " + "".join(f"{number}\n" for number in range(20_000)) + "after\n"


def test_standard_output_that_is_closed_early() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STDOUT, "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "before 0\n"
        process.stdout.close()
        assert (
            "ConnectorError: standard output: whoever read it has closed" in process.stderr.read()
        )
        assert process.wait() == 1


@pytest.mark.parametrize("suffix", ["", ".gz"])
async def test_rotation_by_size(tmp_path: Path, suffix: str) -> None:
    count = 5_000
    sink = files.write_csv(
        tmp_path / f"events.csv{suffix}", rotate=files.Rotation(max_bytes=10_000)
    )
    rows = rx.range(count).map(lambda n: {"n": n, "x": f"{n * 7919 % 10_007:090}"})
    await rx.run(rows.to(sink))
    parts = [tmp_path / name for name in left_over(tmp_path)]
    assert len(parts) > 1
    assert all(part.match(f"events-*.csv{suffix}") for part in parts)
    if not suffix:
        assert len(parts) == pytest.approx(count * 97 / 10_000, rel=0.1)
        assert all(9_800 < part.stat().st_size <= 10_000 for part in parts[:-1])
        assert all(part.read_text().startswith("n,x\n") for part in parts)
    read = files.read_csv(tmp_path / f"events-*.csv{suffix}").map(lambda row: int(row["n"]))
    assert await read.collect() == list(range(count))


async def test_an_item_larger_than_the_limit_has_a_file_of_its_own(tmp_path: Path) -> None:
    sink = files.write_lines(tmp_path / "a.txt", rotate=files.Rotation(max_bytes=5))
    await rx.run(rx.of("a", "long enough", "b", "c", "d").to(sink))
    texts = [(tmp_path / name).read_text() for name in left_over(tmp_path)]
    assert texts == ["a\n", "long enough\n", "b\nc\n", "d\n"]


@pytest.mark.virtual_time
async def test_rotation_by_time_needs_no_items(tmp_path: Path) -> None:
    subject: rx.Subject[str] = rx.Subject()
    sink = files.write_lines(tmp_path / "a.log.gz", rotate=files.Rotation(every=60))

    def finished() -> list[str]:
        parts = sorted(tmp_path.glob("a-*.log.gz"))
        return [gzip.decompress(part.read_bytes()).decode() for part in parts]

    async with rx.start(subject.to(sink)) as run:
        await asyncio.sleep(100)
        assert left_over(tmp_path) == []
        await subject.send("one")
        await asyncio.sleep(59)
        await subject.send("two")
        await asyncio.sleep(0.5)
        assert finished() == []
        await asyncio.sleep(1)
        assert finished() == ["one\ntwo\n"]
        await asyncio.sleep(1000)
        assert finished() == ["one\ntwo\n"]
        await subject.send("three")
        await asyncio.sleep(61)
        await subject.send("four")
        await run.stop(drain=True)
    assert finished() == ["one\ntwo\n", "three\n", "four\n"]
    assert len(left_over(tmp_path)) == 3


@pytest.mark.virtual_time
async def test_a_rotation_that_fails_between_items_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "sub"
    directory.mkdir()
    subject: rx.Subject[str] = rx.Subject()
    sink = files.write_lines(directory / "a.log", rotate=files.Rotation(every=60))
    with pytest.raises(ConnectorError, match=r"there is no directory .*/sub; create it first"):
        async with rx.start(subject.to(sink)) as run:
            await subject.send("one")
            await asyncio.sleep(30)
            for path in directory.iterdir():
                path.unlink()
            directory.rmdir()
            await asyncio.sleep(60)
            await run.stop(drain=True)


async def test_a_failure_keeps_finished_parts_and_drops_the_last(tmp_path: Path) -> None:
    sink = files.write_lines(tmp_path / "a.txt", rotate=files.Rotation(max_bytes=4))
    failing = rx.of("1", "2", "3").concat(rx.fail(RuntimeError("broke")))
    with pytest.raises(RuntimeError, match="broke"):
        await rx.run(failing.to(sink))
    assert [(tmp_path / name).read_text() for name in left_over(tmp_path)] == ["1\n2\n"]


def test_names_of_parts() -> None:
    started = datetime(2025, 1, 31, 23, 59, 59, tzinfo=UTC)
    named = {
        "/x/events.jsonl.zst": "/x/events-20250131T235959Z-000001.jsonl.zst",
        "a.b.log": "a.b-20250131T235959Z-000001.log",
        "plain": "plain-20250131T235959Z-000001",
    }
    for path, part in named.items():
        assert segment_path(path, started, 1) == part


async def test_parts_never_replace_others(tmp_path: Path) -> None:
    sink = files.write_lines(tmp_path / "a.txt", rotate=files.Rotation(max_bytes=2))
    for _ in range(3):
        await rx.run(rx.of("1", "2").to(sink))
    assert len(left_over(tmp_path)) == 6


async def test_a_writer_reports_how_far_it_came(tmp_path: Path) -> None:
    writer = files.write_lines(tmp_path / "a.txt").writer(context())
    await writer.open()
    try:
        await writer.write(rx.Chunk(["one", "two"]))
        assert writer.position() == 8
        await writer.finish()
    finally:
        await writer.close()


async def test_a_sink_pickles_and_runs_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = files.write_jsonl(path, default=lambda item: str(item))
    sink = cloudpickle.loads(cloudpickle.dumps(sink))
    for _ in range(2):
        await rx.run(rx.of(Path("x")).to(sink))
        assert path.read_text() == '"x"\n'
    assert sink.label == "write_jsonl"
    rotate = files.Rotation(max_bytes=1000, every=60)
    details = files.write_lines("a", append=True, rotate=rotate).details()
    assert details == {
        "path": "a",
        "append": True,
        "rotate": "every 1000 bytes or 60 seconds",
    }


@pytest.mark.parametrize(
    ("describe", "reason"),
    [
        (lambda: files.Rotation(), "needs max_bytes, every, or both"),
        (lambda: files.Rotation(max_bytes=0), "max_bytes must be at least 1"),
        (lambda: files.Rotation(every=0), "every must be above 0 seconds"),
        (lambda: files.write_lines("-", append=True), "standard output can neither"),
        (lambda: files.write_lines("a", level=3), "level=3 needs a compression"),
        (lambda: files.write_lines("a", encoding="utf-9"), "unknown text encoding"),
        (lambda: files.write_csv("a", delimiter=""), "no delimiter for CSV"),
        (lambda: files.write_jsonl("a", option=orjson.OPT_INDENT_2), "several lines"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_described(describe: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        describe()
