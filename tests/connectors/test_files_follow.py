from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path

import pytest
from file_parts import reading, source_of, take

import reactive as rx
from connectors import files
from reactive.errors import ConnectorError, DecodeError
from reactive.metrics import Meter

POLL = 1.0
pytestmark = pytest.mark.virtual_time


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def renewed(path: Path, text: str) -> None:
    """Write a file's new contents with a new time of change, however coarse the clock is."""
    before = path.stat().st_mtime_ns
    with path.open("r+") as file:
        file.truncate(0)
        file.write(text)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


async def quiet(reader: rx.Reader[str], polls: float = 2.5) -> None:
    """Check that nothing comes for some polls."""
    task = asyncio.ensure_future(reader.read(100))
    await asyncio.sleep(polls * POLL)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def within(reader: rx.Reader[str], polls: float) -> list[str] | None:
    """The next lines, which come within so many polls."""
    async with asyncio.timeout(polls * POLL + 0.5):
        return await take(reader)


async def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\nthr")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await within(reader, 0) == ["one", "two"]
        await quiet(reader)
        add(path, "ee\nfour\n")
        assert await within(reader, 1) == ["three", "four"]
        await quiet(reader)


async def test_starting_at_the_end_begins_with_the_line_in_progress(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("old\n" * 50_000 + "unfini")
    async with reading(files.follow(path, poll=POLL, start="end")) as reader:
        await quiet(reader)
        add(path, "shed\nnew\n")
        assert await within(reader, 1) == ["unfinished", "new"]


async def test_a_file_that_is_made_later(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "app.log"
    async with reading(files.follow(path, poll=POLL, start="end")) as reader:
        await quiet(reader)
        path.parent.mkdir()
        await quiet(reader)
        path.write_text("from the beginning\n")
        assert await within(reader, 1) == ["from the beginning"]


async def test_rotation_by_renaming_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n")
    meter = Meter("follow")
    async with reading(files.follow(path, poll=POLL), meter=meter) as reader:
        assert await within(reader, 0) == ["1"]
        add(path, "2\n")
        path.rename(tmp_path / "app.log.1")
        assert await within(reader, 1) == ["2"]
        await quiet(reader)
        path.write_text("4\n")
        # Whoever wrote the old file may not have noticed yet.
        add(tmp_path / "app.log.1", "3\nno newline")
        assert await within(reader, 1) == ["3"]
        assert await within(reader, 3) == ["no newline"]
        assert await within(reader, 1) == ["4"]
        add(path, "5\n")
        assert await within(reader, 1) == ["5"]
    assert meter.counters == {"files": 1}


async def test_two_rotations_within_one_poll(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n")
    (tmp_path / "app.log.1").write_text("long ago\n")
    os.utime(tmp_path / "app.log.1", (1, 1))
    (tmp_path / "app.log.bak").write_text("not rotated\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await within(reader, 0) == ["1"]
        os.utime(path, (1000, 1000))
        path.rename(tmp_path / "app.log.3")
        (tmp_path / "app.log.2").write_text("2\n")
        os.utime(tmp_path / "app.log.2", (2000, 2000))
        path.write_text("3\n")
        assert await within(reader, 3) == ["2"]
        assert await within(reader, 3) == ["3"]
        await quiet(reader, 4)


async def test_truncation_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n3\npart")
    meter = Meter("follow")
    async with reading(files.follow(path, poll=POLL), meter=meter) as reader:
        assert await within(reader, 0) == ["1", "2", "3"]
        await quiet(reader)
        with path.open("w") as file:
            file.write("4\n")
        assert await within(reader, 1) == ["part"]
        assert await within(reader, 1) == ["4"]
        add(path, "5\n")
        assert await within(reader, 1) == ["5"]
    assert meter.counters == {"truncations": 1}


async def test_copy_and_truncate_with_more_than_before(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await within(reader, 0) == ["1", "2"]
        await quiet(reader)
        (tmp_path / "app.log.1").write_text(path.read_text())
        renewed(path, "three\nfour\nfive\n")
        assert await within(reader, 1) == ["three", "four", "five"]


async def test_copy_and_truncate_with_just_as_much(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await within(reader, 0) == ["1", "2"]
        await quiet(reader)
        renewed(path, "3\n4\n")
        assert await within(reader, 1) == ["3", "4"]


async def test_a_file_replaced_by_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await within(reader, 0) == ["1"]
        path.unlink()
        await quiet(reader)
        path.touch()
        await quiet(reader, 4)
        add(path, "2\n")
        assert await within(reader, 1) == ["2"]


async def test_much_at_once_comes_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [f"{number} {'x' * (number % 90)}" for number in range(100_000)]
    path.write_text("\n".join(lines) + "\n")
    loop = asyncio.get_running_loop()
    async with reading(files.follow(path, poll=3600)) as reader:
        before = loop.time()
        seen: list[str] = []
        while len(seen) < len(lines):
            seen += await take(reader) or []
        assert seen == lines
        assert loop.time() - before < 3600


async def test_a_cancelled_poll_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [f"{number}" for number in range(20_000)]
    path.write_text("\n".join(lines) + "\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        seen: list[str] = []
        cancelled = 0
        while len(seen) < len(lines):
            task = asyncio.ensure_future(take(reader))
            await asyncio.sleep(0)
            cancelled += task.cancel()
            await asyncio.wait([task])
            seen += (await take(reader) if task.cancelled() else task.result()) or []
        assert seen == lines
        assert cancelled > 0


async def test_stop_ends_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\ntorn")
    loop = asyncio.get_running_loop()
    async with reading(files.follow(path, poll=3600)) as reader:
        assert await take(reader) == ["1"]
        task = asyncio.ensure_future(take(reader))
        await asyncio.sleep(5)
        assert reader.stop() is True
        assert await task is None
        assert loop.time() < 3600


async def test_in_a_pipeline(tmp_path: Path) -> None:
    path, out = tmp_path / "app.log", tmp_path / "out.txt"
    path.write_text("info a\nerror b\n")
    errors = files.follow(path, poll=POLL).filter(lambda line: line.startswith("error"))
    async with rx.start(errors.to(files.write_lines(out, append=True))) as run:
        await asyncio.sleep(3)
        add(path, "error c\ninfo d\nerror e\n")
        await asyncio.sleep(3)
        assert out.read_text() == "error b\nerror c\nerror e\n"
        await run.stop(drain=True)
    assert out.read_text() == "error b\nerror c\nerror e\n"


async def test_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n\xff\n3\n")
    async with reading(files.follow(path, poll=POLL)) as reader:
        assert await take(reader) == ["1"]
        with pytest.raises(
            DecodeError, match=r"app\.log, line 2 \(byte 2\): b'\\xff' is not utf-8"
        ):
            await take(reader)
    async with reading(files.follow(path, poll=POLL, on_error="skip")) as reader:
        assert await take(reader) == ["1", "3"]
    async with reading(files.follow(path, poll=POLL, encoding=None)) as reader:
        assert await take(reader) == [b"1", b"\xff", b"3"]


async def test_wide_encodings(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes("ä\n\u0a00".encode("utf-16"))
    async with reading(files.follow(path, poll=POLL, encoding="utf-16")) as reader:
        assert await take(reader) == ["ä"]
        position = reader.position()
        with path.open("ab") as file:
            file.write("\nx\n".encode("utf-16")[2:])
        assert await within(reader, 1) == ["\u0a00", "x"]
    async with reading(files.follow(path, poll=POLL, encoding="utf-16"), position) as reader:
        assert await take(reader) == ["\u0a00", "x"]
    async with reading(files.follow(path, poll=POLL, encoding="utf-16", start="end")) as reader:
        await quiet(reader)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
async def test_resuming_in_the_same_file(tmp_path: Path, count: int) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n3\ntorn")
    stream = files.follow(path, poll=POLL)
    async with reading(stream) as reader:
        seen = [item for _ in range(count) for item in await take(reader, 1) or []]
        position = pickle.loads(pickle.dumps(reader.position()))
    add(path, " no more\n")
    async with reading(stream, position) as reader:
        assert seen + (await take(reader) or []) == ["1", "2", "3", "torn no more"]


async def test_resuming_after_rotations(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n")
    stream = files.follow(path, poll=POLL)
    async with reading(stream) as reader:
        assert await take(reader, 1) == ["1"]
        position = reader.position()
    os.utime(path, (1000, 1000))
    path.rename(tmp_path / "app.log.2")
    (tmp_path / "app.log.1").write_text("3\n4\n")
    os.utime(tmp_path / "app.log.1", (2000, 2000))
    (tmp_path / "app.log.3").write_text("0\n")
    os.utime(tmp_path / "app.log.3", (10, 10))
    path.write_text("5\n")
    seen: list[str] = []
    async with reading(stream, position) as reader:
        while len(seen) < 4:
            seen += await within(reader, 4) or []
            middle = reader.position()
        await quiet(reader)
    assert seen == ["2", "3", "4", "5"]
    assert middle.inode == path.stat().st_ino


async def test_resuming_in_a_copy_after_truncation(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    first = f"{'a long first line':50}"
    path.write_text(f"{first}\n2\n3\n")
    stream = files.follow(path, poll=POLL)
    async with reading(stream) as reader:
        assert await take(reader, 2) == [first, "2"]
        position = reader.position()
    (tmp_path / "app.log-20250131").write_text(path.read_text())
    renewed(path, "4\n")
    async with reading(stream, position) as reader:
        assert await take(reader) == ["3"]
        assert await within(reader, 3) == ["4"]


async def test_resuming_before_the_file_was_there(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    stream = files.follow(path, poll=POLL)
    async with reading(stream) as reader:
        position = reader.position()
    path.write_text("1\n")
    async with reading(stream, position) as reader:
        assert await take(reader) == ["1"]


async def test_resuming_in_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("1\n2\n")
    stream = files.follow(path, poll=POLL)
    async with reading(stream) as reader:
        await take(reader)
        position = reader.position()
    kept = tmp_path / "kept"
    path.rename(kept)
    path.write_text("3\n4\n")
    with pytest.raises(
        ConnectorError, match=r"app\.log: the file that was followed up to byte 4 is"
    ):
        async with reading(stream, position):
            pass
    with pytest.raises(ConnectorError, match="a position in a followed file is a FollowPosition"):
        async with reading(stream, 4):
            pass


async def test_what_cannot_be_followed(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="is a directory, not a file"):
        async with reading(files.follow(tmp_path)):
            pass
    with pytest.raises(ConnectorError, match="/dev/null: is no regular file"):
        async with reading(files.follow("/dev/null")):
            pass
    assert not source_of(files.follow(tmp_path)).bounded
    assert source_of(files.follow(tmp_path)).replayable
