"""`files.read_lines(...).then(files.follow(...))`: every line once, whatever rotates meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import os
import pickle
import random
import sys
from pathlib import Path

import psutil
import pytest
from file_parts import reading, take, take_all

import reactive as rx
from connectors import files

POLL = 0.01
WRITER = """
import gzip, os, sys, time
folder, count, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
path = os.path.join(folder, "app.log")
log = open(path, "a")
for number in range(count):
    if number and number % every == 0:
        for older in range(20, 0, -1):
            for suffix in ("", ".gz"):
                if os.path.exists(f"{path}.{older}{suffix}"):
                    os.rename(f"{path}.{older}{suffix}", f"{path}.{older + 1}{suffix}")
        os.rename(path, path + ".1")
        new = open(path, "a")
        # Whoever is told to open the new file may write to the old one for some more lines.
        log.write(f"{number} line\\n")
        log.close()
        log = new
        if sys.argv[4] == "compress" and os.path.exists(path + ".3"):
            status = os.stat(path + ".3")
            with open(path + ".3", "rb") as plain, gzip.open(path + ".3.gz", "wb") as packed:
                packed.write(plain.read())
            os.utime(path + ".3.gz", ns=(status.st_atime_ns, status.st_mtime_ns))
            os.remove(path + ".3")
        continue
    log.write(f"{number} li")
    if number % 50 == 0:
        log.flush()
        time.sleep(0.005)
    log.write("ne\\n")
