"""Files in runs with checkpoints: every line once, and nothing seen before it is committed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import pickle
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from file_parts import COMPRESSORS, context

import reactive as rx
from connectors import file_joining, files
from connectors.file_writing import Rotation
from reactive.errors import ConnectorError
from reactive.testing import check_sink

LINES = [f"line {number}" for number in range(14)]


def seen(pattern: str) -> Callable[[Path], Awaitable[list[str]]]:
    async def look(folder: Path) -> list[str]:
        paths = found(folder, pattern)
        return await files.read_lines(paths).collect() if paths else []

    return look


@contextlib.asynccontextmanager
async def writing(
    sink: rx.Sink[Any], epoch: int = 0, token: Any = None
) -> AsyncIterator[rx.Writer[Any]]:
    """A writer that goes on after an epoch."""
    writer = sink.writer(context())
    await writer.open()
    try:
        await writer.recover(epoch, pickle.loads(pickle.dumps(token)))
        yield writer
    finally:
        await writer.close()


async def commit(writer: rx.Writer[Any], epoch: int, *items: Any) -> Any:
    await writer.write(rx.Chunk(list(items)))
    token = await writer.prepare(epoch)
    await writer.commit(epoch, token)
    return token


def found(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def texts(folder: Path) -> list[str]:
    """What is in each of several files."""
    return [path.read_text() for path in found(folder, "a-*")]


def names(folder: Path) -> list[str]:
    """What is there, with the random part of hidden names left out."""
    return sorted(re.sub(r"[0-9a-f]{8}(?=\.staged)", "*", path.name) for path in folder.iterdir())


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
def test_a_file_appended_to(suffix: str) -> None:
    def sink(folder: Path) -> rx.Sink[Any]:
        return files.write_lines(folder / f"a.txt{suffix}", append=True)

    check_sink(sink, LINES, seen(f"a.txt{suffix}"), examples=5 if suffix else 25)


def test_epochs_too_large_to_be_carried_by_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_joining, "CARRIED_BYTES", 12)
    check_sink(
        lambda folder: files.write_lines(folder / "a.txt", append=True), LINES, seen("a.txt")
    )


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
def test_a_whole_file(suffix: str) -> None:
    def sink(folder: Path) -> rx.Sink[Any]:
        return files.write_lines(folder / f"a.txt{suffix}")

    look = seen(f"a.txt{suffix}")
    check_sink(sink, LINES, look, shows="by parts", examples=5 if suffix else 25)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_many_files(suffix: str) -> None:
    def sink(folder: Path) -> rx.Sink[Any]:
        rotate = Rotation(max_bytes=25, every=3600)
        return files.write_lines(folder / f"a.txt{suffix}", rotate=rotate)

    check_sink(sink, LINES, seen(f"a-*.txt{suffix}"), shows="by parts")


def test_csv_keeps_its_header_and_its_columns() -> None:
    rows = [{"x": number, "y": str(number)} for number in range(10)]
    swapped = [{"y": row["y"], "x": row["x"]} if row["x"] % 3 else row for row in rows]  # type: ignore[operator]

    async def look(folder: Path) -> list[Any]:
        path = folder / "a.csv"
        if not path.exists():
            return []
        return [(int(row["x"]), row["y"]) for row in await files.read_csv(path).collect()]

    for append in (False, True):
        check_sink(
            lambda folder, append=append: files.write_csv(folder / "a.csv", append=append),  # type: ignore[misc]
            swapped,
            look,
            expected=lambda items: [(row["x"], row["y"]) for row in items],
            shows="at commit" if append else "by parts",
        )


async def test_a_whole_file_is_seen_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    path.chmod(0o640)
    async with writing(files.write_lines(path)) as writer:
        await commit(writer, 1, "a")
        assert path.read_text() == "old\n"
        token = await commit(writer, 2, "b")
        assert names(tmp_path) == [".a.txt.*.staged", "a.txt"]
        await writer.write(rx.Chunk(["lost with this run"]))
    assert names(tmp_path) == [".a.txt.*.staged", "a.txt"]
    async with writing(files.write_lines(path), 2, token) as writer:
        token = await commit(writer, 3, "c")
        await writer.finish()
    assert path.read_text() == "a\nb\nc\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a.txt"]
    async with writing(files.write_lines(path), 3, token) as writer:
        await writer.finish()
    assert path.read_text() == "a\nb\nc\n"


async def test_a_finished_file_that_gets_more_is_seen_whole_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    async with writing(files.write_lines(path)) as writer:
        token = await commit(writer, 1, "a")
        await writer.finish()
    async with writing(files.write_lines(path), 1, token) as writer:
        await commit(writer, 2, "b")
        assert gzip.decompress(path.read_bytes()) == b"a\n"
        await writer.finish()
    assert gzip.decompress(path.read_bytes()) == b"a\nb\n"


async def test_what_is_appended_is_seen_when_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("torn")
    async with writing(files.write_lines(path, append=True)) as writer:
        await writer.write(rx.Chunk(["a"]))
        token = await writer.prepare(1)
        await writer.write(rx.Chunk(["b"]))
        assert path.read_text() == "torn"
        await writer.commit(1, token)
        assert path.read_text() == "torn\na\n"


async def test_joining_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    sink = files.write_lines(path, append=True)
    async with writing(sink) as writer:
        await commit(writer, 1, "first")
        await writer.write(rx.Chunk(["second"]))
        token = await writer.prepare(2)
    for done in range(len("second\n") + 1):
        path.write_text("first\nsecond\n"[: 6 + done])
        async with writing(sink, 2, token):
            assert path.read_text() == "first\nsecond\n"


async def test_others_may_append_between_two_epochs_and_not_within_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    sink = files.write_lines(path, append=True)
    async with writing(sink) as writer:
        await commit(writer, 1, "a")
        with path.open("a") as other:
            other.write("theirs\n")
        await commit(writer, 2, "b")
        assert path.read_text() == "a\ntheirs\nb\n"
        await writer.write(rx.Chunk(["c"]))
        token = await writer.prepare(3)
        with path.open("a") as other:
            other.write("theirs\n")
        with pytest.raises(ConnectorError, match=r"a\.txt: somebody else has written to it"):
            await writer.commit(3, token)
    assert path.read_text() == "a\ntheirs\nb\ntheirs\n"


async def test_an_older_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for append, found in ((False, "a\nc\n"), (True, "a\nb\nc\n")):
        path = tmp_path / f"{append}.txt"
        sink = files.write_lines(path, append=append)
        async with writing(sink) as writer:
            token = await commit(writer, 1, "a")
            await commit(writer, 2, "b")
        async with writing(sink, 1, token) as writer:
            await commit(writer, 2, "c")
            await writer.finish()
        assert path.read_text() == found
    assert "file_longer_than_at_checkpoint" in caplog.text


async def test_output_that_does_not_fit_the_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    appending, whole = files.write_lines(path, append=True), files.write_lines(path)

    async def refused(sink: rx.Sink[Any], token: Any, reason: str) -> None:
        with pytest.raises(ConnectorError, match=reason):
            async with writing(sink, 1, token):
                pass

    async with writing(appending) as writer:
        token = await commit(writer, 1, "a")
        later = await commit(writer, 2, "b")
    await refused(whole, token, "wrote the end of a file, and this one writes whole files")
    path.unlink()
    await refused(appending, later, "is 0 bytes long, and had 2 at the last checkpoint")
    path.unlink()
    async with writing(whole) as writer:
        token = await commit(writer, 1, "a")
    (staged,) = found(tmp_path, ".*.staged")
    staged.write_text("")
    await refused(whole, token, "staged: is 0 bytes long, and had 2")
    staged.unlink()
    await refused(whole, token, "neither in a hidden file beside it nor in the file itself")
    path.write_text("a\n")
    await refused(whole, token, "neither in a hidden file beside it nor in the file itself")


async def test_parts_are_seen_when_they_are_ended_and_committed(tmp_path: Path) -> None:
    sink = files.write_lines(tmp_path / "a.txt", rotate=Rotation(max_bytes=4))
    async with writing(sink) as writer:
        await writer.write(rx.Chunk(["a", "b", "c"]))
        token = await writer.prepare(1)
        assert not texts(tmp_path)
        await writer.commit(1, token)
        (first,) = found(tmp_path, "a-*")
        assert first.read_text() == "a\nb\n"
        await writer.write(rx.Chunk(["d", "e"]))
    first.unlink()  # whoever loads the parts has taken it
    async with writing(sink, 1, token) as writer:
        token = await commit(writer, 2, "d", "e")
        assert texts(tmp_path) == ["c\nd\n"]
        await writer.finish()
    assert texts(tmp_path) == ["c\nd\n", "e\n"]
    assert not found(tmp_path, ".*")
    for path in found(tmp_path, "a-*"):
        path.unlink()
    async with writing(sink, 2, token) as writer:
        await commit(writer, 3, "f")
        await writer.finish()
    assert texts(tmp_path) == ["f\n"]


async def test_parts_ended_by_the_clock_wait_for_the_commit(
    tmp_path: Path, virtual_time: Any
) -> None:
    sink = files.write_lines(tmp_path / "a.txt", rotate=Rotation(every=60))
    async with writing(sink) as writer:
        token = await commit(writer, 1, "a")
    async with writing(sink, 1, token) as writer:
        await asyncio.sleep(61)
        token = await writer.prepare(2)
        assert not texts(tmp_path)
        await writer.commit(2, token)
        assert texts(tmp_path) == ["a\n"]


async def test_only_what_the_same_sink_left_is_removed(tmp_path: Path) -> None:
    others = [
        ".a.txt.0123abcd.partial",
        ".b.txt.0123abcd.staged",
        ".a.txt.0123abcd.staged.txt",
        ".a-20250131T235959Z-000001.txt.0123abcd.staged",
        "a.txt.0123abcd.staged",
    ]
    for name in (*others, ".a.txt.0123abcd.staged"):
        (tmp_path / name).touch()
    async with writing(files.write_lines(tmp_path / "a.txt")) as writer:
        await writer.finish()
    assert [path.name for path in found(tmp_path, "*")] == sorted((*others, "a.txt"))


@pytest.mark.parametrize("append", [False, True])
async def test_a_header_is_written_for_no_rows(tmp_path: Path, append: bool) -> None:
    path = tmp_path / "a.csv"
    sink = files.write_csv(path, columns=["x", "y"], append=append)
    async with writing(sink) as writer:
        token = await commit(writer, 1)
        await writer.finish()
    assert path.read_text() == "x,y\n"
    async with writing(sink, 1, token) as writer:
        await writer.finish()
    assert path.read_text() == "x,y\n"


async def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "a.txt"
    link.symlink_to(tmp_path / "there" / "b.txt")
    for append in (False, True):
        async with writing(files.write_lines(link, append=append)) as writer:
            await commit(writer, 1, "a")
            await writer.finish()
    assert link.is_symlink()
    assert link.read_text() == "a\na\n"
    assert names(tmp_path / "there") == ["b.txt"]


async def test_what_is_no_file_says_that_it_repeats() -> None:
    for path in ("-", os.devnull):
        sink = files.write_lines(path)
        assert sink.replayed == "repeated"
    assert files.write_lines("a.txt").replayed == "transactional"
    async with writing(sink) as writer:
        assert await commit(writer, 1, "a") is None
        await writer.finish()


@pytest.mark.parametrize("append", [False, True])
async def test_an_epoch_waits_for_the_disk_once(
    tmp_path: Path, append: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = 0

    def fsync(descriptor: int) -> None:
        nonlocal waits
        waits += 1

    async with writing(files.write_lines(tmp_path / "a.txt", append=append)) as writer:
        await commit(writer, 1, "a")
        monkeypatch.setattr(os, "fsync", fsync)
        for epoch in range(2, 12):
            await commit(writer, epoch, "a")
        assert waits == 10
        for epoch in range(12, 22):
            await commit(writer, epoch)
        assert waits <= 11


async def test_standard_output_in_a_run_with_checkpoints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = rx.of("a", "b").to(files.write_lines("-"))
    await rx.run(job, checkpoint=tmp_path / "state.db")
    assert capfd.readouterr().out == "a\nb\n"