log.close()
"""


def lines(start: int, stop: int) -> str:
    return "".join(f"line {number}\n" for number in range(start, stop))


def aged(path: Path, age: int, text: str | bytes) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    changed = 1_700_000_000_000_000_000 - age * 1_000_000_000
    os.utime(path, ns=(changed, changed))


def rotate(path: Path) -> None:
    """Rename `app.log` to `app.log.1`, and that to `app.log.2`, and so on."""
    for number in range(9, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


def both(folder: Path) -> rx.Stream[str]:
    return files.read_lines(folder / "app.log*").then(files.follow(folder / "app.log", poll=POLL))


async def take_lines(reader: rx.Reader[str], count: int) -> list[int]:
    numbers: list[int] = []
    async with asyncio.timeout(30):
        while len(numbers) < count:
            items = await take(reader, min(7, count - len(numbers)))
            assert items is not None
            numbers += [int(line.split()[1]) for line in items]
    return numbers


async def nothing_more(reader: rx.Reader[str]) -> None:
    reader.stop()
    async with asyncio.timeout(30):
        assert await take_all(reader) == []


def history(folder: Path) -> Path:
    """Forty lines in four files, the oldest compressed, whose names sort from new to old."""
    path = folder / "app.log"
    aged(folder / "app.log.3.gz", 30, gzip.compress(lines(0, 10).encode()))
    aged(folder / "app.log.2", 20, lines(10, 20))
    aged(folder / "app.log.1", 10, lines(20, 30))
    aged(path, 0, lines(30, 40))
    return path


async def test_rotated_files_are_read_by_age_and_then_the_file_as_it_grows(tmp_path: Path) -> None:
    path = history(tmp_path)
    async with reading(both(tmp_path)) as reader:
        assert await take_lines(reader, 40) == list(range(40))
        with path.open("a") as log:
            log.write(lines(40, 45))
        assert await take_lines(reader, 5) == list(range(40, 45))
        await nothing_more(reader)


async def test_a_line_that_is_half_written_at_the_seam_comes_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("line 0\nline 1")
    async with reading(both(tmp_path)) as reader:
        assert await take_lines(reader, 1) == [0]
        with path.open("a") as log:
            log.write("5\nline 16\n")
        assert await take_lines(reader, 2) == [15, 16]
        await nothing_more(reader)


@pytest.mark.parametrize("after", [1, 5, 10, 15, 25, 35])
async def test_rotation_while_the_history_is_read(tmp_path: Path, after: int) -> None:
    path = history(tmp_path)
    async with reading(both(tmp_path)) as reader:
        seen = await take_lines(reader, after)
        rotate(path)
        path.write_text(lines(40, 50))
        rotate(path)
        path.write_text(lines(50, 60))
        assert seen + await take_lines(reader, 60 - after) == list(range(60))
        await nothing_more(reader)


@pytest.mark.parametrize("made", [True, False])
async def test_what_is_still_written_to_a_file_that_was_just_renamed(
    tmp_path: Path, made: bool
) -> None:
    path = tmp_path / "app.log"
    aged(tmp_path / "app.log.2", 20, lines(0, 10))
    aged(tmp_path / "app.log.1", 10, lines(10, 15))
    if made:
        path.touch()
    async with reading(both(tmp_path)) as reader:
        seen = await take_lines(reader, 5)
        with (tmp_path / "app.log.1").open("a") as log:
            log.write(lines(15, 20))
        assert seen + await take_lines(reader, 15) == list(range(20))
        path.write_text(lines(20, 25))
        assert await take_lines(reader, 5) == list(range(20, 25))
        await nothing_more(reader)


async def test_compression_and_removal_of_what_is_still_to_be_read(tmp_path: Path) -> None:
    path = history(tmp_path)
    async with reading(both(tmp_path)) as reader:
        seen = await take_lines(reader, 5)
        old = tmp_path / "app.log.2"
        (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
        (tmp_path / "app.log.3.gz").unlink()
        assert seen + await take_lines(reader, 35) == list(range(40))
        with path.open("a") as log:
            log.write(lines(40, 41))
        assert await take_lines(reader, 1) == [40]
        await nothing_more(reader)


async def test_rotation_by_copying_while_the_history_is_read(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    aged(tmp_path / "app.log.1.gz", 10, gzip.compress(lines(0, 20).encode()))
    path.write_text(lines(20, 40))
    async with reading(both(tmp_path)) as reader:
        seen = await take_lines(reader, 5)
        (tmp_path / "app.log.1").write_bytes(path.read_bytes())
        with path.open("r+") as log:
            log.truncate(0)
            log.write(lines(40, 50))
        os.utime(path, ns=(2_000_000_000_000_000_000,) * 2)
        assert seen + await take_lines(reader, 45) == list(range(50))
        await nothing_more(reader)


async def test_a_history_elsewhere_comes_first_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "b").write_text(lines(0, 2))
    (tmp_path / "old" / "a").write_text(lines(2, 4))
    path = tmp_path / "app.log"
    aged(tmp_path / "app.log.1", 10, lines(4, 6))
    path.write_text(lines(6, 8))
    paths = [tmp_path / "old" / "b", tmp_path / "old" / "a", tmp_path / "app.log.*"]
    stream = files.read_lines(paths).then(files.follow(path, poll=POLL))
    async with reading(stream) as reader:
        assert await take_lines(reader, 8) == list(range(8))
        await nothing_more(reader)


async def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text(lines(0, 2))
    stream = files.read_lines(tmp_path / "old.log").then(
        files.follow(tmp_path / "app.log", poll=POLL)
    )
    async with reading(stream) as reader:
        assert await take_lines(reader, 2) == [0, 1]
        (tmp_path / "app.log").write_text(lines(2, 3))
        assert await take_lines(reader, 1) == [2]
        await nothing_more(reader)


@pytest.mark.parametrize("stop", [0, 1, 9, 10, 11, 20, 29, 30, 31, 40])
async def test_a_position_on_either_side_of_the_seam(tmp_path: Path, stop: int) -> None:
    path = history(tmp_path)
    async with reading(both(tmp_path)) as reader:
        seen = await take_lines(reader, stop) if stop else []
        position = pickle.loads(pickle.dumps(reader.position()))
    rotate(path)
    path.write_text(lines(40, 50))
    async with reading(both(tmp_path), position) as reader:
        assert seen + await take_lines(reader, 50 - stop) == list(range(50))
        await nothing_more(reader)


async def test_a_position_whose_file_is_gone_says_which(tmp_path: Path) -> None:
    history(tmp_path)
    async with reading(both(tmp_path)) as reader:
        await take_lines(reader, 12)
        position = reader.position()
    (tmp_path / "app.log.2").unlink()
    with pytest.raises(rx.ConnectorError, match=r"app\.log\.2: .*put it back, or start afresh"):
        async with reading(both(tmp_path), position):
            pass


async def test_a_position_of_another_source_is_refused(tmp_path: Path) -> None:
    history(tmp_path)
    with pytest.raises(rx.ConnectorError, match="taken from another source"):
        async with reading(both(tmp_path), 7):
            pass


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    history(tmp_path)
    before = psutil.Process().num_fds()
    for taken in (1, 15, 35):
        async with reading(both(tmp_path)) as reader:
            await take_lines(reader, taken)
    assert psutil.Process().num_fds() == before


async def test_it_says_how_far_the_history_is(tmp_path: Path) -> None:
    history(tmp_path)
    size = sum((tmp_path / name).stat().st_size for name in ("app.log.3.gz", "app.log.2"))
    async with reading(both(tmp_path)) as reader:
        await take_lines(reader, 12)
        extent = reader.extent()
        assert extent is not None
        assert (extent.total, extent.unit) == (size, "bytes")
        assert 0 < extent.done <= size
        await take_lines(reader, 28)
        assert reader.extent() is None
        await nothing_more(reader)


@pytest.mark.parametrize("compress", ["compress", "keep"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_process_that_writes_and_rotates_all_the_while(
    tmp_path: Path, seed: int, compress: str
) -> None:
    """Read with interruptions, each going on from the position of the last."""
    rng = random.Random(seed)
    total = 12_000
    path = tmp_path / "app.log"
    aged(tmp_path / "app.log.2", 20, "".join(f"old {n}\n" for n in range(3000)))
    aged(tmp_path / "app.log.1", 10, "".join(f"old {n}\n" for n in range(3000, 6000)))
    expected = [f"old {n}" for n in range(6000)] + [f"{n} line" for n in range(total)]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), str(total), "2500", compress
    )
    stream = files.read_lines(tmp_path / "app.log*").then(files.follow(path, poll=POLL))
    seen: list[str] = []
    position = None
    try:
        async with asyncio.timeout(60):
            while len(seen) < len(expected):
                # A restart finds what it had not finished only while that is not compressed.
                pieces = 10**9 if compress == "compress" else rng.randrange(1, 40)
                async with reading(stream, position) as reader:
                    while pieces and len(seen) < len(expected):
                        items = await take(reader, rng.choice([1, 10, 200]))
                        assert items is not None
                        seen += items
                        pieces -= 1
                    position = reader.position()
    finally:
        if writer.returncode is None:
            writer.kill()
        await writer.wait()
    assert seen == expected


def test_pairs_without_a_position_in_common_are_refused(tmp_path: Path) -> None:
    follow = files.follow(tmp_path / "a")
    lines = files.read_lines(tmp_path / "a")
    for made, match in (
        (lambda: files.read_bytes(tmp_path / "a").then(follow), "after files.read_lines of files"),
        (lambda: files.read_jsonl(tmp_path / "a").then(follow), "the same encoding, errors and"),
        (lambda: files.read_lines("-").assume_bounded().then(follow), "directly behind the sourc"),
        (lambda: lines.map(len).then(follow), "directly behind the sources and map behind that"),
        (lambda: lines.then(follow.map(len)), "the live stream ends with map"),
        (lambda: lines.then(files.follow(tmp_path / "a", start="end")), "leave `start` out"),
        (lambda: lines.then(lines), "'read_lines' cannot go on where 'read_lines' ends"),
        (lambda: follow.then(follow), "nothing says that 'follow' ends"),
    ):
        with pytest.raises(rx.PlanError, match=match):
            made()


def test_what_is_explained(tmp_path: Path) -> None:
    text = str(both(tmp_path).explain())
    assert "read_lines_then_follow" in text
    assert "history paths" in text
    assert "live path" in text
    assert "unbounded" in text
    assert "replayable" in text


def test_it_is_pickled(tmp_path: Path) -> None:
    stream = pickle.loads(pickle.dumps(both(tmp_path)))
    assert isinstance(stream, rx.Stream)


async def test_a_run_with_checkpoints_goes_on_in_the_history_and_in_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "app.log"
    for age, start in ((3, 0), (2, 1000), (1, 2000)):
        aged(folder / f"app.log.{age}", 10 * age, lines(start, start + 1000))
    path.write_text(lines(3000, 4000))
    out = tmp_path / "out.txt"

    def written() -> int:
        return len(out.read_text().splitlines()) if out.exists() else 0

    async def leg(stream: rx.Stream[str], more: int) -> None:
        """Run until so many more lines came, and stop at a checkpoint."""
        wanted = written() + more
        job = stream.to(files.write_lines(out, append=True))
        small = rx.Settings(chunk=16, edge=16)
        starting = rx.start(job, checkpoint=tmp_path / "state.db", settings=small)
        async with starting as run, asyncio.timeout(60):
            while written() < wanted:
                await run.checkpoint()
            await run.stop()

    await leg(both(folder).rate_limit(500).named("pace"), 100)
    assert 100 <= written() < 4000
    rotate(path)
    path.write_text(lines(4000, 4100))
    await leg(both(folder), 4100 - written())
    rotate(path)
    path.write_text(lines(4100, 4200))
    await leg(both(folder), 100)
    assert out.read_text() == lines(0, 4200)
